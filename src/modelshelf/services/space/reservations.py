"""Room on a tier, reserved before a byte is written."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from modelshelf.domain.jobs import ReservedRow
from modelshelf.domain.ports import Clock
from modelshelf.domain.tiers import Room, Tier, check_fits, outstanding, with_holders
from modelshelf.errors import OutOfSpace, ShelfError, Unavailable
from modelshelf.registry.registry import Registry
from modelshelf.services.jobs.process import is_alive
from modelshelf.services.jobs.recovery import recover_dead_owners
from modelshelf.services.space.tiers import TierService
from modelshelf.store.layout import Base
from modelshelf.store.tiers import marker, meter

_PLENTY = 2**62
_LOOKS = 3
"""How often a refusal is measured again, because a measurement while others write is too high."""
_LOOK_AGAIN_S = 0.6
"""By then every writer has reported once more what it wrote, in seconds; see `jobs.running.TICK_S`."""


@dataclass(slots=True)
class Reservation:
    """A held reservation."""

    registry: Registry
    id: int
    remaining_bytes: int
    released: bool = False
    _mutex: threading.Lock = field(default_factory=threading.Lock)

    def wrote(self, count_bytes: int) -> None:
        """Count bytes that are on the disk now and no longer reserved."""
        with self._mutex:
            self.remaining_bytes -= count_bytes

    def renew(self) -> None:
        """Tell the registry how many bytes remain, and that the owner lives.

        Raises:
            Unavailable: The reservation expired while this process slept, and others may have its room.
        """
        with self._mutex:
            if self.released:
                return
            there = self.registry.reservations.shrink(self.id, self.remaining_bytes)
        if not there:
            raise Unavailable("The reservation of space ran out while the work stood still.", retry_after_s=0)

    def release(self) -> None:
        """Release the reservation."""
        with self._mutex:
            self.released = True
            self.registry.reservations.release(self.id)


class Admission:
    """Decides what fits, over every process that shares the registry."""

    def __init__(self, registry: Registry, tiers: TierService, owner: str, clock: Clock) -> None:
        self._registry = registry
        self._tiers = tiers
        self._owner = owner
        self._clock = clock

    @contextlib.contextmanager
    def reserve(
        self, tier: Tier, tier_id: str, need: Callable[[], int], *, takes_disk: bool = True, is_last: bool = True
    ) -> Iterator[Reservation]:
        """Reserve room on a tier inside the context.

        Args:
            tier: The tier.
            tier_id: Its id.
            need: Returns how many bytes are missing on the disk now.
            takes_disk: Whether they take space on the file system; links don't.
            is_last: Whether nothing makes room after a refusal, which then names the tiers that have some.

        Raises:
            OutOfSpace: They don't fit; nothing was reserved.
        """

        def commit(decision: _Decision) -> int | None:
            recover_dead_owners(self._registry)
            return self._registry.reservations.add(
                tier_id, decision.device, self._owner, decision.decide, decision.seen
            )

        measure = partial(self._measure, tier, tier_id, need, takes_disk=takes_disk, keep=True)
        decision, reservation_id = self._admit(tier, measure, commit, is_last=is_last)
        reservation = Reservation(self._registry, reservation_id, decision.need_bytes)
        try:
            yield reservation
        finally:
            reservation.release()

    def check(
        self,
        tier: Tier,
        tier_id: str,
        need_bytes: int,
        *,
        takes_disk: bool = True,
        on_short: Callable[[Room], object] = lambda room: None,
        is_last: bool = True,
    ) -> None:
        """Raise unless so many bytes would fit on a tier now; nothing is reserved or written.

        Args:
            tier: The tier.
            tier_id: Its id; empty if its base doesn't exist yet.
            need_bytes: How many bytes.
            takes_disk: Whether they would take space on the file system.
            on_short: Called with the tier's numbers if they don't fit: a plan to make room needn't measure again.
            is_last: As for `reserve`.

        Raises:
            OutOfSpace: They don't fit.
        """

        def commit(decision: _Decision) -> int:
            held = self._held()
            try:
                return decision.decide(held)
            except OutOfSpace:
                on_short(decision.room(held))
                raise

        measure = partial(self._measure, tier, tier_id, lambda: need_bytes, takes_disk=takes_disk)
        self._admit(tier, measure, commit, is_last=is_last)

    def _admit(
        self,
        tier: Tier,
        measure: Callable[[], _Decision],
        commit: Callable[[_Decision], int | None],
        *,
        is_last: bool,
    ) -> tuple[_Decision, int]:
        looks = 0
        while True:  # whoever has to measure again has seen another one admitted, so somebody always makes progress
            decision = measure()
            try:
                result = commit(decision)
            except OutOfSpace as err:
                looks += 1
                if looks < _LOOKS and decision.before:
                    self._clock.sleep(_LOOK_AGAIN_S)
                    continue
                if not is_last:
                    raise
                raise self.with_holders(err, tier, decision.need_bytes) from err
            if result is not None:
                return decision, result

    def _held(self) -> list[ReservedRow]:
        """Return all reservations except those of dead owners."""
        held = self._registry.reservations.all()
        dead = {owner for owner in {reservation.owner for reservation in held} if is_alive(owner) is False}
        return [reservation for reservation in held if reservation.owner not in dead]

    def _measure(
        self, tier: Tier, tier_id: str, need: Callable[[], int], *, takes_disk: bool, keep: bool = False
    ) -> _Decision:
        base = Base(self._tiers.path(tier))
        seen = self._registry.reservations.admissions()  # before the disk: see `Reservations.add`, `outstanding`
        before = self._held()
        usage = meter.measure(base, keep=keep)
        return _Decision(
            tier=tier,
            tier_id=tier_id,
            device=marker.device(base),
            seen=seen,
            before=before,
            usage_bytes=usage.written_bytes,
            free_bytes=marker.free_bytes(base) if takes_disk else _PLENTY,
            need_bytes=need(),
        )

    def room(self, tier: Tier) -> Room:
        """Return a tier's numbers now; advice, not a promise."""
        decision = self._measure(tier, self._tiers.check_writable(tier), lambda: 0, takes_disk=True)
        return decision.room(self._held())

    def with_holders(self, err: OutOfSpace, tier: Tier, need_bytes: int) -> OutOfSpace:
        """Return a tier's error with the other tiers of the settings that have room; these are measured."""
        found = []
        for other in self._tiers.configured():
            if other.base != tier.base:
                with contextlib.suppress(ShelfError):
                    found.append((other.location, self._tiers.headroom_bytes(other)))
        return with_holders(err, need_bytes, found)


@dataclass(frozen=True, slots=True)
class _Decision:
    """The measurements for one admission."""

    tier: Tier
    tier_id: str
    device: str
    seen: Mapping[str, int]
    before: Sequence[ReservedRow]
    usage_bytes: int
    free_bytes: int
    need_bytes: int

    def decide(self, now: Sequence[ReservedRow]) -> int:
        """Return the bytes to reserve, given the reservations at the moment of decision.

        Raises:
            OutOfSpace: They don't fit.
        """
        check_fits(self.need_bytes, self.tier, self.room(now))
        return self.need_bytes

    def room(self, now: Sequence[ReservedRow]) -> Room:
        """Return the tier's numbers, given the reservations at the moment of decision."""
        before = self.before
        return Room(
            limit_bytes=self.tier.limit_bytes,
            usage_bytes=self.usage_bytes,
            reserved_bytes=outstanding(_of_tier(before, self.tier_id), _of_tier(now, self.tier_id)),
            free_bytes=self.free_bytes,
            reserved_on_disk_bytes=outstanding(_of_device(before, self.device), _of_device(now, self.device)),
        )


def _of_tier(reservations: Sequence[ReservedRow], tier_id: str) -> dict[int, int]:
    return {r.id: r.remaining_bytes for r in reservations if r.tier_id == tier_id and not r.expired}


def _of_device(reservations: Sequence[ReservedRow], device: str) -> dict[int, int]:
    return {r.id: r.remaining_bytes for r in reservations if r.device == device and not r.expired}
