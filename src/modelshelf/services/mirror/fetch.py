"""What clients wait for, and the job that brings it, as the requests of this process see it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

from modelshelf.domain.models import FileEntry
from modelshelf.domain.names import FilePath, RefName
from modelshelf.domain.ports import Hub
from modelshelf.errors import ShelfError
from modelshelf.services.mirror.upstream import Known


@dataclass(frozen=True, slots=True)
class Wish:
    """A file that a client waits for."""

    known: Known
    revision: RefName
    """As the client asked: a branch, a tag or a commit."""
    file: FileEntry
    manifest: Sequence[FileEntry]
    """All files of the commit."""
    hub: Hub
    """As it answers the client's token."""


class Fetch:
    """What is being fetched of one commit, for this process's requests and the job that serves them.

    **Concurrency:** requests add wishes, the job takes them.
    """

    def __init__(self) -> None:
        self.is_run = threading.Event()
        """Set once a thread of this process runs the job."""
        self.is_over = False
        self._wishes: list[Wish] = []
        self._asked: set[FilePath] = set()
        self._failed: dict[FilePath, ShelfError] = {}
        self._changed = threading.Condition()

    def add(self, wish: Wish) -> bool:
        """Ask for a file, unless it is on its way; return whether the job still takes it."""
        with self._changed:
            if self.is_over:
                return False
            if wish.file.path not in self._asked:
                self._failed.pop(wish.file.path, None)
                self._asked.add(wish.file.path)
                self._wishes.append(wish)
                self._changed.notify_all()
            return True

    def take(self, timeout_s: float) -> list[Wish]:
        """Return the new wishes, after waiting for one."""
        with self._changed:
            self._changed.wait_for(lambda: self._wishes, timeout_s)
            taken, self._wishes = self._wishes, []
            return taken

    def end(self) -> bool:
        """Take no more wishes, unless there are new ones; return whether it is over."""
        with self._changed:
            self.is_over = not self._wishes
            return self.is_over

    def stop(self, err: ShelfError) -> None:
        """Take no more wishes, and tell whoever waits why."""
        with self._changed:
            self.is_over = True
            self._failed = dict.fromkeys(self._asked, err) | self._failed

    def arrived(self, paths: Sequence[FilePath]) -> None:
        """Forget that files were asked for."""
        with self._changed:
            self._asked.difference_update(paths)

    def failed(self, paths: Sequence[FilePath], err: ShelfError) -> None:
        """Tell who waits for files why they don't come; whoever asks again starts again."""
        with self._changed:
            self._asked.difference_update(paths)
            self._failed |= dict.fromkeys(paths, err)

    def why_not(self, path: FilePath) -> ShelfError | None:
        """Return why a file doesn't come; None as long as it may."""
        with self._changed:
            return self._failed.get(path)

    def waiting(self) -> tuple[FilePath, ...]:
        """Return the files that are on their way."""
        with self._changed:
            return tuple(sorted(self._asked))
