"""An answer in Markdown on a terminal, drawn as it grows.

Each draw replaces the last lines of the one before, which further text may still change: a longer word wraps, a fence
ends. A paragraph, list or table that is over is drawn for the last time, and so is what is too long to be replaced.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from modelshelf.cli.visible import visible

if TYPE_CHECKING:
    from markdown_it.token import Token

_MOST_CHANGING = 12
"""So many lines at the end are drawn anew at most."""
_CODE_THEME = "ansi_dark"
"""The terminal's own sixteen colours."""


@dataclass(slots=True)
class MarkdownAnswer:
    """Turns pieces of Markdown into what a terminal is to be sent.

    Args:
        columns: The cells of its line.
        rows: Its lines.
        color: Whether it gets colours.
    """

    columns: int
    rows: int
    color: bool
    _text: str = ""
    """The block that isn't over: all blocks before it have their last form."""
    _kept: int = 0
    """The lines of that block that are not drawn anew."""
    _drawn: int = 0
    """The lines below them, which the next draw replaces; the cursor is behind them."""

    def add(self, piece: str) -> str:
        """Return what shows the answer with a further piece.

        >>> answer = MarkdownAnswer(40, 24, color=False)
        >>> answer.add("an *important"), answer.add("* word")
        ('an *important\\n', '\\x1b[1A\\r\\x1b[Jan \\x1b[3mimportant\\x1b[0m word\\n')
        """
        self._text += visible(piece.replace("\r\n", "\n").replace("\t", "    "), lines=True)
        back = f"\x1b[{self._drawn}A\r\x1b[J" if self._drawn else ""
        lines: list[str] = []
        *over, (start, tokens) = _blocks(self._text)
        for _, block in over:
            lines += [*self._rendered(block)[self._kept :], ""]
            self._kept = 0
        self._text = "\n".join(self._text.split("\n")[start:])
        changing = self._rendered(tokens)[self._kept :]
        self._drawn = min(len(changing), max(1, min(_MOST_CHANGING, self.rows - 2)))
        self._kept += len(changing) - self._drawn
        return back + "".join(f"{line}\n" for line in lines + changing)

    def _rendered(self, tokens: Sequence[Token]) -> list[str]:
        """Return blocks as lines, none wider than the terminal."""
        from rich.console import Console
        from rich.markdown import Markdown

        markdown, output = Markdown("", code_theme=_CODE_THEME, hyperlinks=False), io.StringIO()
        markdown.parsed = list(tokens)
        environment: dict[str, Any] = {"width": self.columns, "no_color": not self.color, "color_system": "standard"}
        Console(file=output, force_terminal=True, legacy_windows=False, **environment, _environ={}).print(markdown)
        text = "\n".join(line.rstrip() for line in output.getvalue().split("\n")).strip("\n")
        return text.split("\n") if text else []


def _blocks(text: str) -> list[tuple[int, list[Token]]]:
    """Return the paragraphs, lists, tables and so on of a text: the line where each begins, and its tokens.

    There is one at least. A tag is text, two lines are two lines, and an entity hides no control character.
    """
    from markdown_it import MarkdownIt

    blocks: list[tuple[int, list[Token]]] = []
    for token in MarkdownIt("commonmark", {"html": False}).enable("strikethrough").enable("table").parse(text):
        for child in token.children or ():
            child.content = visible(child.content, lines=True)
            if child.type == "softbreak":
                child.type = "hardbreak"
        if token.level == 0 and token.map and token.nesting >= 0:
            blocks.append((token.map[0], []))
        blocks[-1][1].append(token)
    return blocks or [(0, [])]
