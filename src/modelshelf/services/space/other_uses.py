"""Uses by other programs: what the files of a tier's models say of their readers.

One look at each blob, when room is made, at reconcile, and once an hour in a server; never for each request.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path

from modelshelf.domain.models import ModelRow
from modelshelf.domain.ports import Clock
from modelshelf.domain.reads import PlacementReads, Verdict, judge, why_not_kept
from modelshelf.domain.tiers import Tier
from modelshelf.errors import ShelfError
from modelshelf.registry.registry import Registry
from modelshelf.services.catalog.leases import holding
from modelshelf.services.catalog.models import Library
from modelshelf.services.space.tiers import TierService
from modelshelf.store import mounts
from modelshelf.store.gc import open_files
from modelshelf.store.layout import Base
from modelshelf.store.repos import read_times
from modelshelf.store.repos.read_times import ReadTimes

Placement = tuple[str, str]
"""A repository and a commit."""


@dataclass(frozen=True, slots=True)
class OtherUses:
    """Finds uses by other programs."""

    registry: Registry
    library: Library
    tiers: TierService
    clock: Clock

    def seen(self, tier: Tier) -> dict[Placement, float]:
        """Return when other programs used placements of a tier since the last look, in seconds since 1970."""
        found = self._judged(tier)
        return {place: verdict.used_at for place, (_, verdict) in found.items() if verdict.used_at is not None}

    def note(self, tier: Tier) -> list[ModelRow]:
        """Record what other programs used on a tier since the last look; return those models."""
        found, known = self._judged(tier), self.registry.reads.judged()
        verdicts = {row.id: verdict for rows, verdict in found.values() for row in rows}
        fresh = {number: verdict for number, verdict in verdicts.items() if verdict.read_at > known.get(number, 0.0)}
        with contextlib.suppress(ShelfError):  # a full disk, or one that can't be written: the next look finds it again
            self.registry.reads.note(fresh)
        used = (rows for rows, verdict in found.values() if verdict.used_at is not None)
        return [row for rows in used for row in rows]

    def note_all(self) -> list[ModelRow]:
        """Record what other programs used on every tier that is there; return those models."""
        return [row for tier in self.tiers.all() if not self.tiers.why_offline(tier) for row in self.note(tier)]

    def _judged(self, tier: Tier) -> dict[Placement, tuple[list[ModelRow], Verdict]]:
        base = Base(Path(tier.base))
        if mounts.mount_that_may_hang(base.path) is not None:
            return {}
        mount = mounts.mount_of(base.path)
        look = _Look(self, tier.location, base, is_kept=not why_not_kept(mount.options, is_network=mount.is_network))
        places = look.places()
        now_s = self.clock.now()
        reads = [self._with_own(reads, look.rows[place], now_s) for place, reads in places.items()]
        return {place: (look.rows[place], found) for place, found in zip(places, judge(reads, now_s), strict=True)}

    def _with_own(self, reads: PlacementReads, rows: list[ModelRow], now_s: float) -> PlacementReads:
        """Add what shelf itself read of a placement that was read since the last look."""
        if max(reads.judged_at, reads.arrived_at) < reads.read_at <= now_s:
            ours = self.registry.reads.own_uses([row.id for row in rows], reads.read_at)
            return replace(reads, ours=tuple(ours))
        return reads


@dataclass(slots=True)
class _Look:
    """One look at the placements of a base."""

    uses: OtherUses
    location: str
    """Whose models: of 100,000 a full primary may have few."""
    base: Base
    is_kept: bool
    """Whether access times say anything here."""
    rows: dict[Placement, list[ModelRow]] = field(default_factory=dict)

    def places(self) -> dict[Placement, PlacementReads]:
        """Return every whole placement with what is known of its readers; fills `rows`."""
        registry, library = self.uses.registry, self.uses.library
        of_repo = Counter[str]()
        for row in registry.models(cache_location=self.location):
            if row.complete and row.commit_hash is not None and library.base_of(row) == str(self.base.path):
                of_repo[row.hf_path] += 1
                self.rows.setdefault((row.hf_path, row.commit_hash), []).append(row)
        judged, mapped = registry.reads.judged(), open_files.mapped()
        leased = {lease.model_id for lease in holding(registry, library.tiers, str(self.base.path))}
        found = {}
        for place, rows in self.rows.items():
            seen = self._times(rows, is_alone=of_repo[rows[0].hf_path] == 1)
            found[place] = PlacementReads(
                files=seen.times if self.is_kept else (),
                arrived_at=max(row.arrived_at for row in rows),
                judged_at=max(judged.get(row.id, 0.0) for row in rows),
                is_mapped=not mapped.isdisjoint(seen.identities),
                is_leased=any(row.id in leased for row in rows),
            )
        return found

    def _times(self, rows: list[ModelRow], *, is_alone: bool) -> ReadTimes:
        first = rows[0]
        repo = self.base.repo(first.hf_path)
        assert first.commit_hash is not None
        if is_alone:
            return read_times.of_repo(repo, first.commit_hash)
        files = {file.path: file for row in rows for file in self.uses.library.files(row)}
        return read_times.of_files(repo, first.commit_hash, files.values())
