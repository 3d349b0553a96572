"""Cleaning up: measures what could go, and removes what a person selected, as `Remover` and `UnneededFiles` do."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass

from modelshelf.domain.clean import CleanItem, CleanPlan, CleanWish, largest_first, propose, with_bytes
from modelshelf.domain.outcomes import Freed
from modelshelf.errors import ShelfError
from modelshelf.registry.registry import Registry
from modelshelf.services.lifecycle.remove import Remover
from modelshelf.services.lifecycle.unneeded import UnneededFiles
from modelshelf.store.gc import open_files


@dataclass(frozen=True, slots=True)
class Cleaner:
    """Plans what could go, and removes it."""

    registry: Registry
    remover: Remover
    unneeded: UnneededFiles

    def plan(self, wish: CleanWish, now_s: float) -> CleanPlan:
        """Return what could go now, measured, and what is pinned, leased or otherwise held; nothing is changed."""
        snapshots = self.unneeded.find() if wish.revisions else []
        items, kept, opened = list[CleanItem](), list[str](), open_files.opened()
        for item in propose(self.registry.models(), snapshots, wish, now_s):
            try:
                items.append(self._measured(item, opened))
            except ShelfError as err:
                kept.append(err.detail)
        return largest_first(items, kept)

    def _measured(self, item: CleanItem, opened: Set[tuple[int, int]]) -> CleanItem:
        if item.snapshot is not None:
            return item
        self.remover.check(item.model_name, delete_files=True, opened=opened)
        return with_bytes(item, self.remover.plan(item.model_name, delete_files=True).free_bytes)

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
