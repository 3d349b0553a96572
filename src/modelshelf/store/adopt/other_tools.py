"""Other programs' models: whose folder it is, and downloads into a `local_dir`.

None of their files is ever changed. Source: huggingface_hub 2.4 `_local_folder.py` (three lines: commit, etag, time; a
download in progress is `<hash>.<etag>.incomplete`).
"""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from modelshelf.domain.adopt_inventory import FoundFile, FoundModel, Origin
from modelshelf.domain.names import CommitHash, Digest, FilePath
from modelshelf.errors import BadInput
from modelshelf.store.adopt import desktop_apps, git_clone, ollama, tool_folders
from modelshelf.store.adopt.foreign import fits, folders, is_plain, weights_in
from modelshelf.store.probe import is_folder
from modelshelf.store.repos import judge, scan
from modelshelf.store.small_files import read_small_text

_SLACK_S = 1.0
"""huggingface_hub writes a file's metadata within this time after the file, in seconds; a later change is an edit."""

_MODELS = "models"
"""The folder in which most tools keep models."""


class Found(NamedTuple):
    """Another program's models."""

    folder: Path
    """The folder that they are in."""
    models: list[FoundModel]


def find(path: Path, repo_id: str = "") -> Found:
    """Return another program's models in its folder, or in `models` in it.

    Args:
        path: A tool's folder of models or the folder above it, a `local_dir`, a clone, or a folder of some.
        repo_id: The repository of a `local_dir` or a clone.
    """
    found = list(_whole(path, repo_id))
    if not found and is_folder(path / _MODELS):
        inner = find(path / _MODELS, repo_id)
        if inner.models:
            return inner
    return Found(path, found or list(_several(path)))


def _whole(path: Path, repo_id: str) -> Iterable[FoundModel]:
    """Return the models of a folder whose tool shows at once."""
    if is_folder(path / "manifests") and is_folder(path / "blobs"):
        return ollama.find(path)
    if (of_app := desktop_apps.find(path)) is not None:
        return of_app
    if tool_folders.is_torch_hub(path):
        return tool_folders.single_files(Origin.TORCH_HUB, "torchhub", path, weights_in(path))
    return _model(path, repo_id) or ()


def _model(folder: Path, repo_id: str) -> Iterable[FoundModel] | None:
    """Return the model of a folder that is one by itself; None if it isn't."""
    if git_clone.is_clone(folder):
        return [git_clone.read(folder, repo_id)]
    if is_local_dir(folder):
        return [_local_dir(folder, repo_id)]
    if tool_folders.is_of_webui(folder):
        return tool_folders.of_webui(folder)
    if desktop_apps.is_of_jan(folder):
        return desktop_apps.of_jan(folder)
    if tool_folders.is_sentence_transformer(folder):
        return tool_folders.sentence_transformer(folder)
    return None


def _several(path: Path) -> Iterator[FoundModel]:
    """Yield the models of a folder that holds several: folders, folders of folders, and single files."""
    if tool_folders.is_comfyui(path):
        yield from tool_folders.comfyui(path)
        return
    for folder in folders(path):
        if folder.name != _MODELS:
            alone = _model(folder, "")
            yield from tool_folders.of_organisation(folder) if alone is None else alone
    if path.name == _MODELS:  # single files elsewhere are anybody's
        yield from tool_folders.single_files(Origin.WEBUI, "local", path, desktop_apps.loose(path))


def is_local_dir(path: Path) -> bool:
    """Return whether a folder is one that `hf download --local-dir` wrote to."""
    return is_folder(path / ".cache" / "huggingface" / "download")


def how_to_adopt(path: Path) -> str:
    """Return how to adopt a `local_dir`, in a sentence."""
    return f"Its repository isn't recorded: shelf adopt {shlex.quote(str(path))} --move --repo ORG/NAME."


def _local_dir(path: Path, repo_id: str) -> FoundModel:
    files: list[FoundFile] = []
    sources: list[tuple[str, str]] = []
    commits: dict[CommitHash, int] = {}
    changed = ""
    metadata = path / ".cache" / "huggingface" / "download"
    notes = list(scan.walk_files(metadata))
    for note in notes:
        if note.suffix != ".metadata":
            continue
        name = note.relative_to(metadata).with_suffix("").as_posix()
        said = _read_metadata(note)
        file = path / name
        if said is None or not is_plain(file) or not fits(name):
            continue
        commit_hash, digest, at_s = said
        commits[commit_hash] = commits.get(commit_hash, 0) + 1
        found = file.stat()
        if found.st_mtime - _SLACK_S > at_s:
            changed = changed or f"{name} was changed since it was downloaded."
        files.append(FoundFile(FilePath(name), found.st_size, digest))
        sources.append((name, str(file)))
    return FoundModel(
        kind=Origin.LOCAL_DIR,
        place=str(path),
        repo_id=repo_id,
        commit_hash=max(commits, key=lambda commit: commits[commit]) if commits else "",
        files=tuple(files),
        revision="main",
        trouble=_local_trouble(path, repo_id, commits)
        or changed
        or judge.why_not_whole(path, files, (), {etag for note in notes if (etag := _arriving(note.name))}),
        called="" if repo_id else path.name,
        sources=tuple(sources),
    )


def _local_trouble(path: Path, repo_id: str, commits: Mapping[CommitHash, int]) -> str:
    if len(commits) > 1:
        return "Its files come from more than one commit."
    if not repo_id:
        return how_to_adopt(path)
    return ""


def _read_metadata(path: Path) -> tuple[CommitHash, Digest, float] | None:
    with contextlib.suppress(OSError, ValueError, BadInput):
        commit_hash, digest, at_s = read_small_text(path).split()[:3]
        return CommitHash(commit_hash), Digest(digest), float(at_s)
    return None


def _arriving(name: str) -> str:
    """Return the digest of the part with this name; empty if it isn't a part.

    >>> _arriving("h4sh=.0123.incomplete"), _arriving("a.metadata")
    ('0123', '')
    """
    parts = name.split(".")
    return parts[-2] if len(parts) > 2 and parts[-1] == "incomplete" else ""
