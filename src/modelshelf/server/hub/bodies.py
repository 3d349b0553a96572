"""The content of the Hub's answers, as its clients read them: JSON bodies and the headers of files.

Nothing here speaks of Xet: a client with hf_xet would ask for tokens and leave the LAN. The one exception is a list
that may be short: `"xetHash": ""` isn't a hash; huggingface_hub 2, which keeps a list for ever, keeps none with one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from email.utils import formatdate
from typing import Any
from urllib.parse import quote

from modelshelf.domain import lfs
from modelshelf.domain.names import COMMIT_HASH
from modelshelf.services.mirror.contents import Contents, ServedFile
from modelshelf.services.mirror.repositories import ResolvedRevision

_UNKNOWN_OID = "0" * 40


def whoami() -> dict[str, Any]:
    """Return the user of a token: `hf auth login` reads the token's name and role."""
    token = {"displayName": "SHELF_API_KEY", "role": "read"}
    user = {"type": "user", "id": "modelshelf", "name": "modelshelf", "fullname": "modelshelf", "isPro": False}
    return {**user, "email": None, "orgs": [], "auth": {"type": "access_token", "accessToken": token}}


def info(found: ResolvedRevision, contents: Contents, *, with_blobs: bool) -> dict[str, Any]:
    """Return the Hub's answer about a repository."""
    siblings: list[dict[str, Any]] = [{"rfilename": file.path} for file in contents.files]
    if with_blobs:
        for sibling, file in zip(siblings, contents.files, strict=True):
            entry = _file_entry(file)
            sibling |= {"size": file.size_bytes, "blobId": entry["oid"]}
            if pointed := entry.get("lfs"):
                sibling["lfs"] = {**pointed, "sha256": pointed["oid"]}
    used_bytes = sum({file.etag: file.size_bytes for file in contents.files}.values())
    return {**sidecar(found.repo_id, found), "siblings": siblings, "usedStorage": used_bytes}


def sidecar(repo_id: str, found: ResolvedRevision | None) -> dict[str, Any]:
    """Return a list's entry for a model; None for one whose default revision isn't here."""
    when = _moment(found.modified_at if found else 0.0)
    return {
        "_id": found.commit_hash[:24] if found else _UNKNOWN_OID[:24],
        "id": repo_id,
        "modelId": repo_id,
        "author": repo_id.split("/")[0] if "/" in repo_id else None,
        "sha": found.commit_hash if found else None,
        "lastModified": when,
        "createdAt": when,
        "private": False,
        "gated": False,
        "disabled": False,
        "downloads": 0,
        "likes": 0,
        "tags": [],
    }


def refs(found: dict[str, str]) -> dict[str, list[dict[str, str]]]:
    """Return the branches and pull requests; a cache can't tell a tag from a branch."""
    answer: dict[str, list[dict[str, str]]] = {"branches": [], "converts": [], "tags": [], "pullRequests": []}
    kinds = {"refs/pr/": "pullRequests", "refs/convert/": "converts"}
    for revision, commit_hash in sorted(found.items()):
        prefix = next((prefix for prefix in kinds if revision.startswith(prefix)), "")
        ref = revision if prefix else f"refs/heads/{revision}"
        entry = {"name": revision.removeprefix(prefix), "ref": ref, "targetCommit": commit_hash}
        answer[kinds.get(prefix, "branches")].append(entry)
    return answer


def commits(found: ResolvedRevision) -> list[dict[str, Any]]:
    """Return the history, of which a cache knows only the last commit."""
    return [{**_last_commit(found), "message": "", "authors": []}]


def tree(found: ResolvedRevision, contents: Contents, paths: Iterable[str], *, expand: bool) -> list[dict[str, Any]]:
    """Return files and folders of a commit, in the order that is asked for; what it hasn't is left out.

    Args:
        found: The commit.
        contents: Its files.
        paths: Which of its files and folders.
        expand: Whether to name each file's last commit. A cache doesn't know it, but the file is in this one.
    """
    entries = []
    for path in paths:
        file = contents.by_path.get(path)
        if file is not None:
            entry = _file_entry(file) | ({} if contents.whole else {"xetHash": ""})
        elif path in contents.folders:
            entry = {"type": "directory", "oid": _UNKNOWN_OID, "size": 0, "path": path}
        else:
            continue
        entries.append(entry | ({"lastCommit": _last_commit(found)} if expand else {}))
    return entries


def manifest(found: ResolvedRevision, file: ServedFile, projector: ServedFile | None) -> dict[str, Any]:
    """Return the files that a tag means, as llama.cpp and node-llama-cpp ask for them.

    Source: llama.cpp `common/hf-cache.cpp` and `common/arg.cpp` before b7500 (`ggufFile`, `mmprojFile`).
    """
    answer: dict[str, Any] = {"schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json"}
    for key, one in (("ggufFile", file), ("mmprojFile", projector)):
        if one is not None:
            entry = _file_entry(one)
            answer[key] = {"rfilename": one.path, "blobId": entry["oid"], "size": one.size_bytes}
            answer[key] |= {"lfs": entry["lfs"]} if one.is_lfs else {}
    return answer | {"metadata": {"sha": found.commit_hash}}


def file_headers(file: ServedFile, revision: str) -> dict[str, str]:
    """Return a file's headers, for HEAD and GET."""
    name = file.path.rpartition("/")[2]
    plain = "".join(char if " " <= char <= "~" and char not in '"\\' else "_" for char in name)
    headers = {
        "X-Repo-Commit": file.commit_hash,
        "ETag": f'"{file.etag}"',
        "Accept-Ranges": "bytes",
        "Content-Type": "application/octet-stream",
        "Content-Disposition": f"inline; filename*=UTF-8''{quote(name, safe='')}; filename=\"{plain}\";",
        "Last-Modified": formatdate(file.modified_at, usegmt=True),
        "Cache-Control": "public, max-age=31536000, immutable" if COMMIT_HASH.fullmatch(revision) else "no-cache",
    }
    if file.is_lfs:
        headers |= {"X-Linked-Etag": headers["ETag"], "X-Linked-Size": str(file.size_bytes)}
    return headers


def choose_gguf(files: Sequence[ServedFile], tag: str) -> ServedFile | None:
    """Return the GGUF that a tag means: the quantisation, or the file's name; `latest` is llama.cpp's choice.

    Args:
        files: The files here.
        tag: Q4_K_M, q4_k_m, latest.
    """
    models = [file for file in files if file.path.lower().endswith(".gguf") and not _is_projector(file)]
    first = [file for file in models if "-of-" not in file.path or "-00001-of-" in file.path]
    wanted = ["q4_k_m", "q8_0", ""] if tag.lower() == "latest" else [tag.lower()]
    return next((file for word in wanted for file in first if word in file.path.lower()), None)


def choose_projector(files: Sequence[ServedFile]) -> ServedFile | None:
    """Return a vision model's projector, if it is here."""
    return next((file for file in files if file.path.lower().endswith(".gguf") and _is_projector(file)), None)


def _is_projector(file: ServedFile) -> bool:
    return "mmproj" in file.path.lower()


def _file_entry(file: ServedFile) -> dict[str, Any]:
    entry: dict[str, Any] = {"type": "file", "oid": file.etag, "size": file.size_bytes, "path": file.path}
    if file.is_lfs:
        pointer = lfs.pointer(file.etag, file.size_bytes)
        entry["oid"] = lfs.git_digest(pointer)
        entry["lfs"] = {"oid": file.etag, "size": file.size_bytes, "pointerSize": len(pointer)}
    return entry


def _last_commit(found: ResolvedRevision) -> dict[str, str]:
    return {"id": found.commit_hash, "title": "", "date": _moment(found.modified_at)}


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
