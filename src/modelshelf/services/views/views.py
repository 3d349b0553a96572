"""Views: adding, removing and listing them, and keeping what they hold true.

A view is made true after every change of models, and before a copy of one is deleted: both copies exist when its links
switch, so that none ever dangles.

**Concurrency:** one process changes views at a time; which models there are is read under its lock.
**Crash:** the next change, or `reconcile`, finishes; see `store.views.folder`.
"""

from __future__ import annotations

import contextlib
import logging
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from modelshelf.domain.models import Model
from modelshelf.domain.names import BasePath, ModelName, RepoId, ViewRoot, repo_folder_name
from modelshelf.domain.ports import Clock, Progress
from modelshelf.domain.views import (
    Entry,
    Link,
    SourceFile,
    View,
    ViewKind,
    ViewState,
    ViewStatus,
    claim,
    default_views,
    status_of,
    take_over,
)
from modelshelf.errors import Conflict, Denied, NotFound, ShelfError, Unavailable
from modelshelf.services.catalog.models import Library
from modelshelf.services.views.checks import check_place, check_readable, plan_of
from modelshelf.services.views.kept import Kept
from modelshelf.services.views.placed import Placed
from modelshelf.store import fs, locks
from modelshelf.store.layout import Base
from modelshelf.store.probe import is_folder, is_there
from modelshelf.store.views import folder, records

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Views:
    """The views of one library."""

    library: Library
    clock: Clock
    kept: Kept

    @property
    def _base(self) -> Base:
        return self.kept.primary

    def all(self, models: Sequence[Model] | None = None) -> list[ViewStatus]:
        """Return every view as it is now, by `models` if all were read already; nothing is changed.

        Raises:
            BadInput: A record can't be understood.
        """
        views = self.recorded()
        placed = Placed(self.library, self._of_all_tiers(views), models)
        return [self._status(view, placed) for view in views]

    def add(self, kind: ViewKind, root: ViewRoot, names: Sequence[ModelName] | None) -> ViewStatus:
        """Make a view, or add models to one, and make it true.

        Args:
            kind: Whose layout it has.
            root: Its folder, which is created.
            names: The models; None for all, now and later.

        Raises:
            NotFound: There is no such model.
            BadInput: The program can't read a model, or the folder is inside a base.
            Denied: The folder can't be changed, or can't have links; nothing of the view is left.
        """
        self._check_wish(kind, root, names)
        with self._locked():
            there = records.read(self.kept.at(root), kind, root)
            view = self._wished(there or self._new(kind, root), names)
            placed = self._placed(self.recorded())
            check_readable(placed.holding(view), names or ())
            fs.make_folder(Path(root), Path(root))
            records.write(self.kept.at(root), view)
            try:
                return self._make_true(view, placed)
            except (ShelfError, OSError) as err:
                if there is None:
                    self._undo(view, placed)
                raise Denied(f"{root} can't have links: {err}", hint="Use a folder on another disk.") from err

    def plan(self, kind: ViewKind, root: ViewRoot, names: Sequence[ModelName] | None) -> ViewStatus:
        """Return the view that `add` would make, with what its program can't read; nothing is changed.

        Raises as `add` does, but for a folder that can't have links.
        """
        self._check_wish(kind, root, names)
        view = self._wished(records.read(self.kept.at(root), kind, root) or self._new(kind, root), names)
        placed = self._placed(self.recorded())
        holding = placed.holding(view)
        check_readable(holding, names or ())
        plan = plan_of(view, holding, placed)
        state = ViewState.TRUE if plan.is_true else ViewState.STALE
        return ViewStatus(plan.after or view, state, "", holding.refused, plan.blocked)

    def _check_wish(self, kind: ViewKind, root: ViewRoot, names: Sequence[ModelName] | None) -> None:
        for name in names or ():
            self.library.row(name)
        check_place(self.library, self.kept, kind, root)

    def _wished(self, view: View, names: Sequence[ModelName] | None) -> View:
        """Return a view with more models."""
        both = {*(view.models or ()), *(names or ())}
        chosen = None if names is None or view.models is None else tuple(sorted(both))
        return self._led_here(replace(view, models=chosen, by_settings=False))

    def remove(self, kind: ViewKind, root: ViewRoot, names: Sequence[ModelName] = ()) -> ViewStatus:
        """Remove a view and everything that we made in it, or some models from it; returns what is left of it.

        Raises:
            NotFound: There is no such view, or it doesn't hold such a model.
            Conflict: It holds all models, so that none can be taken out, or the settings want it.
            Unavailable: Its folder isn't there: what we made in it can't be deleted.
        """
        with self._locked():
            view = self._view(kind, root)
            if kind is ViewKind.ADOPTED:
                hint = f"To give the program its files back: shelf adopt --unlink {shlex.quote(root)}"
                raise Conflict(f"The links in {root} stand in the place of the program's own files.", hint=hint)
            if view.by_settings:
                others = ",".join(sorted(self.kept.unasked.kinds - {kind})) or "none"
                raise Conflict(f"The view {kind} {root} is one of VIEWS.", hint=f"Without it: VIEWS={others} in .env.")
            if names and view.models is None:
                raise Conflict(f"The view {kind} {root} holds all models.", hint=f"shelf view rm {kind} {root}")
            if unknown := set(names) - set(view.models or ()):
                raise NotFound(f"The view {kind} {root} doesn't hold {min(unknown)}.", hint="shelf view ls")
            if not is_folder(Path(root)) and view.made:
                hint = f"Mount its drive. If the folder is gone for good: mkdir -p {shlex.quote(root)}, then again."
                raise Unavailable(f"{root} isn't there.", hint=hint)
            left = tuple(name for name in view.models or () if name not in names) if names else ()
            view = self._led_here(replace(view, models=left))
            records.write(self.kept.at(root), view)
            views = self.recorded()
            self._link_beside(views, placed := self._placed([other for other in views if names or other != view]))
            status = self._make_true(view, placed)
            if not names:
                records.remove(self.kept.at(root), view)
            return status

    def chosen(self, kind: ViewKind | None, root: ViewRoot | None) -> list[View]:
        """Return the views of a kind and a folder, or all, as `recorded` does; raises NotFound without one."""
        views = [view for view in self.recorded() if kind in (None, view.kind) and root in (None, view.root)]
        if not views and kind is not None:
            raise NotFound(f"There is no view {kind} {root or ''}".rstrip() + ".", hint="shelf view ls")
        return views

    def sync(
        self, kind: ViewKind | None = None, root: ViewRoot | None = None, progress: Progress | None = None
    ) -> list[ViewStatus]:
        """Make views true, those of a kind and a folder or all; returns them as they are then; raises as `chosen`."""
        with self._locked():
            views = [self._led_here(view) for view in self.chosen(kind, root)]
            every = self.recorded()
            self._link_beside(every, placed := self._placed(every))
            return self._try_all(views, placed, progress)

    def keep_true(self) -> None:
        """Make all views true after models changed, as far as that goes: a view never stops other work.

        Raises:
            Unavailable: Another process holds the lock for too long.
        """
        with self._locked():
            newest = self.kept.registry.changes.newest()
            try:
                views = self.recorded()
            except (ShelfError, OSError) as err:
                _log.warning("views_unread", extra={"why": str(err)})
                return
            placed = Placed(self.library)
            wanted = self.kept.wanted(is_spread=placed.is_spread)
            new = [self._new(kind, ViewRoot(root)) for kind, root in wanted]
            views, dropped = default_views(views, new, self.kept.unasked.kinds)
            placed.all_tiers = self._of_all_tiers(views)
            if placed.all_tiers is not None and not self.kept.shows_all_tiers():
                records.write(self._base, placed.all_tiers)  # before what leaves the primary is replaced
            self._link_beside([*views, *dropped], placed)
            for view in dropped:
                if self._why_left_alone(view) is None:
                    self._undo(view, placed)
            states = {status.state for status in self._try_all(views, placed)}
            if states.isdisjoint({ViewState.FAILED, ViewState.AWAY}):
                self.kept.note(newest)

    def _try_all(self, views: Sequence[View], placed: Placed, progress: Progress | None = None) -> list[ViewStatus]:
        """Make views true, the links beside `hub` last: they lead to what is in it."""
        found = []
        for number, view in enumerate(sorted(views, key=lambda view: view.kind is ViewKind.CACHE_DIR), 1):
            if progress is not None:
                progress.check()
                progress.phase(f"{view.kind}, {number} of {len(views)}")
            is_beside = view.kind is ViewKind.CACHE_DIR
            now = replace(self._again(view), primary=view.primary) if is_beside else view
            found.append(self._try(now, placed))
        for status in found:
            if status.state is not ViewState.TRUE:
                name = f"{status.view.kind} {status.view.root}"
                _log.info("view_not_true", extra={"view": name, "why": status.detail})
        return found

    def _link_beside(self, views: Sequence[View], placed: Placed) -> None:
        """Make the links beside `hub` true that lead to a view there, before that changes."""
        if self._of_all_tiers(views) is not None:
            for view in views:
                if view.kind is ViewKind.CACHE_DIR and view.root == str(self._base.path):
                    self._try(self._again(view), placed)

    def _again(self, view: View) -> View:
        """Return a view as its record says now."""
        return records.read(self.kept.at(view.root), view.kind, view.root) or view

    @contextlib.contextmanager
    def replacing(self, base: Base, repo_id: RepoId) -> Iterator[Mapping[str, Entry]]:
        """Give the path and entry of what a view in a base itself has of a repository, to take the place of a copy.

        In this context the caller deletes the copy, and renames these over what is there; the record says before that
        they are ours. Nothing without such a view.

        Raises:
            BadInput: A record can't be understood.
        """
        with self._locked():
            view = records.read(self._base, ViewKind.HF, ViewRoot(str(base.path)))
            if view is None or self._why_left_alone(view):
                yield {}
                return
            holding = Placed(self.library).holding(view)
            view, entries = take_over(view, holding, f"hub/{repo_folder_name(repo_id)}/")
            if entries:
                records.write(self._base, view)
            yield {str(base.path / path): entry for path, entry in entries.items()}
            self._try(view, Placed(self.library))

    def is_there(self, kind: ViewKind, root: str) -> bool:
        """Return whether there is a view of this kind in a folder."""
        return is_there(self.kept.at(root).view(kind, root))

    def stand_in(
        self,
        root: ViewRoot,
        places: Mapping[str, SourceFile],
        names: Sequence[ModelName],
        put: Callable[[str, Link], str],
    ) -> dict[str, str]:
        """Let links take the place of a program's own files, and keep these true from then on.

        **Crash:** the record names a link before it is made; a file that is still there stays, and blocks it.

        Args:
            root: The program's folder.
            places: What is to be read in place of each of its files, by path below the root.
            names: The models that have it.
            put: Replaces the file at a path by a link; returns why it didn't, in a sentence, or an empty text.

        Returns:
            By path, why a file stayed.
        """
        with self._locked():
            placed = Placed(self.library)
            view = records.read(self._base, ViewKind.ADOPTED, root) or self._new(ViewKind.ADOPTED, root)
            view, links = claim(self._led_here(view), places, placed.of_names(names))
            records.write(self._base, view)
            stayed = {path: why for path, link in links.items() if (why := put(path, link))}
            left = {path: source for path, source in view.places.items() if path not in stayed}
            self._make_true(replace(view, places=left), placed)
            return stayed | {path: "has no whole model in the library" for path in places if path not in links}

    def give_back(self, root: ViewRoot, give: Callable[[str, Link], None]) -> None:
        """Put files into the places of a program's own again, and keep no links there from then on.

        **Crash:** each place has a link or a file; the same call again finishes.

        Args:
            root: The program's folder.
            give: Replaces the link at a path by what it leads to.

        Raises:
            NotFound: No links stand in for the files of this folder.
            Conflict: A model isn't here; nothing was changed.
        """
        with self._locked():
            view = self._view(ViewKind.ADOPTED, root)
            links = Placed(self.library).holding(view).entries
            ours = [path for path in view.places if view.is_ours(path, folder.mark_at(Path(root), path))]
            if gone := [path for path in ours if path not in links]:
                raise Conflict(f"The model of {root}/{gone[0]} isn't here.", hint="shelf ls says where it is.")
            for path in ours:
                entry = links[path]
                if isinstance(entry, Link):
                    give(path, entry)
            records.remove(self._base, view)

    def add_name(self, old: ModelName, new: ModelName) -> None:
        """Let views that chose a model by its old name choose it by its new one too, before it gets that."""
        self._choose(lambda models: (*models, new) if old in models and new not in models else models)

    def drop_name(self, old: ModelName) -> None:
        """Let no view choose a model by its old name."""
        self._choose(lambda models: tuple(name for name in models if name != old))

    def _choose(self, change: Callable[[tuple[ModelName, ...]], tuple[ModelName, ...]]) -> None:
        with self._locked():
            for view in self.recorded():
                models = None if view.models is None else tuple(sorted(change(view.models)))
                if models != view.models:
                    records.write(self.kept.at(view.root), replace(view, models=models))

    def recorded(self) -> list[View]:
        """Return the views of all bases that can be changed, and of the primary; raises as `records.read_all` does.

        A drive tells of the view in itself alone: on its word nothing elsewhere is taken for ours.
        """
        bases = {base.path: base for base in (self._base, *self.kept.bases())}
        return [view for base in bases.values() for view in records.read_all(base) if self.kept.at(view.root) == base]

    def _placed(self, views: Sequence[View]) -> Placed:
        return Placed(self.library, self._of_all_tiers(views))

    def _of_all_tiers(self, views: Sequence[View]) -> View | None:
        """Return the view of all tiers in the primary base."""
        root = str(self._base.path)
        return next((view for view in views if view.kind is ViewKind.HF and view.root == root), None)

    def _make_true(self, view: View, placed: Placed) -> ViewStatus:
        """Make one view true; return how it is then. The caller holds the lock."""
        if why := self._why_left_alone(view):
            return why
        holding = placed.holding(view)
        plan = plan_of(view, holding, placed)
        if plan.is_true:
            return status_of(view, holding, plan)
        folder.carry_out(self.kept.at(view.root), view, plan)
        return self._status(plan.after or view, placed)

    def _new(self, kind: ViewKind, root: ViewRoot) -> View:
        return self._led_here(View(kind, root, (), self.library.tiers.primary.base))

    def _led_here(self, view: View) -> View:
        """Return a view that leads to the tiers by this process's paths; links beside `hub` lead there by any."""
        if view.kind is ViewKind.CACHE_DIR:
            return replace(view, primary=BasePath(str(self.kept.at(view.root).path)), secondary="")
        secondary = self.library.tiers.secondary
        return replace(view, primary=self.library.tiers.primary.base, secondary=secondary.base if secondary else "")

    def _undo(self, view: View, placed: Placed) -> None:
        """Delete what was made of a view that can't be made; its record stays if that can't be done either."""
        with contextlib.suppress(ShelfError, OSError):
            self._make_true(replace(self._again(view), models=()), placed)
            records.remove(self.kept.at(view.root), view)

    def _try(self, view: View, placed: Placed) -> ViewStatus:
        try:
            return self._make_true(view, placed)
        except (ShelfError, OSError) as err:
            _log.warning("view_failed", extra={"view": f"{view.kind} {view.root}", "why": str(err)})
            return ViewStatus(view, ViewState.FAILED, str(err))

    def _status(self, view: View, placed: Placed) -> ViewStatus:
        holding = placed.holding(view)
        return self._why_left_alone(view) or status_of(view, holding, plan_of(view, holding, placed))

    def _why_left_alone(self, view: View) -> ViewStatus | None:
        if view != self._led_here(view):
            where = " and ".join(filter(None, (view.primary, view.secondary)))
            detail = (
                f"It leads to the library at {where}, and this process has it elsewhere. Mount it there, as"
                f" docker-compose.yml does; or lead the view here: shelf view sync {view.kind} {view.root}"
            )
            return ViewStatus(view, ViewState.FOREIGN, detail)
        if not is_folder(Path(view.root)):
            return ViewStatus(view, ViewState.AWAY, f"{view.root} isn't there.")
        return None

    def _view(self, kind: ViewKind, root: ViewRoot) -> View:
        view = records.read(self.kept.at(root), kind, root)
        if view is None:
            raise NotFound(f"There is no view {kind} {root}.", hint="shelf view ls lists them.")
        return view

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with locks.wait_lock(self._base.path, self._base.views_lock, self.clock):
            yield
