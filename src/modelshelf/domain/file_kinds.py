"""What a file is by its first bytes, regardless of its name. Pure; the disk's part is `store/repos/judge.py`.

A name easily survives the content: a link becomes a text file, a clone leaves pointers, a captive portal answers with a
web page. None of this is checked if a digest of the Hub vouches for the file.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Mapping, Set

from modelshelf.domain.names import Digest, is_digest

HEAD_BYTES = 1100
"""How much of a file is read at most; an `XSym` file has 1067 bytes, the longest text of a link to a blob less."""
SAFETENSORS_HEADER_BYTES = 100_000_000
"""The longest header that the safetensors library accepts."""

_WEIGHTS = tuple(
    ".safetensors .bin .gguf .ggml .pt .pth .ckpt .onnx .h5 .msgpack .tflite .nemo .npz .keras .mlmodel".split()
)
_NO_WEIGHTS = re.compile(r"(?:training_args|optimizer|scheduler)\..*")
_SHARD = re.compile(r"(.+)-(\d{1,9})-of-(\d{1,9})(\.[A-Za-z0-9.]+)")
_POINTER = b"version https://git-lfs.github.com/spec/"
_PAGE = re.compile(rb"\s*(?:<!doctype html|<html)", re.IGNORECASE)
_LINK = re.compile(rb"([^\x00-\x1f]{1,1024}/)?blobs/([0-9a-f]{40}|[0-9a-f]{64})\s*")
_XSYM = re.compile(rb"XSym\n\d{4}\n[0-9a-f]{32}\n([^\n]+)\n\s*")


def is_weights(path: str) -> bool:
    """Return whether a file holds weights, by its name.

    >>> is_weights("model.safetensors"), is_weights("training_args.bin"), is_weights("config.json")
    (True, False, False)
    """
    name = path.rpartition("/")[2]
    return name[1:].endswith(_WEIGHTS) and not _NO_WEIGHTS.fullmatch(name)  # a name is more than its suffix


def is_pointer(head: bytes) -> bool:
    """Return whether a file that begins like this is a pointer to one in Git LFS."""
    return head.startswith(_POINTER)


def link_in(head: bytes) -> Digest | None:
    """Return the digest of the blob that a text file leads to if the file was a link once; None otherwise.

    zip, git without symbolic links, and some copies write a link's target as a file's content; SMB's links of macOS and
    Samba are files of 1067 bytes that begin with `XSym`.

    >>> link_in(b"../../blobs/" + b"ab" * 20)[:4], link_in(b"{}")
    ('abab', None)
    """
    xsym = _XSYM.fullmatch(head)
    match = _LINK.fullmatch(xsym[1] if xsym else head)
    return Digest(match[2].decode()) if match else None


def why_not(path: str, size_bytes: int, head: bytes) -> str:
    """Return why a file isn't what its name says, as the end of a sentence after its name; empty if it may be.

    Args:
        path: Its path in the repository.
        size_bytes: Its size.
        head: Its first bytes, at most `HEAD_BYTES`.

    >>> why_not("a.gguf", 9, b"<html>..."), why_not("a.gguf", 2000, b"GGUF")
    ('is a web page', '')
    """
    weights = is_weights(path)
    faults = {
        "is a link that became a text file": bool(link_in(head)),
        "is a Git LFS pointer, which stands for a file that isn't here": is_pointer(head),
        "is a web page": _PAGE.match(head) and (weights or path.endswith(".json")),
        "is empty": weights and not size_bytes,
        "isn't a GGUF file: it doesn't begin with GGUF": path.endswith(".gguf") and head[:4] != b"GGUF",
        "isn't a safetensors file, or not all of it": path.endswith(".safetensors")
        and not _has_header(size_bytes, head),
    }
    return next((fault for fault, is_so in faults.items() if is_so), "")


def _has_header(size_bytes: int, head: bytes) -> bool:
    """Return whether a file begins with the length of a header that fits into it, and with that header.

    Source: safetensors: eight bytes, little-endian; then JSON, which begins with a brace.
    """
    length = int.from_bytes(head[:8], "little")
    return len(head) > 8 and 2 <= length <= min(size_bytes - 8, SAFETENSORS_HEADER_BYTES) and head[8:9] == b"{"


def missing_shard(there: Set[str], indexes: Mapping[str, Iterable[str]]) -> str:
    """Return a missing part of a model that has other parts; empty if none is missing.

    An index names the parts; without one, their names count them.

    Args:
        there: The existing files, by path.
        indexes: Each index's path, and the files it names, relative to its own folder.

    >>> missing_shard({"model-1-of-2.bin"}, {}), missing_shard({"a-00001-of-00001.gguf"}, {})
    ('model-2-of-2.bin', '')
    """
    named: set[str] = set()
    for index in sorted(indexes):
        parts = sorted(posixpath.normpath(posixpath.join(posixpath.dirname(index), name)) for name in indexes[index])
        named.update(parts)
        held = [part for part in parts if part in there]
        if len(held) < len(parts) and (held or not any(is_weights(path) for path in there)):
            return next(part for part in parts if part not in there)
    for path in sorted(there - named):
        match = _SHARD.fullmatch(path)
        if match is not None and is_weights(path):
            lost = _lost_sibling(match, there)
            if lost:
                return lost
    return ""


def _lost_sibling(match: re.Match[str], there: Set[str]) -> str:
    """Return the first missing part beside an existing one; the number keeps its width."""
    stem, number, count, suffix = match.groups()
    width = len(number)
    key = (stem, count, suffix)
    held = {path for path in there if (other := _SHARD.fullmatch(path)) and (other[1], other[3], other[4]) == key}
    if len(held) >= int(count):
        return ""
    return next(
        name
        for index in range(1, int(count) + 1)
        if (name := f"{stem}-{index:0{width}}-of-{count}{suffix}") not in held
    )


def missing_component(there: Set[str], components: Iterable[str]) -> str:
    """Return what a component of a pipeline lacks, in a sentence; empty if nothing.

    Args:
        there: The existing files, by path.
        components: The folders that `model_index.json` names. One with a `config.json` is a model, and has weights.

    >>> missing_component({"unet/config.json"}, ["unet"]), missing_component({"tokenizer/vocab.json"}, ["tokenizer"])
    ('unet/ has no weights.', '')
    """
    for folder in sorted(components):
        held = {path for path in there if path.startswith(f"{folder}/")}
        if not held:
            return f"{folder}/ is not there."
        if f"{folder}/config.json" in held and not any(map(is_weights, held)):
            return f"{folder}/ has no weights."
    return ""


def digest_in(name: str) -> Digest | None:
    """Return the digest that a link's target names, wherever the link leads; None without one.

    >>> digest_in("/old/place/blobs/" + "ab" * 20)[:4], digest_in("/etc/passwd")
    ('abab', None)
    """
    folder, _, last = name.rpartition("/")
    return Digest(last) if is_digest(last) and folder.endswith("blobs") else None
