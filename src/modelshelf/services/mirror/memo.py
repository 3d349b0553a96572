"""Answers that are kept for a while: of several callers that ask the same at once, one asks."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from modelshelf.errors import ShelfError, Unavailable

T = TypeVar("T")

_REFUSAL_S = 30.0
"""How long a refusal is kept, in seconds: a file that isn't there now may be pushed soon."""
_SILENCE_S = 5.0
"""How long it is kept that nobody answers, in seconds: so long nobody waits for a dead line again."""


@dataclass(slots=True)
class _Kept(Generic[T]):
    asked_at: float
    answer: Future[T] = field(default_factory=Future)


class Memo(Generic[T]):
    """The last answers.

    **Concurrency:** safe from any thread.

    Args:
        kept_s: How long a good answer is kept, in seconds.
        most: How many are kept.
        now: Seconds that go on.
    """

    def __init__(self, kept_s: float, most: int, now: Callable[[], float] = time.monotonic) -> None:
        self._kept_s, self._most, self._now = kept_s, most, now
        self._kept: OrderedDict[Hashable, _Kept[T]] = OrderedDict()
        self._mutex = threading.Lock()

    def get(self, key: Hashable, ask: Callable[[], T]) -> T:
        """Return the answer to a question; raises what asking raises, also if it was asked a moment ago."""
        with self._mutex:
            kept = self._kept.get(key)
            is_new = kept is None or self._is_old(kept)
            if kept is None or is_new:
                kept = self._kept[key] = _Kept(self._now())
            self._kept.move_to_end(key)
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
        if is_new:
            try:
                kept.answer.set_result(ask())
            except BaseException as err:  # noqa: BLE001 - raised again for everybody who waits
                if not isinstance(err, ShelfError):
                    self._forget(key, kept)
                kept.answer.set_exception(err)
        refused = kept.answer.exception()
        if refused is not None:
            raise refused.with_traceback(None)  # which would grow with each caller
        return kept.answer.result()

    def _is_old(self, kept: _Kept[T]) -> bool:
        if not kept.answer.done():
            return False
        refused = kept.answer.exception()
        kept_s = self._kept_s
        if refused is not None:
            kept_s = _SILENCE_S if isinstance(refused, Unavailable) else _REFUSAL_S
        return self._now() - kept.asked_at >= min(kept_s, self._kept_s)

    def _forget(self, key: Hashable, kept: _Kept[T]) -> None:
        with self._mutex:
            if self._kept.get(key) is kept:
                del self._kept[key]
