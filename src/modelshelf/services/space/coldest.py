"""Which placements could leave a tier: the least recently used first, measured only as far as a plan needs them."""

from __future__ import annotations

import contextlib
import heapq
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

from modelshelf.domain.adapters import Need, Placement, Seen
from modelshelf.domain.eviction import Candidate
from modelshelf.domain.jobs import QUEUED, UNFINISHED, JobKind
from modelshelf.domain.models import ModelRow
from modelshelf.domain.tiers import Tier
from modelshelf.errors import ShelfError
from modelshelf.registry.registry import Registry
from modelshelf.services.catalog.leases import holding
from modelshelf.services.catalog.models import Library
from modelshelf.services.space.lone_snapshot import lone_snapshot
from modelshelf.services.space.other_uses import OtherReaders
from modelshelf.store.gc import open_files
from modelshelf.store.layout import Base
from modelshelf.store.listing import Listing
from modelshelf.store.repos import delete, scan

_AT_FIRST = 8
_AT_ONCE = 256
"""Whose models one statement asks for."""
_Placed = tuple[str, str, float]
"""A placement's repository and commit, and when its row says that it was used last."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What says that placements of a tier are used, beside their own rows in the registry."""

    needs: Mapping[Placement, Need] = field(default_factory=dict)
    """The adapters that need them."""
    others: OtherReaders | None = None
    """Who else used them, asked as far as a plan needs it; None: as it was noted last."""

    def opened(self) -> Set[tuple[int, int]]:
        """Return device and inode of every file that a process has open, or mapped when its readers were looked for."""
        mapped = open_files.mapped() if self.others is None else self.others.mapped
        return open_files.descriptors() | mapped


_NONE = Evidence()


class Coldest:
    """The placements on a tier; models that share a snapshot are one, held if either is.

    Args:
        registry: The registry.
        library: The models as they are.
        tier: The tier.
        ask: What is still to be found out about a placement that was measured.
        mirrored: Only those that clients' requests brought.
        evidence: What says that placements are used beside their own rows.
    """

    def __init__(
        self,
        registry: Registry,
        library: Library,
        tier: Tier,
        ask: Callable[[Candidate], Candidate] = lambda c: c,
        *,
        mirrored: bool = False,
        evidence: Evidence = _NONE,
    ) -> None:
        self.known: list[Candidate] = []
        """Those that were measured, the coldest of all."""
        self._registry, self._library, self._tier, self._ask = registry, library, tier, ask
        self._mirrored, self._others, self._seen = mirrored, evidence.others, Seen({}, evidence.needs)
        self._listing = Listing() if evidence.others is None else evidence.others.listing
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
        """Yield what was used last at the same time, measured: of those the largest is the coldest.

        A row says when that was at the earliest: what another program read or an adapter needs gets its turn later.
        """
        placed = self._registry.placements.by_last_use(self._tier.location, mirrored=self._mirrored)
        rows = dict[str, list[ModelRow]]()
        waiting = list[tuple[float, str, str]]()
        for some, next_at in _batches(placed):
            fresh = self._registry.models_of({repo_id for repo_id, *_ in some} - rows.keys())
            rows |= fresh
            self._look_at(row for of_repo in fresh.values() for row in of_repo)
            for repo_id, commit_hash, used_at in some:
                heapq.heappush(waiting, (self._seen.later((repo_id, commit_hash), used_at), repo_id, commit_hash))
            while waiting and waiting[0][0] < next_at:
                each = (self._used_last_at(*one, rows.get(one[1], ())) for one in _alike(waiting))
                yield [found for found in each if found is not None]

    def _look_at(self, rows: Iterable[ModelRow]) -> None:
        """Find out who else used the placements of models, before their turn comes."""
        if self._others is not None and (used := self._others.used(rows)):
            self._seen = replace(self._seen, used_at={**self._seen.used_at, **used})

    def _used_last_at(
        self, used_at: float, repo_id: str, commit_hash: str, of_repo: Sequence[ModelRow]
    ) -> Candidate | None:
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
        if (alone := lone_snapshot(base.repo(first.hf_path), rows, of_repo, self._listing)) is not None:
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


def _batches(placed: Sequence[_Placed]) -> Iterator[tuple[Sequence[_Placed], float]]:
    """Yield placements in batches that double, so that few need one short statement, and many not one each.

    Each comes with the time that the next one starts with.
    """
    begin, size = 0, _AT_FIRST
    while begin < len(placed):
        end = begin + size
        yield placed[begin:end], placed[end][-1] if end < len(placed) else math.inf
        begin, size = end, min(2 * size, _AT_ONCE)


def _alike(waiting: list[tuple[float, str, str]]) -> list[tuple[float, str, str]]:
    """Take from a heap what has its least time, each once."""
    first = heapq.heappop(waiting)
    found = [first]
    while waiting and waiting[0][0] == first[0]:
        if (one := heapq.heappop(waiting)) != found[-1]:
            found.append(one)
    return found


def _used_at(row: ModelRow) -> float:
    return row.last_used_at or row.arrived_at


def _is_busy(row: ModelRow) -> bool:
    """Return whether a job works on a model; a move that its process left, by dying, is gone on with instead."""
    return row.job_state in UNFINISHED and not (row.job_kind == JobKind.MOVE and row.job_state == QUEUED)
