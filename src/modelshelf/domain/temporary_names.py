"""The names of files that known programs write for a moment, and leave behind if they are killed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import chain

_HEX8 = "[0-9a-f]{8}"
_UUID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_OURS = rf"\..+\.{_HEX8}\.shelf-tmp"
_TEMPORARY = {
    "blobs": re.compile(rf".+\.(?:incomplete|downloadInProgress|tmp)|tmp_{_UUID}|\..+\.{_HEX8}\.shared|{_OURS}"),
    "refs": re.compile(rf".+\.{_HEX8}\.tmp|{_OURS}"),
    "trees": re.compile(rf"tmp[a-z0-9_]{{8}}\.tmp|{_OURS}"),
}
_ELSEWHERE = re.compile(rf"{_OURS}\.?")  # names that a probe tries may end in a dot
_PROBE = re.compile("tmp[a-z0-9_]{8}")
_PROBE_FILES = ("dummy_file_src", "dummy_file_dst")


def is_probe(folder: str) -> bool:
    """Return whether a folder has the name of one in which huggingface_hub tries whether it can link.

    It is in a repository or beside them, holds two files, and is deleted at once, unless its process is killed.

    Source: huggingface_hub `are_symlinks_supported`; the names of Python's tempfile.

    >>> is_probe("tmpya05pkng"), is_probe("snapshots")
    (True, False)
    """
    return _PROBE.fullmatch(folder) is not None


def is_temporary(area: str, name: str) -> bool:
    """Return whether a file in a part of a repository's folder is a known program's temporary file.

    Among a snapshot's files only our own names count: a repository may well have a file `notes.tmp`.

    Source: huggingface_hub `file_download.py`, `_shared_blobs.py`, `_tree_cache.py`; llama.cpp `common/download.cpp`.

    >>> [is_temporary("blobs", name) for name in ("ab.0a1b2c3d.incomplete", "ab.downloadInProgress", "ab")]
    [True, True, False]
    >>> is_temporary("refs", "main.0a1b2c3d.tmp"), is_temporary("trees", "tmp_hhwov2v.tmp")
    (True, True)
    >>> is_temporary("snapshots", "notes.tmp"), is_temporary("snapshots", ".a.bin.0a1b2c3d.shelf-tmp")
    (False, True)
    >>> is_temporary("tmpya05pkng", "dummy_file_src"), is_temporary("tmpya05pkng", "thesis.txt")
    (True, False)
    """
    if is_probe(area) and name in _PROBE_FILES:
        return True
    return _TEMPORARY.get(area, _ELSEWHERE).fullmatch(name) is not None


def any_temporary(names: Mapping[str, Sequence[str]]) -> bool:
    """Return whether `is_temporary` says so of any of many names, by area, most of which are never temporary.

    Those of blobs aren't asked about: all other temporary names, or their areas, have `tmp` in them.

    >>> any_temporary({"refs": ["main", "v1"]}), any_temporary({"refs": ["main", "main.0a1b2c3d.tmp"]})
    (False, True)
    """
    may_be = "tmp" in "/".join(chain(names, *names.values()))
    return may_be and any(is_temporary(area, name) for area, listed in names.items() for name in listed)
