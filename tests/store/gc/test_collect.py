"""What gc finds and deletes in one base, and what it leaves alone."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from modelshelf.domain.freed import Freed
from modelshelf.domain.gc import MIN_AGE_S, RESUME_S, GcItem, GcPlan, Needs
from modelshelf.domain.names import Digest, RepoId
from modelshelf.domain.sidecars import Sidecar
from modelshelf.services.jobs.progress import Counter
from modelshelf.store.blobs import shared_store
from modelshelf.store.gc import collect, repo_garbage
from modelshelf.store.gc.collect import Collected
from modelshelf.store.gc.repo_garbage import BaseState
from modelshelf.store.layout import Base
from modelshelf.store.listing import Listing
from modelshelf.store.locks import try_lock
from modelshelf.store.tiers import meter, sidecars
from tests.builders import Drawn, commit, content, digest_of, lay_out, put
from tests.fakes.clock import Later
from tests.invariants import base_violations, du
from tests.store.held_open import held_open
from tests.world import tree

REPO = "org/name"
DRAWN_WITH_ORPHAN = "model org/name\n commit a main\n model.safetensors 3000\n orphan 500"
LATER_S = MIN_AGE_S + 60
"""How long after the test wrote its files gc runs."""


def plan(base: Base, needs: Needs | None = None, ahead_s: float = LATER_S, *, quarantine: bool = False) -> GcPlan:
    """Return the plan of a gc that runs so much later."""
    return collect.plan_gc(base, needs or Needs(), time.time() + ahead_s, quarantine=quarantine)


def kinds(plan: GcPlan) -> list[str]:
    """Return the kinds of garbage found, in order."""
    return [item.kind for item in plan.items]


def names(plan: GcPlan, kind: str) -> list[str]:
    """Return the paths of one kind, below the base."""
    return [item.path.removeprefix(f"{plan.base}/") for item in plan.items if item.kind == kind]


def execute(base: Base, plan: GcPlan, needs: Needs | None = None, ahead_s: float = LATER_S) -> Collected:
    """Carry out a plan, so much later."""
    return collect.execute(base, plan, lambda repo_id: needs or Needs(), Later(ahead_s), Counter())


def run_gc(base: Base, needs: Needs | None = None, ahead_s: float = LATER_S) -> Collected:
    """Plan and carry out."""
    return execute(base, plan(base, needs, ahead_s), needs, ahead_s)


@pytest.fixture
def drawn(tmp_path: Path) -> Drawn:
    """A whole repository with an orphan and the leftovers of two programs."""
    drawn = lay_out(
        tmp_path / "base",
        f"""
        model {REPO}
          commit a main
            config.json 20
            deep/er/model.safetensors 3000
          commit b
            config.json 30
          orphan 5000
          partial 700
          partial 800 .downloadInProgress
        """,
    )
    put(drawn.base.marker, b'{"id": "x"}')
    return drawn


def test_orphans_and_dead_downloads_go_and_all_else_stays(drawn: Drawn) -> None:
    """Orphans and dead downloads are deleted, and the bytes freed are what `du` says."""
    snapshots = tree(drawn.base.repo(REPO).snapshots)
    before = du(drawn.base.path)

    found = plan(drawn.base)
    done = execute(drawn.base, found)

    assert sorted(kinds(found)) == ["blob", "partial", "partial"]
    assert found.free_bytes == done.freed.apparent_bytes == 6500
    assert (before[0] - du(drawn.base.path)[0], before[1] - du(drawn.base.path)[1]) == (
        done.freed.apparent_bytes - lock_bytes(drawn.base)[0],
        done.freed.allocated_bytes - lock_bytes(drawn.base)[1],
    )
    assert tree(drawn.base.repo(REPO).snapshots) == snapshots
    assert base_violations(drawn.base) == []
    assert plan(drawn.base).items == ()


def lock_bytes(base: Base) -> tuple[int, int]:
    """Return the size of the folders for huggingface_hub's locks, which taking a lock creates."""
    return du(base.hub / ".locks")


def test_a_plan_changes_nothing(drawn: Drawn) -> None:
    """A plan changes no name and no time."""
    before = sorted((str(p), p.lstat().st_mtime_ns) for p in drawn.base.path.rglob("*"))

    plan(drawn.base)

    assert sorted((str(p), p.lstat().st_mtime_ns) for p in drawn.base.path.rglob("*")) == before


def test_what_subfolders_link_to_is_no_orphan(drawn: Drawn) -> None:
    """A link three folders deep keeps its blob, like one at the top."""
    digest = drawn.digest(REPO, "a", "deep/er/model.safetensors")

    run_gc(drawn.base)

    assert drawn.base.repo(REPO).blob(digest).exists()


def test_a_snapshot_without_a_ref_is_no_orphan(drawn: Drawn) -> None:
    """A snapshot that was downloaded by commit hash keeps its blobs, unlike with `hf cache prune`."""
    run_gc(drawn.base)

    assert (drawn.base.repo(REPO).snapshot(commit("b")) / "config.json").read_bytes()


def test_young_things_are_in_flight(drawn: Drawn) -> None:
    """Nothing younger than the minimum age is deleted; the younger of mtime and ctime counts."""
    for path in drawn.base.repo(REPO).blobs.iterdir():
        os.utime(path, (0, 0))

    assert plan(drawn.base, ahead_s=MIN_AGE_S - 60).items == ()
    assert run_gc(drawn.base, ahead_s=MIN_AGE_S - 60) == Collected()


def test_a_stalled_download_keeps_its_file(drawn: Drawn) -> None:
    """A temporary file that a process has open stays at any age, and so do all orphans of its repository."""
    partial = next(drawn.base.repo(REPO).blobs.glob("*.incomplete"))
    found = plan(drawn.base)

    with held_open(partial):
        assert kinds(plan(drawn.base)) == ["partial"]
        done = execute(drawn.base, found)

    assert [Path(item.path).suffix for item in done.removed] == [".downloadInProgress"]
    assert partial.exists()


@pytest.mark.parametrize("kind", ["blob", "partial"])
def test_what_is_locked_stays(drawn: Drawn, kind: str) -> None:
    """A blob whose lock is held stays, because the holder is about to link or write it."""
    found = plan(drawn.base)
    item = next(item for item in found.items if item.kind == kind)

    with try_lock(drawn.base.path, drawn.base.hub_lock(REPO, Path(item.path).name.partition(".")[0])):
        done = execute(drawn.base, found)

    assert Path(item.path).exists()
    assert item not in done.removed


def test_an_orphan_that_was_linked_since_stays(drawn: Drawn) -> None:
    """An orphan that was linked after the plan stays."""
    found = plan(drawn.base)
    orphan = Path(next(item.path for item in found.items if item.kind == "blob"))
    link = drawn.base.repo(REPO).snapshot(commit("b")) / "late.bin"
    link.symlink_to(os.path.relpath(orphan, link.parent))

    execute(drawn.base, found)

    assert link.read_bytes()


def test_what_a_registered_model_needs_stays(drawn: Drawn) -> None:
    """A blob that a pull published and hasn't linked yet isn't an orphan, even if it was registered after the plan."""
    orphan = next(Path(item.path).name for item in plan(drawn.base).items if item.kind == "blob")
    needs = Needs(digests={REPO: {orphan}})

    assert "blob" not in kinds(plan(drawn.base, needs))
    execute(drawn.base, plan(drawn.base), needs)
    assert drawn.base.repo(REPO).blob(orphan).exists()


def test_nothing_is_an_orphan_where_a_job_works(drawn: Drawn) -> None:
    """While a job works on a repository nothing in it is an orphan."""
    assert sorted(kinds(plan(drawn.base, Needs(busy={REPO})))) == ["partial", "partial"]


def test_a_sidecar_keeps_what_it_names(drawn: Drawn) -> None:
    """A sidecar protects its blobs if the registry is lost or another one knows the model."""
    data = content("orphan", 5000)
    write_sidecar(drawn.base, "m", digest_of("x.bin", data), len(data))

    assert "blob" not in kinds(plan(drawn.base))
    assert "blob" not in kinds(plan(drawn.base, Needs(digests={REPO: {digest_of("x.bin", data)}})))
    assert "blob" not in kinds(plan(drawn.base, Needs(digests={REPO: set()})))
    run_gc(drawn.base)
    assert drawn.base.repo(REPO).blob(digest_of("x.bin", data)).exists()


def write_sidecar(base: Base, name: str, digest: str, size_bytes: int, arriving_from: str | None = None) -> Path:
    """Write a sidecar of a model with one file."""
    from modelshelf.domain.models import FileEntry

    file = FileEntry("x.bin", size_bytes, digest)
    sidecars.write(base, Sidecar(name, REPO, "main", commit("f"), (), False, "", (file,), arriving_from))
    return base.sidecar(name)


def test_the_sidecar_of_a_model_that_is_gone_goes(drawn: Drawn) -> None:
    """A sidecar without a row and without any of its files is deleted."""
    sidecar = write_sidecar(drawn.base, "gone", "e" * 64, 10)

    assert names(plan(drawn.base), "sidecar") == ["modelshelf/models/gone.json"]
    run_gc(drawn.base)
    assert not sidecar.exists()


def test_what_was_just_written_of_ours_stays(drawn: Drawn) -> None:
    """A sidecar and a temporary file of ours that were just written stay: their model may be about to be registered."""
    write_sidecar(drawn.base, "new", "e" * 64, 10)
    put(drawn.base.own / ".x.json.0a1b2c3d.shelf-tmp", b"x")

    assert {item.kind for item in plan(drawn.base, ahead_s=0).items} <= {"lock"}


def test_a_folder_that_is_called_like_a_temporary_file_stays(drawn: Drawn) -> None:
    """A folder in our own is nothing that a killed write leaves, whatever its name."""
    folder = drawn.base.own / ".x.json.0a1b2c3d.shelf-tmp"
    put(folder / "theirs", b"x")

    assert str(folder) not in {item.path for item in plan(drawn.base).items}


def test_the_sidecar_of_a_model_that_lies_elsewhere_goes(drawn: Drawn) -> None:
    """A sidecar whose model the registry knows on another base is deleted, as after a crash at the end of a move."""
    data = content("orphan", 5000)
    write_sidecar(drawn.base, "moved", digest_of("x.bin", data), len(data))

    assert "sidecar" in kinds(plan(drawn.base, Needs(elsewhere={"moved"})))
    assert "sidecar" not in kinds(plan(drawn.base, Needs(models={"moved"})))


def test_the_journal_of_a_move_that_nobody_knows_goes_after_a_week(drawn: Drawn) -> None:
    """A move's sidecar that no registry knows goes after a week, because its registry may only be offline."""
    data = content("orphan", 5000)
    write_sidecar(drawn.base, "m", digest_of("x.bin", data), len(data), arriving_from="/elsewhere")

    assert "sidecar" not in kinds(plan(drawn.base))
    assert {"sidecar", "blob"} <= set(kinds(plan(drawn.base, ahead_s=RESUME_S + 60)))


def test_a_folder_that_cannot_be_read_keeps_every_blob(drawn: Drawn) -> None:
    """An unreadable folder keeps every blob, because it may link to them; gc says so and goes on."""
    if os.geteuid() != 0:
        pytest.skip("becoming another user needs root")
    folder = drawn.base.repo(REPO).snapshot(commit("a")) / "deep"
    folder.chmod(0)
    for path in drawn.base.path.parents:
        if path.owner() == "root" and len(path.parts) > 2:
            path.chmod(path.stat().st_mode | 0o011)
    os.seteuid(65534)
    try:
        found = plan(drawn.base)
    finally:
        os.seteuid(0)

    assert "blob" not in kinds(found)
    assert f"{folder} cannot be read (Permission denied): shelf can't tell what it needs." in found.notes


@pytest.mark.parametrize("which", ["blobs", "snapshots", "a folder of snapshots"])
def test_planted_links_are_not_followed(drawn: Drawn, tmp_path: Path, which: str) -> None:
    """If a folder of a repository is a link, nothing behind it is deleted."""
    repo = drawn.base.repo(REPO)
    folder = {"blobs": repo.blobs, "snapshots": repo.snapshots}.get(which, repo.snapshot(commit("c")))
    outside = tmp_path / "outside"
    if folder.exists():
        folder.rename(outside)
    else:
        put(outside / "x", b"x")
    folder.symlink_to(outside)
    before = tree(outside)

    done = run_gc(drawn.base)

    assert [item.kind for item in done.removed if item.kind != "partial"] == []
    assert tree(outside) == before
    assert any("is a link" in note for note in plan(drawn.base).notes)


def test_a_planted_blob_loses_its_link_alone(drawn: Drawn, tmp_path: Path) -> None:
    """If an orphan is a link out of the base, only the link is deleted."""
    victim = put(tmp_path / "precious", b"precious")
    drawn.base.repo(REPO).blob("d" * 64).symlink_to(victim)
    put(tmp_path / "dir" / "x", b"x")
    drawn.base.repo(REPO).blob("c" * 64).symlink_to(tmp_path / "dir")

    run_gc(drawn.base)

    assert victim.read_bytes() == b"precious"
    assert (tmp_path / "dir" / "x").exists()
    assert not drawn.base.repo(REPO).blob("d" * 64).is_symlink()


@pytest.mark.parametrize("which", ["hub", "modelshelf"])
def test_a_base_behind_links_is_left_alone(tmp_path: Path, which: str) -> None:
    """A cache that is a link is left alone, because it may belong to another tier."""
    drawn = lay_out(tmp_path / "base", f"model {REPO}\n orphan 100")
    put(drawn.base.marker, b"{}")
    folder = drawn.base.path / which
    folder.rename(tmp_path / "away")
    folder.symlink_to(tmp_path / "away")

    found = plan(drawn.base)

    assert found.items == ()
    assert found.notes == (f"{folder} is a link: nothing is deleted through it.",)
    assert execute(drawn.base, found) == Collected()


def test_links_from_another_repository_keep_a_blob(drawn: Drawn) -> None:
    """A link from another repository keeps a blob, though no tool of today makes such links."""
    orphan = Path(next(item.path for item in plan(drawn.base).items if item.kind == "blob"))
    link = drawn.base.repo("other/one").snapshot(commit("c")) / "x.bin"
    link.parent.mkdir(parents=True)
    link.symlink_to(orphan)

    assert "blob" not in kinds(plan(drawn.base))
    run_gc(drawn.base)
    assert link.read_bytes()


def test_a_base_that_is_called_otherwise_by_absolute_links(drawn: Drawn, tmp_path: Path) -> None:
    """An absolute link through another name of the base keeps its blob."""
    (tmp_path / "alias").symlink_to(drawn.base.path)
    orphan = Path(next(item.path for item in plan(drawn.base).items if item.kind == "blob"))
    link = drawn.base.repo(REPO).snapshot(commit("b")) / "abs.bin"
    link.symlink_to(tmp_path / "alias" / orphan.relative_to(drawn.base.path))

    assert "blob" not in kinds(plan(drawn.base))
    assert "blob" not in kinds(plan(Base(tmp_path / "alias")))


@pytest.mark.parametrize("kind", ["dataset", "space", "kernel"])
def test_other_repositories_are_tidied_alike(tmp_path: Path, kind: str) -> None:
    """Data sets, spaces and kernels lose their orphans and dead downloads, and keep what is linked."""
    drawing = f"{kind} org/data\n commit c main\n rows.txt 10\n orphan 300\n partial 70"
    drawn = lay_out(tmp_path, drawing)
    needs = Needs(digests={"org/data": set()}, busy={"org/data"})

    done = run_gc(drawn.base, needs)

    assert sorted(item.kind for item in done.removed) == ["blob", "partial"]
    assert (drawn.base.repo("org/data", kind).snapshot(commit("c")) / "rows.txt").read_bytes()


def test_the_remains_of_a_download_that_brought_nothing_go(tmp_path: Path) -> None:
    """A repository with only an abandoned download is deleted with its ref, listing and folders; others stay."""
    drawn = lay_out(tmp_path, f"model {REPO}\n commit a main\n model dead/one\n commit b main refs/pr/1\n partial 70")

    done = run_gc(drawn.base)

    assert not drawn.base.repo("dead/one").path.exists()
    assert sorted({item.kind for item in done.removed}) == ["folder", "listing", "partial", "ref"]
    assert base_violations(drawn.base) == []


def test_a_young_empty_repository_is_a_download_that_begins(tmp_path: Path) -> None:
    """A young empty repository stays, because huggingface_hub makes folders and ref before its first file."""
    drawn = lay_out(tmp_path, "model new/one\n commit b main")

    assert plan(drawn.base, ahead_s=0).items == ()
    assert plan(drawn.base, Needs(digests={"new/one": set()})).items == ()
    assert plan(drawn.base, Needs(busy={"new/one"})).items == ()


def test_empty_folders_wait_for_a_download_that_began_since(tmp_path: Path) -> None:
    """A temporary file that appeared after the plan keeps the folders that its link will need."""
    drawn = lay_out(tmp_path, "model new/one\n commit b main")
    found = plan(drawn.base)
    partial = put(drawn.base.repo("new/one").blobs / f"{'d' * 64}.0a1b2c3d.incomplete", b"x")

    execute(drawn.base, found, ahead_s=0)

    assert partial.exists()
    assert drawn.base.repo("new/one").snapshot(commit("b")).is_dir()


def test_what_is_known_to_be_absent_keeps_its_ref(tmp_path: Path) -> None:
    """A ref stays while the negative cache needs it, because offline programs read that through the ref."""
    drawn = lay_out(tmp_path, f"model {REPO}\n ref main a\n missing a added_tokens.json")

    assert plan(drawn.base).items == ()


def test_empty_folders_of_a_live_repository_go_and_its_own_stay(tmp_path: Path) -> None:
    """Empty snapshots and ref folders of a live repository go; the folders of the layout stay."""
    drawn = lay_out(tmp_path, f"model {REPO}\n commit a main\n config.json 20")
    repo = drawn.base.repo(REPO)
    (repo.snapshot(commit("b")) / "deep").mkdir(parents=True)
    (repo.refs / "refs" / "pr").mkdir(parents=True)
    repo.no_exist("x").parent.mkdir()

    done = run_gc(drawn.base)

    assert [Path(item.path).name for item in done.removed] == ["pr", "refs", "deep", commit("b")]
    assert sorted(path.name for path in repo.path.iterdir()) == [".no_exist", "blobs", "refs", "snapshots", "trees"]


def test_a_file_of_a_snapshot_is_no_temporary_one(tmp_path: Path) -> None:
    """Files in a snapshot stay whatever their names; only our own temporary links are deleted there."""
    drawn = lay_out(tmp_path, f"model {REPO}\n commit a main\n notes.tmp 20\n x.incomplete 30\n y.downloadInProgress 4")
    ours = drawn.base.repo(REPO).snapshot(commit("a")) / ".config.json.0a1b2c3d.shelf-tmp"
    ours.symlink_to("nowhere")

    done = run_gc(drawn.base)

    assert [item.path for item in done.removed] == [str(ours)]


@pytest.mark.parametrize(
    "name",
    [
        f"{'d' * 40}.incomplete",
        f"{'d' * 64}.0a1b2c3d.incomplete",
        f"{'d' * 64}.downloadInProgress",
        f".{'d' * 64}.0a1b2c3d.shelf-tmp",
        f".{'d' * 64}.0a1b2c3d.shared",
        "tmp_0a1b2c3d-0a1b-0a1b-0a1b-0a1b2c3d4e5f",
        "x.tmp",
    ],
)
def test_dead_temporary_files_are_known_by_name(drawn: Drawn, name: str) -> None:
    """Temporary files of huggingface_hub old and new, of llama.cpp and ours are recognised by name."""
    put(drawn.base.repo(REPO).blobs / name, b"x")

    assert f"hub/models--org--name/blobs/{name}" in names(plan(drawn.base), "partial")


@pytest.mark.parametrize("name", ["README", f".{'d' * 64}.0a1b2c3d.old", "e" * 32, ".nfs000001"])
def test_a_file_that_nobody_knows_stays(drawn: Drawn, name: str) -> None:
    """A file whose name is neither a digest nor a known temporary one stays."""
    put(drawn.base.repo(REPO).blobs / name, b"x")

    assert all(Path(item.path).name != name for item in plan(drawn.base).items)


# --- our own folder ---


def part(base: Base, letter: str, size_bytes: int = 900) -> Path:
    """Write a part and its map."""
    put(base.part_map(letter * 64), b"01234567")
    return put(base.part(letter * 64), content(letter, size_bytes))


def test_a_part_that_no_model_waits_for_goes_with_its_map(drawn: Drawn) -> None:
    """A part that no registered model waits for, such as after a removal, goes with its map once it is old."""
    path = part(drawn.base, "d")

    assert plan(drawn.base, ahead_s=0).items == ()
    done = run_gc(drawn.base)

    assert not path.exists()
    assert not drawn.base.part_map("d" * 64).exists()
    assert sum(item.size_bytes for item in done.removed if item.kind == "part") == 908


def test_a_map_without_a_part_goes(drawn: Drawn) -> None:
    """A map without a part is deleted."""
    part(drawn.base, "d").unlink()

    assert names(plan(drawn.base), "part") == [f"modelshelf/incoming/{'d' * 64}.map"]


@pytest.mark.parametrize(
    ("needs", "age_s", "goes"),
    [
        (Needs(resumable={"d" * 64}), RESUME_S - 60, False),
        (Needs(resumable={"d" * 64}), RESUME_S + 60, True),
        (Needs(active={"d" * 64}), RESUME_S + 60, False),
        (Needs(working=True), RESUME_S - 60, False),
        (Needs(working=True), RESUME_S + 60, True),
        (Needs(resumable={"e" * 64}), LATER_S, True),
    ],
    ids=["incomplete", "incomplete for long", "at work for long", "some job", "some job for long", "another's"],
)
def test_parts_that_will_be_taken_up_stay(drawn: Drawn, needs: Needs, age_s: float, goes: bool) -> None:
    """A part that an incomplete model's next pull will resume stays."""
    part(drawn.base, "d")

    assert ("part" in kinds(plan(drawn.base, needs, age_s))) is goes
    run_gc(drawn.base, needs, age_s)
    assert drawn.base.part("d" * 64).exists() is not goes


def test_a_part_that_somebody_is_at_stays(drawn: Drawn) -> None:
    """A part stays while its lock is held or its file is open."""
    path = part(drawn.base, "d")
    found = plan(drawn.base)

    with try_lock(drawn.base.path, drawn.base.part_lock("d" * 64)):
        execute(drawn.base, found)
    assert path.exists()
    with held_open(path):
        assert "part" not in kinds(plan(drawn.base))
        execute(drawn.base, found)
    assert path.exists()
    execute(drawn.base, found)
    assert not path.exists()


def test_another_registrys_pull_keeps_its_blobs(drawn: Drawn) -> None:
    """While another registry's pull brings blobs, whole blobs that nobody here waits for aren't orphans."""
    path = part(drawn.base, "d")

    with held_open(path):
        assert "blob" not in kinds(plan(drawn.base))
        assert "blob" in kinds(plan(drawn.base, Needs(active={"d" * 64})))
        execute(drawn.base, plan(drawn.base, Needs(active={"d" * 64})))
    assert digest_of("x.bin", content("orphan", 5000)) in {p.name for p in drawn.base.repo(REPO).blobs.iterdir()}


def test_lock_files_that_nobody_needs_go(drawn: Drawn) -> None:
    """Our lock files without a part or repository are deleted, unless they are held."""
    with try_lock(drawn.base.path, drawn.base.repo_lock(REPO), drawn.base.repo_lock("gone/one")):
        pass
    put(drawn.base.part_lock("d" * 64), b"")  # as a killed download leaves it
    for lock in (drawn.base.views_lock, drawn.base.mirror_lock):
        put(lock, b"")
    part(drawn.base, "e")
    needs = Needs(active={"e" * 64})
    with try_lock(drawn.base.path, drawn.base.part_lock("e" * 64), drawn.base.repo_lock("gone/two")):
        found = plan(drawn.base, needs)
        execute(drawn.base, found, needs)
        assert drawn.base.part_lock("e" * 64).exists()

    assert sorted(names(found, "lock")) == [
        f"modelshelf/incoming/{'d' * 64}.lock",
        "modelshelf/locks/models--gone--one.lock",
        "modelshelf/locks/models--gone--two.lock",
    ]
    assert not drawn.base.part_lock("d" * 64).exists()
    assert drawn.base.repo_lock("gone/two").exists()
    assert drawn.base.repo_lock(REPO).exists()
    assert drawn.base.views_lock.exists()
    assert drawn.base.mirror_lock.exists()


def test_the_hubs_locks_are_never_removed(drawn: Drawn) -> None:
    """huggingface_hub's lock files stay, because other programs hold them with various versions of filelock."""
    with try_lock(drawn.base.path, drawn.base.hub_lock(REPO, "d" * 64)):
        pass

    run_gc(drawn.base, ahead_s=RESUME_S * 9)

    assert drawn.base.hub_lock(REPO, "d" * 64).exists()


def test_our_temporary_files_go(drawn: Drawn) -> None:
    """Our temporary files go, because a crash may leave one beside every file that we write."""
    paths = [
        put(folder / ".x.json.0a1b2c3d.shelf-tmp", b"x")
        for folder in (drawn.base.own, drawn.base.sidecars, drawn.base.incoming)
    ]

    run_gc(drawn.base)

    assert not any(path.exists() for path in paths)
    assert drawn.base.marker.exists()


def test_the_quarantine_is_measured_and_kept(drawn: Drawn) -> None:
    """The quarantine is counted, and deleted only if a person asks and nobody is reading it."""
    kept = put(drawn.base.quarantine / f"{'d' * 64}.0a1b2c3d", b"x" * 500)
    read = put(drawn.base.quarantine / "folder" / "e", b"y" * 40)

    assert plan(drawn.base).quarantine_bytes == 540 + read.parent.stat().st_size
    assert "quarantine" not in kinds(plan(drawn.base))
    run_gc(drawn.base)
    assert kept.exists()

    found = plan(drawn.base, quarantine=True)
    assert found.quarantine_bytes == 0
    with held_open(kept):
        execute(drawn.base, found)
    assert kept.exists()
    assert not read.exists()


# --- links that were lost ---


def links_of(drawn: Drawn) -> list[Path]:
    """Return the links of all snapshots, by path."""
    return sorted(path for path in drawn.base.hub.rglob("*") if path.is_symlink() and "snapshots" in path.parts)


def lose_list(drawn: Drawn, letter: str = "a") -> None:
    """Delete the list of a commit's files."""
    drawn.base.repo(REPO).tree(commit(letter)).unlink()


def test_blobs_that_a_list_names_are_no_garbage(drawn: Drawn) -> None:
    """Without links, only blobs that no list names go; gc says how to link the others again."""
    kept = {file.digest for letter in "ab" for file in drawn.of(REPO, letter)}
    links_of(drawn)[0].unlink()

    found = plan(drawn.base)
    execute(drawn.base, found)

    assert sorted(kinds(found)) == ["blob", "partial", "partial"]
    assert {path.name for path in drawn.base.repo(REPO).blobs.iterdir()} == kept
    assert [note.partition(" ")[0] for note in found.notes] == ["1"]
    assert f"shelf adopt {drawn.base.path}" in found.notes[0]


def test_a_repository_that_lost_every_link_keeps_everything_but_dead_downloads(drawn: Drawn) -> None:
    """If no link in a repository leads to a blob, gc deletes only dead downloads there, with lists or without."""
    for link in links_of(drawn):
        link.unlink()
    lose_list(drawn, "a")
    lose_list(drawn, "b")

    done = run_gc(drawn.base)

    assert sorted(item.kind for item in done.removed) == ["partial", "partial"]
    assert len(list(drawn.base.repo(REPO).blobs.iterdir())) == 4


@pytest.mark.parametrize("how", ["text", "xsym", "moved"])
def test_what_the_text_of_a_link_names_stays(drawn: Drawn, how: str) -> None:
    """A link that became a text file, or leads to the cache's old place, still keeps its blob."""
    link = links_of(drawn)[0]
    text, digest = str(link.readlink()), link.readlink().name
    link.unlink()
    lose_list(drawn)
    lose_list(drawn, "b")
    if how == "moved":
        link.symlink_to(f"/gone/hub/models--org--name/blobs/{digest}")
    else:
        xsym = f"XSym\n{len(text):04}\n{'0' * 32}\n{text}\n"
        link.write_text(text if how == "text" else f"{xsym:<1067}")

    done = run_gc(drawn.base)

    assert len([item for item in done.removed if item.kind == "blob"]) == 1
    assert drawn.base.repo(REPO).blob(digest).exists()


def test_an_index_that_names_a_missing_file_keeps_every_blob(drawn: Drawn) -> None:
    """An index that names a missing file keeps every blob, because one may be that shard."""
    snapshot = drawn.base.repo(REPO).snapshot(commit("a"))
    index = {"weight_map": {"x": "model-1-of-2.safetensors", "y": "model-2-of-2.safetensors"}}
    put(snapshot / "model.safetensors.index.json", json.dumps(index).encode())
    put(snapshot / "model-1-of-2.safetensors", b"x")

    assert "blob" not in kinds(plan(drawn.base))


def test_a_list_that_cannot_be_read_keeps_every_blob(drawn: Drawn) -> None:
    """A list that can't be read keeps every blob."""
    put(drawn.base.repo(REPO).tree(commit("b")), b"{")

    assert "blob" not in kinds(plan(drawn.base))


def test_each_entry_says_why_and_how_old_it_is(drawn: Drawn) -> None:
    """Each entry of a plan gives its reason and age."""
    items = plan(drawn.base).items

    assert all(item.why for item in items)
    assert all(LATER_S - 60 < item.age_s < LATER_S + 600 for item in items)


# --- the shared store ---

SHARED = """
    model org/one
      commit a main
        model.safetensors 3000 shared
      commit c
        config.json 20
    model org/two
      commit b main
        model.safetensors 4000 shared
"""


def payload(drawn: Drawn, repo_id: str, letter: str) -> Path:
    """Return the path of a model's bytes in the store."""
    blob = drawn.base.repo(repo_id).blob(drawn.digest(repo_id, letter, "model.safetensors"))
    found = shared_store.payload_of(drawn.base, blob)
    assert found is not None
    return found


def unlink_snapshot(drawn: Drawn, repo_id: str, letter: str) -> None:
    """Delete the link that keeps a model's blob, and the list that names it."""
    repo = drawn.base.repo(repo_id)
    (repo.snapshot(commit(letter)) / "model.safetensors").unlink()
    repo.tree(commit(letter)).unlink()


def test_shared_payloads_go_with_their_last_link(tmp_path: Path) -> None:
    """An orphan that is the last link into the store takes its payload along; other payloads stay."""
    drawn = lay_out(tmp_path, SHARED)
    going, staying = payload(drawn, "org/one", "a"), payload(drawn, "org/two", "b")
    unlink_snapshot(drawn, "org/one", "a")

    found = plan(drawn.base)
    done = execute(drawn.base, found)

    assert {"blob", "shared"} <= set(kinds(found))
    assert not going.exists()
    assert staying.exists()
    assert (drawn.base.repo("org/two").snapshot(commit("b")) / "model.safetensors").read_bytes()
    assert done.freed.apparent_bytes >= 3000
    assert meter.measure(drawn.base, rescan=True).breakdown["orphans"] == 0


def test_a_payload_that_nothing_links_to_goes(tmp_path: Path) -> None:
    """A payload whose links were deleted by hand is swept, unless somebody reads it."""
    drawn = lay_out(tmp_path, SHARED)
    going = payload(drawn, "org/one", "a")
    drawn.base.repo("org/one").blob(drawn.digest("org/one", "a", "model.safetensors")).unlink()

    with held_open(going, "rb"):
        assert "shared" not in kinds(plan(drawn.base))
    assert names(plan(drawn.base), "shared") == [str(going.relative_to(drawn.base.path))]
    run_gc(drawn.base)
    assert not going.exists()


def test_a_link_whose_payload_is_read_stays(tmp_path: Path) -> None:
    """A link stays while its payload is read, because deleting it wouldn't free the bytes yet."""
    drawn = lay_out(tmp_path, SHARED)
    unlink_snapshot(drawn, "org/one", "a")

    with held_open(payload(drawn, "org/one", "a"), "rb"):
        assert {"blob", "shared"} & set(kinds(plan(drawn.base))) == set()


@pytest.mark.parametrize("marker", ["2\n", None], ids=["a later version", "no marker"])
def test_a_store_of_an_unknown_layout_is_left_alone(tmp_path: Path, marker: str | None) -> None:
    """In a store of an unknown layout no payload and no link to one goes, and gc says so; other orphans still do."""
    drawn = lay_out(tmp_path, f"{SHARED}\n orphan 500")
    unlink_snapshot(drawn, "org/one", "a")
    going = payload(drawn, "org/one", "a")
    path = drawn.base.hub / "blobs" / ".huggingface-shared-blobs"
    path.unlink()
    if marker is not None:
        path.write_text(marker)

    found = plan(drawn.base)
    execute(drawn.base, found)

    assert any("doesn't know" in note for note in found.notes)
    assert "shared" not in kinds(found)
    assert [item.size_bytes for item in found.items if item.kind == "blob"] == [500]
    assert going.exists()
    assert drawn.base.repo("org/one").blob(drawn.digest("org/one", "a", "model.safetensors")).is_symlink()


def test_a_blob_with_another_name_elsewhere_frees_nothing(drawn: Drawn) -> None:
    """Deleting one of two hard links frees nothing, and the count says so."""
    orphan = Path(next(item.path for item in plan(drawn.base).items if item.kind == "blob"))
    (drawn.base.path / "elsewhere").hardlink_to(orphan)

    found = plan(drawn.base)

    assert next(item.size_bytes for item in found.items if item.kind == "blob") == 0
    assert execute(drawn.base, found).freed.apparent_bytes == 1500


def test_what_may_not_be_deleted_is_said(drawn: Drawn) -> None:
    """If a folder refuses a deletion, gc says so and goes on."""
    if os.geteuid() != 0:
        pytest.skip("becoming another user needs root")
    blobs = drawn.base.repo(REPO).blobs
    for path in (*drawn.base.path.parents, drawn.base.path, *drawn.base.path.rglob("*")):
        if path.owner() == "root" and len(path.parts) > 2 and path.is_dir():
            path.chmod(0o755 if path in (blobs, drawn.base.repo(REPO).path) else path.stat().st_mode | 0o077)
    for path in drawn.base.repo(REPO).trees.iterdir():
        path.chmod(0o644)
    (drawn.base.hub / ".locks").mkdir(mode=0o777)
    (drawn.base.hub / ".locks").chmod(0o777)
    dead = put(drawn.base.own / ".x.0a1b2c3d.shelf-tmp", b"x")
    found = plan(drawn.base)
    os.seteuid(65534)
    try:
        done = execute(drawn.base, found)
    finally:
        os.seteuid(0)

    assert len(done.left) == 3
    assert all("cannot be written" in text for text in done.left)
    assert [item.path for item in done.removed] == [str(dead)]
    assert done.freed == Freed(1, done.freed.allocated_bytes)


def test_an_empty_base_has_no_garbage(tmp_path: Path) -> None:
    """A base that was never used, or lost all of its folders, isn't touched."""
    assert plan(Base(tmp_path / "none")) == GcPlan(str(tmp_path / "none"), MIN_AGE_S, ())
    assert not (tmp_path / "none").exists()


def test_a_link_of_a_repository_that_is_needed_whole_keeps_the_blob_of_another(tmp_path: Path) -> None:
    """A repository whose blobs models need is looked at for its links as soon as another one may have garbage."""
    base = lay_out(tmp_path, f"{DRAWN_WITH_ORPHAN}\nmodel org/two\n commit b main\n config.json 20").base
    [orphan] = names(plan(base), "blob")
    needs = Needs(digests={REPO: {path.name for path in base.repo(REPO).blobs.iterdir()} - {Path(orphan).name}})
    needs.digests["org/two"] = {path.name for path in base.repo("org/two").blobs.iterdir()}
    assert names(plan(base, needs), "blob") == [orphan]

    (base.repo("org/two").snapshot(commit("b")) / "theirs.bin").symlink_to(tmp_path / orphan)

    assert plan(base, needs).items == ()


def test_a_repository_that_is_needed_whole_may_hold_what_was_never_finished(tmp_path: Path) -> None:
    """Temporary files are found in each of its folders, and a file that has no business there is seen."""
    base = lay_out(tmp_path, f"model {REPO}\n commit a main\n config.json 20").base
    repo = base.repo(REPO)
    needs = Needs(digests={REPO: {Digest(path.name) for path in repo.blobs.iterdir()}})
    assert plan(base, needs).items == ()

    for path in (repo.refs / "main.0a1b2c3d.tmp", repo.snapshot(commit("a")) / ".a.bin.0a1b2c3d.shelf-tmp"):
        put(path, b"")
        assert names(plan(base, needs), "partial") == [str(path.relative_to(tmp_path))]
        path.unlink()
    put(repo.path / "x.0a1b2c3d.shelf-tmp", b"")
    assert plan(base, needs).items == ()

    gone = BaseState(base, Needs({RepoId("org/gone"): set()}), 0, 0, frozenset(), store_is_known=True)
    assert not repo_garbage.is_all_needed(gone, "model", RepoId("org/gone"), base.repo(RepoId("org/gone")), Listing())


def test_what_goes_while_it_is_looked_at_is_no_garbage(tmp_path: Path) -> None:
    """A repository or link that was deleted during the scan isn't garbage."""
    base = Base(tmp_path)
    look = BaseState(base, Needs(), time.time() + LATER_S, MIN_AGE_S, frozenset(), store_is_known=True)
    gone = repo_garbage.walk("model", REPO, base.repo(REPO))

    assert (gone.entries, gone.links) == ((), set())
    assert repo_garbage.in_repo(look, gone) == repo_garbage.RepoGarbage()
    assert repo_garbage.target(str(tmp_path / "gone"), {}) == ""
    drawn = lay_out(tmp_path, f"{SHARED}\n orphan 500")
    link = drawn.base.repo("org/two").blob("d" * 64)
    link.symlink_to(f"../../blobs/dd/{'d' * 64}")
    assert f"hub/models--org--two/blobs/{'d' * 64}" in names(plan(base), "blob")


def test_a_sidecar_that_is_not_one_stays(drawn: Drawn) -> None:
    """A sidecar that can't be read stays."""
    put(drawn.base.sidecar("odd"), b"{")
    put(drawn.base.sidecar("sly"), json.dumps({"model_name": "../../x"}).encode())

    assert names(plan(drawn.base), "sidecar") == []


@pytest.mark.parametrize("place", ["hub", "hub/models--org--name"])
def test_a_probe_for_links_that_was_killed_goes(drawn: Drawn, place: str) -> None:
    """huggingface_hub's leftover probe folder for links is deleted; other things with such a name stay."""
    probe, other = drawn.base.path / place / "tmpya05pkng", drawn.base.path / place / "tmpya05pknh"
    put(probe / "dummy_file_src", b"")
    (probe / "dummy_file_dst").symlink_to("dummy_file_src")
    put(other / "thesis.txt", b"mine")
    assert plan(drawn.base, ahead_s=0).items == ()

    run_gc(drawn.base)

    assert not probe.exists()
    assert (other / "thesis.txt").read_bytes() == b"mine"


@pytest.mark.parametrize("where", ["", "modelshelf"], ids=["the base", "its own folder"])
def test_what_a_killed_command_tried_there_goes(drawn: Drawn, where: str) -> None:
    """Leftover probes of this and earlier versions are deleted wherever they are; another program's file stays."""
    folder = drawn.base.path / where
    tried = [".probe.0a1b2c3d.shelf-tmp", ".probe.0a1b2c3d.shelf-tmp.", ".probe:x..probe.0a1b2c3d.shelf-tmp"]
    for name in (*tried, "notes.0a1b2c3d.shelf-tmp", ".probe.mine"):
        put(folder / name, b"")
    (folder / ".probe.1a1b2c3d.shelf-tmp").symlink_to(tried[0])

    run_gc(drawn.base)

    left = {path.name for path in folder.iterdir() if "probe" in path.name or "notes" in path.name}
    assert left == {"notes.0a1b2c3d.shelf-tmp", ".probe.mine"}


def test_an_age_of_what_went_meanwhile_is_not_told(tmp_path: Path) -> None:
    """An entry that another program deleted between scan and plan has no age."""
    look = BaseState(Base(tmp_path), Needs(), time.time(), 0, frozenset(), store_is_known=True)
    gone = GcItem("blob", str(tmp_path / "gone"), 5, "why")

    assert collect._with_age(look, gone) is gone


def test_an_old_orphan_that_a_program_has_open_stays(tmp_path: Path) -> None:
    """An old orphan that is open isn't counted as freed, and goes after the program has ended."""
    drawn = lay_out(tmp_path, DRAWN_WITH_ORPHAN)
    (orphan,) = names(plan(drawn.base), "blob")

    with held_open(tmp_path / orphan, "rb"):
        assert names(plan(drawn.base), "blob") == []


@pytest.mark.parametrize("named", ["nothing", "a ref", "an empty snapshot", "a list"])
def test_blobs_of_a_first_download_that_was_given_up_go(tmp_path: Path, named: str) -> None:
    """Without snapshots, blobs of an abandoned first download go; in a copy that lost its links, names keep them."""
    base = lay_out(tmp_path, f"model {REPO}\n orphan 100").base
    repo = base.repo(REPO)
    if named == "a ref":
        put(repo.ref("main"), commit("a").encode())
    elif named == "an empty snapshot":
        repo.snapshot(commit("a")).mkdir(parents=True)
    elif named == "a list":
        put(repo.tree(commit("a")), b"{}")

    found = plan(base)

    assert ("blob" in {item.kind for item in found.items}) == (named == "nothing")
    assert bool(found.notes) == (named != "nothing")
