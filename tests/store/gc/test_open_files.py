"""Who has a file open, under any name."""

from __future__ import annotations

import mmap
import os
import subprocess
import sys
from pathlib import Path

import pytest

from modelshelf.store.gc import open_files
from tests.builders import put

HOLD = "import sys; file = open(sys.argv[1], sys.argv[2]); print(flush=True); sys.stdin.read()"


def holder(path: Path, mode: str = "rb") -> subprocess.Popen[str]:
    """Return a process that keeps a file open until it is ended."""
    command = [sys.executable, "-c", HOLD, str(path), mode]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    return process


def identity(path: Path) -> tuple[int, int]:
    """Return a file's device and inode."""
    return path.stat().st_dev, path.stat().st_ino


def test_a_process_that_has_a_file_open_is_named(tmp_path: Path) -> None:
    """A process that has a file open is named, even if it opened it by another name."""
    blob = put(tmp_path / "blob", b"x")
    (tmp_path / "link").symlink_to(blob)
    with holder(tmp_path / "link") as process:
        command = Path(f"/proc/{process.pid}/comm").read_text().strip()
        assert open_files.users_of([tmp_path / "gone", blob]) == [f"{command} (pid {process.pid})"]
        process.kill()

    assert open_files.users_of([blob]) == []


def test_a_mapped_file_is_in_use(tmp_path: Path) -> None:
    """A mapped file is in use, even after its descriptor was closed."""
    blob = put(tmp_path / "blob", b"x" * 5000)
    with blob.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    assert [user.rpartition(" ")[2] for user in open_files.users_of([blob])] == [f"{os.getpid()})"]
    mapped.close()
    assert open_files.users_of([blob]) == []


def test_a_process_that_ended_meanwhile_has_no_name() -> None:
    """A process that ended during the search has no name, and still counts."""
    assert open_files._command("0") == "a process"


def test_nothing_is_asked_about_files_that_are_gone(tmp_path: Path) -> None:
    """A missing file has no users."""
    assert open_files.users_of([tmp_path / "gone"]) == []


@pytest.mark.parametrize(("mode", "is_written"), [("rb", False), ("r+b", True), ("ab", True)])
def test_readers_are_told_from_writers(tmp_path: Path, mode: str, is_written: bool) -> None:
    """A blob that is only read is told from one that is written."""
    blob = put(tmp_path / "blob", b"x")
    with blob.open(mode):
        assert identity(blob) in open_files.opened()
        assert (identity(blob) in open_files.written()) == is_written
    assert identity(blob) not in open_files.opened()


def test_a_file_that_is_mapped_for_writing_is_written(tmp_path: Path) -> None:
    """A file mapped for writing counts as written, even after its descriptor was closed."""
    blob = put(tmp_path / "blob", b"x" * 5000)
    with blob.open("r+b") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_WRITE)

    assert identity(blob) in open_files.written()
    mapped.close()


def test_only_a_mapping_is_a_use(tmp_path: Path) -> None:
    """A file that a process maps is mapped; one that it has open isn't, for what copies a file has it open too."""
    opened, in_memory = put(tmp_path / "opened", b"x"), put(tmp_path / "mapped", b"y")
    with holder(opened) as process, in_memory.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ):
        found = open_files.mapped()
        process.kill()

    assert identity(in_memory) in found
    assert identity(opened) not in found


def test_a_file_that_is_mapped_in_pieces_and_was_deleted_is_in_use(tmp_path: Path) -> None:
    """Root sees which file a process has in its memory, whatever its name leads to: a container has other names."""
    if os.geteuid() != 0:
        pytest.skip("Only root may follow another process's map_files.")
    blob = put(tmp_path / "blob", b"x" * 3 * mmap.PAGESIZE)
    was = identity(blob)
    with blob.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ):
        size_bytes = mmap.PAGESIZE
        with mmap.mmap(file.fileno(), size_bytes, prot=mmap.PROT_READ, offset=2 * mmap.PAGESIZE):
            blob.unlink()
            assert was in open_files.mapped()
    assert was not in open_files.mapped()
