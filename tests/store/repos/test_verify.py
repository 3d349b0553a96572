"""Comparing bytes with digests, and links with what they lead to, in one base."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest

from modelshelf.domain.verify_report import Fault, Finding
from modelshelf.errors import Cancelled, Conflict
from modelshelf.services.jobs.progress import Counter
from modelshelf.store.blobs import shared_store
from modelshelf.store.repos import inspect, materialize, quarantine, scan, trees
from modelshelf.store.repos.inspect import Sight, Wanted
from modelshelf.store.repos.verify import READ_BYTES, Target, all_cores, verify_blobs
from tests.builders import Drawn, commit, content, digest_of, lay_out, put
from tests.world import wait_until

REPO = "org/name"
DRAWING = """
    model org/name
      commit a main
        config.json 20
        model.safetensors 3000
        deep/model-2.safetensors 4000
"""


class Reader:
    """Verify, and record what was read and found good."""

    def __init__(self) -> None:
        self.read: list[int] = []
        self.good: dict[str, str] = {}
        self.progress = Counter()

    def checked(self, targets: Sequence[Target], stamp: str) -> None:
        """Record good bytes."""
        self.good |= {str(target.path): stamp for target in targets}

    def verify(self, targets: Sequence[Target], workers: int = 2) -> list[Finding]:
        """Return what is wrong with the bytes."""
        return verify_blobs(
            targets,
            workers=workers,
            throttle=self.read.append,
            progress=self.progress,
            on_checked=self.checked,
        )


def wanted(drawn: Drawn, model_name: str = "m", letter: str = "a", *, complete: bool = True) -> Wanted:
    """Return a registered model of a drawn commit."""
    return Wanted(model_name, "main", commit(letter), tuple(drawn.of(REPO, letter)), complete)


def seen(drawn: Drawn, *models: Wanted, whole: bool = True) -> Sight:
    """Inspect the drawn repository."""
    return inspect.look(drawn.base, REPO, drawn.base.repo(REPO), models, whole=whole)


def kinds(findings: Sequence[Finding]) -> list[tuple[str, str]]:
    """Return each finding's kind and file name."""
    return [(finding.kind.value, Path(finding.path).name) for finding in findings]


def found_in(drawn: Drawn, *models: Wanted) -> list[tuple[str, str]]:
    """Return all findings: first of the names, then of the bytes."""
    sight = seen(drawn, *models)
    return kinds([*sight.findings, *Reader().verify(sight.targets)])


def overwrite(path: Path, data: bytes) -> None:
    """Damage a file, even one in the store that may not be written."""
    path = path.resolve()
    path.chmod(0o644)
    path.write_bytes(data)


def test_blobs_in_a_folder_outside_of_the_base_are_not_read(tmp_path: Path) -> None:
    """If the folder of blobs is a link out of the base, each link and blob is a finding, and no byte is read."""
    drawn = lay_out(tmp_path / "base", DRAWING)
    blobs = drawn.base.repo(REPO).blobs
    blobs.rename(tmp_path / "elsewhere")
    blobs.symlink_to(tmp_path / "elsewhere")

    sight = seen(drawn, wanted(drawn))

    assert sight.targets == ()
    assert {finding.kind for finding in sight.findings} == {Fault.LINK_LEAVES_BASE}
    assert len(sight.findings) == 3


def test_a_whole_repository_has_nothing_wrong(tmp_path: Path) -> None:
    """In a whole repository every blob is read once and found good, by sha256 or git's sha1."""
    drawn, reader = lay_out(tmp_path, DRAWING), Reader()

    sight = seen(drawn, wanted(drawn))

    assert (sight.findings, reader.verify(sight.targets)) == ((), [])
    assert sum(reader.read) == reader.progress.read().done_bytes == 7020
    assert reader.good == {str(t.path): scan.stamp(t.path) for t in sight.targets}


@pytest.mark.parametrize(
    ("damage_it", "kind"),
    [
        pytest.param(lambda data: bytes([data[0] ^ 1]) + data[1:], "wrong_bytes", id="one flipped bit"),
        pytest.param(lambda data: bytes(len(data)), "wrong_bytes", id="zeros of the right size"),
        pytest.param(lambda data: data[:-1], "wrong_size", id="truncated by a byte"),
        pytest.param(lambda data: b"", "wrong_size", id="empty"),
        pytest.param(lambda data: data + b"\0", "wrong_size", id="longer by a byte"),
    ],
)
@pytest.mark.parametrize("file", ["config.json", "model.safetensors"])
def test_damage_is_found_by_name(tmp_path: Path, file: str, damage_it: object, kind: str) -> None:
    """A blob that doesn't match its name is one finding, and the others are read all the same."""
    drawn = lay_out(tmp_path, DRAWING)
    digest = drawn.digest(REPO, "a", file)
    blob = drawn.base.repo(REPO).blob(digest)
    overwrite(blob, damage_it(blob.read_bytes()))  # type: ignore[operator]

    found = Reader().verify(seen(drawn, wanted(drawn)).targets)

    assert [(f.kind.value, f.path, f.file, f.model_name) for f in found] == [(kind, str(blob), file, "m")]


def test_a_size_is_known_from_the_list_of_files_where_nobody_registered(tmp_path: Path) -> None:
    """Without a registered model, huggingface_hub's list tells a truncated blob from one with wrong bytes."""
    drawn = lay_out(tmp_path, DRAWING)
    digest = drawn.digest(REPO, "a", "model.safetensors")
    overwrite(drawn.base.repo(REPO).blob(digest), b"short")

    assert found_in(drawn) == [("wrong_size", digest)]


def test_an_orphan_is_read_too(tmp_path: Path) -> None:
    """An orphan is verified by its name."""
    drawn = lay_out(tmp_path, f"{DRAWING}\n  orphan 500")
    digest = digest_of("x.bin", content("orphan", 500))
    overwrite(drawn.base.repo(REPO).blob(digest), b"x" * 500)

    assert found_in(drawn) == [("wrong_bytes", digest)]


def test_a_payload_is_read_once_for_all_who_link_to_it(tmp_path: Path) -> None:
    """Two links to one payload cost one read and get the same result."""
    drawing = DRAWING.replace("model.safetensors 3000", "model.safetensors 3000 shared")
    drawn, reader = lay_out(tmp_path, drawing), Reader()
    blob = drawn.base.repo(REPO).blob(drawn.digest(REPO, "a", "model.safetensors"))
    other = drawn.base.repo("org/other").blob(blob.name)
    other.parent.mkdir(parents=True)
    other.symlink_to(os.path.relpath(blob.resolve(), other.parent))
    targets = [
        *seen(drawn).targets,
        *inspect.look(drawn.base, "org/other", drawn.base.repo("org/other"), [], whole=True).targets,
    ]

    assert reader.verify(targets) == []
    assert sum(reader.read) == 7020
    overwrite(blob, b"x" * 3000)
    assert {(f.kind, f.repo_id) for f in Reader().verify(targets)} == {
        (Fault.WRONG_BYTES, REPO),
        (Fault.WRONG_BYTES, "org/other"),
    }


def test_hard_links_are_read_once(tmp_path: Path) -> None:
    """Hard links within a tier cost one read."""
    drawn, reader = lay_out(tmp_path, DRAWING), Reader()
    target = seen(drawn).targets[0]
    twin = f"{target.path}-twin"
    os.link(target.path, twin)

    assert reader.verify([target, Target(target.base, REPO, twin, twin, target.digest)]) == []
    assert sum(reader.read) == Path(target.path).stat().st_size


def test_files_without_links_are_read_by_the_list_of_files(tmp_path: Path) -> None:
    """Without symbolic links the digest comes from the manifest or from huggingface_hub's list."""
    drawn = lay_out(tmp_path, "model org/name\n commit a main\n w.bin 900 real\n sub/c.json 30 real")
    overwrite(drawn.base.repo(REPO).snapshot(commit("a")) / "w.bin", b"x" * 900)

    assert found_in(drawn, wanted(drawn)) == [("wrong_bytes", "w.bin")]
    assert found_in(drawn) == [("wrong_bytes", "w.bin")]


def test_a_named_model_alone_is_looked_at(tmp_path: Path) -> None:
    """When one model is verified, the repository's other commits aren't read."""
    drawn = lay_out(tmp_path, f"{DRAWING}\n commit b\n other.bin 800\n orphan 70")

    targets = seen(drawn, wanted(drawn), whole=False).targets

    assert {target.digest for target in targets} == {file.digest for file in drawn.of(REPO, "a")}
    config = Wanted("c", "main", commit("a"), tuple(drawn.of(REPO, "a")[:1]), True)
    assert [target.file for target in seen(drawn, config, whole=False).targets] == ["config.json"]


def test_a_missing_blob_is_a_dangling_link(tmp_path: Path) -> None:
    """A link to a missing blob is reported once."""
    drawn = lay_out(tmp_path, DRAWING)
    drawn.base.repo(REPO).blob(drawn.digest(REPO, "a", "deep/model-2.safetensors")).unlink()

    assert found_in(drawn, wanted(drawn)) == [("dangling_link", "model-2.safetensors")]
    assert found_in(drawn) == [("dangling_link", "model-2.safetensors")]


def test_a_missing_payload_is_a_dangling_link(tmp_path: Path) -> None:
    """A chain of links that breaks in the shared store is reported once, at its snapshot or else at its blob."""
    drawn = lay_out(tmp_path, DRAWING.replace("model.safetensors 3000", "model.safetensors 3000 shared"))
    repo = drawn.base.repo(REPO)
    blob = repo.blob(drawn.digest(REPO, "a", "model.safetensors"))
    blob.resolve().unlink()

    assert found_in(drawn, wanted(drawn)) == [("dangling_link", "model.safetensors")]
    (repo.snapshot(commit("a")) / "model.safetensors").unlink()
    assert found_in(drawn) == [("dangling_link", blob.name)]


def test_a_missing_link_is_a_missing_file(tmp_path: Path) -> None:
    """Without its link, a model's file is missing, though its blob is there; for other commits a link was lost."""
    drawn = lay_out(tmp_path, DRAWING)
    (drawn.base.repo(REPO).snapshot(commit("a")) / "config.json").unlink()

    assert found_in(drawn, wanted(drawn)) == [("missing_file", "config.json")]
    assert found_in(drawn, wanted(drawn, complete=False)) == []
    assert found_in(drawn) == [("lost_links", commit("a"))]


def test_a_repository_that_is_gone_misses_every_file(tmp_path: Path) -> None:
    """A missing repository misses every file of its model."""
    drawn = lay_out(tmp_path, DRAWING)
    drawn.base.repo(REPO).path.rename(tmp_path / "gone")

    assert [kind for kind, _ in found_in(drawn, wanted(drawn))] == ["missing_file"] * 3


def test_a_link_to_another_files_blob_is_found(tmp_path: Path) -> None:
    """A link to another file's blob is found, though each blob matches its name."""
    drawn = lay_out(tmp_path, DRAWING)
    repo = drawn.base.repo(REPO)
    link = repo.snapshot(commit("a")) / "config.json"
    link.unlink()
    link.symlink_to(os.path.relpath(repo.blob(drawn.digest(REPO, "a", "model.safetensors")), link.parent))

    assert found_in(drawn, wanted(drawn)) == [("wrong_link", "config.json")]


@pytest.mark.parametrize("where", ["snapshot", "blob"])
def test_a_link_out_of_the_base_is_not_followed(tmp_path: Path, where: str) -> None:
    """A link out of the base is a finding, and its target isn't read."""
    drawn = lay_out(tmp_path / "base", DRAWING)
    repo = drawn.base.repo(REPO)
    outside = put(tmp_path / "outside", b"x")
    path = (
        repo.snapshot(commit("a")) / "config.json" if where == "snapshot" else repo.blob(drawn.of(REPO, "a")[0].digest)
    )
    path.unlink()
    path.symlink_to(outside)

    assert [kind for kind, _ in found_in(drawn, wanted(drawn))] == ["link_leaves_base"]
    source = materialize.source_of(drawn.base, repo, commit("a"), drawn.of(REPO, "a"), drawn.of(REPO, "a")[0].digest)
    assert (source is None) == (where == "blob")


def test_a_repository_that_is_a_link_to_another_disk_is_found(tmp_path: Path) -> None:
    """A repository that is a link to another disk is a finding, because its next download would fail."""
    drawn = lay_out(tmp_path / "base", DRAWING)
    drawn.base.repo(REPO).path.rename(tmp_path / "away")
    drawn.base.repo(REPO).path.symlink_to(tmp_path / "away")
    drawn.base.repo("org/alias").path.symlink_to(
        lay_out(tmp_path / "base", "model a/b\n orphan 3").base.repo("a/b").path
    )
    drawn.base.repo("org/circle").path.symlink_to("models--org--circle")
    drawn.base.repo("org/unplugged").path.symlink_to(tmp_path / "unplugged" / "hub")

    assert kinds(inspect.look_at_hub(drawn.base)) == [
        ("link_leaves_base", "models--org--circle"),
        ("link_leaves_base", "models--org--name"),
        ("link_leaves_base", "models--org--unplugged"),
    ]


def test_a_base_without_a_hub_has_nothing_wrong(tmp_path: Path) -> None:
    """A base without a hub has no findings."""
    assert inspect.look_at_hub(lay_out(tmp_path, "file token 3").base) == []


def test_a_blob_that_links_to_itself_leads_nowhere(tmp_path: Path) -> None:
    """A blob that links to itself, or is a folder, counts as missing."""
    drawn = lay_out(tmp_path, f"{DRAWING}\n orphan 5")
    blob = drawn.base.repo(REPO).blob(digest_of("x.bin", content("orphan", 5)))
    blob.unlink()
    blob.symlink_to(blob.name)

    assert found_in(drawn, wanted(drawn)) == [("dangling_link", blob.name)]
    blob.unlink()
    os.mkfifo(blob)
    assert found_in(drawn, wanted(drawn)) == [("dangling_link", blob.name)]


def test_dangling_refs_are_told_apart(tmp_path: Path) -> None:
    """A dangling ref belongs to the model that follows it, others to no model; one that isn't a commit dangles too."""
    drawn = lay_out(tmp_path, f"{DRAWING}\n ref main b\n ref v1 c\n ref v2 a")
    put(drawn.base.repo(REPO).ref("refs/pr/1"), b"soon")

    findings = seen(drawn, wanted(drawn)).findings

    assert [(f.kind.value, Path(f.path).name, f.model_name) for f in findings] == [
        ("dangling_ref", "main", "m"),
        ("dangling_ref", "1", ""),
        ("dangling_ref", "v1", ""),
    ]


def test_a_ref_of_a_download_that_goes_on_does_not_dangle(tmp_path: Path) -> None:
    """During a download a ref doesn't dangle, because huggingface_hub writes it before the first file."""
    drawn = lay_out(tmp_path, f"{DRAWING}\n ref v1 c")
    put(drawn.base.repo(REPO).blob(f"{'d' * 64}.0a1b2c3d.incomplete"), b"d")

    assert found_in(drawn) == []


@pytest.mark.parametrize("text", [b"", b"\0" * 80, b"{"])
def test_a_list_of_files_that_is_none_is_found(tmp_path: Path, text: bytes) -> None:
    """A list that a power cut cut off isn't taken for a list."""
    drawn = lay_out(tmp_path, DRAWING)
    drawn.base.repo(REPO).tree(commit("a")).write_bytes(text)

    assert found_in(drawn, wanted(drawn)) == [("broken_tree", f"{commit('a')}.json")]


def test_without_a_list_of_files_the_names_of_the_blobs_tell(tmp_path: Path) -> None:
    """Without a list of files, as from older programs, blobs are verified by name and other files can't be."""
    drawn = lay_out(tmp_path, DRAWING)
    repo = drawn.base.repo(REPO)
    repo.tree(commit("a")).unlink()
    put(repo.snapshot(commit("a")) / "mine.txt", b"notes")
    digest = drawn.digest(REPO, "a", "model.safetensors")
    overwrite(repo.blob(digest), b"x")

    assert found_in(drawn) == [("wrong_bytes", digest)]


def test_a_list_of_files_can_be_written_anew(tmp_path: Path) -> None:
    """A rewritten list says what huggingface_hub's own said, and everybody may read it."""
    drawn = lay_out(tmp_path, DRAWING)
    repo, files = drawn.base.repo(REPO), tuple(drawn.of(REPO, "a"))
    repo.tree(commit("a")).unlink()

    trees.write(repo, commit("a"), files)

    assert trees.read(repo, commit("a")) == files
    assert repo.tree(commit("a")).stat().st_mode & 0o444 == 0o444


def seen_by_another(drawn: Drawn) -> list[list[str]]:
    """Return what a user finds who owns nothing here."""
    if os.geteuid() != 0:
        pytest.skip("becoming another user needs root")
    found_in(drawn, wanted(drawn))  # import first what that user can't read
    os.seteuid(65534)
    try:
        findings = inspect.look_at_hub(drawn.base)
        if not findings:
            sight = seen(drawn, wanted(drawn))
            findings = [*sight.findings, *Reader().verify(sight.targets)]
    finally:
        os.seteuid(0)
    return [[f.kind.value, Path(f.path).name, f.hint] for f in findings]


def test_what_another_user_may_not_read_is_told_with_its_fix(open_path: Path) -> None:
    """A list of mode 0600 and a blob of mode 0400 are findings with the command that opens them."""
    drawn = lay_out(open_path, DRAWING)
    repo = drawn.base.repo(REPO)
    blob = repo.blob(drawn.digest(REPO, "a", "config.json"))
    blob.chmod(0o400)

    assert seen_by_another(drawn) == [
        ["unreadable_tree", f"{commit('a')}.json", f"sudo chmod a+r {repo.tree(commit('a'))}"],
        ["unreadable_file", blob.name, f"sudo chmod a+r {blob}"],
    ]


def test_the_rights_of_another_programs_file_are_left_alone(open_path: Path) -> None:
    """No command opens a file that has other hard links or another owner: the hint is to adopt, or names the owner."""
    drawn = lay_out(open_path, DRAWING)
    repo = drawn.base.repo(REPO)
    repo.tree(commit("a")).chmod(0o644)
    linked, theirs = (repo.blob(drawn.digest(REPO, "a", name)) for name in ("config.json", "model.safetensors"))
    for path in (linked, theirs):
        path.chmod(0o400)
    (open_path / "sha256-x").hardlink_to(linked)
    if os.geteuid() == 0:
        os.chown(theirs, 4711, 4711)

    hints = {name: hint for kind, name, hint in seen_by_another(drawn) if kind == "unreadable_file"}

    assert hints[linked.name] == "shelf adopt FOLDER --move --copy"
    assert hints[theirs.name].startswith("Run the command as that user")


@pytest.mark.parametrize("inner", ["", "models--org--name", "models--org--name/blobs", "models--org--name/snapshots"])
def test_a_folder_that_another_user_may_not_enter_is_told(open_path: Path, inner: str) -> None:
    """A folder that another user can't enter is a finding, and nothing below it counts as missing."""
    drawn = lay_out(open_path, DRAWING)
    drawn.base.repo(REPO).tree(commit("a")).chmod(0o644)
    folder = drawn.base.hub / inner
    folder.chmod(0o700)

    found = seen_by_another(drawn)

    assert ["unreadable_folder", folder.name, f"sudo chmod a+rx {folder}"] in found
    assert "missing_file" not in {kind for kind, _, _ in found}
    assert "dangling_link" not in {kind for kind, _, _ in found}


def test_links_in_a_folder_that_may_be_listed_and_not_entered_are_told(open_path: Path) -> None:
    """Links in a folder that can be listed and not entered are findings, and none counts as missing."""
    drawn = lay_out(open_path, DRAWING)
    repo = drawn.base.repo(REPO)
    repo.tree(commit("a")).chmod(0o644)
    repo.snapshot(commit("a")).chmod(0o744)
    repo.blobs.chmod(0o744)

    found = seen_by_another(drawn)

    assert {kind for kind, _, _ in found} == {"unreadable_file", "unreadable_folder"}


def test_an_unreadable_file_is_not_called_damaged(open_path: Path) -> None:
    """An unreadable file isn't reported as damaged and isn't set aside."""
    if os.geteuid() != 0:
        pytest.skip("becoming another user needs root")
    path = put(open_path / "x", b"x")
    path.chmod(0o600)
    os.seteuid(65534)
    try:
        assert not quarantine.is_damaged(path, "d" * 64)
    finally:
        os.seteuid(0)


def test_a_disk_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    """A read error of the disk is a finding, and the files after it are read."""
    drawn, reader = lay_out(tmp_path, DRAWING), Reader()
    unreadable = Path("/proc/self/mem")  # reading its first page is an I/O error
    target = Target(str(tmp_path), REPO, str(unreadable), str(unreadable), "d" * 64)

    found = reader.verify([target, *seen(drawn).targets])

    assert [(f.kind, f.detail) for f in found] == [
        (Fault.READ_ERROR, "It cannot be read from the disk: Input/output error.")
    ]
    assert len(reader.good) == 3
    assert quarantine.is_damaged(unreadable, "d" * 64)


def test_a_name_that_the_system_refuses_is_told(tmp_path: Path) -> None:
    """Any other reason to not open a file is a finding with the system's own words."""
    path = tmp_path / ("x" * 300)

    (found,) = Reader().verify([Target(str(tmp_path), REPO, str(path), str(path), "d" * 64)])

    assert (found.kind, found.fact) == (Fault.READ_ERROR, "File name too long")


def test_a_stop_in_one_thread_ends_the_others(tmp_path: Path) -> None:
    """A file that another thread has half read when one stops has no result."""
    drawn, reader, reading = lay_out(tmp_path, DRAWING), Reader(), threading.Event()

    def throttle(count: int) -> None:
        if threading.current_thread() is not threading.main_thread():
            reading.wait()
            raise Cancelled
        reading.set()
        wait_until(lambda: not any(t.name == "verify-1" for t in threading.enumerate()), "the other thread's end")

    with pytest.raises(Cancelled):
        verify_blobs(
            seen(drawn).targets,
            workers=2,
            throttle=throttle,
            progress=reader.progress,
            on_checked=reader.checked,
        )
    assert reader.good == {}


def test_a_file_that_went_meanwhile_is_missing(tmp_path: Path) -> None:
    """A file deleted during verify counts as missing, and the caller decides whether that is a fault."""
    drawn = lay_out(tmp_path, DRAWING)
    targets = seen(drawn, wanted(drawn)).targets
    Path(targets[0].path).unlink()

    assert kinds(Reader().verify(targets)) == [("missing_file", Path(targets[0].path).name)]


def test_a_file_that_is_written_meanwhile_is_read_again(tmp_path: Path) -> None:
    """A file that is written during verify is read again."""
    drawn, reader = lay_out(tmp_path, DRAWING), Reader()
    target = next(t for t in seen(drawn, wanted(drawn)).targets if t.size_bytes == 3000)
    good = Path(target.path).read_bytes()
    overwrite(Path(target.path), bytes(3000))

    def mend(count: int) -> None:
        if not reader.read:
            overwrite(Path(target.path), good)
        reader.read.append(count)

    bad = verify_blobs([target], workers=1, throttle=mend, progress=reader.progress, on_checked=reader.checked)

    assert (bad, reader.read) == ([], [3000, 3000])
    assert reader.progress.read().done_bytes == 3000


def test_a_file_that_is_written_all_the_time_has_no_verdict(tmp_path: Path) -> None:
    """A file that is written all the time has no result, and verify ends."""
    drawn, reader = lay_out(tmp_path, DRAWING), Reader()
    target = seen(drawn, wanted(drawn)).targets[0]
    stamps = iter(range(1, 100))

    def touch(count: int) -> None:
        os.utime(target.path, (1, next(stamps)))

    bad = verify_blobs([target], workers=1, throttle=touch, progress=reader.progress, on_checked=reader.checked)

    assert (bad, reader.good) == ([], {})


def test_a_stop_ends_every_thread_and_keeps_what_was_found_good(tmp_path: Path) -> None:
    """Stopping ends every thread within a chunk; files that were read to the end stay known as good."""
    drawn, reader = lay_out(tmp_path, DRAWING), Reader()
    put(tmp_path / "big", bytes(4 * READ_BYTES))
    big = Target(str(tmp_path), REPO, f"{tmp_path}/big", f"{tmp_path}/big", "d" * 64)
    reader.verify(seen(drawn).targets)
    reader.read.clear()

    def stop(count: int) -> None:
        reader.read.append(count)
        reader.progress.stop()

    with pytest.raises(Cancelled):
        verify_blobs([big], workers=4, throttle=stop, progress=reader.progress, on_checked=reader.checked)
    assert reader.read == [READ_BYTES]
    assert len(reader.good) == 3


def test_all_cores_are_those_of_this_process() -> None:
    """A container that may use two of 64 cores gets two threads."""
    assert all_cores() == len(os.sched_getaffinity(0))


def test_a_damaged_payload_is_set_aside_itself(tmp_path: Path) -> None:
    """A damaged payload in the store is set aside itself, because the next download would link to it."""
    drawn = lay_out(tmp_path, DRAWING.replace("model.safetensors 3000", "model.safetensors 3000 shared"))
    blob = drawn.base.repo(REPO).blob(drawn.digest(REPO, "a", "model.safetensors"))
    payload = shared_store.payload_of(drawn.base, blob)
    assert payload is not None
    assert quarantine.set_aside(drawn.base, blob, blob.name) is None  # it is good
    overwrite(payload, b"x" * 3000)

    target = quarantine.set_aside(drawn.base, blob, blob.name)

    assert target is not None
    assert target.parent == drawn.base.quarantine
    assert target.read_bytes() == b"x" * 3000
    assert (payload.exists(), blob.is_symlink()) == (False, True)


def test_a_store_of_a_layout_that_is_not_known_is_left_alone(tmp_path: Path) -> None:
    """A store with a later version's marker is left alone, because its rules may differ."""
    drawn = lay_out(tmp_path, DRAWING.replace("model.safetensors 3000", "model.safetensors 3000 shared"))
    blob = drawn.base.repo(REPO).blob(drawn.digest(REPO, "a", "model.safetensors"))
    overwrite(blob, b"x" * 3000)
    put(drawn.base.hub / "blobs" / ".huggingface-shared-blobs", b"2\n")

    with pytest.raises(Conflict, match="layout"):
        quarantine.set_aside(drawn.base, blob, blob.name)
    assert blob.read_bytes() == b"x" * 3000


def test_damage_behind_a_link_into_another_repository_is_that_ones(tmp_path: Path) -> None:
    """Damage behind a link into another repository removes the link and leaves the bytes to that repository."""
    drawn = lay_out(tmp_path, f"{DRAWING}\n model org/other\n commit b\n x.bin 50")
    repo, other = drawn.base.repo(REPO), drawn.base.repo("org/other")
    blob = repo.blob(drawn.digest(REPO, "a", "config.json"))
    theirs = other.blob(drawn.digest("org/other", "b", "x.bin"))
    blob.unlink()
    blob.symlink_to(os.path.relpath(theirs, blob.parent))

    assert quarantine.set_aside(drawn.base, blob, blob.name) is None
    assert (blob.is_symlink(), theirs.exists()) == (False, True)


def test_what_is_good_or_gone_or_forbidden_is_not_set_aside(tmp_path: Path) -> None:
    """A file that is good, missing or refused by then isn't set aside."""
    drawn = lay_out(tmp_path, DRAWING)
    blob = drawn.base.repo(REPO).blob(drawn.digest(REPO, "a", "config.json"))

    assert quarantine.set_aside(drawn.base, blob, blob.name) is None
    blob.unlink()
    assert quarantine.set_aside(drawn.base, blob, blob.name) is None
    assert not drawn.base.quarantine.exists()


def test_a_damaged_blob_is_set_aside_under_its_name(tmp_path: Path) -> None:
    """A damaged blob is kept in quarantine under its name, and nothing in the repository leads to it."""
    drawn = lay_out(tmp_path, DRAWING)
    blob = drawn.base.repo(REPO).blob(drawn.digest(REPO, "a", "config.json"))
    overwrite(blob, b"bad")

    target = quarantine.set_aside(drawn.base, blob, blob.name)

    assert target is not None
    assert target.name.startswith(blob.name)
    assert (target.read_bytes(), blob.exists()) == (b"bad", False)


def test_a_source_is_the_blob_or_a_real_file_of_the_right_size(tmp_path: Path) -> None:
    """A source is the blob or a real file of the right size; a link isn't one, even of the right size."""
    drawn = lay_out(tmp_path, "model org/name\n commit a\n x.bin 60 real\n y.bin 60 as=org/name/x.bin real")
    repo, files = drawn.base.repo(REPO), drawn.of(REPO, "a")
    first, second = (repo.snapshot(commit("a")) / file.path for file in files)
    find = partial(materialize.source_of, drawn.base, repo, commit("a"), files, files[0].digest)

    assert find() == first
    first.write_bytes(b"short")
    assert find() == second
    second.unlink()
    second.symlink_to(put(repo.blobs / "other", b"x" * 60))
    assert find() is None
    put(repo.blob(files[0].digest), b"x" * 60)
    assert find() == repo.blob(files[0].digest)


def test_a_file_that_leads_to_other_bytes_is_not_right(tmp_path: Path) -> None:
    """A file that links to another digest isn't right, even if its size is."""
    drawn = lay_out(tmp_path, "model org/name\n commit a\n x.bin 60\n y.bin 60")
    repo, (file, other) = drawn.base.repo(REPO), drawn.of(REPO, "a")
    path = repo.snapshot(commit("a")) / file.path
    assert materialize.is_right(drawn.base, repo, commit("a"), file)

    path.unlink()
    path.symlink_to(os.path.relpath(repo.blob(other.digest), path.parent))
    assert not materialize.is_right(drawn.base, repo, commit("a"), file)
    path.unlink()
    assert not materialize.is_right(drawn.base, repo, commit("a"), file)


@pytest.mark.parametrize("needed", [False, True], ids=["spare blob", "linked blob"])
def test_bytes_are_put_into_a_snapshot_without_links(tmp_path: Path, needed: bool) -> None:
    """Without links each file with the content gets its bytes; the blob is moved to the last unless a link needs it."""
    drawn = lay_out(tmp_path, f"{DRAWING}\n commit b\n x.bin 60 real\n y/z.bin 60 as=org/name/x.bin real")
    repo = drawn.base.repo(REPO)
    data, files = content(f"{REPO}/x.bin", 60), drawn.of(REPO, "b")
    blob = put(repo.blob(files[0].digest), data)
    for file in files:
        (repo.snapshot(commit("b")) / file.path).unlink()
    if needed:
        (repo.snapshot(commit("a")) / "x.bin").symlink_to(os.path.relpath(blob, repo.snapshot(commit("a"))))

    materialize.lay_out(drawn.base, repo, commit("b"), files, Counter(), symlinks=False)

    assert [(repo.snapshot(commit("b")) / f.path).read_bytes() for f in files] == [data, data]
    assert blob.exists() == needed
    assert all(materialize.is_right(drawn.base, repo, commit("b"), file) for file in files)
    assert inspect.has_real_files(repo, commit("b"))
    assert not inspect.has_real_files(repo, commit("a"))


def test_links_that_became_text_and_files_that_are_none_are_told(tmp_path: Path) -> None:
    """A link that became text, or a file that isn't what its name says, is a finding; a list gives its digest."""
    drawn = lay_out(tmp_path, DRAWING)
    repo = drawn.base.repo(REPO)
    folder = repo.snapshot(commit("a"))
    for name in ("config.json", "model.safetensors"):
        link = folder / name
        text = str(link.readlink()).encode()
        link.unlink()
        put(link, text)
    put(folder / "extra.gguf", b"<html>")
    put(folder / "notes.txt", b"mine")

    found = {Path(f.path).name: (f.kind.value, f.digest) for f in seen(drawn, wanted(drawn)).findings}

    assert found["config.json"] == ("text_link", drawn.digest(REPO, "a", "config.json"))
    assert found["model.safetensors"] == ("text_link", drawn.digest(REPO, "a", "model.safetensors"))
    assert found["extra.gguf"][0] == "no_model"
    assert "notes.txt" not in found
