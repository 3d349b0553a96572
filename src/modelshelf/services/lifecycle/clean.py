"""Cleaning up: measures what could go, and removes what a person selected, as `Remover` and `UnneededFiles` do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from modelshelf.domain.clean import CleanItem, CleanPlan, CleanWish, largest_first, propose, with_bytes
from modelshelf.domain.freed import Freed
from modelshelf.domain.models import ModelRow
from modelshelf.domain.names import RepoId
from modelshelf.domain.plans import UnneededSnapshot
from modelshelf.errors import ShelfError
from modelshelf.registry.registry import Registry
from modelshelf.services.lifecycle.remove import Remover
from modelshelf.services.lifecycle.unneeded import UnneededFiles
from modelshelf.store.gc import open_files

_SLACK_S = 1.0
"""By so much more is asked for than a wish says, for it is compared in another way."""
_AT_ONCE = 256
"""How many repositories one statement asks."""


@dataclass(frozen=True, slots=True)
class Cleaner:
    """Plans what could go, and removes it."""

    registry: Registry
    remover: Remover
    unneeded: UnneededFiles

    def plan(self, wish: CleanWish, now_s: float) -> CleanPlan:
        """Return what could go now, measured, and what is pinned, leased or otherwise held; nothing is changed."""
        snapshots = self.unneeded.find() if wish.revisions else []
        items, kept, look = list[CleanItem](), list[str](), self.remover.look(open_files.opened())
        rows, of_repo = self._rows(snapshots, wish, now_s), dict[RepoId, list[ModelRow]]()
        for row in rows.values():
            of_repo.setdefault(row.hf_path, []).append(row)
        for item in propose(tuple(rows.values()), snapshots, wish, now_s):
            if item.snapshot is not None:
                items.append(item)
                continue
            try:
                free_bytes = look.free_bytes(rows[item.model_name], of_repo[item.repo_id])
                items.append(with_bytes(item, free_bytes))
            except ShelfError as err:
                kept.append(err.detail)
        return largest_first(items, dict.fromkeys(kept))

    def _rows(self, snapshots: Sequence[UnneededSnapshot], wish: CleanWish, now_s: float) -> dict[str, ModelRow]:
        """Return by name the models that could go, those of the same repositories, and those of the snapshots'."""
        found = self.registry.idle_or_shared(-1 if wish.unused_s is None else now_s - wish.unused_s + _SLACK_S)
        if wanted := {one.repo_id.lower() for one in snapshots}:
            spelled = iter({repo_id for repo_id in self.registry.names().values() if repo_id.lower() in wanted})
            while some := set(islice(spelled, _AT_ONCE)):
                found += (row for rows in self.registry.models_of(some).values() for row in rows)
        return {row.model_name: row for row in sorted(found, key=lambda row: row.model_name)}

    def remove(self, items: Sequence[CleanItem]) -> tuple[list[tuple[CleanItem, Freed]], list[str]]:
        """Remove what was selected; return what went with what that freed, and why the rest stayed, in sentences."""
        gone, left = list[tuple[CleanItem, Freed]](), list[str]()
        for item in items:
            try:
                gone.append((item, self._remove(item)))
            except ShelfError as err:
                left.append(err.detail)
        return gone, left

    def _remove(self, item: CleanItem) -> Freed:
        if item.snapshot is not None:
            return self.unneeded.remove(item.snapshot)
        return self.remover.remove(item.model_name, delete_files=True).freed
