"""Repositories beside a base's `hub`: which of them nobody is writing, and their deletion once `hub` has all of it."""

from __future__ import annotations

import fcntl
import json
import shutil
from pathlib import Path

import pytest

from modelshelf.domain.freed import Freed
from modelshelf.domain.models import FileEntry
from modelshelf.domain.names import CommitHash, RepoId
from modelshelf.store.adopt import strays
from modelshelf.store.layout import SHARED_MARKER, Base, CacheDir
from modelshelf.store.repos import trees

REPO, COMMIT, DIGEST = RepoId("org/name"), CommitHash("c" * 40), "d" * 64


@pytest.fixture
def base(tmp_path: Path) -> Base:
    """A base with a repository beside its hub, and the same one in it."""
    repo = CacheDir(tmp_path).repo(REPO)
    for path, text in ((repo.blob(DIGEST), "w"), (repo.ref("main"), COMMIT)):
        path.parent.mkdir(parents=True)
        path.write_text(text)
    link = repo.snapshot(COMMIT) / "w.bin"
    link.parent.mkdir(parents=True)
    link.symlink_to(f"../../blobs/{DIGEST}")
    shutil.copytree(repo.path, Base(tmp_path).repo(REPO).path, symlinks=True)
    (tmp_path / "models--org--begun").mkdir()
    (tmp_path / "datasets--org--name").mkdir()
    return Base(tmp_path)


def now_of(base: Base) -> float:
    """Return a time at which everything has been written long ago."""
    return max(path.lstat().st_mtime for path in base.path.rglob("*")) + strays.QUIET_S + 1


def test_what_nobody_writes_is_quiet(base: Base) -> None:
    """A repository is quiet a minute after the last write, unless a lock of huggingface_hub is held."""
    now = now_of(base)
    assert strays.quiet(base, now) == [REPO]
    assert strays.quiet(base, now - 2) == []
    lock = CacheDir(base.path).hub_lock(REPO, DIGEST)
    lock.parent.mkdir(parents=True)
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert "A program downloads" in strays.why_busy(CacheDir(base.path), REPO, now)
    assert strays.why_busy(CacheDir(base.path), REPO, now) == ""


def test_an_open_file_is_in_use(base: Base) -> None:
    """While a process has a file of it open, a repository is used by that."""
    import subprocess
    import sys

    blob = CacheDir(base.path).repo(REPO).blob(DIGEST)
    code = "import sys; f = open(sys.argv[1]); print('open', flush=True); sys.stdin.read()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code, str(blob)], **pipes) as process:  # type: ignore[call-overload]
        process.stdout.readline()
        assert "is used by" in strays.why_busy(CacheDir(base.path), REPO, now_of(base))
        process.stdin.close()


def test_what_is_in_hub_goes(base: Base) -> None:
    """A repository goes if all of it is in hub, though a ref there differs; nothing else is touched."""
    base.repo(REPO).ref("main").write_text("e" * 40)

    assert strays.drop_brought(base, REPO) != Freed()

    assert not CacheDir(base.path).repo(REPO).path.exists()
    assert (base.repo(REPO).snapshot(COMMIT) / "w.bin").read_text() == "w"
    assert base.repo(REPO).ref("main").read_text() == "e" * 40


@pytest.mark.parametrize("has_more", [False, True])
def test_a_list_may_say_more_of_the_files_but_not_name_more(base: Base, has_more: bool) -> None:
    """A list beside hub that knows Xet's names of the same files goes with the rest; one with another file stays."""
    repo, file = CacheDir(base.path).repo(REPO), FileEntry("w.bin", 1, "d" * 64)
    trees.write(base.repo(REPO), COMMIT, [file])
    more = [FileEntry("z.bin", 1, "e" * 64)] if has_more else []
    trees.write(repo, COMMIT, [file, *more])
    said = json.loads(repo.tree(COMMIT).read_text())
    said["files"]["w.bin"]["xet_hash"] = "f" * 64
    repo.tree(COMMIT).write_text(json.dumps(said))

    freed = strays.drop_brought(base, REPO)

    assert (freed == Freed(), repo.tree(COMMIT).exists()) == (has_more, has_more)


def test_what_is_not_in_hub_stays(base: Base) -> None:
    """If a file differs or is missing in hub, or its commit is, everything stays but refs that lead to hub as well."""
    repo = CacheDir(base.path).repo(REPO)
    base.repo(REPO).blob(DIGEST).write_text("other")
    repo.ref("old").write_text("e" * 40)

    assert strays.drop_brought(base, REPO) == Freed()

    assert (repo.snapshot(COMMIT) / "w.bin").read_text() == "w"
    assert repo.ref("old").exists()


def test_an_empty_store_beside_hub_goes(base: Base) -> None:
    """The shared store beside hub goes once it holds only its marker and locks, and was left alone for a minute."""
    assert strays.drop_empty_store(base, now_of(base)) == Freed()
    (base.beside_store / "ab").mkdir(parents=True)
    (base.beside_store / SHARED_MARKER).write_text("1\n")
    (base.beside_store / "ab/x.lock").touch()
    payload = base.beside_store / "ab/payload"
    payload.write_text("w")
    for at in (now_of(base), now_of(base) - 2):
        strays.drop_empty_store(base, at)
        assert payload.exists()
    payload.unlink()
    strays.drop_empty_store(base, now_of(base) - strays.QUIET_S)
    assert base.beside_store.exists()

    strays.drop_empty_store(base, now_of(base))

    assert not base.beside_store.exists()
