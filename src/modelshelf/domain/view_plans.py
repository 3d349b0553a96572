"""What makes a view true: the difference between what it should hold and what is there. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from modelshelf.domain.names import ModelName
from modelshelf.domain.views import (
    NOTHING,
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
    during: View | None = None
    """The record while the plan is carried out, which names what is there before and after."""
    after: View | None = None
    """The record afterwards."""

    @property
    def is_true(self) -> bool:
        """Whether nothing has to change, neither in the view nor in its record."""
        return not (self.make or self.drop) and self.during is None


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
    view: View, holding: Holding, seen: Mapping[str, str], folders: Collection[str], away: Collection[ModelName]
) -> ViewPlan:
    """Return what has to change in a view.

    Args:
        view: The view with its record.
        holding: What it should hold.
        seen: The mark of what is at each path of the record and of the holding; see `paths_of`.
        folders: The folders of the holding that don't exist yet.
        away: Models whose drive isn't mounted: what we made for them stays as it is.
    """
    ours = {path: made for path, made in view.made.items() if path not in holding.own}
    kept = {path: made for path, made in ours.items() if made.model_name in away and path not in holding.entries}
    make, blocked, after = list[Making](), list[str](), dict[str, Made](kept)
    for path, entry in holding.entries.items():
        there, is_ours = seen[path], view.is_ours(path, seen[path])
        made = Made(holding.owners[path], (entry.mark,))
        if there == entry.mark:
            after |= {path: made} if is_ours else {}
        elif there == NOTHING or is_ours:
            make.append(Making(path, entry, there))
            after[path] = made
        elif not holding.is_shared:
            blocked.append(path)
    gone = [path for path in ours if path not in holding.entries and path not in kept]
    drop = [path for path in reversed(gone) if view.is_ours(path, seen[path])]
    needed = {
        folder for path in {path.rpartition("/")[0]: path for path in after}.values() for folder in folders_of(path)
    }
    made_folders = view.folders | {above for making in make for above in folders_of(making.path) if above in folders}
    then = replace(view, made=after, folders=frozenset(made_folders & needed), is_pending=False)
    if then == view and not (make or drop):
        return ViewPlan(blocked=tuple(blocked))
    both = {path: _both(view.made.get(path), after.get(path)) for path in [*view.made, *after]}
    during = replace(view, made=both, folders=frozenset(made_folders), is_pending=True)
    return ViewPlan(tuple(make), tuple(drop), tuple(blocked), during, then)


def _both(before: Made | None, after: Made | None) -> Made:
    made = after or before
    assert made is not None
    marks = dict.fromkeys([*(before.marks if before else ()), *(after.marks if after else ())])
    return replace(made, marks=tuple(marks))


def take_over(view: View, holding: Holding, below: str) -> tuple[View, dict[str, Entry]]:
    """Return a view's record while it gets what was a model's own, and the entries that it gets.

    Args:
        view: The view.
        holding: What it should hold.
        below: The beginning of their paths.
    """
    entries = {path: entry for path, entry in holding.entries.items() if path.startswith(below)}
    taken = {path: Made(holding.owners[path], (entry.mark,)) for path, entry in entries.items()}
    made = {path: _both(view.made.get(path), taken.get(path)) for path in [*view.made, *taken]}
    folders = {folder for path in entries for folder in folders_of(path) if folder.startswith(below.rstrip("/"))}
    return replace(view, made=made, folders=view.folders | folders, is_pending=True), entries


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
    taken = {path: Made(holding.owners[path], (entry.mark,)) for path, entry in holding.entries.items()}
    made = {path: _both(view.made.get(path), taken.get(path)) for path in [*view.made, *taken]}
    links = {path: entry for path, entry in holding.entries.items() if isinstance(entry, Link)}
    models_now = tuple(sorted(names))
    return replace(view, models=models_now, places={**view.places, **kept}, made=made, is_pending=True), links


def in_place(places: Mapping[str, SourceFile], models: Sequence[ViewModel]) -> Holding:
    """Return what a view holds that stands in the place of a program's own files."""
    found = {SourceFile(model.repo_id, file.path): (model, file) for model in models for file in model.files}
    there = {path: found[source] for path, source in places.items() if source in found}
    entries = {path: Link(file.place) for path, (_, file) in there.items()}
    return Holding(entries, {path: model.model_name for path, (model, _) in there.items()})


def paths_of(view: View, holding: Holding) -> list[str]:
    """Return the paths below a view's root at which something was made or should be."""
    return list(dict.fromkeys([*view.made, *holding.entries]))


def folders_of(path: str) -> Iterator[str]:
    """Yield the folders above a path below a root, the innermost first.

    >>> list(folders_of("org/name/a.gguf"))
    ['org/name', 'org']
    """
    folder = path.rpartition("/")[0]
    while folder:
        yield folder
        folder = folder.rpartition("/")[0]
