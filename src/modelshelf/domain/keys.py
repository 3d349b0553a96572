"""API keys: whom they name and what they may be used for."""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable
from dataclasses import dataclass

from modelshelf.errors import BadInput

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?")


class Scope(enum.StrEnum):
    """What a key may be used for."""

    READ = "read"
    """To look at the library, and to download from it."""
    INFER = "infer"
    """To ask models, and to list those that may be asked."""
    MANAGE = "manage"
    """For everything."""


EVERYTHING = frozenset(Scope)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as the registry knows it: not the key itself, which nobody can read again."""

    name: str
    """Whom or what it was made for."""
    scopes: frozenset[Scope]
    created_at: float
    """Seconds since 1970."""
    last_used_at: float | None

    def allows(self, *any_of: Scope) -> bool:
        """Return whether it may be used for something that needs one of these scopes."""
        return not self.scopes.isdisjoint({*any_of, Scope.MANAGE})


def parse_key_name(text: str) -> str:
    """Return the name of a key.

    >>> parse_key_name("laptop-2")
    'laptop-2'

    Raises:
        BadInput: It isn't one.
    """
    if not _NAME.fullmatch(text):
        raise BadInput(
            f"{text!r:.80} can't be the name of a key.",
            hint="Use up to 64 letters, digits, dots, dashes and underscores, such as laptop.",
        )
    return text


def parse_scopes(texts: Iterable[str]) -> frozenset[Scope]:
    """Return the scopes that words name.

    >>> sorted(parse_scopes(["infer", "read"]))
    [<Scope.INFER: 'infer'>, <Scope.READ: 'read'>]

    Raises:
        BadInput: One of them names none, or there is no word.
    """
    words = list(texts)
    unknown = [word for word in words if word not in set(Scope)]
    if unknown or not words:
        wrong = f"There is no scope {unknown[0]!r:.40}." if unknown else "A key needs a scope."
        raise BadInput(wrong, hint=f"Scopes are {', '.join(Scope)}.")
    return frozenset(map(Scope, words))
