"""What other tiers would cause: who would leave a smaller tier, and what becomes of a base that is left."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from modelshelf.domain.eviction import listed
from modelshelf.domain.setting_changes import moved_base
from modelshelf.domain.tiers import PRIMARY, SECONDARY, Tier, Tiers
from modelshelf.errors import Conflict, OutOfSpace
from modelshelf.services.space.make_room import RoomMaker
from modelshelf.units import format_size


@dataclass(frozen=True, slots=True)
class SettingEffects:
    """Compares tiers with those of this process."""

    room: RoomMaker

    def of(self, after: Tiers) -> dict[str, list[str]]:
        """Return what is caused, in sentences, by the name of the setting that causes it; nothing is changed."""
        now = self.room.tiers.settings
        pairs = ((PRIMARY, now.primary, after.primary), (SECONDARY, now.secondary, after.secondary))
        found: dict[str, list[str]] = {}
        for location, old, new in pairs:
            if old is None:
                continue
            name = f"{location.upper()}_CACHE_"
            if new is None or new.base != old.base:
                found[f"{name}PATH"] = [self._left(old, "" if new is None else new.base)]
            else:
                found[f"{name}LIMIT_GB"] = list(self._limited(old, new))
        return found

    def _left(self, old: Tier, new: str) -> str:
        rows = self.room.registry.models(cache_location=old.location)
        size = format_size(sum(row.size_bytes for row in rows))
        return moved_base(old.location, old.base, new, len(rows), size)

    def _limited(self, old: Tier, new: Tier) -> Iterator[str]:
        if new.limit_bytes is None or self.room.tiers.why_offline(old):
            return
        held_bytes = self.room.tiers.status(replace(old, limit_bytes=new.limit_bytes)).held_bytes
        over_bytes = held_bytes - new.limit_bytes
        if over_bytes <= 0:
            yield f"It holds {format_size(held_bytes)}: nothing has to leave."
            return
        yield f"It holds {format_size(held_bytes)}, {format_size(over_bytes)} more than that."
        try:
            plan = self.room.plan(replace(old, limit_bytes=new.limit_bytes), 0, model_id=0)
        except (OutOfSpace, Conflict) as err:
            yield f"Nothing more fits there: {err.detail}"
            return
        if plan is None:
            yield "Nothing more fits there until a person frees that much."
            return
        names = listed([f"{one.model_name} ({format_size(one.free_bytes)})" for one in plan.victims])
        where = "move to the secondary" if old.location == PRIMARY else "lose their files, which the hub still has"
        yield f"At the next download that needs room there, these {where}: {names}."
