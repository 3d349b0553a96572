"""Drawing an answer in Markdown while it grows."""

from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelshelf.cli.markdown import MarkdownAnswer

ANSWER = """\
# Title

Roses are red,
violets are *blue*. See [here](http://a.example/b).

1. one **bold**
2. two

   with more

```python
def f(x):
    return x  # a comment that is longer than the line of this terminal is wide
```

| a | b |
|---|---|
| 1 | 2 |

The end, <think>of this</think>.
"""
_SENT = re.compile(r"\x1b\[(\d+)A|\x1b\[J|\x1b\[[\d;]*m|\r|\n|[^\x1b\r\n]+")


def screen(sent: str) -> list[str]:
    """Return the lines that a terminal shows after this was sent to it."""
    lines, at = [""], 0
    for found in _SENT.finditer(sent):
        if found[1]:
            at -= int(found[1])
            assert at >= 0, "it drew above its own answer"
        elif found[0] == "\x1b[J":
            lines[at:] = [""]
        elif found[0] == "\n":
            at += 1
            lines += [""] * (at + 1 - len(lines))
        elif found[0][0] not in "\x1b\r":
            lines[at] += found[0]
    return [line.rstrip() for line in lines]


def drawn(*pieces: str, rows: int = 24) -> list[str]:
    """Return what a terminal of 40 cells shows in the end."""
    answer = MarkdownAnswer(40, rows, color=True)
    return screen("".join(answer.add(piece) for piece in pieces))


@settings(max_examples=25)
@given(st.lists(st.integers(0, len(ANSWER)), max_size=30))
def test_however_it_comes_it_ends_the_same(cuts: list[int]) -> None:
    """Whatever pieces an answer came in, the terminal shows the same in the end, and no line is wider than it."""
    at = [0, *sorted(cuts), len(ANSWER)]
    blocks = drawn(*re.split(r"(?<=\n\n)(?=\S)", ANSWER))
    found = drawn(*[ANSWER[start:end] for start, end in itertools.pairwise(at)])

    assert found == blocks
    assert max(map(len, found)) <= 40


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("two\nlines", ["two", "lines", ""]),
        ("a <b>tag</b> stays", ["a <b>tag</b> stays", ""]),
        ("<think>\nhm", ["<think>", "hm", ""]),
        ("\x1b[31mred &#x202e;x", ["\\u001b[31mred \\u202ex", ""]),
        ("[click](http://evil.example)", ["click (http://evil.example)", ""]),
        ("```\n\x07 &amp;\n```", [" \\u0007 &amp;", ""]),
        ("", [""]),
    ],
    ids=["lines", "tag", "tag-first", "controls", "link", "code", "nothing"],
)
def test_a_text_is_shown_as_it_is_meant(text: str, shown: list[str]) -> None:
    """Lines and tags are shown as the model wrote them, where a link leads is seen, and no control gets through."""
    assert drawn(text) == shown


def test_an_answer_may_be_longer_than_the_terminal_is_high() -> None:
    """What has left the top of the screen isn't drawn again, so that nothing is there twice."""
    lines = [f"- point {number}\n" for number in range(30)]

    assert drawn(*lines, rows=6) == [f" • point {number}" for number in range(30)] + [""]
