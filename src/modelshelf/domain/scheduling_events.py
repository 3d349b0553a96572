"""What the scheduler is told, and what it wants done: frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from modelshelf.domain.serving import DeviceMemory, EngineState, Wanted
from modelshelf.errors import ShelfError


@dataclass(frozen=True, slots=True)
class Asked:
    """Somebody wants to use a model; the ticket is granted or refused, once."""

    ticket: int
    wanted: Wanted
    key: str = ""
    """Who asks."""
    keep_alive_s: float | None = None
    """How long it is to stay afterwards; None: as before."""
    pin: bool = False
    """Whether it is never to make room from then on."""
    by_hand: bool = False
    """Whether a person asked to load it; then a recent failure doesn't count, and it is tried again."""


@dataclass(frozen=True, slots=True)
class Done:
    """A request ended, however it ended; or its client left while it waited."""

    ticket: int


@dataclass(frozen=True, slots=True)
class Measured:
    """The memory of each device, as it is now: the answer to `Measure`."""

    memory: Mapping[str, DeviceMemory]


@dataclass(frozen=True, slots=True)
class Reached:
    """A start has come to a state: fetching, promoting, starting."""

    model_id: int
    state: EngineState


@dataclass(frozen=True, slots=True)
class Started:
    """An engine answers."""

    model_id: int
    load_s: float
    """The seconds that this took."""


@dataclass(frozen=True, slots=True)
class StartFailed:
    """An engine didn't start; nothing of it is left."""

    model_id: int
    error: ShelfError
    out_of_memory: bool = False


@dataclass(frozen=True, slots=True)
class Slept:
    """An engine has fallen asleep, as `Sleep` asked."""

    model_id: int


@dataclass(frozen=True, slots=True)
class Woke:
    """An engine that slept answers again, as `Wake` asked."""

    model_id: int


@dataclass(frozen=True, slots=True)
class Died:
    """An engine that answered is gone, and nobody stopped it; or it neither fell asleep nor woke, and was ended."""

    model_id: int
    error: ShelfError


@dataclass(frozen=True, slots=True)
class Stopped:
    """What `Stop` asked for is done: nothing of the engine is left."""

    model_id: int


@dataclass(frozen=True, slots=True)
class Unload:
    """A person wants an engine gone, or its model is removed."""

    model_id: int


@dataclass(frozen=True, slots=True)
class Seen:
    """A model was looked up again: it may have been updated, or be called otherwise."""

    wanted: Wanted


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed; `Scheduler.due_s` says when it matters."""


@dataclass(frozen=True, slots=True)
class Close:
    """The process ends."""


OfEngine = Reached | Started | StartFailed | Slept | Woke | Died | Stopped | Unload
"""What is told of one engine."""
Event = Asked | Done | Measured | OfEngine | Seen | Tick | Close


@dataclass(frozen=True, slots=True)
class Start:
    """Start an engine; ends with `Started` or `StartFailed`, or with `Stopped` where `Stop` came between."""

    wanted: Wanted


@dataclass(frozen=True, slots=True)
class Stop:
    """End an engine, or its start; ends with `Stopped`."""

    model_id: int


@dataclass(frozen=True, slots=True)
class Sleep:
    """Let an idle engine give its device's memory back and keep its process; ends with `Slept` or `Died`."""

    model_id: int


@dataclass(frozen=True, slots=True)
class Wake:
    """Let a sleeping engine answer again; ends with `Woke` or `Died`."""

    model_id: int


@dataclass(frozen=True, slots=True)
class Grant:
    """Let a request go on: the engine of its model is ready and has a slot for it."""

    ticket: int


@dataclass(frozen=True, slots=True)
class Refuse:
    """End a request."""

    ticket: int
    error: ShelfError


@dataclass(frozen=True, slots=True)
class Measure:
    """Look how much memory is free, and say `Measured`."""


Effect = Start | Stop | Sleep | Wake | Grant | Refuse | Measure
