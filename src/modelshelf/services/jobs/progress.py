"""Progress of long work, for other threads."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

from modelshelf.domain.job_files import MOST_LISTED, JobFile, JobFiles
from modelshelf.domain.ports import Progress
from modelshelf.errors import Cancelled


@dataclass(frozen=True, slots=True)
class Reading:
    """How far the work is."""

    phase: str
    done_bytes: int
    total_bytes: int
    worked_bytes: int = 0
    """Bytes handled over all phases, for the rate."""
    detail: str = ""
    """What the work waits for, in a sentence."""
    files: JobFiles = field(default_factory=JobFiles)
    """How far each file is, where they are told apart."""


class _Files:
    """How far each of many files is; what is read of it is bounded, however many there are."""

    def __init__(self, sizes: Mapping[str, int]) -> None:
        self._sizes = sizes
        self._done = dict.fromkeys(sizes, 0)
        self._in_work: dict[str, None] = {}
        self._over = sum(not size for size in sizes.values())

    def count(self, path: str, done_bytes: int) -> None:
        """Count bytes of a file; of one that isn't told apart any more, nothing."""
        if path not in self._done:
            return
        before, size = self._done[path], self._sizes[path]
        now = self._done[path] = before + done_bytes
        self._over += (now >= size) - (before >= size)
        if now >= size:
            self._in_work.pop(path, None)
        else:
            self._in_work[path] = None

    def read(self) -> JobFiles:
        """Return how far they are: all of a few, of many those that are being worked on."""
        named = self._sizes if len(self._sizes) <= MOST_LISTED else list(self._in_work)[:MOST_LISTED]
        listed = [JobFile(path, self._done[path], self._sizes[path]) for path in named]
        return JobFiles(self._over, len(self._sizes), tuple(listed))


class _OfFile:
    """The progress of one file."""

    def __init__(self, whole: Counter, path: str) -> None:
        self.phase, self.files, self.of, self.note, self.check = (
            whole.phase, whole.files, whole.of, whole.note, whole.check,
        )  # fmt: skip
        self._whole, self._path = whole, path

    def advance(self, done_bytes: int) -> None:
        """Count bytes."""
        self._whole.count(self._path, done_bytes)
        self._whole.advance(done_bytes)

    def skip(self, done_bytes: int) -> None:
        """Count bytes that were there already."""
        self._whole.count(self._path, done_bytes)
        self._whole.skip(done_bytes)


class Counter:
    """Progress that another thread can read and stop."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._stop = threading.Event()
        self._phase = self._detail = ""
        self._done_bytes = self._total_bytes = self._worked_bytes = 0
        self._files = _Files({})

    def phase(self, name: str, total_bytes: int = 0) -> None:
        """Begin a phase; one without bytes keeps the figures of the one before."""
        with self._mutex:
            self._phase, self._detail = name, ""
            if total_bytes:
                self._done_bytes, self._total_bytes, self._files = 0, total_bytes, _Files({})

    def grow(self, total_bytes: int) -> None:
        """Add bytes to handle to the phase."""
        with self._mutex:
            self._total_bytes += total_bytes

    def advance(self, done_bytes: int) -> None:
        """Count bytes."""
        with self._mutex:
            self._done_bytes += done_bytes
            self._worked_bytes += done_bytes

    def skip(self, done_bytes: int) -> None:
        """Count bytes that were there already."""
        with self._mutex:
            self._done_bytes += done_bytes

    def files(self, sizes: Mapping[str, int]) -> None:
        """Tell these files apart."""
        with self._mutex:
            self._files = _Files(sizes)

    def of(self, path: str) -> Progress:
        """Return the progress of one of them."""
        return _OfFile(self, path)

    def count(self, path: str, done_bytes: int) -> None:
        """Count bytes of a file, and not of the whole."""
        with self._mutex:
            self._files.count(path, done_bytes)

    def note(self, detail: str) -> None:
        """Say what the work waits for."""
        with self._mutex:
            self._detail = detail

    def check(self) -> None:
        """Raise Cancelled once `stop` was called."""
        if self._stop.is_set():
            raise Cancelled

    def stop(self) -> None:
        """Ask the work to end soon; what is done stays done."""
        self._stop.set()

    def read(self) -> Reading:
        """Return the progress now."""
        with self._mutex:
            figures = self._done_bytes, self._total_bytes, self._worked_bytes
            return Reading(self._phase, *figures, self._detail, self._files.read())
