"""The folder of a view: what is at each of its names, and the changes that make it true.

**Crash:** each name leads to the old thing or to the new one. The record names both before the first change, so the
next call tells what is ours, and deletes what a killed one left beside a name.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path

from modelshelf.domain.names import RepoId
from modelshelf.domain.repo_folders import repo_folder_name
from modelshelf.domain.view_plans import Making, ViewPlan, folders_of
from modelshelf.domain.views import NOTHING, OTHER, Link, View, text_mark
from modelshelf.errors import BadInput, Denied, ShelfError
from modelshelf.store import fs
from modelshelf.store.layout import Base
from modelshelf.store.probe import is_real_folder, is_there
from modelshelf.store.small_files import read_small_bytes
from modelshelf.store.views import records

_TEMPORARY = re.compile(rf"\.(.+)\.[0-9a-f]{{8}}{re.escape(fs.TEMPORARY)}")


def look(root: Path, paths: Iterable[str]) -> tuple[dict[str, str], set[str]]:
    """Return the mark of what is at each of these paths below a root, and which folders above them don't exist.

    Below a link, or whatever else isn't a folder, everything is somebody else's.
    """
    folders: dict[str, str] = {}
    told: dict[str, str | None] = {}
    marks: dict[str, str] = {}
    for path in paths:
        above = path.rpartition("/")[0]
        if above not in told:
            told[above] = _told_by_folders(root, path, folders)
        mark = told[above]
        marks[path] = mark_at(root, path) if mark is None else mark
    return marks, {folder for folder, what in folders.items() if what == NOTHING}


def repo_folders_in(hub: Path, repos: Collection[RepoId] | None = None) -> set[str]:
    """Return the names of the real folders in a folder of repositories; none if it can't be read.

    Args:
        hub: The folder.
        repos: The repositories that are asked for; None: all, and whatever else is there.
    """
    if repos is not None:
        names = (repo_folder_name(repo_id) for repo_id in repos)
        return {name for name in names if is_real_folder(hub / name)}
    with contextlib.suppress(OSError), os.scandir(hub) as entries:
        return {entry.name for entry in entries if entry.is_dir(follow_symlinks=False)}
    return set()


def _told_by_folders(root: Path, path: str, folders: dict[str, str]) -> str | None:
    """Return the mark of whatever is at a path where the folders above it tell it, else None.

    It is `OTHER` if one of them isn't a folder, and nothing if one doesn't exist. What each is gets noted in `folders`.
    """
    told = None
    for folder in folders_of(path):
        if folder not in folders:
            place = root / folder
            folders[folder] = "folder" if is_real_folder(place) else OTHER if is_there(place) else NOTHING
        if folders[folder] == OTHER:
            return OTHER
        told = NOTHING if folders[folder] == NOTHING else told
    return told


def mark_at(root: Path, path: str) -> str:
    """Return the mark of what is at a path below a root; see `domain.views`."""
    place = f"{root}/{path}"
    try:
        return f"-> {os.readlink(place)}"  # noqa: PTH115 - a view has thousands, and a Path for each costs more than this
    except (FileNotFoundError, NotADirectoryError):
        return NOTHING
    except OSError:
        pass  # it isn't a link
    try:
        return text_mark(read_small_bytes(Path(place)))
    except (OSError, BadInput):
        return OTHER


def carry_out(base: Base, view: View, plan: ViewPlan) -> tuple[View, bool]:
    """Make a view true; the caller holds the views' lock.

    Args:
        base: The primary base, which has the record.
        view: The view as it was when the plan was made.
        plan: The plan.

    Returns:
        The view as its record says then, and whether everything was made: what somebody else put at a name meanwhile
        stays.

    Raises:
        Denied, OutOfSpace, OSError: Something can't be changed; the record still says what is ours.
    """
    if plan.during is None or plan.after is None:
        return view, True
    root = Path(view.root)
    try:
        if plan.make:
            records.write(base, plan.during)
    except (ShelfError, OSError):
        _drop(root, view, plan.drop)  # the record names it already: on a full disk, too, nothing leads nowhere
        raise
    if view.pending:
        _sweep(root, view)
    made = 0
    for above, making in groupby(plan.make, key=lambda making: making.path.rpartition("/")[0]):
        made += _make(root, above, list(making))
    _drop(root, view, plan.drop)
    for folder in plan.emptied:
        fs.remove_empty_folder(root, root / folder)
    _sync(root, plan)
    left = {folder for folder in plan.emptied if is_there(root / folder)}  # what others need, or put there
    after = replace(plan.after, folders=plan.after.folders | left)
    records.write(base, after)
    return after, made == len(plan.make)


def _drop(root: Path, view: View, paths: Iterable[str]) -> None:
    for path in paths:
        if view.is_ours(path, mark_at(root, path)):
            fs.remove_file(root, root / path)


def _make(root: Path, above: str, making: Sequence[Making]) -> int:
    """Make links and files of one folder; return how many. What somebody else put there meanwhile stays."""
    made, new_links = 0, dict[str, str]()
    for one in making:
        entry, is_new = one.entry, one.replaces == NOTHING
        if not is_new and mark_at(root, one.path) != one.replaces:
            continue
        if not isinstance(entry, Link):
            with contextlib.suppress(FileExistsError):
                (fs.create_text if is_new else fs.write_text)(root, root / one.path, entry.content)
                made += 1
        elif is_new:
            new_links[one.path.rpartition("/")[2]] = entry.target
        else:
            fs.make_link(root, root / one.path, entry.target)
            made += 1
    return made + (fs.create_links(root, root / above, new_links) if new_links else 0)


def _sync(root: Path, plan: ViewPlan) -> None:
    """Make the changed names durable before the record says that they are there."""
    for above in sorted({path.rpartition("/")[0] for path in (*(making.path for making in plan.make), *plan.drop)}):
        with contextlib.suppress(FileNotFoundError, Denied):
            fs.fsync_folder(root, root / above)


def _sweep(root: Path, view: View) -> None:
    """Delete what a killed process left beside our names."""
    for place in _beside(root, view):
        with contextlib.suppress(Denied):
            fs.remove_file(root, place)


def _beside(root: Path, view: View) -> Iterator[Path]:
    names: dict[Path, set[str]] = {}
    for path in (path for path, made in view.made.items() if made.section in view.pending):
        names.setdefault((root / path).parent, set()).add((root / path).name)
    for folder, ours in names.items():
        with contextlib.suppress(OSError):
            for name in os.listdir(folder):  # noqa: PTH208 - names alone
                if (found := _TEMPORARY.fullmatch(name)) and found[1] in ours:
                    yield folder / name
