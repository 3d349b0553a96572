'''A drawn tree becomes a real Hugging Face cache on disk, with the right digests.

    lay_out(base, """
        model org/name
          commit a main refs/pr/1
            config.json 20
            model.safetensors 3000 shared
            deep/copy.bin 3000 as=org/name/model.safetensors
          ref v0 b
          orphan 500
          partial 700
          missing a added_tokens.json
        dataset org/data
          commit c main
            rows.txt 10 real
        part 900
        file token 30
        file xet/chunks/x 1000
    """)

- `commit <hex> [ref …]`: a snapshot whose hash is that hex digit forty times, with its refs and its `trees/` listing.
- `<path> <size>`: a file of it; `as=<name>`: two files of one size with the same name here have the same bytes, also
  across repositories; `shared`: its payload in the shared store; `real`: in the snapshot itself, as where there are no
  symlinks.
- `ref <revision> <hex>`: a ref alone. `orphan <size>`: a blob that no snapshot needs. `partial <size> [suffix]`: a
  download of another tool. `missing <hex> <path>`: known not to exist.
- At the top: `part <size>`: a blob of ours on its way in, `file <path> <size>`: anything else.
'''

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from huggingface_hub.utils._shared_blobs import publish_blob_to_shared_store

from modelshelf.domain.models import FileEntry
from modelshelf.domain.names import CommitHash, Digest, FilePath, RefName, RepoId
from modelshelf.store.layout import Base, Repo
from tests.world import random_bytes

_LFS = (".safetensors", ".gguf", ".bin")
AGED_S = 1_700_000_000
"""The mtime that `age` sets: long ago."""


def commit(letter: str) -> CommitHash:
    """Return the commit hash that a drawing names by one hex digit."""
    return CommitHash(letter * 40)


def content(name: str, size_bytes: int) -> bytes:
    """Return a drawn file's bytes: random, and the same for the same name and size."""
    return random_bytes(size_bytes, int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big"))


def digest_of(path: str, data: bytes) -> Digest:
    """Return the Hub's digest of a file: sha256 for weights, git blob sha1 for the rest."""
    if path.endswith(_LFS):
        return Digest(hashlib.sha256(data).hexdigest())
    return Digest(hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest())


def put(path: Path, data: bytes) -> Path:
    """Write a file and create its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def terabyte(path: Path) -> None:
    """Make a sparse file of a terabyte."""
    with path.open("wb") as file:
        file.truncate(2**40)


def age(folder: Path) -> None:
    """Give a folder and all folders below it an old mtime, as if nothing had changed for long."""
    for path in (folder, *folder.rglob("*")):
        if path.is_dir() and not path.is_symlink():
            os.utime(path, (AGED_S, AGED_S))


@dataclass
class Drawn:
    """What was laid out."""

    base: Base
    files: dict[tuple[str, str], list[FileEntry]] = field(default_factory=dict)
    """(repository id, commit hash) to its files."""

    def of(self, repo_id: str, letter: str) -> list[FileEntry]:
        """Return the files of a commit, by path."""
        return self.files[repo_id, commit(letter)]

    def digest(self, repo_id: str, letter: str, path: str) -> Digest:
        """Return the digest of one file."""
        return next(file.digest for file in self.of(repo_id, letter) if file.path == path)


def lay_out(base: Path, drawing: str) -> Drawn:
    """Lay out a drawing below a base; existing files stay."""
    drawn = Drawn(Base(base))
    base.mkdir(parents=True, exist_ok=True)
    builder = _Builder(drawn)
    for line in filter(None, map(str.split, drawing.splitlines())):
        builder.add(line)
    builder.end_commit()
    return drawn


@dataclass
class _Builder:
    """The position in the drawing."""

    drawn: Drawn
    repo_id: RepoId | None = None
    repo: Repo = field(default_factory=lambda: Repo("", Path()))
    commit_hash: CommitHash | None = None
    files: list[FileEntry] = field(default_factory=list)

    def add(self, words: list[str]) -> None:
        """Add one line."""
        word = words[0]
        if word in ("model", "dataset", "space", "kernel"):
            self.end_commit()
            self.repo_id = RepoId(words[1])
            self.repo = self.drawn.base.repo(self.repo_id, word)
        elif word == "commit":
            self.end_commit()
            self.commit_hash = commit(words[1])
            for revision in words[2:]:
                put(self.repo.ref(RefName(revision)), self.commit_hash.encode())
        else:
            getattr(self, f"_{word}", self._snapshot_file)(*(words[1:] if hasattr(self, f"_{word}") else words))

    def end_commit(self) -> None:
        """Write the listing of the commit that is now complete."""
        if self.commit_hash:
            self.drawn.files[self.repo_id, self.commit_hash] = sorted(self.files, key=lambda file: file.path)
            self.repo.snapshot(self.commit_hash).mkdir(parents=True, exist_ok=True)
            listing = {"format_version": 1, "files": {file.path: _tree_entry(file) for file in self.files}}
            put(self.repo.tree(self.commit_hash), json.dumps(listing, indent=1).encode()).chmod(0o600)
        self.commit_hash, self.files = None, []

    def _snapshot_file(self, path: str, size: str, *flags: str) -> None:
        names = [flag.removeprefix("as=") for flag in flags if flag.startswith("as=")]
        data = content(names[0] if names else f"{self.repo_id}/{path}", int(size))
        digest = digest_of(path, data)
        self.files.append(FileEntry(FilePath(path), len(data), digest))
        place = self.repo.snapshot(self.commit_hash) / path
        if "real" in flags:
            put(place, data)
            return
        blob = self.repo.blob(digest)
        if not blob.exists():
            put(blob, data)
        if "shared" in flags:
            self._share(blob, data)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(os.path.relpath(blob, place.parent))

    def _share(self, blob: Path, data: bytes) -> None:
        """Move a blob's bytes into the shared store as a download with hf_xet does."""
        xet_hash = hashlib.sha256(b"xet" + data).hexdigest()
        hub = self.drawn.base.hub
        shared = publish_blob_to_shared_store(
            blob_path=str(blob), xet_hash=xet_hash, cache_dir=hub, expected_size=len(data)
        )
        assert shared, blob

    def _ref(self, revision: str, letter: str) -> None:
        put(self.repo.ref(RefName(revision)), commit(letter).encode())

    def _orphan(self, size: str) -> None:
        data = content("orphan", int(size))
        put(self.repo.blob(digest_of("x.bin", data)), data)

    def _partial(self, size: str, suffix: str = ".0a1b2c3d.incomplete") -> None:
        digest = digest_of("x.bin", content("partial", int(size)))
        put(self.repo.blobs / f"{digest}{suffix}", content("partial", int(size)))

    def _missing(self, letter: str, path: str) -> None:
        put(self.repo.no_exist(commit(letter)) / path, b"")

    def _part(self, size: str) -> None:
        data = content("part", int(size))
        put(self.drawn.base.part(digest_of("x.bin", data)), data)

    def _file(self, path: str, size: str) -> None:
        put(self.drawn.base.path / path, content(path, int(size)))


def _tree_entry(file: FileEntry) -> dict[str, object]:
    if len(file.digest) == 40:
        return {"size": file.size_bytes, "blob_id": file.digest}
    pointer = hashlib.sha1(file.digest.encode()).hexdigest()
    return {"size": file.size_bytes, "blob_id": pointer, "lfs_sha256": file.digest, "lfs_size": file.size_bytes}


def view(target: Base, source: Base, repo_id: str) -> Repo:
    """Lay out in one base a view of a repository in another: links to its blobs; return its folder."""
    theirs, ours = source.repo(RepoId(repo_id)), target.repo(RepoId(repo_id))
    for blob in theirs.blobs.iterdir():
        ours.blobs.mkdir(parents=True, exist_ok=True)
        ours.blob(Digest(blob.name)).symlink_to(blob)
    for part in ("snapshots", "trees", "refs"):
        if (theirs.path / part).exists():
            shutil.copytree(theirs.path / part, ours.path / part, symlinks=True, dirs_exist_ok=True)
    return ours
