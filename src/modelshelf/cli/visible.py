"""Escaping text for a terminal, because others write file names, reasons and sidecars.

An escape sequence moves the cursor, sets the window's title or hides a line; a bidi control reverses a name.

>>> visible("a\\x1b[31mb"), visible("x\\u202egnp.exe"), visible("two\\nlines"), visible("two\\nlines", lines=True)
('a\\\\u001b[31mb', 'x\\\\u202egnp.exe', 'two\\\\u000alines', 'two\\nlines')
"""

from __future__ import annotations

import re

_CONTROLS = "\x00-\x09\x0b-\x1f\x7f-\x9f"
_BIDI = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
_SEPARATORS = "\u2028\u2029\ufeff"
_HALVES = "\ud800-\udfff"
"""Lone surrogates: a file name that isn't UTF-8 has them, and no terminal takes them."""
_NEVER = re.compile(f"[{_CONTROLS}{_BIDI}{_SEPARATORS}{_HALVES}]")
_NEVER_IN_A_LINE = re.compile(f"[\n{_CONTROLS}{_BIDI}{_SEPARATORS}{_HALVES}]")


def visible(text: str, *, lines: bool = False) -> str:
    """Return a text in which characters that a terminal acts on are escaped as in JSON.

    Args:
        text: The text; JSON keeps its meaning.
        lines: Whether it may have several lines.
    """
    return (_NEVER if lines else _NEVER_IN_A_LINE).sub(lambda match: f"\\u{ord(match[0]):04x}", text)
