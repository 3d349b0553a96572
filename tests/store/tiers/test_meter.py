"""How many bytes are under a base: `du` agrees, and an unchanged repository isn't walked again."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelshelf.domain.tiers import BREAKDOWN, Usage
from modelshelf.store import fs
from modelshelf.store.layout import Base
from modelshelf.store.listing import Listing
from modelshelf.store.tiers import marker, meter
from tests.builders import AGED_S, Drawn, age, commit, lay_out, put
from tests.invariants import du

DRAWING = """
    model org/name
      commit a main
        config.json 20
        model.safetensors 3000 shared
      orphan 500
      partial 700
      partial 90 .downloadInProgress
    model gpt2
      commit b main
        w.bin 4000
    part 900
    file xet/chunks/x 1000
    file transformers/old.bin 200
    file token 30
    file hub/version.txt 1
    file modules/m.py 40
    file modelshelf/quarantine/d.part 50
"""
DIGESTS = ["0" * 64, "1" * 64, "2" * 40]
FOLDERS = [
    "hub/models--a--b/blobs",
    "hub/models--a--b/snapshots/" + commit("a"),
    "hub/datasets--c--d/blobs",
    "hub/blobs/00",
    "modelshelf/incoming",
    "xet/x",
    "other",
]
PATHS = [f"{folder}/{name}" for folder in FOLDERS for name in (*DIGESTS, f"{DIGESTS[0]}.0a1b2c3d.incomplete", "x.part")]
GROWING = [path for path in PATHS if path.endswith((".incomplete", ".part")) and "/snapshots/" not in path]
PATH = st.sampled_from(PATHS)
SIZE = st.sampled_from([0, 1, 4096, 70_000])
CHANGE = st.one_of(
    st.tuples(st.just("file"), PATH, SIZE),
    st.tuples(st.just("sparse"), PATH, SIZE),
    st.tuples(st.just("symlink"), PATH, PATH),
    st.tuples(st.just("hardlink"), PATH, PATH),
    st.tuples(st.just("remove"), PATH),
    st.tuples(st.just("remove"), st.sampled_from(["hub/models--a--b", "hub", "xet", "hub/datasets--c--d/blobs"])),
    st.tuples(st.just("grow"), st.sampled_from(GROWING), SIZE),
)


def change(base: Path, what: str, name: str, *more: object) -> None:
    """Change one thing below a base, as other programs do."""
    path = base / name
    if what == "grow":
        if path.is_file():
            with path.open("ab") as file:
                file.write(b"x" * int(str(more[0])))
        return
    fs.remove_tree(path.parent, path)
    if what == "remove":
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    if what == "file":
        path.write_bytes(b"x" * int(str(more[0])))
    elif what == "sparse":
        with path.open("wb") as file:
            file.truncate(int(str(more[0])))
    elif what == "symlink":
        path.symlink_to(os.path.relpath(base / str(more[0]), path.parent))
    elif (target := base / str(more[0])).is_file() and not target.is_symlink():
        path.hardlink_to(target)


def measured(base: Path, *, rescan: bool = False) -> tuple[int, int]:
    """Return the meter's apparent and allocated bytes, and assert that `du` agrees.

    Ask `du` first, because measuring writes its results into the base.
    """
    usage = meter.measure(Base(base), rescan=rescan, keep=True)
    assert sum(usage.breakdown.values()) == usage.apparent_bytes
    assert usage.breakdown.keys() == set(BREAKDOWN)
    return usage.apparent_bytes, usage.allocated_bytes


def sizes(*paths: Path) -> int:
    """Return the bytes of some paths and everything below them."""
    return sum(found.lstat().st_size for path in paths for found in (path, *path.rglob("*")))


@pytest.fixture
def drawn(tmp_path: Path) -> Drawn:
    """A marked base with some of everything, in which nothing changed for long."""
    drawn = lay_out(tmp_path / "base", DRAWING)
    marker.reset_marker(drawn.base)
    age(drawn.base.path)
    return drawn


@settings(max_examples=60)
@given(st.lists(CHANGE, max_size=25))
def test_du_agrees(tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[str, ...]]) -> None:
    """The meter and `du` agree with hard links, holes, links and downloads: each byte counts once."""
    base = tmp_path_factory.mktemp("base")
    for what in changes:
        change(base, *what)

    assert du(base) == measured(base)


@settings(max_examples=60)
@given(st.lists(st.lists(CHANGE, max_size=12), min_size=2, max_size=4))
def test_du_agrees_after_changes_too(
    tmp_path_factory: pytest.TempPathFactory, steps: list[list[tuple[str, ...]]]
) -> None:
    """Results kept from the last time never hide a change."""
    base = tmp_path_factory.mktemp("base")
    marker.reset_marker(Base(base))
    for changes in steps:
        for what in changes:
            change(base, *what)
        age_what_did_not_change(base, changes)
        assert du(base) == measured(base)


def age_what_did_not_change(base: Path, changes: list[tuple[str, ...]]) -> None:
    """Make the other repositories old, so that their results are kept from now on."""
    touched = {name.split("/")[1] for _, name, *_ in changes if name.startswith("hub/")}
    for repo in (base / "hub").glob("*--*"):
        if repo.name not in touched:
            age(repo)


def test_each_kind_is_its_own_figure(drawn: Drawn) -> None:
    """Blobs, shared store, downloads, orphans, xet, old transformers and the rest add up to the total."""
    base, repo = drawn.base, drawn.base.repo("org/name")
    partial = [path for path in repo.blobs.iterdir() if "." in path.name]
    [orphan] = [path for path in repo.blobs.iterdir() if path.lstat().st_size == 500]
    models = sizes(repo.path, base.repo("gpt2").path) - sizes(orphan, *partial)
    figures = {
        "models": models,
        "shared": sizes(base.hub / "blobs"),
        "partial": sizes(*base.incoming.iterdir(), *partial),
        "orphans": 500,
        "xet": sizes(base.xet),
        "transformers": sizes(base.old_transformers),
    }

    other = du(base.path)[0] - sum(figures.values())
    usage = meter.measure(base)

    assert usage.breakdown == figures | {"other": other}
    assert usage.hole_bytes == 0


def test_what_is_still_coming_is_no_orphan(drawn: Drawn) -> None:
    """A blob without a link is part of a download where files still come, whatever was kept of that repository."""
    before = dict(measured_twice(drawn.base).breakdown)

    meter.measure(drawn.base, keep=True, unfinished={"models--org--name", "models--gpt2"})
    coming = meter.measure(drawn.base, unfinished={"models--org--name", "models--gpt2"}).breakdown

    assert coming == before | {"orphans": 0, "partial": before["partial"] + 500}
    assert meter.measure(drawn.base).breakdown == before


def test_a_payload_that_two_repositories_share_counts_once(tmp_path: Path) -> None:
    """A shared payload counts once, in the store; each repository counts its link."""
    file = "w.safetensors 50000 as=w shared"
    drawn = lay_out(tmp_path, f"model a/b\ncommit a main\n{file}\nmodel c/d\ncommit b main\n{file}")

    usage = meter.measure(drawn.base)

    assert 50_000 <= usage.breakdown["shared"] < 100_000
    assert usage.apparent_bytes == du(tmp_path)[0]


@pytest.mark.parametrize("what", ["an empty base", "no base"])
def test_where_nothing_lies_nothing_is_measured(tmp_path: Path, what: str) -> None:
    """Measuring an empty base gives zero and creates no folder."""
    base = Base(tmp_path / "base")
    if what == "an empty base":
        base.path.mkdir()

    usage = meter.measure(base)

    assert usage.apparent_bytes == (base.path.lstat().st_size if base.path.exists() else 0)
    assert not base.own.exists()


def test_an_unchanged_repository_is_not_walked_again(drawn: Drawn) -> None:
    """An unchanged repository isn't walked again, so a file rewritten in place is noticed only by a full walk."""
    before = measured_twice(drawn.base)
    blob = drawn.base.repo("gpt2").blob(drawn.digest("gpt2", "b", "w.bin"))
    with blob.open("ab") as file:
        file.write(b"x" * 1000)

    assert meter.measure(drawn.base).apparent_bytes == before.apparent_bytes
    assert meter.measure(drawn.base, rescan=True).apparent_bytes == before.apparent_bytes + 1000


def test_what_was_seen_already_tells_as_well_what_is_unchanged(drawn: Drawn) -> None:
    """A listing's times of folders are compared with the kept ones, and a repository that changed is walked again."""
    before = measured_twice(drawn.base)
    put(drawn.base.repo("gpt2").blobs / ("f" * 40), b"x" * 1000)

    found = meter.measure(drawn.base, listing=Listing())

    assert found == meter.measure(drawn.base, rescan=True)
    assert found.apparent_bytes == before.apparent_bytes + 1000


def measured_twice(base: Base) -> Usage:
    """Measure twice; return the second result, which uses what was kept."""
    meter.measure(base, keep=True)
    return meter.measure(base)


def test_a_repository_that_changed_just_now_is_walked_again(drawn: Drawn) -> None:
    """A repository that changed just now is walked again, because a second change may not alter the mtime."""
    repo = drawn.base.repo("gpt2")
    os.utime(repo.blobs)
    before = measured_twice(drawn.base)
    with repo.blob(drawn.digest("gpt2", "b", "w.bin")).open("ab") as file:
        file.write(b"x" * 1000)

    assert meter.measure(drawn.base).apparent_bytes == before.apparent_bytes + 1000


def test_a_growing_download_is_seen(drawn: Drawn) -> None:
    """A growing download is noticed, though no name changes."""
    before = measured_twice(drawn.base)
    [download] = drawn.base.repo("org/name").blobs.glob("*.incomplete")
    with download.open("ab") as file:
        file.write(b"x" * 12345)

    found = meter.measure(drawn.base)

    assert found.apparent_bytes - before.apparent_bytes == 12345
    assert found.breakdown["partial"] - before.breakdown["partial"] == 12345


@pytest.mark.parametrize("what", ["blob", "snapshot file", "repository", "folder"])
def test_a_name_that_came_or_went_is_seen(drawn: Drawn, what: str) -> None:
    """A new or deleted name is noticed by its folder's mtime."""
    before = measured_twice(drawn.base)
    repo = drawn.base.repo("gpt2")
    if what == "blob":
        put(repo.blob("f" * 64), b"x" * 1000)
    elif what == "snapshot file":
        (repo.snapshot(commit("b")) / "w.bin").unlink()
    elif what == "repository":
        fs.remove_tree(repo.root, repo.path)
    else:
        fs.remove_tree(repo.root, repo.snapshots)
        age(repo.path)

    assert du(drawn.base.path) == (after := measured(drawn.base.path))
    assert after[0] != before.apparent_bytes


def test_a_hard_link_made_from_another_repository_counts_no_byte_twice(drawn: Drawn) -> None:
    """A hard link from another repository counts no byte twice, though the first name's folder doesn't change."""
    blob = drawn.base.repo("gpt2").blob(drawn.digest("gpt2", "b", "w.bin"))
    measured_twice(drawn.base)

    (drawn.base.repo("org/name").blobs / blob.name).hardlink_to(blob)

    assert du(drawn.base.path) == measured(drawn.base.path)


def test_a_hard_link_counts_once_from_memory_too(drawn: Drawn) -> None:
    """A hard link counts once with kept results too, because these say which files have other names."""
    blob = drawn.base.repo("gpt2").blob(drawn.digest("gpt2", "b", "w.bin"))
    (drawn.base.repo("org/name").blobs / blob.name).hardlink_to(blob)
    age(drawn.base.path)

    assert measured_twice(drawn.base) == meter.measure(drawn.base, rescan=True)


def test_a_folder_among_the_blobs_is_counted(drawn: Drawn) -> None:
    """A folder among the blobs is counted."""
    put(drawn.base.repo("gpt2").blobs / "odd" / "file", b"x" * 5000)

    assert du(drawn.base.path) == measured(drawn.base.path)


def test_the_holes_of_a_part_are_told(drawn: Drawn) -> None:
    """The hole in a part is reported apart from usage; elsewhere a hole counts as its size."""
    with drawn.base.part("e" * 64).open("wb") as file:
        file.truncate(10**6)
    with (drawn.base.path / "sparse.part").open("wb") as file:
        file.truncate(10**6)

    assert meter.measure(drawn.base).hole_bytes == 10**6


@pytest.mark.parametrize(
    "stored",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"format": 1, "repos": {}}',
        '{"format": 2, "repos": []}',
        '{"format": 2, "repos": {"x": 1}}',
        '{"format": 2, "repos": {"x": [{}, 0, [[1, 2, 3, 4, 5, "gold"]], {}]}}',
    ],
)
def test_what_was_kept_and_cannot_be_understood_is_measured_anew(drawn: Drawn, stored: str) -> None:
    """A torn result, or one of another layout, costs one walk."""
    put(drawn.base.meter, stored.encode())

    assert du(drawn.base.path) == measured(drawn.base.path)


def test_asking_keeps_nothing(drawn: Drawn) -> None:
    """Only asking doesn't change what is kept."""
    meter.measure(drawn.base)
    meter.measure(drawn.base, rescan=True)

    assert not drawn.base.meter.exists()


def test_without_a_marker_nothing_is_kept(drawn: Drawn) -> None:
    """Without a marker nothing is kept, because the folder may be an empty mount point."""
    drawn.base.marker.unlink()

    meter.measure(drawn.base, keep=True)

    assert not drawn.base.meter.exists()


def test_what_cannot_be_kept_is_measured_all_the_same(drawn: Drawn) -> None:
    """A read-only base is measured without keeping results."""
    put(drawn.base.meter / "in-the-way", b"")

    assert du(drawn.base.path) == measured(drawn.base.path)


def test_only_repositories_that_do_not_grow_are_kept(drawn: Drawn) -> None:
    """What is kept names the walked folders with their mtimes; repositories that are growing aren't kept."""
    meter.measure(drawn.base, keep=True)

    kept = json.loads(drawn.base.meter.read_text())["repos"]

    assert list(kept) == ["models--gpt2"]
    assert set(kept["models--gpt2"][-1].values()) == {AGED_S * 10**9}


def test_a_path_that_is_too_long_for_the_system_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path that is too long for the system is left out, and everything else is measured."""
    monkeypatch.chdir(tmp_path)
    longest = os.pathconf("/", "PC_PATH_MAX") - 1
    while (rest := longest - len("/hub/models--a--b/blobs") - len(os.getcwd())) > 0:  # noqa: PTH109 - as below
        Path("n" * (rest - 1 if rest < 200 else 100)).mkdir()
        os.chdir("n" * (rest - 1 if rest < 200 else 100))
    base = Base(Path(os.getcwd()))  # noqa: PTH109 - such a path can be walked to, but not named at once
    for name in ("hub", "models--a--b", "blobs"):
        Path(name).mkdir()
        os.chdir(name)
    for name in ("0" * 64, "../" + "s" * 64, "../../../" + "o" * 64):
        Path(name).write_bytes(b"x" * 1000)

    usage = meter.measure(base)

    repo = base.repo("a/b")
    assert usage.apparent_bytes == sum(p.lstat().st_size for p in (base.path, base.hub, repo.path, repo.blobs))


@pytest.mark.parametrize(
    "lie",
    [
        [{"models": -(10**18)}, 0, [], {"models--org--name": 0}],
        [{"models": 1.5}, 0, [], {"models--org--name": 0}],
        [{}, 0, [], {}],
        [{}, 0, [], {"models--org--name": 0, "../../..": 0}],
        [{}, 0, [[1, 2, 3, 4, 5, "bytes"]], {"models--org--name": 0}],
        [{}, 0, [[1, 2, 3, 4, 5]], {"models--org--name": 0}],
        [{}, "0", [], {"models--org--name": 0}],
        [{}, 0],
        "models",
    ],
)
def test_a_memory_that_lies_in_its_shape_is_not_believed(tmp_path: Path, lie: object) -> None:
    """A kept result with negative sizes, without folders or with folders elsewhere is ignored, and `du` agrees."""
    base = lay_out(tmp_path, DRAWING).base
    put(base.meter, json.dumps({"format": 2, "repos": {"models--org--name": lie}}).encode())

    assert meter.measure(base).allocated_bytes == du(tmp_path)[1]


def test_one_repository_is_measured_alone(tmp_path: Path) -> None:
    """One repository is measured alone with everything in it, as by `du`."""
    base = lay_out(tmp_path / "base", DRAWING).base
    repo = base.repo("org/name")

    assert meter.measure_repo(repo).apparent_bytes == du(repo.path)[0]


def test_what_others_delete_while_we_walk_is_not_counted(tmp_path: Path) -> None:
    """A blob and its link that were deleted after their folders were listed count no byte; the others do."""
    lay_out(tmp_path, "model a/b\n  commit a\n    gone.bin 5000\n    stays.bin 7000")
    base, listing = Base(tmp_path), Listing()
    for folder in listing.folders(str(tmp_path)):
        assert folder
    link = base.hub / "models--a--b/snapshots" / commit("a") / "gone.bin"
    link.resolve().unlink()
    link.unlink()

    found = meter.measure(base, listing=listing)

    assert found == meter.measure(base)
    assert found.breakdown["orphans"] == 0


def test_a_hub_that_is_gone_is_unchanged_in_nothing(tmp_path: Path) -> None:
    """If `hub` can't be opened any more, nothing in it counts as it was kept."""
    with meter._opened(str(tmp_path / "gone")) as at, pytest.raises(OSError, match="descriptor"):
        os.lstat("models--org--name", dir_fd=at)
