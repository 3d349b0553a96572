"""A sidecar for each model beside its bytes, so that a lost registry can be rebuilt from the disks alone.

A sidecar with `arriving_from` is the journal of a move: it is on the target before the first blob, and says where the
whole copy still is. Only recovery reads sidecars.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from modelshelf.domain.freed import Freed
from modelshelf.domain.models import FileEntry, Mirrored, file_entries
from modelshelf.domain.names import BasePath, CommitHash, ModelName, RefName, RepoId, holder_of, is_own_ref, own_ref
from modelshelf.domain.outside import flag_of, list_of, object_of, text_of
from modelshelf.domain.patterns import FilePattern, patterns_of
from modelshelf.domain.sidecars import Sidecar
from modelshelf.errors import BadInput
from modelshelf.store import fs
from modelshelf.store.layout import Base
from modelshelf.store.listing import Listing
from modelshelf.store.probe import is_folder
from modelshelf.store.repos import scan
from modelshelf.store.small_files import LIST_BYTES, read_small_json, read_small_text

__all__ = ["Sidecar", "of_repo", "read_all", "read_files", "remove", "write", "write_all"]

_KEYS = (
    *("model_name", "hf_path", "revision", "commit_hash", "allow_patterns"),
    *("pinned", "pin_reason", "files", "arriving_from", "mirrored"),
)

Known = Callable[[RepoId, CommitHash], Sequence[FileEntry]]


def nothing(repo_id: RepoId, commit_hash: CommitHash) -> Sequence[FileEntry]:
    """Return no files: none of any commit are known."""
    return ()


def write(base: Base, sidecar: Sidecar) -> None:
    """Write a model's sidecar durably, all or nothing; a ref of ours protects its snapshot, if that exists."""
    write_all(base, [sidecar])


def write_all(base: Base, sidecars: Sequence[Sidecar], each: Callable[..., Iterable[object]] = map) -> None:
    """Write the sidecars of several models as `write` does; see `fs.write_texts`.

    **Crash:** the refs come first; each model has its ref, its sidecar, both or neither.
    """
    refs = {path: sidecar.commit_hash for sidecar in sidecars if (path := _missing_ref(base, sidecar)) is not None}
    fs.write_texts(base.path, refs, each)
    texts = {base.sidecar(sidecar.model_name): _text(sidecar) for sidecar in sidecars}
    fs.write_texts(base.path, {path: text for path, text in texts.items() if not _says(path, text)}, each)


def _text(sidecar: Sidecar) -> str:
    value = {
        "format": 1,
        "model_name": sidecar.model_name,
        "hf_path": sidecar.hf_path,
        "revision": sidecar.revision,
        "commit_hash": sidecar.commit_hash,
        "allow_patterns": list(sidecar.allow_patterns),
        "pinned": sidecar.pinned,
        "pin_reason": sidecar.pin_reason,
        "arriving_from": sidecar.arriving_from,
        "mirrored": sidecar.mirrored,
        "files": [[file.path, file.size_bytes, file.digest] for file in sidecar.files],
    }
    return json.dumps(value)


def _says(path: Path, text: str) -> bool:
    with contextlib.suppress(OSError, BadInput):  # there is none yet, or something else
        return read_small_text(path, LIST_BYTES) == text
    return False


def remove(base: Base, model_name: ModelName) -> Freed:
    """Delete a model's sidecar, and the ref that protected its snapshot; return what that freed.

    **Crash:** the sidecar names the ref, so it is deleted last.
    """
    freed, sidecar = Freed(), _read(base.sidecar(model_name))
    if sidecar is not None:
        ref = base.repo(sidecar.hf_path).ref(own_ref(model_name))
        freed += fs.remove_file(base.path, ref)
        for folder in (ref.parent, ref.parent.parent):
            freed += fs.remove_empty_folder(base.path, folder)
    return freed + fs.remove_file(base.path, base.sidecar(model_name))


def _missing_ref(base: Base, sidecar: Sidecar) -> Path | None:
    """Return where the ref that protects a model's snapshot is to be written; None if nothing is to be."""
    repo, revision = base.repo(sidecar.hf_path), own_ref(sidecar.model_name)
    if sidecar.arriving_from is not None or not is_folder(repo.snapshot(sidecar.commit_hash)):
        return None
    return None if scan.ref(repo, revision) == sidecar.commit_hash else repo.ref(revision)


def read_all(base: Base) -> list[Sidecar]:
    """Return a base's sidecars, by name; one that can't be understood is left out, see `read_files`."""
    return [sidecar for sidecar in read_files(base).values() if sidecar is not None]


def of_repo(base: Base, repo_id: RepoId, also: str) -> list[Sidecar]:
    """Return the sidecars of a repository's models: of those that hold a snapshot here, and of one by name.

    Args:
        base: The base.
        repo_id: The repository.
        also: That name; whatever else it is names none.
    """
    names = set[ModelName]()
    for called in (also, *map(holder_of, filter(is_own_ref, scan.refs(base.repo(repo_id))))):
        with contextlib.suppress(BadInput):
            names.add(ModelName(called))
    found = (_read(base.sidecar(name)) for name in sorted(names))
    return [sidecar for sidecar in found if sidecar is not None and sidecar.hf_path == repo_id]


def names(base: Base) -> list[str]:
    """Return what the files among a base's sidecars are called, each as its model is."""
    return [path.stem for path in base.sidecars.glob("*.json")]


def read_files(base: Base, known: Known = nothing) -> dict[str, Sidecar | None]:
    """Return the files among a base's sidecars, by path; None for one that can't be understood.

    Args:
        base: The base.
        known: Returns the files of a commit as they were parsed already; those that are the same aren't parsed again.
    """
    found = (entry.path for entry in Listing().readable(str(base.sidecars)) if entry.name.endswith(".json"))
    return {path: _read(path, known) for path in found}


def _read(path: Path | str, known: Known = nothing) -> Sidecar | None:
    """Return a sidecar named after its model; anything else is another's, or hostile."""
    try:
        sidecar = _parse(read_small_json(path, LIST_BYTES), known)
    except (OSError, BadInput):
        return None
    return sidecar if str(path).endswith(f"/{sidecar.model_name}.json") else None


def _parse(value: object, known: Known) -> Sidecar:
    said = object_of(value, *_KEYS)
    came_from = said["arriving_from"]
    hf_path, commit_hash = RepoId(said["hf_path"]), CommitHash(said["commit_hash"])
    parsed = tuple(known(hf_path, commit_hash))
    return Sidecar(
        model_name=ModelName(said["model_name"]),
        hf_path=hf_path,
        revision=RefName(said["revision"]),
        commit_hash=commit_hash,
        allow_patterns=patterns_of(list_of(said["allow_patterns"], FilePattern)),
        pinned=flag_of(said["pinned"]),
        pin_reason=text_of(said["pin_reason"]),
        files=parsed if said["files"] == list(map(list, parsed)) else file_entries(said["files"]),
        arriving_from=None if came_from is None else BasePath(came_from),
        mirrored=Mirrored.parse(said["mirrored"]),
    )
