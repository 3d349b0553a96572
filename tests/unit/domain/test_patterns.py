"""Which files patterns select, and which patterns are refused."""

from __future__ import annotations

import fnmatch
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelshelf.domain.patterns import MOST_CHARS, MOST_PATTERNS, FilePattern, Selection, escape, excluding, patterns_of
from modelshelf.errors import BadInput

PATHS = st.text("ab*?[]!-./", min_size=1, max_size=12).filter(
    lambda text: all(part not in ("", ".", "..") for part in text.split("/"))
)


@given(st.text("ab*?[]!-./", min_size=1, max_size=12).filter(lambda text: text[0] != "!"), PATHS)
def test_a_pattern_chooses_what_huggingface_hub_chooses(pattern: str, path: str) -> None:
    """A pattern matches as fnmatch does, and one that ends in `/` matches the folder."""
    assert (path in Selection([pattern])) == fnmatch.fnmatch(path, f"{pattern}*" if pattern.endswith("/") else pattern)


@given(
    st.text("ab*?[]!-./", min_size=1, max_size=12).filter(lambda text: bool(text.strip("!"))),
    st.text("ab*?-./", min_size=1, max_size=12),
    PATHS,
)
def test_a_pattern_behind_an_exclamation_mark_takes_out_what_it_matches(out: str, wanted: str, path: str) -> None:
    """A `!` pattern removes its matches from what the other patterns select, or from everything if there are none."""
    if not out.startswith("!"):
        assert (path in Selection([excluding(out)])) != (path in Selection([out]))
    assert (path in Selection([wanted, excluding(out)])) == (
        path in Selection([wanted]) and path in Selection([excluding(out)])
    )


@given(PATHS, PATHS)
def test_an_escaped_path_chooses_itself_alone(path: str, other: str) -> None:
    """An escaped path matches itself and no other path, whatever characters it has."""
    pattern = FilePattern(escape(path))

    assert pattern.name == path
    assert path in Selection([pattern])
    assert (other in Selection([pattern])) == (other == path)


@pytest.mark.parametrize(
    "text", ["", "!!", 7, None, "*" * (MOST_CHARS + 1), "[" * 100_000, "*\0", "*\x1b[31m", "\ud800*"]
)
def test_what_is_no_pattern_is_refused(text: object) -> None:
    """A pattern that is too long, not printable, not text, or matches no file is bad input."""
    with pytest.raises(BadInput):
        FilePattern(text)


def test_too_many_patterns_are_refused_and_names_are_not() -> None:
    """The number of shell patterns is bounded; the file names that adopt writes aren't."""
    patterns_of(f"file-{number}" for number in range(MOST_PATTERNS * 10))

    with pytest.raises(BadInput, match="too many"):
        patterns_of(f"*{number}" for number in range(MOST_PATTERNS + 1))


@pytest.mark.parametrize("pattern", ["[" * MOST_CHARS, "*a" * (MOST_CHARS // 2), "[!" * (MOST_CHARS // 2)])
def test_the_slowest_patterns_are_fast_enough(pattern: str) -> None:
    """As many of the slowest patterns as are allowed match a thousand names within seconds."""
    started = time.thread_time()
    wanted = Selection([f"{pattern[:-4]}{number:04}" for number in range(MOST_PATTERNS)])
    chosen = [number for number in range(1000) if f"model-{number:05}-of-01000.safetensors" in wanted]

    assert chosen == []
    assert time.thread_time() - started < 10
