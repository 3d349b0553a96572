"""A snapshot that holds its bytes itself, as where there are no symbolic links.

Source: huggingface_hub 2.4 `file_download._create_symlink`: a new blob is moved into the snapshot, and `blobs/` stays
empty.
"""

from __future__ import annotations

from collections.abc import Iterable

from modelshelf.domain.models import FileEntry
from modelshelf.domain.names import CommitHash, Digest
from modelshelf.domain.ports import Progress
from modelshelf.store import fs
from modelshelf.store.layout import Base, Repo
from modelshelf.store.probe import is_real_file
from modelshelf.store.repos import quarantine, snapshot


def settle(base: Base, repo: Repo, commit_hash: CommitHash, files: Iterable[FileEntry], progress: Progress) -> None:
    """Put blobs into their snapshot; a file that is right already stays, one of another size is set aside.

    The caller holds the repository's lock.

    **Crash:** some bytes are blobs and some are files; the next call puts the rest in place.
    """
    files = list(files)
    groups: dict[Digest, list[FileEntry]] = {}
    held = snapshot.held(base, repo, commit_hash, files, symlinks=False)
    for file in files:
        if not quarantine.is_right(base, repo, commit_hash, file):
            groups.setdefault(file.digest, []).append(file)
    for digest, group in groups.items():
        if digest in held:
            for file in group:
                path = repo.snapshot(commit_hash) / file.path
                if is_real_file(path):
                    fs.set_aside(base.path, path, base.quarantine)
            quarantine.place(base, repo, held[digest], group, commit_hash, progress)
