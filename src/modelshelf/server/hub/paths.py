"""Parsing the paths and headers of the Hub's protocol; paths are read raw, with a revision's `/` quoted."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import unquote

PREFIX = "/hf"
_OTHER_TYPES = ("datasets", "spaces", "kernels", "buckets")
_FILES = ("resolve", "raw")
_WITH_REVISION = ("tree", "paths-info", "revision", "commits")
_ALONE = ("refs", "auth-check")
_RANGE = re.compile(r"bytes=(?:(?P<first>\d{1,19})-(?P<last>\d{1,19})?|-(?P<suffix>\d{1,19}))", re.ASCII)


@dataclass(frozen=True, slots=True)
class HubPath:
    """A parsed path of the Hub, percent-decoded and not yet checked."""

    kind: str
    """whoami, models, info, refs, auth-check, tree, paths-info, commits, resolve, raw, manifest or other-type."""
    repo_id: str = ""
    revision: str = "main"
    path: str = ""
    """A file or folder of the repository, empty for its root; the tag of a manifest."""


def parse_path(raw: str) -> HubPath | None:
    """Return a parsed raw path below the prefix; None if the Hub has no such route.

    An id has one part or two. Two are tried first: an organisation's repository named `tree` is likelier than a bare
    id with a revision of that name.

    >>> parse_path("org/name/resolve/refs%2Fpr%2F1/sub/a%20b.txt")
    HubPath(kind='resolve', repo_id='org/name', revision='refs/pr/1', path='sub/a b.txt')
    """
    try:
        parts = raw.split("/")
        if raw == "api/whoami-v2":
            return HubPath("whoami")
        if parts[0] in _OTHER_TYPES or (parts[0] == "api" and parts[1:2] and parts[1] in _OTHER_TYPES):
            return HubPath("other-type", path=parts[parts[0] == "api"])
        if parts[:2] == ["api", "models"]:
            return _parse_api(raw.rstrip("/").split("/")[2:])
        if parts[0] == "v2":
            return _parse_manifest(parts[1:])
        return _parse_file(parts)
    except UnicodeDecodeError:
        return None


def _parse_api(parts: list[str]) -> HubPath | None:
    if not parts:
        return HubPath("models")
    for length in (2, 1):
        repo_id, word, rest = _decode(parts[:length]), parts[length : length + 1], parts[length + 1 :]
        if word and word[0] in _ALONE and not rest:
            return HubPath(word[0], repo_id)
        if word == ["revision"] and rest:
            return HubPath("info", repo_id, _decode(rest))
        if word and word[0] in _WITH_REVISION and rest:
            revision, path = _take_revision(rest)
            return HubPath(word[0], repo_id, revision, _decode(path))
    return HubPath("info", _decode(parts)) if len(parts) <= 2 else None


def _parse_manifest(parts: list[str]) -> HubPath | None:
    """Parse Ollama's and llama.cpp's request for the file of a tag."""
    if len(parts) in (3, 4) and parts[-2] == "manifests":
        return HubPath("manifest", _decode(parts[:-2]), path=_decode(parts[-1:]))
    return None


def _parse_file(parts: list[str]) -> HubPath | None:
    for length in (2, 1):
        word = parts[length : length + 1]
        if word and word[0] in _FILES:
            revision, rest = _take_revision(parts[length + 1 :])
            if revision and rest:
                return HubPath(word[0], _decode(parts[:length]), revision, _decode(rest))
    return None


def _take_revision(parts: list[str]) -> tuple[str, list[str]]:
    """Return the decoded revision, and the parts after it; `refs/pr/1` may be unquoted."""
    length = 3 if len(parts) > 2 and parts[0] == "refs" and parts[1] in ("pr", "convert") else 1
    return _decode(parts[:length]), parts[length:]


def _decode(parts: Iterable[str]) -> str:
    return "/".join(unquote(part, errors="strict") for part in parts)


def parse_range(header: str | None, size_bytes: int) -> range | None:
    """Return the bytes of a Range header: empty if it is past the end, None for the whole file.

    Several ranges, and anything that isn't a range of bytes, give the whole file, as RFC 9110 allows.

    >>> parse_range("bytes=-3", 10), parse_range("bytes=10-", 10), parse_range("bytes=0-1,4-5", 10)
    (range(7, 10), range(0, 0), None)
    """
    match = _RANGE.fullmatch(header.strip()) if header else None
    if match is None:
        return None
    if match["suffix"]:
        return range(max(0, size_bytes - int(match["suffix"])), size_bytes)
    first = int(match["first"])
    last = min(int(match["last"]), size_bytes - 1) if match["last"] else size_bytes - 1
    if match["last"] and int(match["last"]) < first:
        return None
    return range(first, last + 1) if first < size_bytes else range(0)


def has_etag(header: str | None, etag: str) -> bool:
    """Return whether an If-None-Match header names this quoted ETag, so the client has the file already.

    >>> has_etag('"a", W/"b"', '"b"'), has_etag("*", '"b"'), has_etag(None, '"b"')
    (True, True, False)
    """
    named = {tag.strip().removeprefix("W/") for tag in (header or "").split(",")}
    return "*" in named or etag in named
