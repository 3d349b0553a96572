"""Keeping views true while models change; where no model changed it costs a look at a mark and at the changes."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from modelshelf.domain.names import ModelName, RepoId
from modelshelf.domain.ports import Clock
from modelshelf.domain.view_kinds import DEFAULT_KINDS
from modelshelf.domain.views import Entry
from modelshelf.errors import ShelfError, Unavailable
from modelshelf.services.catalog.models import Library
from modelshelf.services.views.kept import Kept
from modelshelf.store.layout import Base
from modelshelf.store.views import records

if TYPE_CHECKING:
    from modelshelf.services.views.stand_ins import StandIns
    from modelshelf.services.views.views import Views

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ViewKeeper:
    """Keeps views true."""

    library: Library
    clock: Clock
    kept: Kept

    def before_deletion(self) -> None:
        """Let views lead to no file that no registered model needs any more.

        Nothing is done where no model changed since views were last made true.

        Raises:
            Unavailable: Another process has been changing views for too long; the deletion waits.
        """
        if self.kept.has_any() and not self.kept.is_settled():
            self.views().keep_true(look=False)

    def after_change(self, *, look: bool = False) -> None:
        """Make views true after models changed; what fails is left to the next change.

        Args:
            look: Whether to look at each link even where no model changed: a person or a program may have deleted some.
        """
        try:
            if look and self.kept.has_any():
                self.views().keep_true(look=True)
            else:
                self.before_deletion()
        except Unavailable as err:
            _log.warning("views_left", extra={"why": err.detail})

    def folders_with(self, model_name: ModelName, repo_id: RepoId) -> list[str]:
        """Return the folders of other programs that have a model by a view, by path; none where records can't be read.

        Those that stand in a base itself aren't among them.
        """
        try:
            views = [(base, view) for base in self.kept.bases() for view in records.read_all(base)]
            others = [records.filled(base, view, {repo_id}) for base, view in views if view.kind not in DEFAULT_KINDS]
        except (ShelfError, OSError):
            return []
        return sorted({view.root for view in others if view.has(model_name)})

    def stands_in(self, base: Base) -> bool:
        """Return whether a view of all tiers is in a base itself."""
        return base == self.kept.primary and self.kept.shows_all_tiers()

    @contextlib.contextmanager
    def replacing(self, base: Base, repo_id: RepoId) -> Iterator[Mapping[str, Entry]]:
        """Give what takes the place of a repository's copy in a base, by path; see `StandIns.replacing`."""
        with contextlib.ExitStack() as held:
            yield held.enter_context(self.stand_ins().replacing(base, repo_id)) if self.stands_in(base) else {}

    @contextlib.contextmanager
    def renaming(self, old: ModelName, new: ModelName) -> Iterator[None]:
        """Let the views that chose a model choose it by its new name; in between they choose it by both."""
        views = self.views() if self.kept.has_any() else None
        if views is not None:
            views.add_name(old, new)
        yield
        if views is not None:
            views.drop_name(old)
            self.after_change()

    def views(self) -> Views:
        """Return the views."""
        from modelshelf.services.views.upkeep import Upkeep
        from modelshelf.services.views.views import Views

        return Views(Upkeep(self.library, self.clock, self.kept))

    def stand_ins(self) -> StandIns:
        """Return the links in the place of files."""
        from modelshelf.services.views.stand_ins import StandIns
        from modelshelf.services.views.upkeep import Upkeep

        return StandIns(Upkeep(self.library, self.clock, self.kept))
