"""Making recorded views true, one by one; see `views` for the order of things.

**Concurrency:** one process changes views at a time, under `locked`; which models there are is read there too.
**Crash:** the next change, or `reconcile`, finishes; see `store.views.folder`.
"""

from __future__ import annotations

import contextlib
import logging
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from modelshelf.domain.names import BasePath, RepoId, ViewRoot
from modelshelf.domain.ports import Clock, Progress
from modelshelf.domain.view_kinds import ViewKind
from modelshelf.domain.view_plans import status_of
from modelshelf.domain.views import View, ViewState, ViewStatus, sync_of
from modelshelf.errors import NotFound, ShelfError
from modelshelf.services.catalog.models import Library
from modelshelf.services.views.checks import plan_of
from modelshelf.services.views.kept import Kept
from modelshelf.services.views.place import was_deleted
from modelshelf.services.views.placed import Placed
from modelshelf.store import fs, locks
from modelshelf.store.layout import Base
from modelshelf.store.probe import is_folder
from modelshelf.store.tiers import governor, marker
from modelshelf.store.views import folder, records

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Upkeep:
    """Makes views true. But for `recorded`, `view` and `status`, which only look, the caller holds the lock."""

    library: Library
    clock: Clock
    kept: Kept

    @property
    def base(self) -> Base:
        """The primary base, which holds the records of most views."""
        return self.kept.primary

    def recorded(self) -> list[View]:
        """Return the views of all bases that can be changed, and of the primary; raises as `records.read_all` does.

        A drive tells of the view in itself alone: on its word nothing elsewhere is taken for ours.
        """
        bases = {base.path: base for base in (self.base, *self.kept.bases())}
        return [view for base in bases.values() for view in records.read_all(base) if self.kept.at(view.root) == base]

    def view(self, kind: ViewKind, root: ViewRoot) -> View:
        """Return the view of a kind in a folder; raises NotFound without one."""
        view = records.read(self.kept.at(root), kind, root)
        if view is None:
            raise NotFound(f"There is no view {kind} {root}.", hint="shelf view ls lists them.")
        return view

    def filled(self, view: View, repos: frozenset[RepoId] | None = None) -> View:
        """Return a view with what was made in it, as its record says now; see `records.filled`."""
        return records.filled(self.kept.at(view.root), view, repos)

    def write(self, view: View) -> None:
        """Record what a view is; what was made in it stays as it is recorded."""
        records.write_choice(self.kept.at(view.root), view)

    def new(self, kind: ViewKind, root: ViewRoot) -> View:
        """Return a view that holds nothing yet; it isn't recorded."""
        return self.led_here(View(kind, root, (), self.library.tiers.primary.base))

    def led_here(self, view: View) -> View:
        """Return a view that leads to the tiers by this process's paths; links beside `hub` lead there by any."""
        if view.kind is ViewKind.CACHE_DIR:
            return replace(view, primary=BasePath(str(self.kept.at(view.root).path)), secondary="")
        secondary = self.library.tiers.secondary
        return replace(view, primary=self.library.tiers.primary.base, secondary=secondary.base if secondary else "")

    def placed(self, views: Sequence[View]) -> Placed:
        """Return the models as views lead to them, read when they are asked for."""
        return Placed(self.library, self.of_all_tiers(views))

    def placed_of(self, repos: frozenset[RepoId], all_tiers: View | None = None) -> Placed:
        """Return the models of some repositories as views lead to them: the view of all tiers, where there is one."""
        rows = [row for of_one in self.kept.registry.models_of(repos).values() for row in of_one]
        return Placed(self.library, all_tiers, self.library.at(rows), repos)

    def of_all_tiers(self, views: Sequence[View]) -> View | None:
        """Return the view of all tiers in the primary base."""
        root = str(self.base.path)
        return next((view for view in views if view.kind is ViewKind.HF and view.root == root), None)

    def make_true(self, view: View, placed: Placed) -> ViewStatus:
        """Make one view true, as far as it is about these models; return how it is then."""
        if why := self.why_left_alone(view):
            return why
        base, view = self.kept.at(view.root), self.filled(view, placed.repos)
        holding = placed.holding(view)
        plan = plan_of(base, view, holding, placed)
        if not plan.is_true:
            view, is_whole = folder.carry_out(base, view, plan)
            if not is_whole:
                return self.status(view, placed)
        return self._told(status_of(view, holding, plan.carried_out))

    def attempt(self, view: View, placed: Placed) -> ViewStatus:
        """Make one view true as `make_true` does; what stops that is the status that is returned."""
        try:
            return self.make_true(view, placed)
        except (ShelfError, OSError) as err:
            _log.warning("view_failed", extra={"view": f"{view.kind} {view.root}", "why": str(err)})
            return ViewStatus(view, ViewState.FAILED, str(err))

    def attempt_all(self, views: Sequence[tuple[View, Placed]], progress: Progress | None = None) -> list[ViewStatus]:
        """Make views true, each for its models, the links beside `hub` last: they lead to what is in it."""
        found = []
        last = sorted(views, key=lambda pair: pair[0].kind is ViewKind.CACHE_DIR)
        for number, (view, placed) in enumerate(last, 1):
            if progress is not None:
                progress.check()
                progress.phase(f"{view.kind}, {number} of {len(views)}")
            found.append(self.attempt(view, placed))
        for status in found:
            if status.state is not ViewState.TRUE:
                name = f"{status.view.kind} {status.view.root}"
                _log.info("view_not_true", extra={"view": name, "why": status.detail})
        return found

    def link_beside(self, views: Sequence[tuple[View, Placed]]) -> None:
        """Make the links beside `hub` true that lead to a view there, before that changes."""
        if self.of_all_tiers([view for view, _ in views]) is not None:
            for view, placed in views:
                if view.kind is ViewKind.CACHE_DIR and view.root == str(self.base.path):
                    self.attempt(view, placed)

    def undo(self, view: View, placed: Placed) -> None:
        """Delete what was made of a view that can't be made; its record stays if that can't be done either."""
        with contextlib.suppress(ShelfError, OSError):
            self.make_true(replace(view, models=()), placed)
            records.remove(self.kept.at(view.root), view)

    def status(self, view: View, placed: Placed) -> ViewStatus:
        """Return a view, which has what was made in it, as it is now."""
        if why := self.why_left_alone(view):
            return why
        holding = placed.holding(view)
        plan = plan_of(self.kept.at(view.root), view, holding, placed)
        return self._told(status_of(view, holding, plan))

    def _told(self, status: ViewStatus) -> ViewStatus:
        """Return a status that names the other library whose links block a view: those are its view, and stay."""
        if status.state is not ViewState.BLOCKED:
            return status
        behind = [marker.base_behind(Path(status.view.root, path)) for path in status.blocked]
        ours = self.kept.registry.id, self.kept.registry.url
        theirs = [str(base.path) for base in behind if base is not None and governor.why_not_ours(base, *ours)]
        if not theirs:
            return status
        where = " and ".join(sorted(set(theirs)))
        detail = f"{len(theirs)} of its names are links of another library, at {where}, whose view is in this folder"
        detail += ": leave them, or give one of the two views a folder of its own."
        if left := len(status.blocked) - len(theirs):
            detail += f" Something else is at {left} more."
        return replace(status, detail=detail, command="")

    def make_folder(self, view: View) -> None:
        """Make the folder of a view again if it was deleted: not where a drive that isn't mounted may have it."""
        root = Path(view.root)
        if view.kind is not ViewKind.CACHE_DIR and was_deleted(root):
            with contextlib.suppress(ShelfError, OSError):  # its status says that it isn't there
                fs.make_folder(root, root)

    def why_left_alone(self, view: View) -> ViewStatus | None:
        """Return the status of a view that this process can't judge: it leads elsewhere, or its folder isn't there."""
        if view != self.led_here(view):
            where = " and ".join(filter(None, (view.primary, view.secondary)))
            detail = (
                f"It leads to the library at {where}, and this process has it elsewhere. Mount it there, as"
                " docker-compose.yml does; or lead the view here."
            )
            return ViewStatus(view, ViewState.FOREIGN, detail, command=sync_of(view))
        if not is_folder(Path(view.root)):
            root = shlex.quote(view.root)
            detail = (
                f"{view.root} isn't there. If it is on a drive, mount that. If it is gone for good: mkdir -p {root},"
                f" then {sync_of(view)}, or shelf view rm {view.kind} {root}"
            )
            return ViewStatus(view, ViewState.AWAY, detail)
        return None

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock under which views change; raises Unavailable if another process has it for too long."""
        with locks.wait_lock(self.base.path, self.base.views_lock, self.clock):
            yield
