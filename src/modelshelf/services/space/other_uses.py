"""Uses by other programs: what the files of a tier's models say of their readers.

One look at each blob at reconcile, when room is made in earnest, and once an hour in a server; a plan to make room
looks at the models that could leave. Never for each request.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from modelshelf.domain.disks import Mount
from modelshelf.domain.models import ModelRow
from modelshelf.domain.ports import Clock
from modelshelf.domain.reads import PlacementReads, Verdict, judge, judge_alone, why_not_kept
from modelshelf.domain.tiers import Tier
from modelshelf.errors import ShelfError
from modelshelf.registry.registry import Registry
from modelshelf.services.catalog.leases import holding
from modelshelf.services.catalog.models import Library
from modelshelf.services.space.tiers import TierService
from modelshelf.store import mounts
from modelshelf.store.gc import open_files
from modelshelf.store.layout import Base
from modelshelf.store.listing import Listing
from modelshelf.store.repos import read_times
from modelshelf.store.repos.read_times import ReadTimes

Placement = tuple[str, str]
"""A repository and a commit."""
Rows = dict[Placement, list[ModelRow]]
"""The models of placements."""


@dataclass(frozen=True, slots=True)
class OtherUses:
    """Finds uses by other programs."""

    registry: Registry
    library: Library
    tiers: TierService
    clock: Clock

    def look(self, tier: Tier) -> OtherReaders:
        """Return one look at who reads the models of a tier."""
        return OtherReaders(self.registry, self.library, tier, self.clock.now())

    def note(self, tier: Tier) -> list[ModelRow]:
        """Record what other programs used on a tier since the last look; return those models."""
        look, known = self.look(tier), self.registry.reads.judged()
        found = [(look.rows[place], verdict) for place, verdict in look.verdicts().items()]
        verdicts = {row.id: verdict for rows, verdict in found for row in rows}
        fresh = {number: verdict for number, verdict in verdicts.items() if verdict.read_at > known.get(number, 0.0)}
        with contextlib.suppress(ShelfError):  # a full disk, or one that can't be written: the next look finds it again
            self.registry.reads.note(fresh)
        return [row for rows, verdict in found if verdict.used_at is not None for row in rows]

    def note_all(self) -> list[ModelRow]:
        """Record what other programs used on every tier that is there; return those models."""
        return [row for tier in self.tiers.all() if not self.tiers.why_offline(tier) for row in self.note(tier)]


class OtherReaders:
    """One look at the placements of a tier, each of which is looked at when it is asked for.

    Args:
        registry: The registry.
        library: The models as they are.
        tier: The tier.
        now_s: Seconds since 1970.
    """

    def __init__(self, registry: Registry, library: Library, tier: Tier, now_s: float) -> None:
        self._registry, self._library, self._tier, self._now_s = registry, library, tier, now_s
        self._base = Base(Path(tier.base))
        self._verdicts: dict[Placement, Verdict] | None = None
        """Those of the whole tier, once it was looked at."""
        self.listing = Listing()
        """What was seen of the tier's folders."""

    def used(self, rows: Iterable[ModelRow]) -> dict[Placement, float]:
        """Return when other programs used placements since the last look, in seconds since 1970.

        Their own files tell, unless one of them was read meanwhile: only together with those of the whole tier they
        tell a use from a backup. What was used in the rest of the tier is then returned as well.

        Args:
            rows: All models of the placements' repositories.
        """
        if self._verdicts is None and self._mount is not None:
            reads = self._reads(self._placed(rows))
            alone = {place: judge_alone(one, self._now_s) for place, one in reads.items()}
            if None not in alone.values():
                return _used(alone)
        return _used(self.verdicts())

    def verdicts(self) -> dict[Placement, Verdict]:
        """Return what the files of every whole placement say of their readers; nothing of a mount that may hang."""
        if self._verdicts is None:
            reads = {} if self._mount is None else self._reads(self.rows)
            self._verdicts = dict(zip(reads, judge(list(reads.values()), self._now_s), strict=True))
        return self._verdicts

    @cached_property
    def rows(self) -> Rows:
        """The models of every whole placement: of 100,000 models a full primary may have few."""
        return self._placed(self._registry.models(cache_location=self._tier.location))

    def _placed(self, rows: Iterable[ModelRow]) -> Rows:
        placed: Rows = {}
        for row in rows:
            is_here = row.cache_location == self._tier.location and self._library.base_of(row) == self._tier.base
            if is_here and row.complete and row.commit_hash is not None:
                placed.setdefault((row.hf_path, row.commit_hash), []).append(row)
        return placed

    def _reads(self, placed: Rows) -> dict[Placement, PlacementReads]:
        """Return what is known of the readers of placements, all of their repositories on the tier."""
        of_repo = Counter(repo_id for (repo_id, _), rows in placed.items() for _ in rows)
        reads = {}
        for place, rows in placed.items():
            seen = self._times(rows, is_alone=of_repo[rows[0].hf_path] == 1)
            found = PlacementReads(
                files=seen.times if self._is_kept else (),
                arrived_at=max(row.arrived_at for row in rows),
                judged_at=max(self._judged.get(row.id, 0.0) for row in rows),
                is_mapped=not self.mapped.isdisjoint(seen.identities),
                is_leased=any(row.id in self._leased for row in rows),
            )
            reads[place] = self._with_own(found, rows)
        return reads

    def _times(self, rows: Sequence[ModelRow], *, is_alone: bool) -> ReadTimes:
        first = rows[0]
        repo = self._base.repo(first.hf_path)
        assert first.commit_hash is not None
        if is_alone:
            return read_times.of_repo(repo, first.commit_hash, self.listing)
        files = {file.path: file for row in rows for file in self._library.files(row)}
        return read_times.of_files(repo, first.commit_hash, files.values())

    def _with_own(self, reads: PlacementReads, rows: Sequence[ModelRow]) -> PlacementReads:
        """Add what shelf itself read of a placement that was read since the last look."""
        if max(reads.judged_at, reads.arrived_at) < reads.read_at <= self._now_s:
            ours = self._registry.reads.own_uses([row.id for row in rows], reads.read_at)
            return replace(reads, ours=tuple(ours))
        return reads

    @cached_property
    def _mount(self) -> Mount | None:
        """The tier's mount; None for one that may hang."""
        return None if mounts.mount_that_may_hang(self._base.path) else mounts.mount_of(self._base.path)

    @cached_property
    def _is_kept(self) -> bool:
        """Whether access times say anything here."""
        return self._mount is not None and not why_not_kept(self._mount.options, is_network=self._mount.is_network)

    @cached_property
    def _judged(self) -> dict[int, float]:
        return self._registry.reads.judged()

    @cached_property
    def mapped(self) -> set[tuple[int, int]]:
        """Device and inode of the files that processes had mapped when that was first asked."""
        return open_files.mapped()

    @cached_property
    def _leased(self) -> set[int]:
        return {lease.model_id for lease in holding(self._registry, self._library.tiers, self._tier.base)}


def _used(verdicts: Mapping[Placement, Verdict | None]) -> dict[Placement, float]:
    used_at = {place: verdict.used_at for place, verdict in verdicts.items() if verdict is not None}
    return {place: at for place, at in used_at.items() if at is not None}
