"""The fake hub's repositories, commits and files, and who may read them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from tests.fakes.hub_rules import BodyMeter, RuleBook

_DIGEST_CHUNK_BYTES = 1 << 20
_CREATED_AT = "2026-01-02T03:04:05.000Z"


class RefusedError(Exception):
    """An error answer: the status, its X-Error-Code and more headers."""

    def __init__(
        self,
        status: int,
        message: str,
        error_code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Store the parts of the answer."""
        super().__init__(message)
        self.status = status
        self.message = message
        self.error_code = error_code
        self.headers = dict(headers or {})


@dataclass(frozen=True)
class Request:
    """A request as received."""

    method: str
    path: str
    """The URL path, percent-decoded, without the query."""
    headers: Mapping[str, str]
    """Names in lower case."""
    range: str | None
    """The Range header."""
    target: str
    """Path and query as sent."""


def _chunks(content: bytes | Path) -> Iterator[bytes]:
    if isinstance(content, bytes):
        yield content
        return
    with content.open("rb") as file:
        while chunk := file.read(_DIGEST_CHUNK_BYTES):
            yield chunk


def git_sha1(content: bytes | Path, size_bytes: int) -> str:
    """Return the name git gives to a blob of this content."""
    digest = hashlib.sha1(b"blob %d\0" % size_bytes)
    for chunk in _chunks(content):
        digest.update(chunk)
    return digest.hexdigest()


@dataclass(frozen=True)
class Blob:
    """The content of one file, in memory or on disk."""

    content: bytes | Path
    size_bytes: int
    digest: str
    """The ETag: sha256 for an LFS file, git sha1 for another."""
    git_oid: str
    """The git sha1 of the file, or of the pointer that stands for an LFS file."""
    pointer_size_bytes: int | None
    """Size of that pointer; None for a file outside LFS."""

    @classmethod
    def of(cls, content: bytes | Path, lfs: bool) -> Blob:
        """Digest `content`, in one pass and without loading a file on disk."""
        size = len(content) if isinstance(content, bytes) else content.stat().st_size
        if not lfs:
            oid = git_sha1(content, size)
            return cls(content, size, oid, oid, None)
        sha256 = hashlib.sha256()
        for chunk in _chunks(content):
            sha256.update(chunk)
        digest = sha256.hexdigest()
        pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{digest}\nsize {size}\n".encode()
        return cls(content, size, digest, git_sha1(pointer, len(pointer)), len(pointer))

    @property
    def lfs(self) -> bool:
        """Whether this is an LFS file."""
        return self.pointer_size_bytes is not None


def file_entry(path: str, blob: Blob, hide_size: bool) -> dict[str, Any]:
    """Return what tree and paths-info say about a file."""
    size = None if hide_size else blob.size_bytes
    entry: dict[str, Any] = {"type": "file", "oid": blob.git_oid, "size": size, "path": path}
    if blob.lfs:
        entry["lfs"] = {"oid": blob.digest, "size": size, "pointerSize": blob.pointer_size_bytes}
    return entry


def _sibling(path: str, blob: Blob, with_blobs: bool) -> dict[str, Any]:
    sibling: dict[str, Any] = {"rfilename": path}
    if with_blobs:
        sibling |= {"size": blob.size_bytes, "blobId": blob.git_oid}
        if blob.lfs:
            lfs = {"sha256": blob.digest, "size": blob.size_bytes, "pointerSize": blob.pointer_size_bytes}
            sibling["lfs"] = lfs
    return sibling


@dataclass(frozen=True)
class Commit:
    """The files of a repository at one moment."""

    commit_hash: str
    files: Mapping[str, Blob]

    @classmethod
    def of(cls, repo_id: str, files: Mapping[str, Blob]) -> Commit:
        """Derive the commit's hash from the repository and its files, so that every run has the same one."""
        digest = hashlib.sha1(f"{repo_id}\0".encode())
        for path in sorted(files):
            digest.update(f"{path}\0{files[path].digest}\0".encode())
        return cls(digest.hexdigest(), dict(sorted(files.items())))

    def folders(self) -> list[str]:
        """Return every folder that holds a file or a folder, sorted."""
        found = {parent.as_posix() for path in self.files for parent in Path(path).parents}
        return sorted(found - {"."})


@dataclass
class Repo:
    """A repository: its commits and its refs."""

    repo_id: str
    gated: bool = False
    private: bool = False
    said: dict[str, Any] = field(default_factory=dict)
    """What a search says of it in addition, such as its downloads."""
    commits: dict[str, Commit] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    """Full name (`refs/heads/main`, `refs/tags/v1`, `refs/pr/1`) to commit hash."""

    def find(self, revision: str) -> Commit | None:
        """Return the commit of a branch, a tag, a full ref or a commit hash."""
        for name in (revision, f"refs/heads/{revision}", f"refs/tags/{revision}"):
            if name in self.refs:
                return self.commits[self.refs[name]]
        return self.commits.get(revision)

    def split(self, rest: str) -> tuple[Commit, str]:
        """Split `<revision>/<path>`, still percent-quoted, into the commit and the decoded path.

        Raises:
            RefusedError: no such revision.
        """
        parts = rest.split("/")
        for count in range(1, len(parts) + 1):
            commit = self.find(unquote("/".join(parts[:count])))
            if commit is not None:
                return commit, unquote("/".join(parts[count:]))
        raise RefusedError(404, f"Invalid rev id: {unquote(parts[0])}", "RevisionNotFound")

    def info(self, commit: Commit, with_blobs: bool) -> dict[str, Any]:
        """Return the answer of `/api/models/{id}`."""
        return {
            "_id": hashlib.sha1(self.repo_id.encode()).hexdigest()[:24],
            "id": self.repo_id,
            "modelId": self.repo_id,
            "author": self.repo_id.rpartition("/")[0] or None,
            "sha": commit.commit_hash,
            "private": self.private,
            "gated": "auto" if self.gated else False,
            "disabled": False,
            "createdAt": _CREATED_AT,
            "lastModified": _CREATED_AT,
            "tags": [],
            "downloads": 0,
            "likes": 0,
            "siblings": [_sibling(path, blob, with_blobs) for path, blob in commit.files.items()],
        }

    def found(self, expand: Iterable[str]) -> dict[str, Any]:
        """Return what a search says of it: its id, and the fields that were asked for."""
        usual = {"downloads": 0, "gated": "auto" if self.gated else False, "lastModified": _CREATED_AT, "likes": 0}
        known = {**usual, "tags": [], **self.said}
        return {"_id": "0", "id": self.repo_id, **{name: known[name] for name in expand if name in known}}

    def ref_lists(self) -> dict[str, list[dict[str, str]]]:
        """Return the answer of `/api/models/{id}/refs`."""
        kinds = {"branches": "heads", "tags": "tags", "converts": "convert", "pullRequests": "pr"}
        return {
            kind: [
                {"name": ref.removeprefix(f"refs/{prefix}/"), "ref": ref, "targetCommit": commit}
                for ref, commit in sorted(self.refs.items())
                if ref.startswith(f"refs/{prefix}/")
            ]
            for kind, prefix in kinds.items()
        }


def full_ref(name: str, kind: str) -> str:
    """Return `name` as a full ref, taking a bare one as one of `kind` (heads or tags)."""
    return name if name.startswith("refs/") else f"refs/{kind}/{name}"


@dataclass
class HubState:
    """Everything that the answers depend on."""

    token: str = "hf_test"
    """The one bearer token that opens gated and private repositories."""
    page_size: int | None = None
    """Entries on one page of a tree; None for one page."""
    hides_commits: bool = False
    """Whether answers leave out X-Repo-Commit."""
    requests: list[Request] = field(default_factory=list)
    """Every request so far, in order of arrival."""
    repos: dict[str, Repo] = field(default_factory=dict)
    renamed: dict[str, str] = field(default_factory=dict)
    """Old repository id to new one."""
    rules: RuleBook = field(default_factory=RuleBook)
    meter: BodyMeter = field(default_factory=BodyMeter)
    cdn_url: str = ""
    """Origin of the CDN, which serves the same files by digest at another port."""

    def repo(self, repo_id: str, authorized: bool) -> Repo:
        """Return a repository that the caller may see, in any letter case.

        Raises:
            RefusedError: there is none, or it is private.
        """
        repo = next((repo for known, repo in list(self.repos.items()) if known.lower() == repo_id.lower()), None)
        if repo is None:
            raise RefusedError(404, "Repository not found", "RepoNotFound")
        if repo.private and not authorized:
            raise RefusedError(401, "Repository not found", "RepoNotFound")
        return repo

    def blob(self, digest: str) -> Blob:
        """Return the file with this digest, for the CDN.

        Raises:
            RefusedError: there is none.
        """
        for repo in list(self.repos.values()):
            for commit in list(repo.commits.values()):
                for blob in commit.files.values():
                    if blob.digest == digest:
                        return blob
        raise RefusedError(404, "No such object")

    def entries(self, repo: Repo, commit: Commit, hide_sizes: bool) -> Iterable[dict[str, Any]]:
        """Yield the tree of a commit, folders and files, by path."""
        listed: dict[str, dict[str, Any]] = {}
        for path in commit.folders():
            oid = hashlib.sha1(f"{commit.commit_hash}/{path}".encode()).hexdigest()
            listed[path] = {"type": "directory", "oid": oid, "size": 0, "path": path}
        for path, blob in commit.files.items():
            resolve = f"/{repo.repo_id}/resolve/{commit.commit_hash}/{path}"
            listed[path] = file_entry(path, blob, hide_sizes or self.rules.hides_size(resolve))
        return (listed[path] for path in sorted(listed))
