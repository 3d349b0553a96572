"""A record for each view: its kind, its root, its models, and what we made there.

It is in the primary base, and for a view in the secondary base in that.

It is written before and after each change, so that after a crash nothing of ours is taken for somebody else's, and
nothing of theirs for ours. That of a view in its own base says so without a path: a container that has the base
elsewhere finds it too.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from pathlib import Path

from modelshelf.domain.names import BasePath, FilePath, ModelName, RepoId, ViewRoot
from modelshelf.domain.outside import flag_of, list_of, maybe, object_of, sequence_of, text_of
from modelshelf.domain.views import Made, SourceFile, View, ViewKind, kind_of
from modelshelf.errors import BadInput
from modelshelf.store import fs
from modelshelf.store.layout import Base
from modelshelf.store.small_files import LIST_BYTES, read_small_bytes, read_small_json

_KEYS = ("kind", "root", "models", "primary", "secondary", "is_pending", "by_settings", "folders", "made", "places")
_MOST_MARK_CHARS = 8192


def read_all(base: Base) -> list[View]:
    """Return the views that a base has records of, by kind and root.

    Raises:
        BadInput: A record can't be understood.
        OSError: One can't be read.
    """
    return sorted((_read(base, path) for path in base.views.glob("*.json")), key=lambda view: (view.kind, view.root))


def written(base: Base) -> list[tuple[str, str]]:
    """Return the names of a base's records, each with a digest of what it says."""
    found = []
    for path in base.views.glob("*.json"):
        with contextlib.suppress(OSError, BadInput):
            found.append((path.name, hashlib.sha256(read_small_bytes(path, LIST_BYTES)).hexdigest()))
    return sorted(found)


def read(base: Base, kind: ViewKind, root: ViewRoot) -> View | None:
    """Return a view; None if there is none. Raises as `read_all` does."""
    with contextlib.suppress(FileNotFoundError):
        return _read(base, base.view(kind, root))
    return None


def write(base: Base, view: View) -> None:
    """Write a view's record durably, all or nothing."""
    is_inside = view.root == str(base.path)
    value = {
        "format": 1,
        "kind": view.kind,
        "root": None if is_inside else view.root,
        "models": view.models,
        "primary": None if is_inside else view.primary,
        "secondary": view.secondary,
        "is_pending": view.is_pending,
        "by_settings": view.by_settings,
        "folders": sorted(view.folders),
        "made": {path: [made.model_name, made.marks] for path, made in view.made.items()},
        "places": {path: [source.repo_id, source.path] for path, source in view.places.items()},
    }
    fs.write_text(base.path, base.view(view.kind, view.root), json.dumps(value))


def remove(base: Base, view: View) -> None:
    """Delete a view's record."""
    fs.remove_file(base.path, base.view(view.kind, view.root))


def _read(base: Base, path: Path) -> View:
    try:
        return _parse(base, read_small_json(path, LIST_BYTES))
    except BadInput as err:
        raise BadInput(f"{path} isn't a view's record: {err.detail}", hint="Move it away.", path=str(path)) from err


def _parse(base: Base, value: object) -> View:
    said = object_of(value, *_KEYS)
    return View(
        kind=kind_of(text_of(said["kind"])),
        root=ViewRoot(said["root"] or str(base.path)),
        models=maybe(said["models"], lambda names: list_of(names, ModelName)),
        primary=BasePath(said["primary"] or str(base.path)),
        secondary=text_of(said["secondary"], _MOST_MARK_CHARS),
        made={FilePath(path): _made(listed) for path, listed in object_of(said["made"]).items()},
        places={FilePath(path): _source(listed) for path, listed in object_of(said["places"]).items()},
        folders=frozenset(list_of(said["folders"], FilePath)),
        is_pending=flag_of(said["is_pending"]),
        by_settings=flag_of(said["by_settings"]),
    )


def _source(value: object) -> SourceFile:
    repo_id, path = sequence_of(value, 2)
    return SourceFile(RepoId(repo_id), FilePath(path))


def _made(value: object) -> Made:
    name, marks = sequence_of(value, 2)
    return Made(ModelName(name), list_of(marks, lambda text: text_of(text, _MOST_MARK_CHARS)))
