"""Where views are kept without anybody's asking, and whether anything changed since they were last made true."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from modelshelf.domain.outside import object_of, sequence_of, size_of, text_of
from modelshelf.domain.tiers import PRIMARY, Tiers
from modelshelf.domain.view_kinds import ViewKind
from modelshelf.domain.views import Unasked
from modelshelf.errors import BadInput, ShelfError
from modelshelf.registry.registry import Registry
from modelshelf.store import fs
from modelshelf.store.layout import Base
from modelshelf.store.probe import is_real_folder, is_there
from modelshelf.store.small_files import read_small_json
from modelshelf.store.tiers import capabilities, governor, marker
from modelshelf.store.views import records

_MOST_CHARS = 65_536
NEVER = 0
"""Before every change: their ids begin with the second in which the registry was made."""
NO_RECORD = ""
"""The digest of a view that has no record."""


@dataclass(frozen=True, slots=True)
class Marks:
    """What views were made true for."""

    change: int = NEVER
    """The last change of the registry by which it was decided which views there are."""
    views: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    """By the path of a view's record: its digest then, and the last change of the registry that the view follows.

    A view that the settings want and that holds nothing yet has no record, so NO_RECORD as digest.
    """

    def change_of(self, path: str, digest: str) -> int:
        """Return the last change that a view with this record follows; NEVER if that isn't known."""
        noted, change = self.views.get(path, (NO_RECORD, NEVER))
        return change if noted == digest else NEVER


@dataclass(frozen=True, slots=True)
class Kept:
    """The bases with records of views, and the views that the settings want in them."""

    registry: Registry
    tiers: Tiers
    unasked: Unasked

    @property
    def primary(self) -> Base:
        """The base that has the records of all views but those in another base."""
        return Base(Path(self.tiers.primary.base))

    def at(self, root: str) -> Base:
        """Return the base that has the record of a view: its own for one in the secondary, else the primary."""
        secondary = self.tiers.secondary
        return Base(Path(secondary.base)) if secondary and secondary.base == root else self.primary

    def shows_all_tiers(self) -> bool:
        """Return whether a view of all tiers is in the primary itself."""
        return is_there(self.primary.view(ViewKind.HF, str(self.primary.path)))

    def bases(self) -> list[Base]:
        """Return the bases of the settings that are there, ours, and can be changed."""
        return [base for tier in self.tiers.configured() if self.can_change(base := Base(Path(tier.base)))]

    def can_change(self, base: Base) -> bool:
        """Return whether views in a base can be changed: it is mounted, can be written, and isn't another library's."""
        is_ours = not governor.why_not_ours(base, self.registry.id, self.registry.url)
        return is_ours and marker.read_id(base) is not None and marker.is_writable(base)

    def has_any(self) -> bool:
        """Return whether there may be a view to keep."""
        bases = [self.at(tier.base) for tier in self.tiers.configured()]
        return bool(self.unasked.kinds and self.bases()) or any(map(records.written, bases))

    def wanted(self, *, is_spread: bool) -> Iterator[tuple[ViewKind, str]]:
        """Yield kind and root of the views that the settings want and that can be: in bases with links.

        Args:
            is_spread: Whether a model is outside the primary.
        """
        for tier, base in ((tier, Base(Path(tier.base))) for tier in self.tiers.configured()):
            if not (self.can_change(base) and capabilities.of(base).symlinks):
                continue
            is_named = tier.location != PRIMARY or self.unasked.names_primary
            if ViewKind.HF in self.unasked.kinds and base == self.primary and is_spread:
                yield ViewKind.HF, tier.base
            if ViewKind.CACHE_DIR in self.unasked.kinds and is_named and not is_real_folder(base.beside_store):
                yield ViewKind.CACHE_DIR, tier.base

    # --- whether something changed ---

    def marks(self) -> Marks:
        """Return what views were made true for; nothing where they depend on something else by now."""
        try:
            said = object_of(read_small_json(self.primary.views_mark), "around", "change", "views")
            around, change = text_of(said["around"], _MOST_CHARS), size_of(said["change"])
            views = {path: _mark(value) for path, value in object_of(said["views"]).items()}
        except (OSError, BadInput):
            return Marks()
        return Marks(change, views) if around == self._around() else Marks()

    def is_settled(self) -> bool:
        """Return whether views were made true after the last change of a model, of the settings and of a record."""
        marks, written = self.marks(), self.written()
        known = [marks.change_of(path, written.get(path, NO_RECORD)) for path in written.keys() | marks.views.keys()]
        return min(known, default=0) >= marks.change and self.changed_after(marks.change) == frozenset()

    def changed_after(self, change: int) -> frozenset[str] | None:
        """Return the repositories whose models changed after a change; None if that can't be known."""
        return self.registry.changes.repos_after(change)

    def note(self, marks: Marks) -> None:
        """Record what views were made true for."""
        text = json.dumps({"around": self._around(), "change": marks.change, "views": marks.views})
        try:
            fs.write_text(self.primary.path, self.primary.views_mark, text, durable=False)
        except (ShelfError, OSError):
            return  # the next change looks again

    def forget(self) -> None:
        """Let the next change look at every view, whatever becomes of what is begun now."""
        fs.remove_file(self.primary.path, self.primary.views_mark)
        with contextlib.suppress(FileNotFoundError):
            fs.fsync_folder(self.primary.path, self.primary.views)

    def _around(self) -> str:
        """Return what views depend on beside models and their records, in a text."""
        wanted = sorted((kind, root) for kind, root in self.wanted(is_spread=True))
        secondary = self.tiers.secondary
        there = [
            path for path, tier_id in self.registry.tier_ids().items() if marker.read_id(Base(Path(path))) == tier_id
        ]
        shown = self.written().get(str(self.primary.view(ViewKind.HF, str(self.primary.path))), "")
        primary, other = self.tiers.primary.base, secondary.base if secondary else ""
        return json.dumps([self.registry.id, primary, other, wanted, sorted(there), shown])

    def written(self) -> dict[str, str]:
        """Return the records by path, each with a digest of what it says."""
        return {path: digest for base in self.bases() for path, digest in records.written(base).items()}


def _mark(value: object) -> tuple[str, int]:
    digest, change = sequence_of(value, 2)
    return text_of(digest), size_of(change)
