"""A thread of a server that looks once an hour after what other programs did."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

from modelshelf.errors import ShelfError

_log = logging.getLogger(__name__)
_FIRST_S = 5.0
"""How long after the server's start it first looks, in seconds: its first answers go before."""
_ROUND_S = 3600.0
"""The time between two rounds, in seconds."""


class Rounds:
    """A thread of its own, because a round over 100,000 models takes 20 s, which no job and no answer waits for.

    Args:
        steps: What a round does, one after the other; one that fails keeps none of the others from being done.
    """

    def __init__(self, steps: Sequence[Callable[[], object]]) -> None:
        self._steps = steps
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="rounds", daemon=True)

    def start(self) -> None:
        """Begin; the first round comes a few seconds later."""
        self._thread.start()

    def stop(self) -> None:
        """Begin no further step; returns after the one that is under way."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        pause_s = _FIRST_S
        while not self._stop.wait(pause_s):
            pause_s = _ROUND_S
            for step in self._steps:
                if not self._stop.is_set():
                    _try(step)


def _try(step: Callable[[], object]) -> None:
    try:
        step()
    except Exception as err:  # noqa: BLE001 - a round that ended here would be the last one
        _log.warning("round_failed", extra={"detail": str(err)}, exc_info=None if isinstance(err, ShelfError) else err)
