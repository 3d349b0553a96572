"""What makes a view true: the difference between what it should hold and what is there. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from modelshelf.domain.names import ModelName
from modelshelf.domain.views import (
    NOTHING,
    OWN,
    Entry,
    Holding,
    Link,
    Made,
    SourceFile,
    View,
    ViewModel,
    ViewState,
    ViewStatus,
    sync_of,
)


@dataclass(frozen=True, slots=True)
class Making:
    """A name at which something is to be made."""

    path: str
    entry: Entry
    replaces: str
    """The mark of what is there, which we made; nothing as a rule."""


@dataclass(frozen=True, slots=True)
class ViewPlan:
    """The difference between what a view should hold and what is there."""

    make: tuple[Making, ...] = ()
    drop: tuple[str, ...] = ()
    """Paths of what we made and nothing needs any more; what leads to others goes before them."""
    blocked: tuple[str, ...] = ()
    """Paths at which something of somebody else's is."""
    emptied: tuple[str, ...] = ()
    """Folders that we made and that may be empty then, the innermost first: those that are go."""
    during: View | None = None
    """The record while the plan is carried out, which names what is there before and after."""
    after: View | None = None
    """The record afterwards."""

    @property
    def is_true(self) -> bool:
        """Whether nothing has to change, neither in the view nor in its record."""
        return not (self.make or self.drop) and self.during is None

    @property
    def carried_out(self) -> ViewPlan:
        """The difference that is left once all of it is made."""
        return ViewPlan(blocked=self.blocked)


def status_of(view: View, holding: Holding, plan: ViewPlan) -> ViewStatus:
    """Return how a view is, by what would have to change."""
    named = {name: why for name, why in holding.refused.items() if view.models is not None}
    if plan.blocked and not (plan.make or plan.drop):
        detail = f"Something else is at {len(plan.blocked)} of its names. Move it away, then sync the view."
        return ViewStatus(view, ViewState.BLOCKED, detail, named, plan.blocked, sync_of(view))
    if not plan.is_true:
        return ViewStatus(view, ViewState.STALE, "Not as it should be.", named, plan.blocked, sync_of(view))
    return ViewStatus(view, ViewState.TRUE, "", named)


def plan_view(
    view: View,
    holding: Holding,
    seen: Mapping[str, str],
    folders: Collection[str],
    away: Collection[ModelName],
    *,
    has_others: bool = False,
) -> ViewPlan:
    """Return what has to change in a view, or in some sections of it.

    Args:
        view: The view with its record.
        holding: What it should hold.
        seen: The mark of what is at each path of the record and of the holding; see `paths_of`.
        folders: The folders of the holding that don't exist yet.
        away: Models whose drive isn't mounted: what we made for them stays as it is.
        has_others: Whether the view has something of models in sections that this value has not.
    """
    kept = {
        path: made
        for path, made in view.made.items()
        if made.model_name in away and not (path in holding.own or path in holding.entries)
    }
    found = _Comparison(view, seen, {**kept})
    found.compare({path: (entry, holding.made(path)) for path, entry in holding.entries.items()}, holding.is_shared)
    if found.after or has_others:
        common = {path: (entry, Made(None, (entry.mark,))) for path, entry in holding.common.items()}
        found.compare(common, is_shared=False)
    return found.plan({*holding.entries, *found.after}, holding.own, folders)


@dataclass(slots=True)
class _Comparison:
    """What should be in a view beside what is there."""

    view: View
    seen: Mapping[str, str]
    after: dict[str, Made]
    make: list[Making] = field(default_factory=list)
    blocked: list[str] = field(default_factory=list)

    def compare(self, wanted: Mapping[str, tuple[Entry, Made]], is_shared: bool) -> None:
        """Compare what should be at some paths with what is there."""
        for path, (entry, made) in wanted.items():
            there, is_ours = self.seen[path], self.view.is_ours(path, self.seen[path])
            if there == entry.mark:
                self.after |= {path: made} if is_ours else {}
            elif there == NOTHING or is_ours:
                self.make.append(Making(path, entry, there))
                self.after[path] = made
            elif not is_shared:
                self.blocked.append(path)

    def plan(self, wanted: Collection[str], given_up: Collection[str], folders: Collection[str]) -> ViewPlan:
        """Return the plan.

        Args:
            wanted: The paths at which something should be.
            given_up: Paths at which ours becomes somebody else's.
            folders: The folders that don't exist yet.
        """
        view, after = self.view, self.after
        gone = [path for path in view.made if path not in wanted and path not in given_up]
        drop = tuple(path for path in reversed(gone) if view.is_ours(path, self.seen[path]))
        needed = _above(after)
        made_folders = view.folders | {folder for folder in _above(one.path for one in self.make) if folder in folders}
        theirs = _above(path for path in view.made if path in given_up) - needed
        lost = (path for path in view.made if path not in after and path not in given_up)
        emptied = (_above(lost) & made_folders) - needed - theirs
        left = frozenset(made_folders - emptied - theirs)
        then = replace(view, made=after, folders=left, pending=frozenset())
        if then == view and not (self.make or drop):
            return ViewPlan(blocked=tuple(self.blocked))
        both = {path: _both(view.made.get(path), after.get(path)) for path in [*view.made, *after]}
        pending = view.pending | {both[path].section for path in (*(one.path for one in self.make), *drop)}
        during = replace(view, made=both, folders=frozenset(made_folders), pending=pending)
        make = sorted(self.make, key=lambda one: after[one.path].model_name is not None)  # first what all need
        return ViewPlan(tuple(make), drop, tuple(self.blocked), tuple(sorted(emptied, reverse=True)), during, then)


def _above(paths: Iterable[str]) -> set[str]:
    """Return the folders above some paths."""
    one_of_each = {path.rpartition("/")[0]: path for path in paths}
    return {folder for path in one_of_each.values() for folder in folders_of(path)}


def _both(before: Made | None, after: Made | None) -> Made:
    if before is None or after is None or before == after:
        made = after or before
        assert made is not None
        return made
    return replace(after, marks=tuple(dict.fromkeys([*before.marks, *after.marks])))


def take_over(view: View, holding: Holding, below: str) -> tuple[View, dict[str, Entry]]:
    """Return a view's record while it gets what was a model's own, and the entries that it gets.

    Args:
        view: The view.
        holding: What it should hold.
        below: The beginning of their paths.
    """
    entries = {path: entry for path, entry in holding.entries.items() if path.startswith(below)}
    taken = {path: holding.made(path) for path in entries}
    made = {path: _both(view.made.get(path), taken.get(path)) for path in [*view.made, *taken]}
    folders = {folder for path in entries for folder in folders_of(path) if folder.startswith(below.rstrip("/"))}
    pending = view.pending | {one.section for one in taken.values()}
    return replace(view, made=made, folders=view.folders | folders, pending=pending), entries


def claim(view: View, places: Mapping[str, SourceFile], models: Sequence[ViewModel]) -> tuple[View, dict[str, Link]]:
    """Return the record of a view while links take the place of a program's files, and those links by path.

    Args:
        view: The view.
        places: What is to be read at each path.
        models: The models that have it; a path whose file none of them has is left out.
    """
    holding = in_place(places, models)
    kept = {path: places[path] for path in holding.entries}
    names = {*(view.models or ()), *holding.owners.values()}
    taken = {path: holding.made(path) for path in holding.entries}
    made = {path: _both(view.made.get(path), taken.get(path)) for path in [*view.made, *taken]}
    links = {path: entry for path, entry in holding.entries.items() if isinstance(entry, Link)}
    models_now = tuple(sorted(names))
    return replace(view, models=models_now, places={**view.places, **kept}, made=made, pending=frozenset({OWN})), links


def in_place(places: Mapping[str, SourceFile], models: Sequence[ViewModel]) -> Holding:
    """Return what a view holds that stands in the place of a program's own files."""
    found = {SourceFile(model.repo_id, file.path): (model, file) for model in models for file in model.files}
    there = {path: found[source] for path, source in places.items() if source in found}
    entries = {path: Link(file.place) for path, (_, file) in there.items()}
    return Holding(entries, {path: model.model_name for path, (model, _) in there.items()})


def paths_of(view: View, holding: Holding) -> list[str]:
    """Return the paths below a view's root at which something was made or should be."""
    return list(dict.fromkeys([*view.made, *holding.common, *holding.entries]))


def folders_of(path: str) -> Iterator[str]:
    """Yield the folders above a path below a root, the innermost first.

    >>> list(folders_of("org/name/a.gguf"))
    ['org/name', 'org']
    """
    folder = path.rpartition("/")[0]
    while folder:
        yield folder
        folder = folder.rpartition("/")[0]
