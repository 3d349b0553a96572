"""A scheduler on a stage: the test says what happens and when, and reads what is to be done as words."""

from __future__ import annotations

from dataclasses import replace

from modelshelf.domain.engine_kinds import EngineKind
from modelshelf.domain.scheduling import Scheduler
from modelshelf.domain.scheduling_events import (
    Asked,
    Died,
    Done,
    Effect,
    Event,
    Grant,
    Measure,
    Measured,
    Refuse,
    Sleep,
    Slept,
    Start,
    Started,
    StartFailed,
    Stop,
    Stopped,
    Tick,
    Unload,
    Wake,
    Woke,
)
from modelshelf.domain.scheduling_rules import Rules
from modelshelf.domain.serving import DeviceMemory, Wanted
from modelshelf.errors import EngineFailed, ShelfError
from tests.fakes.engines import GB, wanted

A, B, C = wanted("a", 1), wanted("b", 2), wanted("c", 3)
EMBED = wanted("embed", 4, kind=EngineKind.EMBED)
ROOMY = DeviceMemory(100 * GB, 100 * GB)


def with_slots(model: Wanted, slots: int) -> Wanted:
    """Return a model whose engine answers so many requests side by side."""
    return replace(model, slots=slots)


class Stage:
    """A scheduler and its time; memory is measured as soon as that is asked for."""

    def __init__(self, rules: Rules | None = None, memory: DeviceMemory = ROOMY) -> None:
        self.scheduler = Scheduler(rules or Rules())
        self.memory = memory
        self.now_s = 0.0
        self.refusals: dict[int, ShelfError] = {}

    def tell(self, event: Event, at_s: float | None = None) -> list[str]:
        """Tell of an event, and of the memory where that is asked for; returns what is to be done."""
        self.now_s = self.now_s if at_s is None else at_s
        words: list[str] = []
        effects = self.scheduler.handle(event, self.now_s)
        while effects:
            effect = effects.pop(0)
            if isinstance(effect, Measure):
                effects += self.scheduler.handle(Measured({"": self.memory}), self.now_s)
            else:
                words.append(self._word(effect))
        return words

    def ask(
        self,
        ticket: int,
        model: Wanted,
        *,
        at_s: float | None = None,
        key: str = "",
        keep_alive_s: float | None = None,
        pin: bool = False,
        by_hand: bool = False,
    ) -> list[str]:
        """Let somebody ask for a model."""
        return self.tell(Asked(ticket, model, key, keep_alive_s, pin, by_hand), at_s)

    def done(self, ticket: int, at_s: float | None = None) -> list[str]:
        """Let a request end."""
        return self.tell(Done(ticket), at_s)

    def started(self, model: Wanted, at_s: float | None = None, load_s: float = 1.0) -> list[str]:
        """Let an engine become ready."""
        return self.tell(Started(model.model_id, load_s), at_s)

    def stopped(self, model: Wanted, at_s: float | None = None) -> list[str]:
        """Let an engine that was told to stop be gone."""
        return self.tell(Stopped(model.model_id), at_s)

    def slept(self, model: Wanted, at_s: float | None = None) -> list[str]:
        """Let an engine have fallen asleep."""
        return self.tell(Slept(model.model_id), at_s)

    def woke(self, model: Wanted, at_s: float | None = None) -> list[str]:
        """Let an engine that slept answer again."""
        return self.tell(Woke(model.model_id), at_s)

    def start_failed(self, model: Wanted, *, out_of_memory: bool = False, at_s: float | None = None) -> list[str]:
        """Let a start fail."""
        error = EngineFailed("It crashed.", tail=("last words",), out_of_memory=out_of_memory)
        return self.tell(StartFailed(model.model_id, error, out_of_memory), at_s)

    def died(self, model: Wanted) -> list[str]:
        """Let a ready engine die."""
        return self.tell(Died(model.model_id, EngineFailed("It died.", tail=("last words",))))

    def unload(self, model: Wanted) -> list[str]:
        """Let a person unload a model."""
        return self.tell(Unload(model.model_id))

    def tick(self, at_s: float) -> list[str]:
        """Let time pass."""
        return self.tell(Tick(), at_s)

    def serve(self, ticket: int, model: Wanted, *, at_s: float | None = None, load_s: float = 1.0) -> None:
        """Start a model for a request, which is then answered."""
        assert self.ask(ticket, model, at_s=at_s) == [f"start {model.model_name}"]
        assert self.started(model, load_s=load_s) == [f"grant {ticket}"]

    def load(self, ticket: int, model: Wanted, *, at_s: float | None = None, load_s: float = 1.0) -> None:
        """Start a model that nobody uses then."""
        self.serve(ticket, model, at_s=at_s, load_s=load_s)
        assert self.done(ticket) == []

    def _word(self, effect: Effect) -> str:
        match effect:
            case Start(model):
                return f"start {model.model_name}"
            case Stop(model_id):
                return f"stop {self.scheduler.engines[model_id].wanted.model_name}"
            case Sleep(model_id):
                return f"sleep {self.scheduler.engines[model_id].wanted.model_name}"
            case Wake(model_id):
                return f"wake {self.scheduler.engines[model_id].wanted.model_name}"
            case Grant(ticket):
                return f"grant {ticket}"
            case Refuse(ticket, error):
                self.refusals[ticket] = error
                return f"refuse {ticket}: {type(error).__name__}"
        raise AssertionError(effect)
