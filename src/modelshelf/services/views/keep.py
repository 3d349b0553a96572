"""Keeping views true while models change; without a view it costs a look into one folder."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from modelshelf.domain.names import ModelName, RepoId
from modelshelf.domain.ports import Clock
from modelshelf.domain.views import Entry, ViewKind
from modelshelf.errors import Unavailable
from modelshelf.services.catalog.models import Library
from modelshelf.store.layout import Base
from modelshelf.store.probe import is_there

if TYPE_CHECKING:
    from modelshelf.services.views.views import Views

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ViewKeeper:
    """Keeps views true."""

    library: Library
    clock: Clock
    kinds: frozenset[ViewKind] = frozenset()
    """See `Views`."""

    def before_deletion(self) -> None:
        """Let views lead to no file that no registered model needs any more.

        Raises:
            Unavailable: Another process has been changing views for too long; the deletion waits.
        """
        if self._has_any():
            self._views().keep_true()

    def after_change(self) -> None:
        """Make views true after models changed; what fails is left to the next change."""
        try:
            self.before_deletion()
        except Unavailable as err:
            _log.warning("views_left", extra={"why": err.detail})

    def stands_in(self, base: Base) -> bool:
        """Return whether a view of all tiers is in a base itself."""
        return is_there(base.view(ViewKind.HF, str(base.path)))

    @contextlib.contextmanager
    def replacing(self, base: Base, repo_id: RepoId) -> Iterator[Mapping[str, Entry]]:
        """Give what takes the place of a repository's copy in a base, by path; see `Views.replacing`."""
        with contextlib.ExitStack() as held:
            yield held.enter_context(self._views().replacing(base, repo_id)) if self.stands_in(base) else {}

    @contextlib.contextmanager
    def renaming(self, old: ModelName, new: ModelName) -> Iterator[None]:
        """Let the views that chose a model choose it by its new name; in between they choose it by both."""
        views = self._views() if self._has_any() else None
        if views is not None:
            views.add_name(old, new)
        yield
        if views is not None:
            views.drop_name(old)
            self.after_change()

    def _has_any(self) -> bool:
        return bool(self.kinds) or any(Base(Path(self.library.tiers.primary.base)).views.glob("*.json"))

    def _views(self) -> Views:
        from modelshelf.services.views.views import Views

        return Views(self.library, self.clock, self.kinds)
