"""Where something of a size would go now: memory, primary, secondary. Only advice: nothing is reserved or changed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import psutil

from modelshelf.domain.choices import Fit
from modelshelf.domain.model_memory import rough_bytes
from modelshelf.domain.tiers import PRIMARY, SECONDARY, Tier
from modelshelf.errors import ShelfError
from modelshelf.services.space.make_room import RoomMaker


@dataclass(frozen=True, slots=True)
class Fits:
    """Says what fits."""

    room: RoomMaker

    def of(self, sizes: Iterable[int], to: Tier | None = None) -> dict[int, Fit]:
        """Return where weights of each of these sizes would go.

        Args:
            sizes: In bytes.
            to: The requested tier; None: the primary, or else the secondary.
        """
        tiers, free_memory = self.room.tiers, psutil.virtual_memory().available
        if to is not None and to.location != PRIMARY:
            room_bytes = tiers.headroom_bytes(to)
            return {s: Fit(rough_bytes(s) <= free_memory, to.location if s <= room_bytes else None) for s in sizes}
        headroom = {tier.location: tiers.headroom_bytes(tier) for tier in tiers.configured()}
        found, may_evict = {}, True
        for size_bytes in sorted(sizes):
            evicts = None
            if may_evict and size_bytes > headroom[PRIMARY]:
                evicts = self._evicted(size_bytes)
                may_evict = evicts is not None
            where = self._where(size_bytes, headroom, evicts)
            found[size_bytes] = Fit(rough_bytes(size_bytes) <= free_memory, where, evicts or ())
        return found

    def _evicted(self, size_bytes: int) -> tuple[str, ...] | None:
        """Return the models that would be evicted from the primary; None if evicting isn't allowed or isn't enough."""
        try:
            plan = self.room.plan(self.room.tiers.settings.primary, size_bytes, model_id=0)
        except ShelfError:
            return None
        return None if plan is None else tuple(plan.model_names)

    @staticmethod
    def _where(size_bytes: int, headroom: dict[str, int], evicts: tuple[str, ...] | None) -> str | None:
        if size_bytes <= headroom[PRIMARY] or evicts is not None:
            return PRIMARY
        return SECONDARY if size_bytes <= headroom.get(SECONDARY, 0) else None
