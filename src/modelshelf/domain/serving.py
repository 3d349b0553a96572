"""What engines and the door tell each other: endpoints, the states of an engine, and where a ready one answers."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from modelshelf.domain.engine_kinds import Endpoint, EngineKind
from modelshelf.domain.names import ModelName


class EngineState(enum.StrEnum):
    """What serving a model has come to; `services/serving/design.md` has their order."""

    COLD = "cold"
    FETCHING = "fetching"
    PROMOTING = "promoting"
    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"
    ASLEEP = "asleep"
    STOPPED = "stopped"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Served:
    """Where a model answers, for as long as its caller holds it."""

    model_name: ModelName
    """The library's name for it."""
    backend: str
    """The name of its backend."""
    url: str
    """The root of its server, without a slash at the end: `http://127.0.0.1:40123`."""
    upstream_model: str
    """What the field `model` of a request to it must say."""
    key: str = field(default="", repr=False)
    """What it wants as `Authorization: Bearer`; empty where it asks for none."""
    ignores: frozenset[str] = frozenset()
    """Fields of a request that its backend ignores in silence though they change the answer's meaning."""
    cache_location: str = ""
    """The tier from which it was loaded; empty where another machine serves it."""
    takes_tools: bool = True
    """Whether its chat template has a place for tools, or that isn't known; without one, engines leave them out."""
    names_tools: bool = True
    """Whether it obeys a `tool_choice` that names the one function to call."""
    takes_media: bool = True
    """Whether it reads pictures or sounds, or that isn't known; those that don't leave them out, or fail."""
    samples_with: Mapping[str, str] = field(default_factory=dict)
    """Fields without which it takes the likeliest token, whatever a request says of temperature, top_p or seed."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A model as an engine would serve it, looked up before anything is started."""

    model_id: int
    model_name: ModelName
    kind: EngineKind
    backend: str
    """The name of the backend that was chosen for it."""
    needs_bytes: int
    """What it takes in memory, by its files; 0 where that isn't known, or where another machine serves it."""
    keep_alive_s: float | None = None
    """How long it stays when it is idle: its own wish; None: as the setting says; negative: for ever."""
    slots: int = 1
    """How many requests its engine answers side by side."""
    endpoints: frozenset[Endpoint] = frozenset(Endpoint)
    """What its engine answers."""
    no_template: str = ""
    """What to do about its missing chat template, in sentences; empty where its engine can do without."""
    device: str = ""
    """Whose memory it takes: a graphics card's name, or empty for the machine's own."""
    version: str = ""
    """What an engine of it was started as: commit, file, backend, arguments; another text asks for a new start."""
    is_elsewhere: bool = False
    """Whether another program serves it, so that it takes no room here."""
    asleep_bytes: int = 0
    """What its engine keeps in the machine's own memory while it sleeps; 0: it can't sleep."""

    def needs_of(self, device: str) -> int:
        """Return what its engine takes of a device's memory while it is awake."""
        return self.needs_bytes if self.device == device else 0


@dataclass(frozen=True, slots=True)
class Load:
    """The start of an engine, when it is over."""

    model_name: ModelName
    backend: str
    load_s: float | None
    """The seconds until it answered; None: it failed."""


@dataclass(frozen=True, slots=True)
class DeviceMemory:
    """The memory of the machine or of a graphics card, in bytes, as it is now."""

    free_bytes: int
    total_bytes: int


@dataclass(frozen=True, slots=True)
class EngineStatus:
    """What people are shown of a model that is served or asked for: a copy, old when it is read."""

    model_name: ModelName
    kind: EngineKind
    state: EngineState
    backend: str
    memory_bytes: int
    """What its processes hold; what it will need, until it is ready."""
    in_flight: int
    """Requests that it answers now."""
    queued: int
    """Requests that wait for it."""
    keep_alive_s: float
    """How long it stays when it is idle; negative: for ever."""
    unload_in_s: float | None = None
    """Seconds until it goes, if nobody asks it; None while it is busy, or stays."""
    pinned: bool = False
    """Whether it may not make room for another model."""
    load_s: float | None = None
    """The seconds that its start took; None until it is ready."""
    reason: str = ""
    """Why it failed last, in a sentence."""
    tail: tuple[str, ...] = ()
    """The last lines that the failed one wrote."""
