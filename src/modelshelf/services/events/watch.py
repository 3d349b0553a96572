"""What changes in the library, for whoever listens: jobs, models, and tiers that cross their warning threshold.

The registry tells no process of a change of another one, so one thread of the server looks, for all who listen.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from modelshelf.errors import Unavailable
from modelshelf.schemas.jobs import JobJson
from modelshelf.schemas.models import ModelJson
from modelshelf.schemas.tiers import TierJson

if TYPE_CHECKING:
    from modelshelf.domain.tiers import TierStatus
    from modelshelf.services.shelf import Shelf

_log = logging.getLogger(__name__)
LOOK_S = 0.5
TIERS_EVERY = 4
"""Measuring the tiers costs more than reading rows."""
MOST_LISTENERS = 100
"""Each one wakes its server up twice a second."""
View = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Event:
    """One change."""

    kind: Literal["job", "model", "tier"]
    data: View
    """The thing as it is now, as the API shows it; a model that was removed is its name with the state `removed`."""


Listener = Callable[[Event], None]


class Watch:
    """Compares what is with what was.

    Args:
        shelf: The library.
    """

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._jobs: dict[str, View] | None = None
        self._models: dict[str, View] | None = None
        self._tiers: dict[str, tuple[bool, bool]] = {}

    def look(self) -> list[Event]:
        """Return what changed of jobs and models since the last look; nothing at the first one."""
        jobs = {str(job.id): vars(JobJson.of(job)) for job in reversed(self._shelf.registry.jobs())}
        models: dict[str, View] = {model.row.model_name: vars(ModelJson.of(model)) for model in self._shelf.models()}
        found = [Event("job", view) for view in _changed(self._jobs, jobs)]
        found += [Event("model", view) for view in _changed(self._models, models)]
        gone = (self._models or {}).keys() - models.keys()
        found += [Event("model", {"model_name": name, "state": "removed"}) for name in sorted(gone)]
        self._jobs, self._models = jobs, models
        return found

    def look_at_tiers(self) -> list[Event]:
        """Return the tiers that crossed their warning threshold, or went away or came back; each is logged too."""
        found = []
        for status in self._shelf.tiers():
            base, now = status.tier.base, (status.warning, status.online)
            before = self._tiers.get(base)
            self._tiers[base] = now
            if before != now and (before is not None or status.warning):
                _tell(status)
            if before not in (None, now):
                found.append(Event("tier", vars(TierJson.of(status))))
        return found


def _changed(before: Mapping[str, View] | None, now: Mapping[str, View]) -> list[View]:
    return [] if before is None else [view for key, view in now.items() if before.get(key) != view]


def _tell(status: TierStatus) -> None:
    fields = {"tier": status.tier.location, "cache_path": status.tier.base, "detail": status.detail}
    if status.warning:
        _log.warning("tier_over_threshold", extra=fields)
    elif status.online:
        _log.info("tier_under_threshold", extra=fields)
    else:
        _log.warning("tier_offline", extra=fields)


class Watcher:
    """A thread that looks, and tells those who listen.

    Args:
        shelf: The library.
    """

    def __init__(self, shelf: Shelf) -> None:
        self._watch = Watch(shelf)
        self._listeners: set[Listener] = set()
        self._blind = False
        self._mutex = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watcher", daemon=True)

    @property
    def stopping(self) -> bool:
        """Whether nothing more will be told."""
        return self._stop.is_set()

    def start(self) -> None:
        """Begin to look; whatever changes after this returned is told."""
        self._look(at_tiers=False)
        self._thread.start()

    def close(self) -> None:
        """Look no more; returns at once, and may be called by a signal handler."""
        self._stop.set()

    def stop(self) -> None:
        """Look no more; returns when the last look is over."""
        self._stop.set()
        self._thread.join()

    @contextmanager
    def telling(self, listener: Listener) -> Iterator[None]:
        """Call a listener with every change, in the watcher's thread, as long as the context lasts.

        Raises:
            Unavailable: As many listen already as may.
        """
        with self._mutex:
            if len(self._listeners) >= MOST_LISTENERS:
                raise Unavailable(f"{MOST_LISTENERS} clients listen already.", retry_after_s=10)
            self._listeners.add(listener)
        try:
            yield
        finally:
            with self._mutex:
                self._listeners.discard(listener)

    def _run(self) -> None:
        turn = 0
        while not self._stop.is_set():
            self._look(at_tiers=turn % TIERS_EVERY == 0)
            turn += 1
            self._stop.wait(LOOK_S)

    def _look(self, *, at_tiers: bool) -> None:
        try:
            events = self._watch.look() + (self._watch.look_at_tiers() if at_tiers else [])
        except Exception as err:  # noqa: BLE001 - a watcher that ended here would tell nothing of what comes later
            if not self._blind:
                _log.warning("cannot_look", extra={"detail": f"{type(err).__name__}: {err}"})
            self._blind = True
            return
        self._blind = False
        with self._mutex:
            listeners = list(self._listeners)
        for event in events:
            for listener in listeners:
                listener(event)
