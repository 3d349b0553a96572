"""What is in use here: the settings file, the registry, each base's library, the servers, and the leases."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from modelshelf.domain.jobs import RUNNING, UNFINISHED
from modelshelf.domain.tiers import CUSTOM, Tier, Tiers
from modelshelf.domain.tool_environment import hub_cache
from modelshelf.registry.fast_read import SCHEMA
from modelshelf.registry.registry import Registry
from modelshelf.schemas.jobs import JobJson
from modelshelf.schemas.leases import LeaseJson
from modelshelf.schemas.status import (
    BaseJson,
    BaseLibraryJson,
    OtherLibraryJson,
    OwnerJson,
    RegistryJson,
    ServerJson,
    SettingsJson,
    StatusJson,
    ToolsJson,
)
from modelshelf.services.jobs.process import is_alive
from modelshelf.services.jobs.recovery import as_it_is
from modelshelf.store.known_bases import KnownBases, KnownLibraries
from modelshelf.store.layout import Base
from modelshelf.store.same_place import is_same_place
from modelshelf.store.tiers import governor, marker
from modelshelf.units import rfc3339


@dataclass(frozen=True, slots=True)
class Status:
    """Reads what is in use."""

    env_file: Path | None
    named_by: str
    """See `Settings.named_by`."""
    tiers: Tiers
    known: KnownBases
    libraries: KnownLibraries
    environ: Mapping[str, str]
    """The variables of other tools; see `settings.tool_variables`."""
    url: str
    """Where the registry is; without a password."""
    trouble: str
    """Why the registry can't be used; empty if it can, or there is none yet."""
    registry: Registry | None
    version: str
    """This program's version."""

    def __enter__(self) -> Status:
        """Return itself."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Close the registry."""
        if self.registry is not None:
            self.registry.close()

    def read(self) -> StatusJson:
        """Return the status; nothing is changed."""
        registry = self.registry
        primary = self.tiers.primary.base
        others = {base: env_file for base, env_file in self.libraries.load().items() if base != primary}
        hub, why = hub_cache(self.environ)
        return StatusJson(
            settings=SettingsJson(str(self.env_file) if self.env_file else None, self.named_by),
            registry=RegistryJson(registry.id if registry else None, self.url, registry is not None, self.trouble),
            bases=[self._base(tier) for tier in self._tiers()],
            other_libraries=[OtherLibraryJson(base, file or None) for base, file in others.items()],
            hugging_face_tools=ToolsJson(hub, why, is_same_place(hub, f"{primary}/hub")),
            servers=self._servers(),
            leases=[LeaseJson.of(lease) for lease in registry.leases.all() if not lease.expired] if registry else [],
            jobs=[JobJson.of(as_it_is(job)) for job in registry.jobs(state=UNFINISHED)] if registry else [],
            owners=self._owners(),
            versions={
                "modelshelf": self.version,
                "huggingface_hub": importlib.metadata.version("huggingface_hub"),
                "python": platform.python_version(),
                "schema": SCHEMA,
            },
        )

    def _tiers(self) -> list[Tier]:
        found = {tier.base: tier for tier in self.tiers.configured()}
        known = sorted({*self.known.load(), *(self.registry.tier_ids() if self.registry else ())})
        return [*found.values(), *(Tier(CUSTOM, base, None) for base in known if base not in found)]

    def _base(self, tier: Tier) -> BaseJson:
        base, registry = Base(Path(tier.base)), self.registry
        ids = self.known.load() | (registry.tier_ids() if registry is not None else {})
        named = governor.read(base)
        offline = marker.why_offline(base, ids.get(tier.base))
        elsewhere = governor.why_not_ours(base, registry.id if registry is not None else "", self.url)
        return BaseJson(
            cache_location=tier.location,
            cache_path=tier.base,
            tier_id=marker.read_id(base),
            online=not offline,
            detail=offline or elsewhere,
            library=BaseLibraryJson(named.id, str(named.file(base) or named.place)) if named else None,
            ours=named is not None and not elsewhere,
        )

    def _servers(self) -> list[ServerJson]:
        found = self.registry.servers.all() if self.registry is not None else []
        return [
            ServerJson(server.url, server.owner, rfc3339(server.started_at))
            for server in found
            if is_alive(server.owner) is not False
        ]

    def _owners(self) -> list[OwnerJson]:
        """Return the processes that run jobs or hold reservations; null if that can't be told from here."""
        if self.registry is None:
            return []
        held: dict[str, int] = {}
        for reservation in self.registry.reservations.all():
            held[reservation.owner] = held.get(reservation.owner, 0) + reservation.remaining_bytes
        jobs = self.registry.jobs(state=(RUNNING,))
        owners = sorted({*held, *(job.owner for job in jobs)})
        return [
            OwnerJson(owner, is_alive(owner), [job.id for job in jobs if job.owner == owner], held.get(owner, 0))
            for owner in owners
        ]
