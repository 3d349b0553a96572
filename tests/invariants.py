"""What holds at every instant, whatever died: violations as sentences, an empty list if there are none.

    assert violations(shelf) == []

1. Every ref resolves. 2. Every snapshot link is relative and resolves inside its own base, or to a blob that is a
view's link to a whole blob of another; no link beside `hub` dangles. 3. Every model that the
registry calls complete is complete on the disk, with the right digests. 4. The meter agrees with `du`. And, as we
never publish what was not verified: 5. every blob has the bytes that its name promises.
"""

from __future__ import annotations

import functools
import subprocess
from collections.abc import Iterator
from pathlib import Path

from modelshelf.domain.models import select_files
from modelshelf.domain.names import is_digest
from modelshelf.services.shelf import Shelf
from modelshelf.store.blobs.partial import file_agrees
from modelshelf.store.layout import Base, Repo
from modelshelf.store.repos import scan
from modelshelf.store.tiers import meter

_LOOKS = 5


def violations(shelf: Shelf, *, at_rest: bool = True) -> list[str]:
    """Return what is wrong on any tier of a library.

    Args:
        shelf: The library.
        at_rest: Whether nothing writes meanwhile, so that the meter can be compared with `du`.
    """
    found: list[str] = []
    for tier in shelf.services.tiers.all():
        base = Base(Path(tier.base))
        if base.path.is_dir():
            found += base_violations(base)
            found += usage_violations(base) if at_rest else []
    return found + list(_registry_violations(shelf))


def base_violations(base: Base) -> list[str]:
    """Return what is wrong in one base, without asking the registry."""
    found: list[str] = []
    beside = [path for path in base.path.iterdir() if path.is_symlink() and not path.exists()]
    found += [f"the link {path} leads nowhere" for path in beside]
    for _, repo_id, repo in scan.repos(base):
        found += [f"{repo_id}: {text}" for text in (*_refs(repo), *_links(base, repo), *_blobs(repo))]
    return found


def usage_violations(base: Base) -> list[str]:
    """Return whether the meter disagrees with `du`, in bytes and in blocks.

    Others may write meanwhile (SQLite checkpoints when it is closed): they disagree where they do so each time.
    """
    for _ in range(_LOOKS):
        usage = meter.measure(base)
        ours, theirs = (usage.apparent_bytes, usage.allocated_bytes), du(base.path)
        if ours == theirs:
            return []
    return [f"the meter says {ours}, du says {theirs}"]


def du(path: Path) -> tuple[int, int]:
    """Return the bytes below a folder as `du` says: apparent and allocated.

    Since coreutils 9.2 folders have no apparent size; they are added here.
    """
    path = path.resolve()
    allocated = _du(path, "--block-size=1")
    apparent = _du(path, "--apparent-size", "--block-size=1")
    folders = sum(folder.lstat().st_size for folder in (path, *path.rglob("*")) if _is_folder(folder))
    if not _du_counts_folders():
        apparent += folders
    return apparent, allocated


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _du(path: Path, *options: str) -> int:
    done = subprocess.run(["du", "-s", *options, str(path)], capture_output=True, text=True, check=True)
    return int(done.stdout.split()[0])


@functools.cache
def _du_counts_folders() -> bool:
    said = subprocess.run(["du", "--version"], capture_output=True, text=True, check=True).stdout.split()[3]
    return tuple(int(part) for part in said.split(".")[:2]) < (9, 2)


def _refs(repo: Repo) -> Iterator[str]:
    for name, commit_hash in scan.refs(repo).items():
        if not repo.snapshot(commit_hash).is_dir():
            yield f"the ref {name} points to {commit_hash}, which has no snapshot"


def _links(base: Base, repo: Repo) -> Iterator[str]:
    inside = base.path.resolve()
    for path in scan.walk_files(repo.snapshots):
        if not path.is_symlink():
            continue
        if path.readlink().is_absolute():
            yield f"the link {path} is absolute"
        if not path.exists():
            yield f"the link {path} leads nowhere"
        elif inside not in path.resolve().parents and scan.blob_of(repo, path) not in scan.viewed(repo):
            yield f"the link {path} leaves its base to {path.resolve()}"


def _blobs(repo: Repo) -> Iterator[str]:
    if not repo.blobs.is_dir():
        return
    for blob in repo.blobs.iterdir():
        if is_digest(blob.name) and not file_agrees(blob, blob.name):
            yield f"the blob {blob.name} has other bytes"


def _registry_violations(shelf: Shelf) -> Iterator[str]:
    for row in shelf.services.registry.models():
        if not row.complete or row.commit_hash is None:
            continue
        repo = Base(Path(shelf.services.tiers.settings.resolve(row.cache_location, row.cache_path).base)).repo(
            row.hf_path
        )
        files = select_files(shelf.services.registry.files(row.hf_path, row.commit_hash), row.allow_patterns)
        if not files:
            yield f"{row.model_name} is complete without a file"
        for file in scan.missing_files(repo, row.commit_hash, files):
            yield f"{row.model_name} is complete without {file.path}"
        for file in files:
            path = repo.snapshot(row.commit_hash) / file.path
            if path.exists() and not file_agrees(path, file.digest):
                yield f"{row.model_name} has other bytes in {file.path}"
