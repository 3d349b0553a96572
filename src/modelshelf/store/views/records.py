"""A record for each view: its kind, its root and its models in one file, and what we made there in some beside it.

It is in the primary base, and for a view in the secondary base in that.

What we made is written before and after each change, so that after a crash nothing of ours is taken for somebody
else's, and nothing of theirs for ours. It is in sections, see `domain.view_sections`: the view's own in a file, and a
line for each repository in one of 16 others, so that a change of one model reads and writes little of it. The record of
a view in its own base says so without a path: a container that has the base elsewhere finds it too.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Collection, Iterator
from pathlib import Path

from modelshelf.domain.names import BasePath, FilePath, ModelName, RepoId, ViewRoot
from modelshelf.domain.outside import flag_of, list_of, maybe, object_of, parse_json, sequence_of, text_of
from modelshelf.domain.view_kinds import ViewKind, kind_of
from modelshelf.domain.view_sections import Section, joined, sections_of
from modelshelf.domain.views import OWN, Made, SourceFile, View
from modelshelf.errors import BadInput
from modelshelf.store import fs
from modelshelf.store.layout import Base
from modelshelf.store.small_files import LIST_BYTES, read_small_bytes, read_small_json, read_small_text

_KEYS = ("kind", "root", "models", "primary", "secondary", "by_settings", "places")
_MOST_MARK_CHARS = 8192
_DIGITS = "0123456789abcdef"


def read_all(base: Base) -> list[View]:
    """Return the views that a base has records of, by kind and root, without what was made in them; see `filled`.

    Raises:
        BadInput: A record can't be understood.
        OSError: One can't be read.
    """
    return sorted((_read(base, path) for path in base.views.glob("*.json")), key=lambda view: (view.kind, view.root))


def written(base: Base) -> dict[str, str]:
    """Return the paths of a base's records, each with a digest of what it says beside what was made."""
    found = {}
    for path in base.views.glob("*.json"):
        with contextlib.suppress(OSError, BadInput):
            found[str(path)] = hashlib.sha256(read_small_bytes(path, LIST_BYTES)).hexdigest()
    return found


def read(base: Base, kind: ViewKind, root: ViewRoot) -> View | None:
    """Return a view without what was made in it; None if there is none. Raises as `read_all` does."""
    with contextlib.suppress(FileNotFoundError):
        return _read(base, base.view(kind, root))
    return None


def filled(base: Base, view: View, repos: Collection[RepoId] | None = None) -> View:
    """Return a view with what was made in it, as its record says now.

    Args:
        base: The base that has the record.
        view: The view.
        repos: The repositories whose sections are wanted, beside its own; None: all.

    Raises:
        BadInput: The record can't be understood.
        OSError: It can't be read.
    """
    sections = {OWN: Section()}
    for path in (_own(base, view), *_files(base, view, repos)):
        with _named(path):
            found = {key: text for key, text in _lines(path).items() if key == OWN or repos is None or key in repos}
            sections |= {key: _section(key, parse_json(text)) for key, text in found.items()}
    return joined(view, sections, repos)


def has_others(base: Base, view: View) -> bool:
    """Return whether something was made for repositories whose sections a view's value doesn't have."""
    named = view.sections
    return named is not None and any(_lines(path).keys() - named for path in _files(base, view, None))


def write_choice(base: Base, view: View) -> None:
    """Write durably, all or nothing, what a view is, and nothing of what was made in it."""
    is_inside = view.root == str(base.path)
    value = {
        "format": 2,
        "kind": view.kind,
        "root": None if is_inside else view.root,
        "models": view.models,
        "primary": None if is_inside else view.primary,
        "secondary": view.secondary,
        "by_settings": view.by_settings,
        "places": {path: [source.repo_id, source.path] for path, source in view.places.items()},
    }
    path, text = base.view(view.kind, view.root), json.dumps(value)
    if _text(path) != text:
        fs.write_text(base.path, path, text)


def write(base: Base, view: View) -> None:
    """Write a view's record durably: what it is, and those sections of what was made that this value has.

    **Crash:** each file is the old one or the new one.
    """
    write_choice(base, view)
    new: dict[Path, dict[str, str]] = {path: {} for path in (_own(base, view), *_files(base, view, view.sections))}
    for key, section in sections_of(view).items():
        if section.made or section.folders or section.is_pending:
            path = _own(base, view) if key == OWN else _file(base, view, key)
            new.setdefault(path, {})[key] = json.dumps(_said(section))
    for path, lines in new.items():
        before = _lines(path)
        kept = (
            {}
            if view.sections is None
            else {k: text for k, text in before.items() if k != OWN and k not in view.sections}
        )
        if (after := kept | lines) != before:
            text = "".join(f"{key}\t{after[key]}\n" for key in sorted(after))
            fs.write_text(base.path, path, text) if after else fs.remove_file(base.path, path)


def remove(base: Base, view: View) -> None:
    """Delete a view's record."""
    fs.remove_tree(base.path, base.view_sections(view.kind, view.root))
    fs.remove_file(base.path, base.view(view.kind, view.root))


def _own(base: Base, view: View) -> Path:
    return base.view_sections(view.kind, view.root) / "own"


def _file(base: Base, view: View, repo_id: str) -> Path:
    """Return the file with a repository's line."""
    digit = hashlib.sha256(repo_id.encode()).hexdigest()[0]
    return base.view_sections(view.kind, view.root) / f"repos-{digit}"


def _files(base: Base, view: View, repos: Collection[RepoId] | None) -> list[Path]:
    """Return the files with these repositories' lines; None: with all."""
    if repos is not None:
        return sorted({_file(base, view, repo_id) for repo_id in repos})
    return [base.view_sections(view.kind, view.root) / f"repos-{digit}" for digit in _DIGITS]


def _lines(path: Path) -> dict[str, str]:
    """Return the text of each section in a file."""
    pairs = (line.split("\t", 1) for line in _text(path).splitlines())
    return {pair[0]: pair[-1] for pair in pairs}


def _text(path: Path) -> str:
    try:
        return read_small_text(path, LIST_BYTES)
    except FileNotFoundError:
        return ""


def _said(section: Section) -> list[object]:
    made = {path: [one.model_name, one.marks] for path, one in section.made.items()}
    return [made, sorted(section.folders), section.is_pending]


def _section(key: str, value: object) -> Section:
    made, folders, is_pending = sequence_of(value, 3)
    section = key if key == OWN else RepoId(key)
    return Section(
        {FilePath(path): _made(listed, section) for path, listed in object_of(made).items()},
        set(list_of(folders, FilePath)),
        flag_of(is_pending),
    )


@contextlib.contextmanager
def _named(path: Path) -> Iterator[None]:
    """Name the file in what is wrong with it."""
    try:
        yield
    except BadInput as err:
        raise BadInput(f"{path} isn't a view's record: {err.detail}", hint="Move it away.", path=str(path)) from err


def _read(base: Base, path: Path) -> View:
    with _named(path):
        return _parse(base, read_small_json(path, LIST_BYTES))


def _parse(base: Base, value: object) -> View:
    said = object_of(value, *_KEYS)
    return View(
        kind=kind_of(text_of(said["kind"])),
        root=ViewRoot(said["root"] or str(base.path)),
        models=maybe(said["models"], lambda names: list_of(names, ModelName)),
        primary=BasePath(said["primary"] or str(base.path)),
        secondary=text_of(said["secondary"], _MOST_MARK_CHARS),
        places={FilePath(path): _source(listed) for path, listed in object_of(said["places"]).items()},
        by_settings=flag_of(said["by_settings"]),
        sections=frozenset(),
    )


def _source(value: object) -> SourceFile:
    repo_id, path = sequence_of(value, 2)
    return SourceFile(RepoId(repo_id), FilePath(path))


def _made(value: object, section: str) -> Made:
    name, marks = sequence_of(value, 2)
    return Made(maybe(name, ModelName), list_of(marks, lambda text: text_of(text, _MOST_MARK_CHARS)), section)
