"""What a person types at a prompt: several lines in one text, and the history of this and earlier conversations."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from modelshelf.cli import output
from modelshelf.cli.interrupts import interrupt_stops

if TYPE_CHECKING:
    from modelshelf.store.chat_history import ChatHistory

_PROMPT, _MORE = ">>> ", "... "
FENCE = '"""'
"""Begins and ends a text of several lines."""


@contextmanager
def remembering(history: ChatHistory) -> Iterator[None]:
    """Let the arrow keys give what was typed before; at the end what was typed meanwhile is added to it.

    Where Python has no readline, a line can't be edited, and nothing is remembered.
    """
    try:
        import readline
    except ImportError:
        yield
        return
    for line in history.lines():
        readline.add_history(line)
    known = readline.get_current_history_length()
    try:
        yield
    finally:
        count = readline.get_current_history_length()
        items = (readline.get_history_item(number) for number in range(known + 1, count + 1))
        history.add([item for item in items if item])


def typed() -> str | None:
    """Return what a person typed; None when they leave."""
    try:
        line = input(_PROMPT).strip()
        return line if not line.startswith(FENCE) else _several(line)
    except EOFError:
        output.note("")
        return None
    except KeyboardInterrupt:
        interrupt_stops()
        output.note("\n/bye or Ctrl-D leaves.", style="dim")
        return ""


def _several(first: str) -> str:
    """Return a text whose first line began with a fence; it may end there too."""
    lines = [first.removeprefix(FENCE)]
    while not lines[-1].endswith(FENCE):
        lines.append(input(_MORE))
    return "\n".join(lines).removesuffix(FENCE).strip()
