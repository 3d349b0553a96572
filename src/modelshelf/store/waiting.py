"""How many threads of this process may wait for one base: a dead disk must not take all of a server's threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from modelshelf.errors import Unavailable

_AT_ONCE = 8
"""How many threads may access a base at the same time."""
_PATIENCE_S = 2.0
"""An access takes milliseconds; a longer one, in seconds, waits for a disk that doesn't answer."""


@dataclass(slots=True)
class Turnstile:
    """Lets a few threads access one thing at a time.

    **Concurrency:** one instance serves all threads of the process.
    """

    path: Path
    at_once: int = _AT_ONCE
    patience_s: float = _PATIENCE_S
    _since: dict[int, float] = field(default_factory=dict)
    """When each thread inside entered."""
    _changed: threading.Condition = field(default_factory=threading.Condition)

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Enter as soon as there is a place.

        Raises:
            Unavailable: All places are taken by threads that get no answer.
        """
        me = threading.get_ident()
        if me in self._since:  # already inside
            yield
            return
        with self._changed:
            if not self._changed.wait_for(lambda: len(self._since) < self.at_once, self._left_s()):
                raise Unavailable(
                    f"{self.path} does not answer: {len(self._since)} others wait for its disk already.",
                    hint="Check the disk, then try again.",
                    retry_after_s=10,
                    cache_path=str(self.path),
                )
            self._since[me] = time.monotonic()
        try:
            yield
        finally:
            with self._changed:
                del self._since[me]
                self._changed.notify()

    def _left_s(self) -> float:
        """Return how much longer the longest wait may take, in seconds."""
        first = min(self._since.values(), default=time.monotonic())
        return max(0.0, first + self.patience_s - time.monotonic())


_TURNSTILES: dict[Path, Turnstile] = {}
_MUTEX = threading.Lock()


def turnstile(path: Path) -> Turnstile:
    """Return the turnstile of a base, the same for all threads."""
    with _MUTEX:
        return _TURNSTILES.setdefault(path, Turnstile(path))
