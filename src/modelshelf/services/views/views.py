"""Views: adding, removing and listing them, and keeping what they hold true.

A view is made true after every change of models, and before a copy of one is deleted: both copies exist when its links
switch, so that none ever dangles.

**Concurrency:** one process changes views at a time; which models there are is read under its lock.
**Crash:** the next change, or `reconcile`, finishes; see `store.views.folder`.
"""

from __future__ import annotations

import logging
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from modelshelf.domain.models import Model
from modelshelf.domain.names import ModelName, RepoId, ViewRoot
from modelshelf.domain.ports import Progress
from modelshelf.domain.view_kinds import ViewKind
from modelshelf.domain.views import View, ViewState, ViewStatus
from modelshelf.errors import Conflict, Denied, NotFound, ShelfError, Unavailable
from modelshelf.services.views.change_round import ChangeRound
from modelshelf.services.views.checks import check_place, check_readable, plan_of
from modelshelf.services.views.placed import Placed
from modelshelf.services.views.upkeep import Upkeep
from modelshelf.store import fs
from modelshelf.store.probe import is_folder
from modelshelf.store.views import records

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Views:
    """The views of one library."""

    upkeep: Upkeep

    def all(self, models: Sequence[Model] | None = None) -> list[ViewStatus]:
        """Return every view as it is now, by `models` if all were read already; nothing is changed.

        Raises:
            BadInput: A record can't be understood.
        """
        views = self.upkeep.recorded()
        placed = Placed(self.upkeep.library, self.upkeep.of_all_tiers(views), models)
        return [self.upkeep.status(self.upkeep.filled(view), placed) for view in views]

    def add(self, kind: ViewKind, root: ViewRoot, names: Sequence[ModelName] | None) -> ViewStatus:
        """Make a view, or add models to one, and make it true.

        Args:
            kind: Whose layout it has.
            root: Its folder, which is created.
            names: The models; None for all, now and later.

        Returns:
            The view as it is then, with every model that its program can't read.

        Raises:
            NotFound: There is no such model.
            BadInput: The program can't read a model, or the folder is inside a base.
            Denied: The folder can't be changed, or can't have links; nothing of the view is left.
        """
        self._check_wish(kind, root, names)
        with self.upkeep.locked():
            there = records.read(self.upkeep.kept.at(root), kind, root)
            view = self.upkeep.filled(self._wished(there or self.upkeep.new(kind, root), names))
            placed = self.upkeep.placed(self.upkeep.recorded())
            check_readable(placed.holding(view), names or ())
            fs.make_folder(Path(root), Path(root))
            self.upkeep.kept.forget()
            self.upkeep.write(view)
            try:
                return replace(self.upkeep.make_true(view, placed), refused=placed.holding(view).refused)
            except (ShelfError, OSError) as err:
                if there is None:
                    self.upkeep.undo(view, placed)
                raise Denied(f"{root} can't have links: {err}", hint="Use a folder on another disk.") from err

    def plan(self, kind: ViewKind, root: ViewRoot, names: Sequence[ModelName] | None) -> ViewStatus:
        """Return the view that `add` would make, with what its program can't read; nothing is changed.

        Raises as `add` does, but for a folder that can't have links.
        """
        self._check_wish(kind, root, names)
        there = records.read(self.upkeep.kept.at(root), kind, root) or self.upkeep.new(kind, root)
        view = self.upkeep.filled(self._wished(there, names))
        placed = self.upkeep.placed(self.upkeep.recorded())
        holding = placed.holding(view)
        check_readable(holding, names or ())
        plan = plan_of(self.upkeep.kept.at(root), view, holding, placed)
        state = ViewState.TRUE if plan.is_true else ViewState.STALE
        return ViewStatus(plan.after or view, state, "", holding.refused, plan.blocked)

    def _check_wish(self, kind: ViewKind, root: ViewRoot, names: Sequence[ModelName] | None) -> None:
        for name in names or ():
            self.upkeep.library.row(name)
        check_place(self.upkeep.library, self.upkeep.kept, kind, root)

    def _wished(self, view: View, names: Sequence[ModelName] | None) -> View:
        """Return a view with more models."""
        both = {*(view.models or ()), *(names or ())}
        chosen = None if names is None or view.models is None else tuple(sorted(both))
        return self.upkeep.led_here(replace(view, models=chosen, by_settings=False))

    def remove(self, kind: ViewKind, root: ViewRoot, names: Sequence[ModelName] = ()) -> ViewStatus:
        """Remove a view and everything that we made in it, or some models from it; returns what is left of it.

        Raises:
            NotFound: There is no such view, or it doesn't hold such a model.
            Conflict: It holds all models, so that none can be taken out, or the settings want it.
            Unavailable: Its folder isn't there: what we made in it can't be deleted.
        """
        with self.upkeep.locked():
            view = self.upkeep.filled(self.upkeep.view(kind, root))
            if kind is ViewKind.ADOPTED:
                hint = f"To give the program its files back: shelf adopt --unlink {shlex.quote(root)}"
                raise Conflict(f"The links in {root} stand in the place of the program's own files.", hint=hint)
            if view.by_settings:
                others = ",".join(sorted(self.upkeep.kept.unasked.kinds - {kind})) or "none"
                raise Conflict(f"The view {kind} {root} is one of VIEWS.", hint=f"Without it: VIEWS={others} in .env.")
            if names and view.models is None:
                raise Conflict(f"The view {kind} {root} holds all models.", hint=f"shelf view rm {kind} {root}")
            if unknown := set(names) - set(view.models or ()):
                raise NotFound(f"The view {kind} {root} doesn't hold {min(unknown)}.", hint="shelf view ls")
            if not is_folder(Path(root)) and view.made:
                hint = f"Mount its drive. If the folder is gone for good: mkdir -p {shlex.quote(root)}, then again."
                raise Unavailable(f"{root} isn't there.", hint=hint)
            left = tuple(name for name in view.models or () if name not in names) if names else ()
            view = self.upkeep.led_here(replace(view, models=left))
            self.upkeep.kept.forget()
            self.upkeep.write(view)
            views = self.upkeep.recorded()
            placed = self.upkeep.placed([other for other in views if names or (other.kind, other.root) != (kind, root)])
            self.upkeep.link_beside([(other, placed) for other in views])
            status = self.upkeep.make_true(view, placed)
            if not names:
                records.remove(self.upkeep.kept.at(root), view)
            return status

    def chosen(self, kind: ViewKind | None, root: ViewRoot | None) -> list[View]:
        """Return the views of a kind and a folder, or all, as `Upkeep.recorded` does; raises NotFound without one."""
        views = [view for view in self.upkeep.recorded() if kind in (None, view.kind) and root in (None, view.root)]
        if not views and kind is not None:
            raise NotFound(f"There is no view {kind} {root or ''}".rstrip() + ".", hint="shelf view ls")
        return views

    def with_model(self, model_name: ModelName, repo_id: RepoId) -> list[View]:
        """Return the views that have a model, whether it was chosen for them or all are; raises as `all` does."""
        filled = (self.upkeep.filled(view, frozenset({repo_id})) for view in self.upkeep.recorded())
        return [view for view in filled if view.has(model_name)]

    def sync(
        self, kind: ViewKind | None = None, root: ViewRoot | None = None, progress: Progress | None = None
    ) -> list[ViewStatus]:
        """Make views true, those of a kind and a folder or all; returns them as they are then; raises as `chosen`.

        The folder of one that is named by it is made again if it was deleted.
        """
        if kind is None and not self.upkeep.kept.has_any():
            return []
        with self.upkeep.locked():
            views = [self.upkeep.led_here(view) for view in self.chosen(kind, root)]
            for view in views if root is not None else ():
                self.upkeep.make_folder(view)
            self.upkeep.kept.forget()
            every = self.upkeep.recorded()
            placed = self.upkeep.placed(every)
            self.upkeep.link_beside([(view, placed) for view in every])
            return self.upkeep.attempt_all([(view, placed) for view in views], progress)

    def keep_true(self, *, look: bool) -> None:
        """Make all views true after models changed, as far as that goes: a view never stops other work.

        Args:
            look: Whether to look at everything, and not at what changed alone.

        Raises:
            Unavailable: Another process holds the lock for too long.
        """
        with self.upkeep.locked():
            try:
                views = self.upkeep.recorded()
            except (ShelfError, OSError) as err:
                _log.warning("views_unread", extra={"why": str(err)})
            else:
                if look:
                    self.upkeep.kept.forget()
                ChangeRound(self.upkeep, self.upkeep.kept.marks()).go(views)

    def add_name(self, old: ModelName, new: ModelName) -> None:
        """Let views that chose a model by its old name choose it by its new one too, before it gets that."""
        self._choose(lambda models: (*models, new) if old in models and new not in models else models)

    def drop_name(self, old: ModelName) -> None:
        """Let no view choose a model by its old name."""
        self._choose(lambda models: tuple(name for name in models if name != old))

    def _choose(self, change: Callable[[tuple[ModelName, ...]], tuple[ModelName, ...]]) -> None:
        with self.upkeep.locked():
            for view in self.upkeep.recorded():
                models = None if view.models is None else tuple(sorted(change(view.models)))
                if models != view.models:
                    self.upkeep.write(replace(view, models=models))
