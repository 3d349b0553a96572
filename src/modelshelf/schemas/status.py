"""What is in use, as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from modelshelf.schemas.jobs import JobJson
from modelshelf.schemas.json_object import JsonObject
from modelshelf.schemas.leases import LeaseJson


@dataclass(frozen=True)
class IndexJson(JsonObject):
    """What a server is, and where things are on it."""

    version: str
    """The version that runs."""
    name: str = "modelshelf"
    """What it is."""
    documentation: str = "/docs"
    """The API as a page; `/openapi.json` describes it for programs."""
    models: str = "/api/models"
    """The models of the library."""
    hub: str = "/hf"
    """The HF_ENDPOINT for Hugging Face programs that fetch from here."""
    health: str = "/healthz"
    """Whether it runs."""


@dataclass(frozen=True)
class SettingsJson(JsonObject):
    """The settings in use."""

    file: str | None
    """The settings file; null without one."""
    library_named_by: str
    """What names the library, if no setting does; empty otherwise."""


@dataclass(frozen=True)
class RegistryJson(JsonObject):
    """The registry in use."""

    id: str | None
    """Its id, which its bases' markers name; null if it can't be read."""
    url: str
    """Where it is; without a password."""
    exists: bool
    """Whether it exists and can be read."""
    detail: str
    """Why it can't be used; empty if it can, or there is none yet."""


@dataclass(frozen=True)
class BaseLibraryJson(JsonObject):
    """The library of a base."""

    id: str
    """The id of its registry."""
    place: str
    """The place of that registry."""


@dataclass(frozen=True)
class BaseJson(JsonObject):
    """A known base."""

    cache_location: str
    """Its tier: `primary`, `secondary` or `custom`."""
    cache_path: str
    """Its path."""
    tier_id: str | None
    """The id in its marker; null without one."""
    online: bool
    """Whether it is online."""
    detail: str
    """Why it is offline, or not ours; empty otherwise."""
    library: BaseLibraryJson | None
    """Its library; null if it belongs to none."""
    ours: bool
    """Whether that is this one."""


@dataclass(frozen=True)
class OtherLibraryJson(JsonObject):
    """Another library of this user on this machine."""

    cache_path: str
    """Its primary base."""
    settings: str | None
    """Its settings file; null without one."""


@dataclass(frozen=True)
class ToolsJson(JsonObject):
    """The folder that Hugging Face programs download to."""

    hub: str
    """The folder of their repositories."""
    why: str
    """The variable that sets it, or that none does."""
    is_primary: bool
    """Whether it is the primary tier's."""


@dataclass(frozen=True)
class ServerJson(JsonObject):
    """A server that runs."""

    url: str
    """Its address."""
    owner: str
    """Its process."""
    started_at: str
    """When it was started."""


@dataclass(frozen=True)
class OwnerJson(JsonObject):
    """A process that runs jobs or holds reservations."""

    owner: str
    """The process."""
    alive: bool | None
    """Whether it runs; null if that can't be told from here."""
    jobs: Sequence[int]
    """The jobs that it runs."""
    reserved_bytes: int
    """Bytes reserved for it."""


@dataclass(frozen=True)
class StatusJson(JsonObject):
    """What is in use: settings, registry, bases, servers, and leases."""

    settings: SettingsJson
    """Which settings are in use."""
    registry: RegistryJson
    """Which registry is in use."""
    bases: Sequence[BaseJson]
    """The known bases."""
    other_libraries: Sequence[OtherLibraryJson]
    """Other libraries of this user on this machine."""
    hugging_face_tools: ToolsJson
    """Where Hugging Face programs download to."""
    servers: Sequence[ServerJson]
    """The running servers."""
    leases: Sequence[LeaseJson]
    """The leases."""
    jobs: Sequence[JobJson]
    """The unfinished jobs."""
    owners: Sequence[OwnerJson]
    """The processes that run jobs or hold reservations."""
    versions: Mapping[str, str]
    """Versions of this program, huggingface_hub, Python and the registry's schema."""


@dataclass(frozen=True)
class HealthJson(JsonObject):
    """That the process runs."""

    status: str
    """`ok`."""
    version: str
    """The version of this program."""


@dataclass(frozen=True)
class ReadyJson(JsonObject):
    """That the registry answers."""

    status: str
    """`ok`."""
