"""The ledger of uses: requests are noted where they end, and written down beside the way of their bytes."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice

from sqlalchemy.exc import OperationalError, SQLAlchemyError

from modelshelf.domain.uses import DAY_S, ModelStats, Use
from modelshelf.errors import NotFound, ShelfError
from modelshelf.registry.registry import Registry

_log = logging.getLogger(__name__)
_GATHER_S = 1.0
"""So long after the first request of a batch it is written."""
_RETRY_S = 5.0
_PRUNE_EACH_S = 3600.0
_BATCH = 500
"""How many rows one transaction writes or deletes: others wait for its lock."""
_MOST_WAITING = 10_000
"""Of requests that can't be written, so many are kept in memory; the oldest go."""


class Ledger:
    """Takes note of requests, tells those who count them, and writes them into the registry.

    A full disk, or a registry that is away, holds up no request: what can't be written waits, up to a bound.

    **Concurrency:** `add` takes no lock and may be called from any thread; one thread writes.

    Args:
        registry: Where they are written.
        keep_days: How long they are kept; 0: none is written, and a model's last use is that of its engine.
        told: Called with each use, in order, in the thread that writes.
    """

    def __init__(self, registry: Registry, keep_days: int, told: Sequence[Callable[[Use], None]] = ()) -> None:
        self._registry = registry
        self._keep_days = keep_days
        self._told = told
        self._fresh: deque[Callable[[], Use]] = deque(maxlen=_MOST_WAITING)
        self._unwritten: deque[Use] = deque(maxlen=_MOST_WAITING)
        self._counting, self._writing = threading.Lock(), threading.Lock()
        self._wake, self._over = threading.Event(), threading.Event()
        self._prune_at_s = 0.0
        self._is_failing = False
        self._rates: dict[str, float] = {}
        self._thread = threading.Thread(target=self._run, name="uses", daemon=True)

    def add(self, use: Callable[[], Use]) -> None:
        """Note a request that is over.

        Args:
            use: Says what it came to; called later, in another thread.
        """
        self._fresh.append(use)
        if not self._wake.is_set():
            self._wake.set()

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def stop(self) -> None:
        """Write what there is, and end; blocking."""
        self._over.set()
        self._wake.set()
        self._thread.join()

    def count(self) -> None:
        """Tell those who count of the requests that ended since, without the registry."""
        with self._counting:
            while self._fresh:
                use = self._fresh.popleft()()
                for tell in self._told:
                    tell(use)
                if use.tokens_per_s is not None and use.engine:
                    self._rates[use.model_name] = use.tokens_per_s
                if self._keep_days:
                    self._unwritten.append(use)

    def rates(self) -> dict[str, float]:
        """Return how many tokens a second each model wrote in its last answer that tells."""
        self.count()
        with self._counting:
            return dict(self._rates)

    def write(self) -> None:
        """Write what there is; what can't be written stays for the next time."""
        self.count()
        with self._writing:
            try:
                while batch := list(islice(self._unwritten, _BATCH)):
                    self._registry.add_uses(batch)
                    self._forget(batch)
            except (ShelfError, OperationalError) as err:
                self._tell_of(err)
            except (SQLAlchemyError, ValueError) as err:  # the rows are at fault: no later try would succeed
                self._tell_of(err)
                self._forget(batch)
            else:
                self._is_failing = False

    def _forget(self, batch: Sequence[Use]) -> None:
        """Drop what was written; the oldest may have been pushed out meanwhile."""
        with self._counting:
            last = batch[-1]
            if any(use is last for use in self._unwritten):
                while self._unwritten.popleft() is not last:
                    pass

    def _tell_of(self, err: Exception) -> None:
        if not self._is_failing:
            _log.warning("uses_not_written", extra={"detail": str(err), "waiting": len(self._unwritten)})
        self._is_failing = True

    def _run(self) -> None:
        while not self._over.is_set():
            self._wake.wait(_RETRY_S if self._unwritten else _PRUNE_EACH_S)
            self._over.wait(_GATHER_S)
            self._wake.clear()
            self.write()
            self._prune()
        self.write()

    def _prune(self) -> None:
        """Delete what is older than it is kept, once an hour, with pauses for others."""
        if time.monotonic() < self._prune_at_s:
            return
        self._prune_at_s = time.monotonic() + _PRUNE_EACH_S
        try:
            while self._registry.prune_uses(self._keep_days * DAY_S, _BATCH) == _BATCH and not self._over.is_set():
                self._over.wait(0.1)
        except (ShelfError, SQLAlchemyError) as err:
            _log.warning("uses_not_pruned", extra={"detail": str(err)})


def stats_of(registry: Registry, model_name: str | None, since: float | None) -> list[ModelStats]:
    """Return what the requests to each model, or to one, come to.

    Args:
        registry: The registry.
        model_name: Only this model; None: all of them.
        since: Only requests from then on, in seconds since 1970; None: all that are kept.

    Raises:
        NotFound: There is no such model, and nobody asked for it.
    """
    found = registry.use_stats(model_name, since)
    if model_name is not None and not found and registry.model(model_name) is None:
        raise NotFound(f"There is no model {model_name}.", hint="shelf ls lists them.", model_name=model_name)
    return found
