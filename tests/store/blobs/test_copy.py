"""Copying a blob to another disk: hashed on the way, resumable, published only if right."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from modelshelf.errors import Cancelled, Corrupt, Denied
from modelshelf.store.blobs.copy import Turn, bring, copy_blob
from modelshelf.store.blobs.lent_pieces import PIECE_BYTES
from modelshelf.store.layout import Base
from tests.builders import digest_of, put
from tests.store.mounts import small_disk
from tests.world import random_bytes, wait_until

DATA = random_bytes(3 * PIECE_BYTES + 1000)
DIGEST = digest_of("x.bin", DATA)


class Watch:
    """Progress that stops the work after so many bytes."""

    def __init__(self, stop_at_bytes: int | None = None) -> None:
        self.done_bytes = 0
        self.written_bytes = 0
        self._stop_at_bytes = stop_at_bytes

    def phase(self, name: str, total_bytes: int = 0) -> None:
        """Ignore the phase: a copy has only one."""

    def advance(self, done_bytes: int) -> None:
        """Count bytes that were copied."""
        self.done_bytes += done_bytes

    def skip(self, done_bytes: int) -> None:
        """Count bytes that were already there."""
        self.advance(done_bytes)

    def files(self, sizes: Mapping[str, int]) -> None:
        """Ignore the files: a copy has one."""

    def of(self, path: str) -> Watch:
        """Return itself."""
        return self

    def note(self, detail: str) -> None:
        """Ignore notes."""

    def wrote(self, count_bytes: int) -> None:
        """Count bytes on the target."""
        self.written_bytes += count_bytes

    def check(self) -> None:
        """Stop when enough was copied."""
        if self._stop_at_bytes is not None and self.done_bytes >= self._stop_at_bytes:
            raise Cancelled


def copy(source: Path, base: Base, watch: Watch, digest: str = DIGEST, size_bytes: int = len(DATA)) -> Path:
    """Copy a blob to its path on the target, and return the path."""
    target = base.repo("org/name").blob(digest)
    copy_blob(source, base, digest, size_bytes, target, watch, watch.wrote)
    return target


def test_a_copy_has_the_bytes_and_says_how_far_it_is(tmp_path: Path) -> None:
    """Every byte is counted once as done and once as written, and the source stays."""
    source, watch = put(tmp_path / "source", DATA), Watch()

    target = copy(source, Base(tmp_path / "base"), watch)

    assert target.read_bytes() == source.read_bytes() == DATA
    assert watch.done_bytes == watch.written_bytes == len(DATA)


def test_an_empty_blob_is_copied(tmp_path: Path) -> None:
    """An empty blob is copied and published."""
    source = put(tmp_path / "source", b"")

    target = copy(source, Base(tmp_path / "base"), Watch(), digest_of("x.txt", b""), 0)

    assert target.read_bytes() == b""


def test_a_copy_that_was_stopped_is_taken_up_again(tmp_path: Path) -> None:
    """A copy that was stopped resumes: bytes on the target count at once and aren't read again."""
    source, base = put(tmp_path / "source", DATA), Base(tmp_path / "base")
    first = Watch(stop_at_bytes=PIECE_BYTES)
    with pytest.raises(Cancelled):
        copy(source, base, first)
    assert not base.repo("org/name").blob(DIGEST).exists()
    with source.open("r+b") as file:
        file.write(b"other bytes where the first piece was")
    second = Watch()

    target = copy(source, base, second)

    assert target.read_bytes() == DATA
    assert second.done_bytes == len(DATA)


@pytest.mark.parametrize("damage", ["flipped", "shorter"])
def test_a_damaged_source_is_never_published(tmp_path: Path, damage: str) -> None:
    """A source whose bytes don't match its name is never published."""
    data = DATA[:-5] if damage == "shorter" else DATA[:-5] + b"other"
    base = Base(tmp_path / "base")

    with pytest.raises(Corrupt):
        copy(put(tmp_path / "source", data), base, Watch())

    assert not base.repo("org/name").blob(DIGEST).exists()


def test_a_source_that_may_not_be_read_is_denied(tmp_path: Path) -> None:
    """An unreadable source is an error with a command that shows its owner."""
    unreadable = Path("/proc/sys/vm/drop_caches")  # write-only, also for root
    if not unreadable.exists():
        pytest.skip("there is no file that root may not read")

    with pytest.raises(Denied, match="cannot be read"):
        copy(unreadable, Base(tmp_path), Watch())


def test_ctrl_c_waits_for_the_other_thread(tmp_path: Path) -> None:
    """After Ctrl-C the copy waits for its other thread, which would otherwise read from a reused descriptor."""
    main = threading.main_thread().ident
    assert main is not None
    seen: list[object] = []
    first = threading.Lock()

    class Interrupter(Watch):
        def check(self) -> None:
            if threading.get_ident() != main and first.acquire(blocking=False):
                ours = wait_until(lambda: waiting_copy(main), "the main thread to wait")
                signal.pthread_kill(main, signal.SIGINT)
                seen.append(wait_until(lambda: ours._error, "the interrupt to arrive"))

    with pytest.raises(KeyboardInterrupt):
        copy(put(tmp_path / "source", DATA), Base(tmp_path / "base"), Interrupter())

    assert isinstance(seen[0], KeyboardInterrupt)


def test_an_error_of_one_thread_ends_the_other(tmp_path: Path) -> None:
    """If hashing fails, nothing more is written, and the caller gets that error."""
    main, hashing = threading.current_thread(), list[threading.Thread]()

    class Failing(Watch):
        def check(self) -> None:
            if threading.current_thread() is not main:
                hashing.append(threading.current_thread())
                raise ValueError("broken")
            if self.done_bytes:
                wait_until(lambda: hashing and not hashing[0].is_alive(), "the thread that hashes to end")

    watch = Failing()
    with pytest.raises(ValueError, match="broken"):
        copy(put(tmp_path / "source", DATA), Base(tmp_path / "base"), watch)

    assert watch.written_bytes == PIECE_BYTES


def waiting_copy(thread: int) -> Any:
    """Return the copy that a thread waits in for its other threads, or None while it does something else."""
    frame = sys._current_frames().get(thread)
    while frame is not None:
        if frame.f_code.co_name == "_wait_for_all":
            return frame.f_locals["self"]
        frame = frame.f_back
    return None


def test_a_copy_has_the_mode_and_times_of_its_source(tmp_path: Path) -> None:
    """A copy has its source's mode and times."""
    base, source, watch = Base(tmp_path / "base"), put(tmp_path / "source", DATA), Watch()
    source.chmod(0o444)
    os.utime(source, (1, 2))
    target = base.repo("org/name").blob(DIGEST)

    copy_blob(source, base, DIGEST, len(DATA), target, watch, watch.wrote)

    assert (target.stat().st_mode & 0o777, target.stat().st_mtime) == (0o444, 2)


def test_a_blob_gets_a_second_name_where_it_can_and_a_copy_elsewhere(tmp_path: Path) -> None:
    """A blob is linked where that works and copied elsewhere; every byte counts once either way."""
    source, base, watch = put(tmp_path / "source", DATA), Base(tmp_path / "base"), Watch()

    how = bring(source, base, DIGEST, len(DATA), base.repo("org/name").blob(DIGEST), watch, watch.wrote)

    assert (how, watch.done_bytes, watch.written_bytes) == ("link", len(DATA), len(DATA))
    with small_disk(tmp_path / "disk", 2 * len(DATA)) as disk:
        far, watch = Base(disk / "base"), Watch()

        how = bring(source, far, None, len(DATA), far.path / "file", watch, watch.wrote)

        assert (how, watch.done_bytes, watch.written_bytes) == ("copy", len(DATA), len(DATA))
        assert (far.path / "file").read_bytes() == DATA


def test_one_file_is_written_at_a_time(tmp_path: Path) -> None:
    """A copy whose turn it isn't writes nothing, and can be stopped meanwhile; it goes on when the turn is its own."""
    source, base, turn = put(tmp_path / "source", DATA), Base(tmp_path / "base"), Turn()
    target = base.repo("org/name").blob(DIGEST)
    waiting = Watch(stop_at_bytes=0)

    with turn.wait(waiting.check), pytest.raises(Cancelled):
        copy_blob(source, base, DIGEST, len(DATA), target, waiting, waiting.wrote, turn)
    assert waiting.written_bytes == 0

    copy_blob(source, base, DIGEST, len(DATA), target, Watch(), waiting.wrote, turn)
    assert target.read_bytes() == DATA
