"""Other programs' models: LM Studio's folders, downloads into a `local_dir`; for Ollama's see `ollama.py`.

None of their files is ever changed. Sources: huggingface_hub 2.4 `_local_folder.py` (three lines: commit, etag, time; a
download in progress is `<hash>.<etag>.incomplete`); LM Studio keeps `models/ORG/NAME/*.gguf`.
"""

from __future__ import annotations

import contextlib
import os
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path

from modelshelf.domain.adopt_inventory import FoundFile, FoundModel, Origin
from modelshelf.domain.names import CommitHash, Digest, FilePath, RepoId
from modelshelf.errors import BadInput
from modelshelf.store.adopt import ollama
from modelshelf.store.probe import is_folder, is_real_file
from modelshelf.store.repos import judge, scan
from modelshelf.store.small_files import read_small_text

_SLACK_S = 1.0
"""huggingface_hub writes a file's metadata within this time after the file, in seconds; a later change is an edit."""


def find(path: Path, repo_id: str = "") -> list[FoundModel] | None:
    """Return another program's models below its folder; None if the folder isn't one.

    Args:
        path: `~/.ollama/models`, `~/.lmstudio/models` (or the folder above them), or a `local_dir` or folder of some.
        repo_id: The repository of a `local_dir`.
    """
    if is_folder(path / "manifests") and is_folder(path / "blobs"):
        return list(ollama.find(path))
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


def _fits(name: str) -> bool:
    """Return whether a file of a repository can have this name."""
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
                    trouble = judge.why_not_whole(folder, files, ())
                    yield FoundModel(
                        kind=Origin.LM_STUDIO,
                        place=str(folder),
                        repo_id=repo_id,
                        commit_hash="",
                        files=files,
                        revision="main",
                        trouble=trouble,
                        sources=sources,
                        note=ollama.NO_COMMIT,
                    )


def _folders(path: Path) -> list[Path]:
    with contextlib.suppress(OSError), os.scandir(path) as entries:
        return sorted(Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False))
    return []


def _is_plain(path: Path) -> bool:
    """Return whether a path is a readable regular file and not a link."""
    return is_real_file(path) and scan.may_read(path)
