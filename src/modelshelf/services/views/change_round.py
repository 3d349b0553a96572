"""Making all views true after models changed: each for the repositories whose models changed since it last was."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from modelshelf.domain.names import RepoId, ViewRoot
from modelshelf.domain.view_kinds import BY_REPOSITORY, ViewKind
from modelshelf.domain.view_sections import with_namesakes
from modelshelf.domain.views import View, ViewState, default_views
from modelshelf.services.views.kept import NEVER, NO_RECORD, Marks
from modelshelf.services.views.placed import Placed
from modelshelf.services.views.upkeep import Upkeep

Repos = frozenset[RepoId] | None
"""The repositories whose models changed; None: nobody knows, so every model counts."""


@dataclass(slots=True)
class ChangeRound:
    """Goes through the views once; the caller holds their lock.

    **Crash:** a view's mark is written once it is true, so the next round makes it true for the same changes again.
    """

    upkeep: Upkeep
    marks: Marks
    """What views were made true for so far."""
    _placed: dict[Repos, Placed] = field(default_factory=dict)
    _changed: dict[int, Repos] = field(default_factory=dict)

    def go(self, recorded: Sequence[View]) -> None:
        """Make all views true, those that are recorded and what the settings want, as far as that goes."""
        kept = self.upkeep.kept
        newest = kept.registry.changes.newest()
        views, dropped = self._wanted(recorded)
        all_tiers = self.upkeep.of_all_tiers(views)
        if all_tiers is not None and not kept.shows_all_tiers():
            self.upkeep.write(all_tiers)  # before what leaves the primary is replaced
        todo = list(self._scoped(views, all_tiers))
        with_dropped = [*todo, *((view, self._models_of(None, all_tiers)) for view in dropped)]
        self.upkeep.link_beside(with_dropped)
        for view, placed in with_dropped[len(todo) :]:
            if self.upkeep.why_left_alone(view) is None:
                self.upkeep.undo(view, placed)
        failed = {
            self._path(status.view)
            for status in self.upkeep.attempt_all([pair for pair in todo if pair[1].repos != frozenset()])
            if status.state in (ViewState.FAILED, ViewState.AWAY)
        }
        digests = kept.written()
        noted = {path: (digests.get(path, NO_RECORD), newest) for path in map(self._path, views)}
        before = {path: self.marks.views.get(path, (NO_RECORD, NEVER)) for path in failed}
        kept.note(Marks(newest, noted | before))

    def _wanted(self, views: Sequence[View]) -> tuple[list[View], list[View]]:
        """Return the views to keep, with new ones that the settings want, and those that these no longer name."""
        is_there = self.upkeep.of_all_tiers(views) is not None
        is_spread = is_there or self._models_of(self._changed_after(self.marks.change), None).is_spread
        wanted = self.upkeep.kept.wanted(is_spread=is_spread)
        new = [self.upkeep.new(kind, ViewRoot(root)) for kind, root in wanted]
        return default_views(views, new, self.upkeep.kept.unasked.kinds)

    def _scoped(self, views: Sequence[View], all_tiers: View | None) -> Iterator[tuple[View, Placed]]:
        """Yield views with the models that each has to be made true for.

        What is beside `hub` also depends on which folders the view of all tiers made in it.
        """
        digests = self.upkeep.kept.written()
        shown = frozenset[RepoId]() if all_tiers is None else self._scope(all_tiers, digests)
        for view in views:
            repos = self._scope(view, digests)
            if view.kind is ViewKind.CACHE_DIR and view.root == str(self.upkeep.base.path):
                repos = None if repos is None or shown is None else repos | shown
            yield view, self._models_of(repos, all_tiers)

    def _scope(self, view: View, digests: dict[str, str]) -> Repos:
        path = self._path(view)
        repos = self._changed_after(self.marks.change_of(path, digests.get(path, NO_RECORD)))
        return repos if view.kind in BY_REPOSITORY or not repos else None

    def _changed_after(self, change: int) -> Repos:
        if change == NEVER:
            return None
        if change not in self._changed:
            repos = self.upkeep.kept.changed_after(change)
            self._changed[change] = None if repos is None else with_namesakes(repos)
        return self._changed[change]

    def _models_of(self, repos: Repos, all_tiers: View | None) -> Placed:
        if repos not in self._placed:
            self._placed[repos] = Placed(self.upkeep.library) if repos is None else self.upkeep.placed_of(repos)
        self._placed[repos].all_tiers = all_tiers
        return self._placed[repos]

    def _path(self, view: View) -> str:
        return str(self.upkeep.kept.at(view.root).view(view.kind, view.root))
