"""Making room: what doesn't fit on the primary evicts the least recently used models to the secondary."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Collection, Iterator, Sequence, Set
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from modelshelf.domain.eviction import Candidate, EvictionPlan, is_enough, leaving_first, plan_deletion, plan_eviction
from modelshelf.domain.job_params import MoveParams, params_of
from modelshelf.domain.jobs import QUEUED, RUNNING, Cause, Job, JobKind
from modelshelf.domain.models import State
from modelshelf.domain.ports import Clock, Hub
from modelshelf.domain.tiers import PRIMARY, SECONDARY, Room, Tier
from modelshelf.domain.watermarks import Watermarks
from modelshelf.errors import BadInput, Corrupt, NotFound, OutOfSpace, ShelfError
from modelshelf.registry.registry import Registry
from modelshelf.services.catalog.adapters import Adapters
from modelshelf.services.catalog.models import Library
from modelshelf.services.jobs.runner import JobRunner
from modelshelf.services.space.coldest import Coldest, Evidence
from modelshelf.services.space.delete_old_copy import OldCopyDeleter, old_copy
from modelshelf.services.space.enqueue_move import enqueue_move
from modelshelf.services.space.other_uses import OtherUses
from modelshelf.services.space.reservations import Admission, Reservation
from modelshelf.services.space.tiers import TierService
from modelshelf.store.layout import Base
from modelshelf.store.tiers import marker

_log = logging.getLogger(__name__)
_ROUNDS = 3
"""How often room is made again after another process took it."""


@dataclass(frozen=True, slots=True)
class FullPolicy:
    """What happens when a tier is full."""

    demote: bool
    """ON_FULL=demote: a full primary evicts models to the secondary."""
    remove_unpinned: bool
    """ON_SECONDARY_FULL=remove-unpinned: a full secondary deletes files that the hub still has."""
    marks: Watermarks


@dataclass(frozen=True, slots=True)
class RoomMaker:
    """Reserves space, and makes room if there is none."""

    registry: Registry
    tiers: TierService
    admission: Admission
    library: Library
    old_copies: OldCopyDeleter
    hub: Hub
    clock: Clock
    policy: FullPolicy
    runner: JobRunner
    others: OtherUses
    adapters: Adapters

    @contextlib.contextmanager
    def reserve(
        self, tier: Tier, tier_id: str, need: Callable[[], int], *, model_id: int, takes_disk: bool = True
    ) -> Iterator[Reservation]:
        """Reserve room on a tier, after making it if needed and allowed.

        Args:
            tier: The tier.
            tier_id: Its id.
            need: Returns how many bytes are missing on the disk now.
            model_id: The model that they are for, which is never a victim.
            takes_disk: Whether they take space on the file system.

        Raises:
            OutOfSpace: They don't fit, and no room can be made; nothing was moved.
            Conflict: Only pinned or used models keep them from fitting; the error names these.
        """
        cause = self._cause(model_id)
        self._go_on(tier, cause)
        with contextlib.ExitStack() as held:
            for left in reversed(range(_ROUNDS)):
                try:
                    asked = self.admission.reserve(tier, tier_id, need, takes_disk=takes_disk, is_last=False)
                    reservation = held.enter_context(asked)
                    break
                except OutOfSpace as err:
                    waited = self.old_copies.waiting_bytes(Base(Path(tier.base)))
                    self.runner.settle(JobKind.DELETE_OLD_COPY)
                    if left and waited:
                        continue  # that may be enough
                    if left:
                        self.others.note(tier)
                    plan = self.plan(tier, need(), model_id=model_id) if left else None
                    if plan is None:
                        raise self.admission.with_holders(err, tier, need()) from err
                    self._carry_out(tier, plan, cause)  # without victims it fits now
            yield reservation

    def _go_on(self, tier: Tier, cause: Cause) -> None:
        """Finish evictions whose process was killed, needed or not, because half of each copy is there."""
        if tier.location != PRIMARY or not self.policy.demote:
            return
        for job in self.registry.jobs(kind=JobKind.MOVE, state=(QUEUED,)):
            with contextlib.suppress(ShelfError):
                if params_of(job, MoveParams).makes_room:
                    self._finish_demotion(job, cause)

    def check(
        self, tier: Tier, tier_id: str, need_bytes: int, *, model_id: int = 0, takes_disk: bool = True
    ) -> EvictionPlan | None:
        """Return what would be evicted for `need_bytes` to fit; None if they fit without.

        What deleting old copies will free counts as free; nothing is changed.

        Args:
            tier: The tier.
            tier_id: Its id.
            need_bytes: How many bytes are missing on the disk.
            model_id: The model that they are for, which is never a victim; 0 for one that isn't registered yet.
            takes_disk: Whether they take space on the file system.

        Raises:
            OutOfSpace, Conflict: They don't fit, and no room can be made.
        """
        measured: list[Room] = []
        check = partial(self.admission.check, tier, tier_id, takes_disk=takes_disk, is_last=False)
        try:
            check(need_bytes, on_short=measured.append)
            return None
        except OutOfSpace as err:
            waiting_bytes = self.old_copies.waiting_bytes(Base(Path(tier.base)))
            if waiting_bytes:
                with contextlib.suppress(OutOfSpace):
                    check(max(0, need_bytes - waiting_bytes))
                    return None
            room = measured[-1] if takes_disk else None
            plan = self.plan(tier, need_bytes - waiting_bytes, model_id=model_id, room=room)
            if plan is None:
                raise self.admission.with_holders(err, tier, need_bytes) from err
            return plan if plan.victims else None

    def plan(self, tier: Tier, need_bytes: int, *, model_id: int, room: Room | None = None) -> EvictionPlan | None:
        """Return what would be evicted from a tier so that `need_bytes` fit; None if evicting isn't allowed there.

        Args:
            tier: The tier.
            need_bytes: How many bytes.
            model_id: The model that they are for, which is never a victim.
            room: What was just measured there; None: measure.

        Raises:
            OutOfSpace: Even that isn't enough.
            Conflict: Only pinned or used models keep it from being enough.
        """
        try:
            return self._plan(tier, room or self.admission.room(tier), need_bytes, model_id)
        except OutOfSpace as err:
            raise self.admission.with_holders(err, tier, need_bytes) from err

    def _plan(self, tier: Tier, room: Room, need_bytes: int, model_id: int) -> EvictionPlan | None:
        """Plan with the mirrored models that leave first, and with others if those aren't enough."""
        evidence = self._evidence(tier)
        first = self._leaving_first(tier, room, need_bytes, model_id, evidence)
        if not first:
            return self._plan_rest(tier, room, need_bytes, {model_id}, evidence)
        freed_bytes = sum(victim.free_bytes for victim in first)
        room = room.without(freed_bytes)
        rest = EvictionPlan((), 0, need_bytes, 0)
        if need_bytes > room.headroom_bytes:
            protect = {model_id, *(victim.model_id for victim in first)}
            others = self._plan_rest(tier, room, need_bytes, protect, evidence)
            if others is None:
                return None
            rest = others
        return replace(rest, victims=(*first, *rest.victims), free_bytes=rest.free_bytes + freed_bytes)

    def _leaving_first(
        self, tier: Tier, room: Room, need_bytes: int, model_id: int, evidence: Evidence
    ) -> tuple[Candidate, ...]:
        mirrored = Coldest(self.registry, self.library, tier, self._with_hub, mirrored=True, evidence=evidence)
        marks, now_s = self.policy.marks.at_once(), self.clock.now()
        enough = partial(is_enough, need_bytes, room, marks=marks, now_s=now_s, protect={model_id}, only_from_hub=True)
        found = [one for one in mirrored.measure(enough) if one.model_id != model_id]
        if found:
            opened = evidence.opened()
            found = [one for one in found if not mirrored.is_open(one, opened)]
        return leaving_first(need_bytes, room, found, marks, now_s)

    def _plan_rest(
        self, tier: Tier, room: Room, need_bytes: int, protect: Set[int], evidence: Evidence
    ) -> EvictionPlan | None:
        if tier.location == PRIMARY and self.policy.demote and self._takes_more(self.tiers.settings.secondary):
            assert self.tiers.settings.secondary is not None
            same_disk = self._device(tier) == self._device(self.tiers.settings.secondary)
            return self._plan_demotion(tier, room, need_bytes, protect, evidence, same_disk=same_disk)
        if tier.location == SECONDARY and self.policy.remove_unpinned:
            marks, now_s = self.policy.marks.at_once(), self.clock.now()
            enough = partial(is_enough, need_bytes, room, marks=marks, now_s=now_s, protect=protect, only_from_hub=True)
            candidates = Coldest(self.registry, self.library, tier, self._with_hub, evidence=evidence).measure(enough)
            return plan_deletion(need_bytes, room, candidates, marks, now_s, protect=protect)
        return None

    def _evidence(self, tier: Tier) -> Evidence:
        return Evidence(self.adapters.needs(tier), self.others.look(tier))

    def _takes_more(self, tier: Tier | None) -> bool:
        """Return whether models can be moved to a tier at all: it is online and not read-only."""
        return tier is not None and not self.tiers.why_offline(tier) and marker.is_writable(Base(Path(tier.base)))

    def coldest(
        self, tier: Tier, need_bytes: int, room: Room, marks: Watermarks, protect: Collection[int] = ()
    ) -> list[Candidate]:
        """Return the placements on a tier that a plan to evict looks at: the coldest, or all of them.

        Args:
            tier: The tier.
            need_bytes: What is about to be written there.
            room: What was measured there.
            marks: When and how far to make room, and the minimum stay.
            protect: Ids of models that stay.
        """
        enough = partial(is_enough, need_bytes, room, marks=marks, now_s=self.clock.now(), protect=protect)
        return Coldest(self.registry, self.library, tier, evidence=self._evidence(tier)).measure(enough)

    def next_to_leave(self, tier: Tier, is_enough: Callable[[Sequence[Candidate]], bool]) -> list[Candidate]:
        """Return the placements of a tier in the order in which they would leave, as many as are enough.

        Reads by other programs count as they were noted last: nothing looks at the files.
        """
        evidence = Evidence(self.adapters.needs(tier))
        first = Coldest(self.registry, self.library, tier, mirrored=True, evidence=evidence).measure(is_enough)
        known = {one.model_id for one in first}
        others = Coldest(self.registry, self.library, tier, evidence=evidence).measure(is_enough)
        return [*first, *(one for one in others if one.model_id not in known)]

    def _plan_demotion(
        self,
        tier: Tier,
        room: Room,
        need_bytes: int,
        protect: Set[int],
        evidence: Evidence,
        *,
        same_disk: bool,
    ) -> EvictionPlan:
        """Plan until no victim has an open file, and the secondary's file system can hold all of them."""
        coldest, opened = Coldest(self.registry, self.library, tier, evidence=evidence), evidence.opened()
        marks, now_s = self.policy.marks.at_once(), self.clock.now()
        enough = partial(is_enough, need_bytes, room, marks=marks, now_s=now_s, protect=protect)
        assert self.tiers.settings.secondary is not None
        any_may = self.tiers.holds_anything(self.tiers.settings.secondary) and not self.registry.damage()
        while True:
            candidates = coldest.measure(enough)
            plan = plan_eviction(need_bytes, room, candidates, marks, now_s, protect=protect, same_disk=same_disk)
            held = {victim.model_id for victim in plan.victims if coldest.is_open(victim, opened)}
            unfit = {victim.model_id for victim in plan.victims if not (any_may or self._can_leave(victim))}
            if not held and not unfit:
                return plan
            coldest.known = [
                replace(c, leased=c.leased or c.model_id in held) for c in candidates if c.model_id not in unfit
            ]

    def _can_leave(self, victim: Candidate) -> bool:
        """Return whether a victim isn't damaged, and the secondary's file system can hold it at all."""
        assert self.tiers.settings.secondary is not None
        model = self.library.model(victim.model_name)
        if model.state is State.DAMAGED:
            return False
        row = model.row
        try:
            self.tiers.check_storable(
                self.tiers.settings.secondary, row.hf_path, self.library.files(row), row.model_name, row.revision
            )
        except (BadInput, OutOfSpace):
            return False
        return True

    def _with_hub(self, candidate: Candidate) -> Candidate:
        """Ask the hub whether it still has a candidate's commit."""
        row = self.library.row(candidate.model_name)
        assert row.commit_hash is not None
        try:
            return replace(
                candidate, on_hub=self.hub.resolve(row.hf_path, row.commit_hash).commit_hash == row.commit_hash
            )
        except ShelfError:
            return candidate

    def _cause(self, model_id: int) -> Cause:
        """Return the cause of an eviction: the job that brings a model here."""
        running = self.registry.jobs(model_id=model_id, state=(RUNNING,))
        if not running:
            return Cause("Makes room.")
        return Cause(f"Makes room for the {running[0].kind} of {running[0].model_name}.", running[0].id)

    def _carry_out(self, tier: Tier, plan: EvictionPlan, cause: Cause) -> None:
        for victim in plan.victims:
            names = victim.model_names
            _log.info("making_room", extra={"tier": tier.location, "models": names, "free_bytes": victim.free_bytes})
            for name in names:
                if victim.mirrored and victim.on_hub:
                    self._drop(tier, name)
                elif tier.location == PRIMARY:
                    self._demote(name, cause)
                else:
                    self._evict(tier, name, cause)

    def _demote(self, model_name: str, cause: Cause) -> None:
        """Move a whole model to the secondary; returns when its old copy is deleted or waits for its users."""
        secondary = self.tiers.settings.secondary
        assert secondary is not None
        row = self.library.row(model_name)
        try:
            job = enqueue_move(
                self.registry, self.tiers.settings, row, secondary, keep_source=False, makes_room=True, cause=cause
            )
            self._finish_demotion(job, cause)
        except Corrupt as err:
            raise Corrupt(
                f"No room could be made: {model_name}, which was to be evicted, is damaged. {err.detail}",
                hint=f"shelf verify {model_name} --repair",
                **(err.fields | {"model_name": model_name}),
            ) from err

    def _finish_demotion(self, job: Job, cause: Cause) -> None:
        self.runner.finish(job, part_of=cause.parent_id)
        self.runner.settle(JobKind.DELETE_OLD_COPY)

    def _drop(self, tier: Tier, model_name: str) -> None:
        """Remove a mirrored model that the hub still has: nobody registered it, and the next client brings it again."""
        row = self.registry.model(model_name)
        if row is not None:
            base, files = Base(Path(tier.base)), self.library.files(row)
            left = old_copy(self.tiers.settings, base, row.hf_path, row.commit_hash, files)
            self.registry.delete_model(row.id, left)
            self.runner.settle(JobKind.DELETE_OLD_COPY)

    def _evict(self, tier: Tier, model_name: str, cause: Cause) -> None:
        """Delete the files of a model that the hub still has; the model stays registered and can be pulled again."""
        row = self.registry.model(model_name)
        if row is None or row.commit_hash is None:
            raise NotFound(f"{model_name} was removed.")
        self.registry.evict(row, cause)
        self.old_copies.delete(
            Base(Path(tier.base)), row.hf_path, row.commit_hash, self.library.files(row), gone=(row.id,)
        )

    def _device(self, tier: Tier) -> str:
        return marker.device(Base(Path(tier.base)))
