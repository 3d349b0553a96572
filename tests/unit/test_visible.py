"""How text that somebody else wrote is shown on a terminal."""

from __future__ import annotations

import io
import json
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelshelf.cli import output
from modelshelf.cli.visible import visible

BIDI = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
JSON = st.recursive(
    st.none() | st.booleans() | st.text(st.characters()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters()), inner),
)


def is_obeyed(char: str) -> bool:
    """Return whether a terminal acts on a character instead of showing it."""
    return unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") or unicodedata.bidirectional(char) in BIDI


@given(st.text(st.characters()), st.booleans())
def test_nothing_that_a_terminal_obeys_is_left(text: str, lines: bool) -> None:
    """No control, bidi control or lone surrogate is left, except line ends where they are allowed."""
    shown = visible(text, lines=lines)

    assert [char for char in shown if is_obeyed(char) and not (lines and char == "\n")] == []


@given(JSON)
def test_json_stays_what_it_means(value: object) -> None:
    """Escaped JSON means the same value."""
    assert json.loads(visible(json.dumps(value, indent=2, ensure_ascii=False), lines=True)) == value


def test_plain_text_stays_as_it_is() -> None:
    """Letters of all languages, emoji and signs are shown unchanged."""
    text = "Grüße, שלום, مرحبا, 你好, naïve café 🎉 → █░ it's"

    assert visible(text) == text


@pytest.mark.parametrize("show", [output.note, output.answer])
def test_the_printer_shows_no_escape(show: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """Notes, and answers on a terminal, have control characters escaped."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setattr(sys, "stderr", stream)
    show("a\x1b]0;title\x07b\u202ec")  # type: ignore[operator]

    assert stream.getvalue() == "a\\u001b]0;title\\u0007b\\u202ec\n"


def test_an_answer_to_a_program_is_exact(capsys: pytest.CaptureFixture[str]) -> None:
    """An answer into a pipe is unchanged."""
    output.answer("/a\x1b/b")

    assert capsys.readouterr().out == "/a\x1b/b\n"


def test_a_table_keeps_its_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """A name with a line end doesn't add a row to a table."""
    output.table(["NAME", "SIZE"], [["a\nok  12 GB", "1 B"]])

    assert capsys.readouterr().out.splitlines() == ["NAME              SIZE", "a\\u000aok  12 GB  1 B"]
