"""Which files of a repository are selected: shell patterns as huggingface_hub takes them, within limits.

Parsing a pattern costs the square of its length if its brackets never close, and matching it more.

A pattern that begins with `!` leaves files out, as huggingface_hub's `ignore_patterns` do.

Source: huggingface_hub `filter_repo_objects` (fnmatch; a pattern that ends in `/` means the folder).

>>> wanted = Selection(patterns_of(["*.gguf", escape("a[1].bin"), "deep/"]))
>>> [path for path in ("x.gguf", "a[1].bin", "a1.bin", "deep/er/w") if path in wanted]
['x.gguf', 'a[1].bin', 'deep/er/w']
"""

from __future__ import annotations

import contextlib
import fnmatch
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Self

from modelshelf.domain.names import FilePath
from modelshelf.errors import BadInput

MOST_CHARS = 256
"""Longest pattern that isn't the name of one file."""
MOST_PATTERNS = 256
"""Most patterns of that kind. Names of single files, of which adopt writes one for each, are looked up."""
_MOST_NAMES = 1_000_000

EXCLUDES = "!"
_NO_EXCLUSION = r"\!"
_NAME = re.compile(r"(?!!)(?:[^*?\[]|\[[*?\[]\]|\[\\!\])+(?<!/)")
"""A pattern that matches one path and no other; see `escape`."""
_SPECIAL = re.compile(r"[*?\[]|\A!|/\Z")
"""What a pattern that is spelled like its only path lacks."""


class FilePattern(str):
    """A shell pattern of files.

    Raises:
        BadInput: The text isn't one, or is too long.
    """

    __slots__ = ()

    def __new__(cls, text: object) -> Self:
        said = text.strip(EXCLUDES) if isinstance(text, str) else ""
        is_pattern = isinstance(text, str) and bool(said) and len(text) <= MOST_CHARS and text.isprintable()
        if not is_pattern and (not isinstance(text, str) or _name_in(text) is None):
            hint = f"A pattern such as *.gguf has at most {MOST_CHARS} characters."
            raise BadInput(f"{text!r:.80} isn't a pattern of files.", hint=hint, pattern=f"{text!r:.80}")
        return super().__new__(cls, text)

    @property
    def name(self) -> FilePath | None:
        """The one path that it matches; None if it may match several."""
        return _name_in(self)


def patterns_of(texts: Iterable[object]) -> tuple[FilePattern, ...]:
    """Return patterns.

    Raises:
        BadInput: One of them isn't one, or there are too many.
    """
    found = tuple(text if isinstance(text, FilePattern) else FilePattern(text) for text in texts)
    count = sum(pattern.name is None for pattern in found) if len(found) > MOST_PATTERNS else 0
    if count > MOST_PATTERNS or len(found) > _MOST_NAMES:
        raise BadInput(f"{count} patterns are too many: {MOST_PATTERNS} at most.", allow_patterns=len(found))
    return found


class Selection:
    """The paths that one of the patterns matches, or all without patterns, except those that a `!` pattern matches."""

    def __init__(self, patterns: Iterable[str]) -> None:
        given = [p if isinstance(p, FilePattern) else FilePattern(p) for p in patterns]
        self._wanted = _Matcher(pattern for pattern in given if not pattern.startswith(EXCLUDES))
        out = [FilePattern(pattern.removeprefix(EXCLUDES)) for pattern in given if pattern.startswith(EXCLUDES)]
        self._out = _Matcher(out) if out else None

    def __contains__(self, path: str) -> bool:
        """Return whether a path is selected."""
        return self._wanted.matches(path) and not (self._out and self._out.matches(path))


class _Matcher:
    """The paths that one of the patterns matches; all without patterns."""

    def __init__(self, patterns: Iterable[FilePattern]) -> None:
        wanted = [(pattern, pattern.name) for pattern in patterns]
        self._is_all = not wanted
        self._names = {name for _, name in wanted if name is not None}
        shells = (pattern + "*" if pattern.endswith("/") else pattern for pattern, name in wanted if name is None)
        self._shells = [re.compile(fnmatch.translate(shell)) for shell in shells]

    def matches(self, path: str) -> bool:
        return self._is_all or path in self._names or any(shell.match(path) for shell in self._shells)


def excluding(pattern: str) -> str:
    """Return the pattern that leaves out what another one matches.

    >>> "a.bin" in Selection([excluding("*.bin")]), "a.txt" in Selection([excluding("*.bin")])
    (False, True)
    """
    return EXCLUDES + pattern


def in_words(patterns: Iterable[str]) -> str:
    """Return what a file is that patterns select, for people.

    >>> in_words(["*.gguf", "!*Q8*"]), in_words(["!*"])
    ('matches *.gguf and not *Q8*', 'is left without *')
    """
    wanted = list(patterns)
    without = ", ".join(one.removeprefix(EXCLUDES) for one in wanted if one.startswith(EXCLUDES))
    only = ", ".join(one for one in wanted if not one.startswith(EXCLUDES))
    return f"is left without {without}" if not only else f"matches {only}{f' and not {without}' if without else ''}"


def escape(path: str) -> str:
    """Return the pattern that matches one path and no other.

    >>> escape("a[1].bin"), escape("!a")
    ('a[[]1].bin', '[\\\\!]a')
    """
    return re.sub(r"([*?[])|^(!)", lambda special: f"[{special[1] or _NO_EXCLUSION}]", path)  # no path has a backslash


@lru_cache(maxsize=4096)
def _name_in(pattern: str) -> FilePath | None:
    with contextlib.suppress(BadInput):
        if _SPECIAL.search(pattern) is None:  # most of them
            return FilePath(pattern)
        return FilePath(re.sub(r"\[\\?([*?[!])\]", r"\1", pattern)) if _NAME.fullmatch(pattern) else None
    return None
