"""What the readers of other programs' folders have in common: which files count, and what a model of them is."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from modelshelf.domain.adopt_inventory import FoundFile, FoundModel, Origin
from modelshelf.domain.file_kinds import is_weights
from modelshelf.domain.names import CLUTTER, FilePath, RepoId
from modelshelf.errors import BadInput
from modelshelf.store.probe import is_real_file
from modelshelf.store.repos import judge, scan

NO_COMMIT = "Its commit isn't known; shelf makes one up from its files."
_LONGEST = 90


def model_of(
    kind: Origin, folder: Path, repo_id: str, files: Mapping[str, Path], *, trouble: str = "", called: str = ""
) -> FoundModel:
    """Return a model of files whose digests only reading them tells.

    Args:
        kind: The program that it belongs to.
        folder: The folder of its files.
        repo_id: Its repository, or the one that is made up for it.
        files: Its files by their paths in the repository.
        trouble: Why it can't be adopted, in a sentence.
        called: The name that its program gives it, if not the repository's.
    """
    found = tuple(FoundFile(FilePath(name), path.stat().st_size, None) for name, path in sorted(files.items()))
    return FoundModel(
        kind=kind,
        place=str(folder),
        repo_id=repo_id,
        commit_hash="",
        files=found,
        revision="main",
        trouble=trouble or judge.why_not_whole(folder, found, ()),
        called=called,
        sources=tuple((name, str(path)) for name, path in sorted(files.items())),
        note=NO_COMMIT,
    )


def files_of(folder: Path) -> dict[str, Path]:
    """Return the files that make a model of a folder, by their paths in it; none without weights.

    Links, hidden files and what file managers leave aren't among them.
    """
    named = ((path.relative_to(folder).as_posix(), path) for path in scan.walk_files(folder))
    found = {name: path for name, path in named if _belongs(name) and is_plain(path) and fits(name)}
    return found if any(map(is_weights, found)) else {}


def _belongs(name: str) -> bool:
    parts = name.split("/")
    return not any(part.startswith(".") for part in parts) and not CLUTTER.fullmatch(parts[-1])


def weights_in(folder: Path) -> Iterator[Path]:
    """Yield the plain files of weights in a folder and below it."""
    return (path for path in scan.walk_files(folder) if is_weights(path.name) and is_plain(path) and fits(path.name))


def made_up_id(owner: str, *words: str) -> RepoId:
    """Return a repository's id for a model that is on no hub.

    >>> made_up_id("comfyui", "loras", "SDXL styles/ink (v2).safetensors")
    'comfyui/loras.SDXL-styles-ink-v2-.safetensors'

    Raises:
        BadInput: Nothing of the words can be in an id.
    """
    text = re.sub(r"[^A-Za-z0-9._]+", "-", ".".join(words))
    text = re.sub(r"\.{2,}", ".", text)[: _LONGEST - len(owner)].strip("-.")
    return RepoId(f"{owner}/{text}")


def repo_id_of(text: str) -> RepoId | None:
    """Return the id that a text is; None if it isn't one."""
    with contextlib.suppress(BadInput):
        return RepoId(text)
    return None


def folders(path: Path) -> list[Path]:
    """Return the folders in a folder, by name, without links and hidden ones."""
    with contextlib.suppress(OSError), os.scandir(path) as entries:
        found = (entry for entry in entries if entry.is_dir(follow_symlinks=False))
        return sorted(Path(entry.path) for entry in found if not entry.name.startswith("."))
    return []


def is_plain(path: Path) -> bool:
    """Return whether a path is a readable regular file and not a link."""
    return is_real_file(path) and scan.may_read(path)


def fits(name: str) -> bool:
    """Return whether a file of a repository can have this name."""
    try:
        FilePath(name)
    except BadInput:
        return False
    return True
