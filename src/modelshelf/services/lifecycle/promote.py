"""Promotion: a model that is used from the slow tier moves to the fast one in the background, if that is worth it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from modelshelf.domain.jobs import Cause
from modelshelf.domain.models import Model
from modelshelf.domain.ports import Clock
from modelshelf.domain.promotion import PromotionDecision, should_promote
from modelshelf.domain.tiers import PRIMARY, SECONDARY, PromoteMode
from modelshelf.domain.watermarks import Watermarks
from modelshelf.errors import ShelfError
from modelshelf.registry.registry import Registry
from modelshelf.services.jobs.runner import JobRunner
from modelshelf.services.lifecycle.move import Mover
from modelshelf.services.space.make_room import RoomMaker
from modelshelf.store.layout import Base
from modelshelf.store.tiers import marker

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Promoter:
    """Decides on promotions and starts them."""

    registry: Registry
    room: RoomMaker
    mover: Mover
    clock: Clock
    mode: PromoteMode
    marks: Watermarks
    runner: JobRunner

    def on_use(self, model: Model) -> None:
        """Start the promotion of a model that is about to be used, if it is worth it; never delays the use."""
        self._start(model, self.clock.now())

    def on_other_use(self, model: Model, used_at: float) -> None:
        """Start the promotion of a model that another program used, if it is worth it; see `OtherUses`."""
        self._start(model, used_at)

    def _start(self, model: Model, used_at: float) -> None:
        if model.row.cache_location != SECONDARY or self.mode == "never":
            return
        try:
            decision = self.decide(model, used_at)
            _log.info("promotion", extra={"model": model.row.model_name, "why": decision.why})
            if decision.promote:
                cause = Cause(f"Promoted: {decision.why}")
                job = self.mover.enqueue(model.row.model_name, PRIMARY, None, keep_source=False, cause=cause)
                self.runner.start_in_background(job)
        except ShelfError as err:
            _log.warning("no_promotion", extra={"model": model.row.model_name, "detail": err.detail})

    def move_first(self, model: Model) -> Callable[[], object] | None:
        """Return what moves a model to the primary before it is used; None where it is used from where it is.

        With `always` it moves first; with `auto` it is used at once, and a promotion runs beside.
        """
        if model.row.cache_location != SECONDARY or self.mode != "always" or not self.decide(model).promote:
            return None
        cause = Cause("Promoted: PROMOTE is always.")
        job = self.mover.enqueue(model.row.model_name, PRIMARY, None, keep_source=False, cause=cause)
        return partial(self.runner.finish, job)

    def decide(self, model: Model, used_at: float | None = None) -> PromotionDecision:
        """Return whether a use would promote a model from the secondary to the primary, and why.

        What began before it came to the secondary doesn't count: else one use would undo the move of a person. It came
        anew with an update and a repair, too.

        Args:
            model: The model.
            used_at: When it was used, in seconds since 1970; None: it is used now.
        """
        tiers = self.room.tiers
        primary, secondary = tiers.settings.primary, tiers.settings.secondary
        assert secondary is not None
        protect, room = {model.row.id}, self.room.admission.room(primary)
        same_disk = marker.device(Base(tiers.path(primary))) == marker.device(Base(tiers.path(secondary)))
        size_bytes, may_evict = model.row.size_bytes, self.room.policy.demote
        coldest = self.room.coldest(primary, size_bytes, room, self.marks, protect) if may_evict else ()
        return should_promote(
            self.mode,
            [at for at in self.registry.uses_at(model.row) if used_at is None or at < used_at],
            self.clock.now(),
            size_bytes,
            room,
            coldest,
            self.marks,
            protect=protect,
            same_disk=same_disk,
        )
