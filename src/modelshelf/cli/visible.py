"""What a terminal may be shown of a text: names of files, reasons and sidecars are written by others.

An escape sequence moves the cursor, sets the window's title or hides a line; a bidi control lets a name read backwards.

>>> visible("a\\x1b[31mb"), visible("x\\u202egnp.exe"), visible("two\\nlines"), visible("two\\nlines", lines=True)
('a\\\\u001b[31mb', 'x\\\\u202egnp.exe', 'two\\\\u000alines', 'two\\nlines')
"""

from __future__ import annotations

import re

_CONTROLS = "\x00-\x09\x0b-\x1f\x7f-\x9f"
_BIDI = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
_SEPARATORS = "\u2028\u2029\ufeff"
_HALVES = "\ud800-\udfff"
"""Of a character: what a file name that isn't UTF-8 has, and no terminal takes."""
_NEVER = re.compile(f"[{_CONTROLS}{_BIDI}{_SEPARATORS}{_HALVES}]")
_NEVER_IN_A_LINE = re.compile(f"[\n{_CONTROLS}{_BIDI}{_SEPARATORS}{_HALVES}]")


def visible(text: str, *, lines: bool = False) -> str:
    """Return a text with what a terminal would obey written out, as JSON writes it.

    Args:
        text: The text; JSON stays what it means.
        lines: Whether it may have several lines.
    """
    return (_NEVER if lines else _NEVER_IN_A_LINE).sub(lambda match: f"\\u{ord(match[0]):04x}", text)
