"""Changing lines of a `.env`: everything else stays as it was."""

from __future__ import annotations

import pytest

from modelshelf.setting_lines import edited


@pytest.mark.parametrize(
    ("before", "wanted", "after"),
    [
        ("", {"A": "1"}, "A=1\n"),
        ("# mine\nA=1 # why\nB=2\n", {"A": "3"}, "# mine\nA=3 # why\nB=2\n"),
        ("A='a # b' # why\n", {"A": "c"}, "A=c # why\n"),
        ("export A=1\n", {"A": "2"}, "export A=2\n"),
        ("A=1\nA=2\n", {"A": "3"}, "A=3\n"),
        ("A=1\n\nB=2\n\n\nA=5\n", {"A": ""}, "\nB=2\n\n\n"),
        ("A=1\r\nB=2\r\n", {"A": "2", "C": "3"}, "A=2\r\nB=2\r\nC=3\r\n"),
        ("A=1", {"B": "2"}, "A=1\nB=2\n"),
        ("#B=9\nA=1\n", {"B": "2"}, "#B=9\nB=2\nA=1\n"),
        ("A=1\n", {"A": "/my models/x"}, "A='/my models/x'\n"),
        ("A=1\n", {"B": ""}, "A=1\n"),
        ("broken\nA=1\n", {"A": "2"}, "broken\nA=2\n"),
        ("A\n", {"A": "2"}, "A=2\n"),
    ],
)
def test_a_change_keeps_all_other_lines(before: str, wanted: dict[str, str], after: str) -> None:
    """Comments, order, line ends, `export` and blank lines stay; the last of several lines of a name gets the text."""
    assert edited(before, wanted) == after
