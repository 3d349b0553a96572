"""The same work on several things at the same time."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from modelshelf.domain.ports import Progress
from modelshelf.errors import Cancelled

T = TypeVar("T")


def side_by_side(
    work: Callable[[T, Progress], None], things: Iterable[T], progress: Progress, most_at_once: int
) -> None:
    """Work on the things in several threads, begun in order; returns once no thread works any more.

    Args:
        work: Called with one thing, and a progress whose `check` it calls now and then.
        things: The things.
        progress: Told how far the work is.
        most_at_once: How many threads there are.

    Raises:
        BaseException: The first error of any thread, including Ctrl-C, which stops the others.
    """
    _Threads(work, deque(things), progress).run(most_at_once)


class _OfFile:
    """The progress of one file among those that several threads work on."""

    def __init__(self, file: Progress, check: Callable[[], None]) -> None:
        self.phase, self.advance, self.skip, self.note = file.phase, file.advance, file.skip, file.note
        self.files, self.of = file.files, file.of
        self.check = check


class _Threads(Generic[T]):
    """Threads that share a queue and a progress.

    **Concurrency:** working threads are counted, not joined: Ctrl-C may come before a thread is known to run. A
    thread that begins after an error touches nothing.
    """

    def __init__(self, work: Callable[[T, Progress], None], todo: deque[T], progress: Progress) -> None:
        self.phase = progress.phase
        self.advance = progress.advance
        self.skip = progress.skip
        self.files = progress.files
        self.note = progress.note
        self._of = progress.of
        self._check_outside = progress.check
        self._work = work
        self._todo = todo
        self._working = 0
        self._error: BaseException | None = None
        self._changed = threading.Condition()

    def check(self) -> None:
        """Raise if the work was stopped, or another thread has failed."""
        self._check_outside()
        if self._error is not None:
            raise Cancelled

    def of(self, path: str) -> Progress:
        """Return the progress of one file, which is stopped as the others are."""
        return _OfFile(self._of(path), self.check)

    def run(self, count: int) -> None:
        """Work until nothing is left to do, or until the first error."""
        try:
            for _ in range(min(count, len(self._todo))):
                threading.Thread(target=self._work_on, daemon=True).start()
            self._wait_while(lambda: bool(self._working or (self._todo and self._error is None)))
        except KeyboardInterrupt as err:
            self._fail(err)
        while self._working:
            try:
                self._wait_while(lambda: bool(self._working))
            except KeyboardInterrupt as err:
                self._fail(err)
        if self._error is not None:
            raise self._error

    def _wait_while(self, condition: Callable[[], bool]) -> None:
        with self._changed:
            self._changed.wait_for(lambda: not condition())

    def _work_on(self) -> None:
        while (thing := self._next()) is not None:
            try:
                self._work(thing[0], self)
            except BaseException as err:  # noqa: BLE001 - it is raised again where the threads are waited for
                self._fail(err)
            finally:
                with self._changed:
                    self._working -= 1
                    self._changed.notify_all()

    def _next(self) -> tuple[T] | None:
        with self._changed:
            if self._error is not None or not self._todo:
                return None
            self._working += 1
            return (self._todo.popleft(),)

    def _fail(self, err: BaseException) -> None:
        with self._changed:
            self._error = self._error or err
            self._changed.notify_all()
