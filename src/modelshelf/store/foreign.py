"""Models of other programs: LM Studio's folders, Ollama's blobs, downloads into a `local_dir`. Never changed.

Sources: huggingface_hub 2.4 `_local_folder.py` (three lines: commit, etag, time); LM Studio keeps
`models/ORG/NAME/*.gguf`; Ollama `manifests/HOST/ORG/NAME/TAG` (JSON, one layer of type
`application/vnd.ollama.image.model`) and `blobs/sha256-<64 hex>`.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from modelshelf.domain.found import FoundFile, FoundModel, Kind, why_partial
from modelshelf.domain.names import CommitHash, Digest, FilePath, RepoId
from modelshelf.domain.outside import object_of
from modelshelf.errors import BadInput
from modelshelf.store import scan
from modelshelf.store.probe import is_folder, is_link, is_real_file
from modelshelf.store.small_files import read_small_json, read_small_text

_LAYERS = {"application/vnd.ollama.image.model": "", "application/vnd.ollama.image.projector": "mmproj-"}
_NO_COMMIT = "Its commit is not known: one is made up from its files."
_SLACK_S = 1.0
"""huggingface_hub writes a file's metadata so soon after the file; what is younger was changed since."""


def find(path: Path, repo_id: str = "") -> list[FoundModel] | None:
    """Return the models of another program below its folder; None where it is none.

    Args:
        path: `~/.ollama/models`, `~/.lmstudio/models` (or the folder above them), or a `local_dir` or folder of some.
        repo_id: The repository of a `local_dir`.
    """
    if is_folder(path / "manifests") and is_folder(path / "blobs"):
        return list(_ollama(path))
    if is_local_dir(path):
        return [_local_dir(path, repo_id)]
    found = [*_lm_studio(path), *(_local_dir(folder, "") for folder in _folders(path) if is_local_dir(folder))]
    if not found and is_folder(path / "models"):
        return find(path / "models", repo_id)
    return found or None


def is_local_dir(path: Path) -> bool:
    """Return whether a folder is one that `hf download --local-dir` wrote to."""
    return is_folder(path / ".cache" / "huggingface" / "download")


def how_to_adopt(path: Path) -> str:
    """Return what makes a model of a `local_dir`, in a sentence."""
    return f"Its repository is not written down: shelf adopt {shlex.quote(str(path))} --move --repo ORG/NAME."


def _local_dir(path: Path, repo_id: str) -> FoundModel:
    files: list[FoundFile] = []
    sources: list[tuple[str, str]] = []
    commits: dict[CommitHash, int] = {}
    changed = ""
    metadata = path / ".cache" / "huggingface" / "download"
    for note in scan.walk_files(metadata):
        if note.suffix != ".metadata":
            continue
        name = note.relative_to(metadata).with_suffix("").as_posix()
        said = _read_metadata(note)
        file = path / name
        if said is None or not _is_plain(file) or not _fits(name):
            continue
        commit_hash, digest, at_s = said
        commits[commit_hash] = commits.get(commit_hash, 0) + 1
        found = file.stat()
        if found.st_mtime - _SLACK_S > at_s:
            changed = changed or f"{name} was changed since it was downloaded."
        files.append(FoundFile(FilePath(name), found.st_size, digest))
        sources.append((name, str(file)))
    return FoundModel(
        kind=Kind.LOCAL_DIR,
        place=str(path),
        repo_id=repo_id,
        commit_hash=max(commits, key=lambda commit: commits[commit]) if commits else "",
        files=tuple(files),
        revision="main",
        trouble=_local_trouble(path, repo_id, commits) or changed or why_partial(files, ()),
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


def _fits(name: str) -> bool:
    """Return whether a file can be called so in a repository."""
    try:
        FilePath(name)
    except BadInput:
        return False
    return True


def _lm_studio(path: Path) -> Iterator[FoundModel]:
    for organisation in _folders(path):
        for folder in _folders(organisation):
            found = [file for file in sorted(folder.glob("*.gguf")) if _is_plain(file) and _fits(file.name)]
            with contextlib.suppress(BadInput):
                repo_id = RepoId(f"{organisation.name}/{folder.name}")
                if found:
                    files = tuple(FoundFile(FilePath(file.name), file.stat().st_size, None) for file in found)
                    sources = tuple((file.name, str(file)) for file in found)
                    trouble = why_partial(files, ())
                    yield FoundModel(
                        Kind.LM_STUDIO, str(folder), repo_id, "", files, (), "main", trouble, "", sources, _NO_COMMIT
                    )


def _ollama(path: Path) -> Iterator[FoundModel]:
    for manifest in scan.walk_files(path / "manifests"):
        parts = manifest.relative_to(path / "manifests").parts
        value = _read_json(manifest)
        if len(parts) != 4 or value is None or is_link(manifest):
            continue
        _, organisation, name, tag = parts
        files, sources, trouble = _layers(path, name, tag, value)
        if files:
            repo_id = f"{organisation}/{name}"
            with contextlib.suppress(BadInput):
                RepoId(repo_id)
                called = name if tag == "latest" else f"{name}:{tag}"
                note = f"{_NO_COMMIT} Ollama's template and parameters are not part of it."
                yield FoundModel(Kind.OLLAMA, str(path), repo_id, "", files, (), tag, trouble, called, sources, note)


def _layers(
    path: Path, name: str, tag: str, manifest: dict[str, Any]
) -> tuple[tuple[FoundFile, ...], tuple[tuple[str, str], ...], str]:
    files: list[FoundFile] = []
    sources: list[tuple[str, str]] = []
    trouble = ""
    for layer in manifest.get("layers", ()):
        prefix = _LAYERS.get(str(layer.get("mediaType")))
        match = re.fullmatch(r"sha256[:-]([0-9a-f]{64})", str(layer.get("digest")))
        if prefix is None or match is None:
            continue
        blob = path / "blobs" / f"sha256-{match[1]}"
        file_name = FilePath(f"{prefix}{name}-{tag}.gguf")
        size_bytes = int(layer.get("size", 0))
        if not _is_plain(blob) or blob.stat().st_size != size_bytes:
            trouble = trouble or f"Its blob {blob.name} is not there, or not whole."
        files.append(FoundFile(file_name, size_bytes, Digest(match[1])))
        sources.append((file_name, str(blob)))
    return tuple(files), tuple(sources), trouble


def _read_json(path: Path) -> dict[str, Any] | None:
    with contextlib.suppress(OSError, BadInput):
        return object_of(read_small_json(path))
    return None


def _folders(path: Path) -> list[Path]:
    with contextlib.suppress(OSError), os.scandir(path) as entries:
        return sorted(Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False))
    return []


def _is_plain(path: Path) -> bool:
    """Return whether a path is a regular file that may be read, not a link."""
    return is_real_file(path) and scan.may_read(path)
