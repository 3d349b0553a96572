"""What was typed into conversations."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelshelf.store.chat_history import ChatHistory


@pytest.fixture
def history(tmp_path: Path) -> ChatHistory:
    """An empty history."""
    return ChatHistory(tmp_path)


def test_lines_are_kept_in_order_for_their_user_alone(history: ChatHistory) -> None:
    """Two conversations at once add to one file, whose lines are the oldest first, and which others can't read."""
    history.add(["one"])
    history.add(["two", "drei \udcff"])

    assert history.lines() == ["one", "two", "drei ?"]
    assert history.path.stat().st_mode & 0o777 == 0o600


def test_the_oldest_and_the_longest_lines_are_not_kept(history: ChatHistory) -> None:
    """The file stays small: it has a thousand lines at most, and none of more than a thousand characters."""
    history.add([f"{number}" for number in range(1500)])
    history.add(["x" * 1001])

    assert history.lines() == [f"{number}" for number in range(500, 1500)]


def test_nothing_typed_writes_nothing(history: ChatHistory) -> None:
    """A conversation in which nothing was typed makes no file."""
    history.add([])

    assert not history.path.parent.exists()


def test_a_history_that_cannot_be_read_or_written_is_empty(history: ChatHistory) -> None:
    """Where the file can't be had, the conversation goes on without it."""
    history.path.parent.write_text("in the way")
    history.add(["one"])

    assert history.lines() == []
