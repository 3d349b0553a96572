"""Which placements could leave a tier: the least recently used first, measured only as far as a plan needs them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import replace
from itertools import groupby, islice
from pathlib import Path

from modelshelf.domain.adapters import Seen
from modelshelf.domain.eviction import Candidate
from modelshelf.domain.jobs import QUEUED, UNFINISHED, JobKind
from modelshelf.domain.models import ModelRow
from modelshelf.domain.tiers import Tier
from modelshelf.errors import ShelfError
from modelshelf.registry.registry import Registry
from modelshelf.services.catalog.leases import holding
from modelshelf.services.catalog.models import Library
from modelshelf.services.space.lone_snapshot import lone_snapshot
from modelshelf.store.gc import open_files
from modelshelf.store.layout import Base
from modelshelf.store.repos import delete, scan

_NOTHING_SEEN = Seen()
_AT_FIRST = 8
_AT_ONCE = 256
"""Whose models one statement asks for."""
_Group = list[tuple[str, str, float]]
"""Placements that were used last at the same time: repository, commit and that time."""


class Coldest:
    """The placements on a tier; models that share a snapshot are one, held if either is.

    Args:
        registry: The registry.
        library: The models as they are.
        tier: The tier.
        ask: What is still to be found out about a placement that was measured.
        mirrored: Only those that clients' requests brought.
        seen: What says that placements are used beside their own rows.
    """

    def __init__(
        self,
        registry: Registry,
        library: Library,
        tier: Tier,
        ask: Callable[[Candidate], Candidate] = lambda c: c,
        *,
        mirrored: bool = False,
        seen: Seen = _NOTHING_SEEN,
    ) -> None:
        self.known: list[Candidate] = []
        """Those that were measured, the coldest of all."""
        self._registry, self._library, self._tier, self._ask = registry, library, tier, ask
        self._mirrored, self._seen = mirrored, seen
        self._leased = {lease.model_id for lease in holding(registry, library.tiers, tier.base)}
        self._left = self._measured()
        self._blobs: dict[int, Set[tuple[int, int]]] = {}
        """Device and inode of the blobs that were seen, by the model's id."""

    def measure(self, is_enough: Callable[[Sequence[Candidate]], bool]) -> list[Candidate]:
        """Return the coldest placements: as many as are enough, or all of them."""
        while not is_enough(self.known):
            more = list(islice(self._left, max(_AT_FIRST, len(self.known) // 4)))
            if not more:
                break
            self.known += (candidate for alike in more for candidate in alike)
        return self.known

    def _measured(self) -> Iterator[list[Candidate]]:
        """Yield what was used last at the same time, measured: of those the largest is the coldest."""
        placed = self._registry.placements.by_last_use(self._tier.location, mirrored=self._mirrored)
        if self._seen != _NOTHING_SEEN:
            placed = [(repo, commit, self._seen.later((repo, commit), used_at)) for repo, commit, used_at in placed]
            placed.sort(key=lambda one: one[-1])
        alike = (list(dict.fromkeys(group)) for _, group in groupby(placed, key=lambda one: one[-1]))
        for groups in _batches(alike):
            rows = self._registry.models_of({repo_id for group in groups for repo_id, *_ in group})
            for group in groups:
                each = (self._used_last_at(used_at, commit, rows.get(repo, ())) for repo, commit, used_at in group)
                yield [found for found in each if found is not None]

    def _used_last_at(self, used_at: float, commit_hash: str, of_repo: Sequence[ModelRow]) -> Candidate | None:
        """Return a placement; None where there is none on this tier, or one of its models was used later."""
        same = (row for row in of_repo if row.complete and row.commit_hash == commit_hash)
        here = [self._as_used(row) for row in same if self._library.base_of(row) == self._tier.base]
        if not here or max(map(_used_at, here)) != used_at:
            return None
        return self._ask(self._candidate(here, of_repo))

    def _as_used(self, row: ModelRow) -> ModelRow:
        """Return a model's row with its last use, also by another program or through an adapter."""
        return replace(row, last_used_at=self._seen.later((row.hf_path, str(row.commit_hash)), _used_at(row)))

    def _candidate(self, rows: Sequence[ModelRow], of_repo: Sequence[ModelRow]) -> Candidate:
        first, free_bytes = rows[0], 0
        with contextlib.suppress(ShelfError):  # what cannot be removed frees nothing
            free_bytes = self._free_bytes(rows, of_repo)
        return Candidate(
            model_name=first.model_name,
            model_id=first.id,
            free_bytes=free_bytes,
            last_used_at=max(map(_used_at, rows)),
            arrived_at=max(row.arrived_at for row in rows),
            pinned=any(row.pinned for row in rows),
            leased=any(row.id in self._leased for row in rows),
            busy=any(_is_busy(row) for row in rows),
            mirrored=all(row.mirrored for row in rows),
            twins=tuple(row.model_name for row in rows[1:]),
            needed_by=self._seen.needed_by((first.hf_path, str(first.commit_hash))),
        )

    def _free_bytes(self, rows: Sequence[ModelRow], of_repo: Sequence[ModelRow]) -> int:
        """Return what evicting a placement frees; its blobs tell where it is alone and as it was when it arrived."""
        first, base = rows[0], Base(Path(self._tier.base))
        assert first.commit_hash is not None
        if (alone := lone_snapshot(base, rows, of_repo)) is not None:
            self._blobs[first.id] = alone.files
            return alone.size_bytes
        where = base, first.hf_path, first.commit_hash
        files = {file.path: file for row in rows for file in self._library.files(row)}
        others = self._library.needed_digests(*where, of_repo)
        return delete.leaving_bytes(base, delete.plan_removal(*where, files.values(), (), others))

    def is_open(self, candidate: Candidate, opened: Set[tuple[int, int]]) -> bool:
        """Return whether one of the files of a placement that was measured is among those that are open."""
        blobs = self._blobs.get(candidate.model_id)
        if blobs is None:
            row = self._library.row(candidate.model_name)
            assert row.commit_hash is not None
            repo = Base(Path(self._tier.base)).repo(row.hf_path)
            blobs = open_files.identities(scan.file_paths(repo, row.commit_hash, self._library.files(row)))
        return not opened.isdisjoint(blobs)


def _batches(groups: Iterator[_Group]) -> Iterator[list[_Group]]:
    """Yield the groups in batches that double, so that few need one short statement, and many not one each."""
    size = _AT_FIRST
    while batch := list(islice(groups, size)):
        yield batch
        size = min(2 * size, _AT_ONCE)


def _used_at(row: ModelRow) -> float:
    return row.last_used_at or row.arrived_at


def _is_busy(row: ModelRow) -> bool:
    """Return whether a job works on a model; a move that its process left, by dying, is gone on with instead."""
    return row.job_state in UNFINISHED and not (row.job_kind == JobKind.MOVE and row.job_state == QUEUED)
