"""Where views are kept without anybody's asking, and whether anything changed since they were last made true."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from modelshelf.domain.outside import object_of, size_of, text_of
from modelshelf.domain.tiers import PRIMARY, Tiers
from modelshelf.domain.views import Unasked, ViewKind
from modelshelf.errors import BadInput, ShelfError
from modelshelf.registry.registry import Registry
from modelshelf.store import fs
from modelshelf.store.layout import Base
from modelshelf.store.probe import is_real_folder, is_there
from modelshelf.store.small_files import read_small_json
from modelshelf.store.tiers import capabilities, governor, marker
from modelshelf.store.views import records

_MOST_CHARS = 65_536


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
        return bool(self.unasked.kinds) or any(records.written(self.at(tier.base)) for tier in self.tiers.configured())

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

    def is_settled(self) -> bool:
        """Return whether views were made true after the last change of a model, of the settings and of a record."""
        try:
            said = object_of(read_small_json(self.primary.views_mark), "around", "change")
            around, change = text_of(said["around"], _MOST_CHARS), size_of(said["change"])
        except (OSError, BadInput):
            return False
        return around == self._around() and not self.registry.changes.has_model_after(change)

    def note(self, newest: int) -> None:
        """Record that views are true for all changes of models up to this one."""
        text = json.dumps({"around": self._around(), "change": newest})
        try:
            fs.write_text(self.primary.path, self.primary.views_mark, text, durable=False)
        except (ShelfError, OSError):
            return  # the next change looks again

    def _around(self) -> str:
        """Return what views depend on beside models, in a text."""
        wanted = sorted((kind, root) for kind, root in self.wanted(is_spread=True))
        secondary = self.tiers.secondary
        found = [self.registry.id, self.tiers.primary.base, secondary.base if secondary else "", wanted, self.written()]
        return json.dumps(found)

    def written(self) -> list[tuple[str, str]]:
        """Return the records, each with a digest of what it says."""
        return [found for base in self.bases() for found in records.written(base)]
