"""A snapshot that holds its bytes itself, as where there are no symbolic links.

Source: huggingface_hub 2.4 `file_download._create_symlink`: a new blob is moved into the snapshot, and `blobs/` stays
empty.
"""

from __future__ import annotations

from collections.abc import Iterable

from modelshelf.domain.models import FileEntry
from modelshelf.domain.ports import Progress
from modelshelf.store import damage, fs, snapshot
from modelshelf.store.layout import Base, Repo


def settle(base: Base, repo: Repo, commit_hash: str, files: Iterable[FileEntry], progress: Progress) -> None:
    """Put blobs into their snapshot; a file that is right already stays, one of another size is set aside.

    The caller holds the repository's lock.

    **Crash:** some bytes are blobs and some are files; the next call puts the rest in place.
    """
    groups: dict[str, list[FileEntry]] = {}
    for file in files:
        if not damage.is_right(base, repo, commit_hash, file):
            groups.setdefault(file.digest, []).append(file)
    for digest, group in groups.items():
        source = snapshot.held(base, repo, commit_hash, group, symlinks=False).get(digest)
        if source is None:
            continue
        for file in group:
            path = repo.snapshot(commit_hash) / file.path
            if path.is_file() and not path.is_symlink():
                fs.set_aside(path, base.quarantine)
        damage.place(base, repo, source, group, commit_hash, progress)
