"""Changes of the library for listeners: models, jobs, leases, engines, tiers and warnings.

The registry notifies no process. One thread of the server reads the table of changes twice a second for all
listeners, and reads nothing else while nothing changes.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from modelshelf.domain.changes import Change, newest_of_each
from modelshelf.domain.jobs import RUNNING, UNFINISHED
from modelshelf.domain.serving import EngineState, EngineStatus
from modelshelf.domain.tiers import TierStatus
from modelshelf.domain.warnings import warnings_of
from modelshelf.errors import NotFound, ShelfError, Unavailable
from modelshelf.registry.registry import Registry
from modelshelf.schemas.engine_status import EngineStatusJson
from modelshelf.schemas.jobs import JobJson
from modelshelf.schemas.leases import LeaseJson
from modelshelf.schemas.models import ModelJson
from modelshelf.schemas.tiers import TierJson
from modelshelf.schemas.warnings import WarningJson
from modelshelf.services.catalog.models import Library
from modelshelf.services.space.history import HistoryKeeper
from modelshelf.services.space.tiers import TierService

_log = logging.getLogger(__name__)
LOOK_S = 0.5
TIERS_EVERY = 4
"""Reads between two checks whether a tier is online: two seconds."""
MEASURE_EVERY = 600
"""Reads between two measurements of what other programs bring to a tier: five minutes."""
_COURSE = 120
"""So many rates of a job are remembered: a minute's."""
MOST_LISTENERS = 300
"""Each listener is a connection, and a part of the work of each change."""
View = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Event:
    """One change."""

    kind: Literal["job", "model", "engine", "tier", "usage", "warning", "lease", "resync", "end"]
    """`resync`: changes are missing, so the listener has to read everything again; `end`: nothing more will be told."""
    data: View
    """The object as it is now, as the API shows it; of a deleted one, its name or id with the state `removed`."""
    id: int | None = None
    """The change in the registry; None for what isn't recorded there: progress, a tier's usage, an engine's figures."""


Engines = Callable[[], Mapping[str, EngineStatus]]
"""Returns what the engines of this process have come to, by their models; called in any thread."""
Rates = Callable[[], Mapping[str, float]]
"""Returns how many tokens a second each model wrote in its last answer that tells."""
Listener = Callable[[Event], None]


def resync(position: int) -> Event:
    """Return the event that changes up to one are missing."""
    return Event("resync", {}, position)


class Watch:
    """Reads the table of changes.

    Args:
        registry: The registry.
        library: The models.
        tiers: The tiers.
        history: Where it is noted what they hold.
        engines: What the engines of this process have come to.
        rates: How fast they answered.
    """

    def __init__(
        self,
        registry: Registry,
        library: Library,
        tiers: TierService,
        history: HistoryKeeper,
        engines: Engines = dict,
        rates: Rates = dict,
    ) -> None:
        self._registry = registry
        self._library = library
        self._tiers = tiers
        self._history = history
        self._engines, self._rates = engines, rates
        self._engine_states: dict[str, EngineState] = {}
        """What the engines had come to when they were last looked at."""
        self._figures: dict[str, tuple[object, ...]] = {}
        """What else people are shown of them, likewise."""
        self.position: int | None = None
        """The newest change that was read."""
        self._running: dict[int, View] = {}
        """The running jobs as last told: their progress isn't in the table of changes."""
        self.courses: Mapping[int, Sequence[int]] = {}
        """For each running job its rates in bytes per second, as they were told in the last minute."""
        self._stale = True
        """Whether something changed since the tiers were measured."""
        self._states: dict[str, tuple[bool, bool]] = {}
        """For each tier, by its base: whether it is over its threshold, and whether it is online."""
        self._usage: dict[str, int] = {}
        """For each tier, by its base, what it held when it was last told."""
        self._warned: set[str] = set()
        """The keys of what there was to warn of when the tiers were last looked at."""

    def look(self) -> list[Event]:
        """Return what changed since the last call; nothing at the first one."""
        if self.position is None:
            self.position = self._registry.changes.newest()
            self._look_at_running()
            return []
        changes = self._registry.changes.after(self.position)
        if changes is None:
            position = self._registry.changes.newest()
            events = [resync(position)]
        else:
            position = changes[-1].id if changes else self.position
            events = self._events(changes)
        if self._running or events:
            self._stale = True
            told = {event.data["id"] for event in events if event.kind == "job"}
            events += [Event("job", view) for view in self._look_at_running() if view["id"] not in told]
        self.position = position
        return events

    def since(self, change_id: int, position: int) -> list[Event] | None:
        """Return the changes after one and up to another; None if they aren't known any more."""
        changes = self._registry.changes.after(change_id)
        return None if changes is None else self._events([change for change in changes if change.id <= position])

    def unfinished_jobs(self) -> list[Event]:
        """Return the jobs that aren't over, oldest first, as if each had just changed."""
        return [Event("job", vars(JobJson.of(job))) for job in reversed(self._registry.jobs(state=UNFINISHED))]

    def look_at_tiers(self, *, measure: bool) -> list[Event]:
        """Record the tiers that crossed their warning threshold, went offline or came back; each is logged too.

        What the registry can't take is returned instead, and has no id.

        Args:
            measure: Measure what they hold even if the registry records no change.
        """
        tiers = self._tiers.all()
        online = {tier.base: not self._tiers.why_offline(tier) for tier in tiers}
        if not (measure or self._stale or online != {base: there for base, (_, there) in self._states.items()}):
            return []
        found, before = [], self._states
        statuses = [self._tiers.status(tier) for tier in tiers]
        self._stale = False
        self._note(statuses)
        found += self._look_at_warnings(statuses)
        self._states = {status.tier.base: (status.warning, status.online) for status in statuses}
        for status in statuses:
            was, now = before.get(status.tier.base), (status.warning, status.online)
            if was != now and (was is not None or status.warning):
                _tell(status)
            is_told = was not in (None, now) and self._noted("tier", status.tier.base)
            usage = status.held_bytes
            is_other = self._usage.get(status.tier.base, usage) != usage
            self._usage[status.tier.base] = usage
            if was not in (None, now) and not is_told:
                found.append(Event("tier", vars(TierJson.of(status))))
            elif is_other:
                found.append(Event("usage", vars(TierJson.of(status))))
        return found

    def _note(self, statuses: Sequence[TierStatus]) -> None:
        """Note what the tiers hold; what the registry can't take is left to the next time."""
        with contextlib.suppress(ShelfError):
            self._history.note(statuses)

    def _look_at_warnings(self, statuses: Sequence[TierStatus]) -> list[Event]:
        """Record what there is to warn of and wasn't before, and what is over; what there was at first isn't new."""
        before, is_first = self._warned, not self._states
        self._warned = {one.key for status in statuses for one in warnings_of(status)}
        changed = [] if is_first else sorted(self._warned ^ before)
        return [Event("warning", self._warning(key)) for key in changed if not self._noted("warning", key)]

    def look_at_engines(self) -> list[Event]:
        """Record the engines that have come to something else than at the last call, which the next `look` tells.

        Figures that changed alone, such as the requests and the rate of the last answer, are returned and not recorded.
        """
        statuses, rates = self._engines(), self._rates()
        states = {name: status.state for name, status in statuses.items()}
        figures = {name: _figures_of(status, rates.get(name)) for name, status in statuses.items()}
        before, self._engine_states = self._engine_states, states
        shown, self._figures = self._figures, figures
        changed = {name for name in before.keys() | states.keys() if before.get(name) != states.get(name)}
        for name in sorted(changed):
            self._noted("engine", name)
        others = [name for name in figures if name not in changed and figures[name] != shown.get(name)]
        return [Event("engine", self._engine(name)) for name in others]

    def _noted(self, kind: str, key: str) -> bool:
        """Record that something is other than before, which the next `look` tells; return False if that can't be."""
        try:
            self._registry.changes.note(kind, key)
        except ShelfError:
            return False
        return True

    def _look_at_running(self) -> list[View]:
        """Return the running jobs that made progress since the last call."""
        before = self._running
        jobs = self._registry.jobs(state=(RUNNING,))
        self._running = {job.id: vars(JobJson.of(job)) for job in jobs}
        self.courses = {job.id: (*self.courses.get(job.id, ()), job.rate_bytes_per_s)[-_COURSE:] for job in jobs}
        return [view for job_id, view in self._running.items() if before.get(job_id) != view]

    def _events(self, changes: Sequence[Change]) -> list[Event]:
        views = {
            "model": self._model,
            "job": self._job,
            "lease": self._lease,
            "engine": self._engine,
            "tier": self._tier,
            "warning": self._warning,
        }
        newest = [change for change in newest_of_each(changes) if change.kind in views]
        return [Event(change.kind, views[change.kind](change.key), change.id) for change in newest]  # type: ignore[arg-type]

    def _model(self, model_name: str) -> View:
        if self._registry.model(model_name) is not None:
            try:
                return vars(ModelJson.of(self._library.model(model_name)))
            except NotFound:  # it was deleted this instant
                pass
        return {"model_name": model_name, "state": "removed"}

    def _job(self, job_id: str) -> View:
        try:
            return vars(JobJson.of(self._registry.job(int(job_id))))
        except NotFound:
            return {"id": int(job_id), "state": "removed"}

    def _lease(self, lease_id: str) -> View:
        held = (lease for lease in self._registry.leases.all() if lease.id == int(lease_id))
        return next((vars(LeaseJson.of(lease)) for lease in held), {"id": int(lease_id), "state": "removed"})

    def _tier(self, base: str) -> View:
        found = (self._tiers.status(tier) for tier in self._tiers.all() if tier.base == base)
        return next((vars(TierJson.of(status)) for status in found), {"cache_path": base, "state": "removed"})

    def _engine(self, model_name: str) -> View:
        status = self._engines().get(model_name)
        if status is None:
            return {"model_name": model_name, "state": EngineState.STOPPED.value}
        row = self._registry.model(model_name)
        rate = self._rates().get(model_name)
        return vars(EngineStatusJson.of(status, None if row is None else row.cache_location, rate))

    def _warning(self, key: str) -> View:
        what, _, base = key.partition(" ")
        statuses = [self._tiers.status(tier) for tier in self._tiers.all() if tier.base == base]
        now = [one for status in statuses for one in warnings_of(status) if one.key == key]
        return vars(WarningJson.like(now[0])) if now else {"warning": what, "cache_path": base, "state": "removed"}


def _figures_of(status: EngineStatus, rate: float | None) -> tuple[object, ...]:
    """Return what people are shown of an engine beside its state; the time that is left changes in steps."""
    left_s = status.unload_in_s
    step_s = 60 if left_s is not None and left_s > 120 else 10
    left = None if left_s is None else left_s // step_s * step_s
    return status.in_flight, status.queued, status.pinned, status.keep_alive_s, status.load_s, rate, left


def _tell(status: TierStatus) -> None:
    fields = {"tier": status.tier.location, "cache_path": status.tier.base, "detail": status.detail}
    if status.warning:
        _log.warning("tier_over_threshold", extra=fields)
    elif status.online:
        _log.info("tier_under_threshold", extra=fields)
    else:
        _log.warning("tier_offline", extra=fields)


class Watcher:
    """A thread that reads changes and tells the listeners.

    Args:
        watch: What reads them.
    """

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._position = 0
        """The newest change that listeners were told of."""
        self._listeners: set[Listener] = set()
        self._blind = False
        self._mutex = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watcher", daemon=True)

    def courses(self) -> Mapping[int, Sequence[int]]:
        """Return the rates of each running job in the last minute, in bytes per second, by its id."""
        return self._watch.courses

    @property
    def stopping(self) -> bool:
        """Whether nothing more will be told."""
        return self._stop.is_set()

    def start(self) -> None:
        """Start reading; every change after this call returned is told."""
        self._look(tiers=False, measure=False)
        self._thread.start()

    def close(self) -> None:
        """Stop reading; returns at once, and a signal handler may call it."""
        self._stop.set()

    def stop(self) -> None:
        """Stop reading; returns after the last read."""
        self._stop.set()
        self._thread.join()

    @contextmanager
    def telling(self, listener: Listener) -> Iterator[int]:
        """Call a listener with every change after the returned one, in the watcher's thread, inside the context.

        Raises:
            Unavailable: There are too many listeners.
        """
        with self._mutex:
            if len(self._listeners) >= MOST_LISTENERS:
                raise Unavailable(f"{MOST_LISTENERS} clients listen already.", retry_after_s=10)
            self._listeners.add(listener)
            position = self._position
        try:
            yield position
        finally:
            with self._mutex:
                self._listeners.discard(listener)

    def missed(self, change_id: int, position: int) -> list[Event]:
        """Return what a listener missed between its last change and `position`.

        If that isn't known any more, it is one event, `resync`.
        """
        found = self._watch.since(change_id, position)
        return [resync(position)] if found is None else found

    def _run(self) -> None:
        turn = 0
        while not self._stop.is_set():
            self._look(tiers=turn % TIERS_EVERY == 0, measure=turn % MEASURE_EVERY == 0)
            self._tell(self._try(self._watch.look_at_engines))
            turn += 1
            self._stop.wait(LOOK_S)
        self._tell([Event("end", {})])

    def _look(self, *, tiers: bool, measure: bool) -> None:
        events = self._try(self._watch.look)
        events += self._try(partial(self._watch.look_at_tiers, measure=measure)) if tiers else []
        self._tell(events)

    def _tell(self, events: list[Event]) -> None:
        with self._mutex:
            listeners = list(self._listeners)
            self._position = self._watch.position or 0
        for event in events:
            for listener in listeners:
                listener(event)

    def _try(self, look: Callable[[], list[Event]]) -> list[Event]:
        """Return what a read found; nothing if it failed, and the next one finds it."""
        try:
            found = look()
        except Exception as err:  # noqa: BLE001 - a watcher that ended here would tell nothing of what comes later
            if not self._blind:
                _log.warning("cannot_look", extra={"detail": f"{type(err).__name__}: {err}"})
            self._blind = True
            return []
        self._blind = False
        return found
