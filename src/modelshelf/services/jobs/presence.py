"""A server's row in the registry, which says that it runs and where."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass, field

from sqlalchemy.exc import SQLAlchemyError

from modelshelf.errors import ShelfError
from modelshelf.services.jobs.runner import JobRunner

_BEAT_S = 20.0


@dataclass(frozen=True, slots=True)
class Presence:
    """One server's row."""

    runner: JobRunner
    _over: threading.Event = field(default_factory=threading.Event)

    def start(self, url: str) -> None:
        """Say from now on that a server runs at a URL; if the registry can't be written, try again later."""
        threading.Thread(target=self._beat, args=(url,), name="presence", daemon=True).start()

    def stop(self) -> None:
        """Say that the server ends."""
        self._over.set()
        with contextlib.suppress(ShelfError, SQLAlchemyError):
            self.runner.registry.servers.leave(self.runner.owner)

    def _beat(self, url: str) -> None:
        while not self._over.is_set():
            with contextlib.suppress(ShelfError, SQLAlchemyError):
                self.runner.registry.servers.beat(self.runner.owner, url)
            self._over.wait(_BEAT_S)
