"""The text of a `.env`."""

from __future__ import annotations


def quoted(text: str) -> str:
    """Return a text as the value of a line of `.env`."""
    if text.isascii() and text.replace("/", "a").replace("-", "a").replace("_", "a").replace(".", "a").isalnum():
        return text
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
