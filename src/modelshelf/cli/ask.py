"""Asking a person questions."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TypeVar

from modelshelf.cli import output
from modelshelf.errors import BadInput

T = TypeVar("T")


def is_answered() -> bool:
    """Return whether a person can see a question and answer it."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def ask(question: str, proposed: str, parse: Callable[[str], T]) -> T:
    """Ask a person until the answer is valid; an empty one accepts the proposal.

    Raises:
        BadInput: The input ended.
    """
    while True:
        try:
            output.note(f"{question} [{proposed}]: ", end="")
            line = sys.stdin.readline()
        except KeyboardInterrupt:
            output.note("\nStopped.")
            raise
        if not line:
            output.note("")  # the error is about the question, and not behind it
            raise BadInput("The input ended before all questions were answered.", hint="With --yes nothing is asked.")
        try:
            return parse(line.strip() or proposed)
        except BadInput as err:
            output.note(" ".join(filter(None, (err.detail, err.hint))))


def yes_or_no(text: str) -> bool:
    """Return whether an answer is a yes.

    Raises:
        BadInput: It is neither a yes nor a no.
    """
    word = text.strip().lower()
    if word not in ("y", "yes", "n", "no"):
        raise BadInput(f"Answer yes or no, not {text!r}.")
    return word.startswith("y")
