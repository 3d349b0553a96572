"""A hub's answers, parsed into types. An invalid one raises ValueError, or a type's BadInput.

**Source:** the routes and fields are those that huggingface_hub 2.4 reads in `hf_api.py`.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from modelshelf.domain.candidates import Candidate
from modelshelf.domain.names import CommitHash, Digest, FilePath, RefName, RepoId
from modelshelf.domain.outside import list_of, maybe, object_of, size_of, text_of
from modelshelf.errors import BadInput

_MAX_ENTRY = 2**16
"""Longest entry of a list, in characters; honest ones have some hundreds."""
_FORMAT_TAGS = {"gguf": "GGUF", "safetensors": "safetensors", "mlx": "MLX", "onnx": "ONNX", "pytorch": "PyTorch"}
"""The Hub's tags for formats, and the formats' names."""
_AFTER = {"[": "{]", ",": "{", "]": ""}
"""The characters that may follow each in a list of objects."""
_BLANK = re.compile(r"[ \t\r\n]*")
_NEXT = re.compile(r"""<([^<>]*)>\s*;[^,<>]*\brel="?next"?""")


@dataclass(frozen=True, slots=True)
class RepoInfo:
    """A hub's answer about a repository at a revision."""

    repo_id: RepoId
    """In the hub's spelling."""
    commit_hash: CommitHash
    gated: bool
    first_path: FilePath | None
    """One of its files; None if it names none."""


@dataclass(frozen=True, slots=True)
class ListedFile:
    """One file of a tree."""

    path: FilePath
    digest: Digest
    size_bytes: int | None
    """None if the hub doesn't tell."""


def repo_info(answer: object) -> RepoInfo:
    """Return the content of `/api/models/{id}`."""
    said = object_of(answer)
    siblings = list_of(said.get("siblings") or [], object_of)
    first = siblings[0].get("rfilename") if siblings else None
    gated = said.get("gated") not in (None, False)
    path = None if first is None else FilePath(first)
    return RepoInfo(RepoId(said.get("id")), CommitHash(said.get("sha")), gated, path)


def refs(answer: object) -> Iterator[RefName]:
    """Yield the branches and tags in `/api/models/{id}/refs`; an invalid name is left out."""
    said = object_of(answer)
    for kind in ("branches", "tags"):
        for ref in list_of(said.get(kind) or [], object_of):
            try:
                yield RefName(ref.get("name"))
            except BadInput:
                continue


def candidates(answer: object) -> Iterator[Candidate]:
    """Yield the results of `/api/models?search=`; a repository with an invalid id is left out.

    Source: huggingface_hub `ModelInfo`; `gguf.total` and `safetensors.total` count weights.
    """
    for said in list_of(answer, object_of):
        try:
            repo_id = RepoId(said.get("id"))
        except BadInput:
            continue
        tags = [tag for tag in list_of(said.get("tags") or [], text_of) if tag in _FORMAT_TAGS]
        weights = (said.get(kind) for kind in ("safetensors", "gguf"))
        counts = (object_of(one).get("total") for one in weights if one is not None)
        yield Candidate(
            repo_id,
            downloads=_size(said.get("downloads")),
            likes=_size(said.get("likes")),
            updated_at=maybe(said.get("lastModified"), text_of),
            parameters=_size(next(counts, None)),
            size_bytes=_size(said.get("usedStorage")),
            formats=tuple(_FORMAT_TAGS[tag] for tag in tags),
            is_gated=said.get("gated") not in (None, False),
        )


class Tree:
    """The files of a commit, entry by entry."""

    def __init__(self) -> None:
        self.entries = 0
        """How many entries came, including folders."""
        self.files: dict[str, ListedFile] = {}
        self.may_be_short = False
        """Whether the hub says that it may not know all files; see `server.hub.bodies`."""
        self._folders: set[str] = set()

    def add(self, entry: object) -> None:
        """Add an entry of `/api/models/{id}/tree/{revision}`; what is neither a file nor a folder is left out."""
        said = object_of(entry)
        self.entries += 1
        if said.get("type") == "directory":
            self._folders.add(FilePath(said.get("path")))
        elif said.get("type") == "file":
            file = _listed_file(said)
            if file.path in self.files:
                raise ValueError(f"it lists {file.path!r:.200} twice.")
            self.files[file.path] = file
            self.may_be_short |= said.get("xetHash") == ""

    def check(self) -> None:
        """Raise unless these files can be in one folder together.

        Raises:
            ValueError: One of them is a folder as well.
        """
        names = sorted(f"{path}/" for path in self.files.keys() | self._folders)  # paths below a name follow it
        below = {name[:-1] for name, following in pairwise(names) if following.startswith(name)} | self._folders
        if both := self.files.keys() & below:
            raise ValueError(f"{min(both)!r:.200} is both a file and a folder.")


def _listed_file(said: dict[str, object]) -> ListedFile:
    lfs = said.get("lfs")
    if lfs is None:
        return ListedFile(FilePath(said.get("path")), Digest(said.get("oid")), _size(said.get("size")))
    lfs = object_of(lfs)
    digest = Digest(lfs.get("oid") if lfs.get("sha256") is None else lfs.get("sha256"))
    return ListedFile(FilePath(said.get("path")), digest, _size(lfs.get("size")))


def header_size(text: str | None) -> int | None:
    """Return the bytes of a header such as Content-Length; None without one, or if it isn't a size."""
    is_number = text is not None and text.isascii() and text.isdigit() and len(text) < 19
    return int(text or "") if is_number else None


def _size(value: object) -> int | None:
    return None if value is None else size_of(value)


def next_page(link: str | None) -> str | None:
    """Return the next page's address in the header `Link`."""
    found = _NEXT.search(link or "")
    return found[1] if found else None


def elements(pieces: Iterable[bytes]) -> Iterator[object]:
    """Yield the objects of a JSON array while its text arrives, holding one object at a time.

    Raises:
        ValueError: It isn't an array of objects.
    """
    decoder, to_text = json.JSONDecoder(parse_constant=_refuse), codecs.getincrementaldecoder("utf-8")()
    text, expected = "", "["
    for piece in pieces:
        text += to_text.decode(piece)
        at = 0
        while (at := _skip(text, at)) < len(text):
            if text[at] not in expected:
                raise ValueError("it isn't a list of objects.")
            if text[at] != "{":
                expected = _AFTER[text[at]]
                at += 1
                continue
            found = _object_at(decoder, text, at)
            if found is None:
                break
            value, at = found
            expected = ",]"
            yield value
        text = text[at:]
    if expected:
        raise ValueError("its list ends early.")


def _object_at(decoder: json.JSONDecoder, text: str, at: int) -> tuple[object, int] | None:
    """Return an object and its end; None if the rest of it is still to come."""
    try:
        return decoder.raw_decode(text, at)
    except RecursionError:
        raise ValueError("it is nested too deeply.") from None
    except ValueError:
        if len(text) - at > _MAX_ENTRY:
            raise ValueError("an entry isn't JSON.") from None
        return None


def _skip(text: str, at: int) -> int:
    blank = _BLANK.match(text, at)
    return blank.end() if blank else at


def _refuse(constant: str) -> object:
    raise ValueError(f"{constant} is not a number.")
