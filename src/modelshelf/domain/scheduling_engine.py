"""What the scheduler knows of one model: its state, who waits and who is answered, and how long it may stay."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field

from modelshelf.domain.scheduling_events import Asked
from modelshelf.domain.scheduling_queue import FairQueue
from modelshelf.domain.scheduling_room import Loaded
from modelshelf.domain.scheduling_rules import Rules
from modelshelf.domain.serving import EngineState, Wanted
from modelshelf.errors import EngineFailed, ShelfError

FIRST_BACKOFF_S, LONGEST_BACKOFF_S = 2.0, 300.0
_ASLEEP = EngineState.ASLEEP
_AWAKE = frozenset(
    {EngineState.FETCHING, EngineState.PROMOTING, EngineState.STARTING, EngineState.READY, EngineState.DRAINING}
)
"""In these states an engine holds room on its device."""


@dataclass(slots=True)
class Engine:
    """A model that is asked for or served, and its engine where there is one."""

    wanted: Wanted
    """What it was started as; the latest while it isn't."""
    rules: Rules
    queue: FairQueue
    latest: Wanted
    """What its model is by now."""
    state: EngineState = EngineState.COLD
    granted: dict[int, Asked] = field(default_factory=dict)
    """Who is answered, by ticket."""
    asked_keep_alive_s: float | None = None
    """What the last request that said so wanted."""
    pinned: bool = False
    is_stopping: bool = False
    """Whether `Stop` was asked for."""
    is_falling_asleep: bool = False
    is_waking: bool = False
    emptied_for_it: bool = False
    """Whether all idle engines went after it ran out of memory: it is tried once more."""
    waits_since_s: float = 0.0
    """Since when it wants to start."""
    ready_since_s: float = 0.0
    idle_since_s: float = 0.0
    load_s: float | None = None
    error: ShelfError | None = None
    """Why it failed."""
    failures: int = 0
    not_before_s: float = 0.0
    """Until when its failure is the answer."""

    @property
    def is_live(self) -> bool:
        """Whether there is an engine, or the start of one."""
        return self.state in _AWAKE or self.state is _ASLEEP

    @property
    def wants_start(self) -> bool:
        """Whether somebody waits for a start of it that hasn't begun, or for its waking."""
        return bool(self.queue) and self.state not in _AWAKE

    @property
    def is_idle(self) -> bool:
        """Whether it is ready and nobody needs it."""
        return self.state is EngineState.READY and not self.granted and not self.queue

    @property
    def is_unused(self) -> bool:
        """Whether it is idle or asleep, and nobody needs it."""
        return self.is_idle or (self.state is _ASLEEP and not self.queue)

    @property
    def may_sleep(self) -> bool:
        """Whether it sleeps before it goes; one that is to go at once, or that is old, doesn't."""
        return self.wanted.asleep_bytes > 0 and self.is_idle and not self.is_old and self.keep_alive_s != 0

    @property
    def has_slot(self) -> bool:
        """Whether it answers one more request at once."""
        return self.state is EngineState.READY and len(self.granted) < self.wanted.slots

    @property
    def is_old(self) -> bool:
        """Whether its model is another by now: it goes as soon as it is idle."""
        return self.wanted.version != self.latest.version

    @property
    def is_forgotten(self) -> bool:
        """Whether there is nothing to know of it."""
        return not self.is_live and not self.queue and self.error is None

    @property
    def keep_alive_s(self) -> float:
        """How long it stays when it is idle: the narrowest wish; negative: for ever."""
        wishes = (self.asked_keep_alive_s, self.wanted.keep_alive_s)
        return next((wish for wish in wishes if wish is not None), self.rules.keep_alive_s)

    @property
    def leaves_at_s(self) -> float | None:
        """When it goes, or falls asleep, if nobody asks for it; None while it is busy, or stays."""
        if not self.is_unused:
            return None
        if self.is_old:
            return self.idle_since_s
        if self.state is _ASLEEP:
            return self.idle_since_s + self.rules.sleep_s
        return None if self.pinned or self.keep_alive_s < 0 else self.idle_since_s + self.keep_alive_s

    def see(self, wanted: Wanted) -> None:
        """Take in what its model is now; the engine of an older one goes when it is idle, an old failure is void."""
        if not self.is_live and wanted.version != self.latest.version:
            self.forgive()
        self.latest = wanted
        if not self.is_live or not self.is_old:
            self.wanted = wanted

    def grant(self, asked: Asked) -> None:
        """Let a request have a slot."""
        self.granted[asked.ticket] = asked
        self.pinned = self.pinned or asked.pin
        if asked.keep_alive_s is not None:
            self.asked_keep_alive_s = asked.keep_alive_s

    def begin(self) -> None:
        """Note that it starts."""
        self.is_waking = self.state is _ASLEEP
        self.state, self.is_stopping, self.error = EngineState.STARTING, False, None

    def fall_asleep(self) -> None:
        """Note that it is to give its memory back."""
        self.state, self.is_falling_asleep = EngineState.DRAINING, True

    def become_asleep(self, now_s: float) -> None:
        """Note that it sleeps."""
        self.state, self.is_falling_asleep = _ASLEEP, False
        self.idle_since_s = self.waits_since_s = now_s

    def become_ready(self, now_s: float, load_s: float | None) -> None:
        """Note that it answers."""
        self.state, self.load_s, self.is_waking = EngineState.READY, load_s, False
        self.ready_since_s = self.idle_since_s = now_s
        self.failures, self.emptied_for_it = 0, False

    def fail(self, error: ShelfError, now_s: float) -> None:
        """Note that it didn't start; what a person mends, such as a lease, isn't held against it."""
        self.end(EngineState.FAILED, now_s)
        self.error, self.emptied_for_it = error, False
        if isinstance(error, EngineFailed):
            backoff_s = min(FIRST_BACKOFF_S * 2 ** min(self.failures, 20), LONGEST_BACKOFF_S)
            self.failures, self.not_before_s = self.failures + 1, now_s + backoff_s

    def end(self, state: EngineState, now_s: float) -> None:
        """Note that the engine is gone; waiting requests now wait for its next start."""
        self.state, self.pinned, self.asked_keep_alive_s = state, False, None
        self.is_stopping = self.is_falling_asleep = self.is_waking = False
        self.wanted = self.latest
        self.granted.clear()
        self.waits_since_s = now_s

    def forgive(self) -> None:
        """Forget that it failed."""
        self.error, self.failures, self.not_before_s = None, 0, 0.0

    def failure(self, now_s: float) -> ShelfError | None:
        """Return what a request is told as long as the last failure is the answer; None once it may start again."""
        if self.error is None or now_s >= self.not_before_s:
            return None
        error = copy.copy(self.error)
        error.retry_after_s = self.not_before_s - now_s  # type: ignore[attr-defined]  # an EngineFailed has a backoff
        return error

    def seen_as_loaded(self, now_s: float) -> Loaded:
        """Return what making room must know of it."""
        had_its_turn = now_s - self.ready_since_s >= self.rules.fair_s
        return Loaded(
            self.wanted,
            self.state,
            self.pinned,
            idle_s=now_s - self.idle_since_s if self.is_unused else None,
            load_s=self.load_s or 1.0,
            had_its_turn=self.state is EngineState.READY and not self.is_idle and had_its_turn,
            ready_s=self.ready_since_s,
        )
