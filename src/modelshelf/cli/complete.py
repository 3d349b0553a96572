"""What a shell proposes when a person presses Tab: quickly, silently, and nothing if the library can't be read.

A shell completes paths itself where a command proposes nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from modelshelf.bootstrap.read_only import QuickLibrary


def model_names(incomplete: str) -> list[str]:
    """Return the registered names with this prefix."""
    return _beginning(incomplete, lambda library: library.reader.names())


def tiers(incomplete: str) -> list[str]:
    """Return the tiers with this prefix, and the bases of custom ones."""
    return _beginning(incomplete, _tiers)


def bases(incomplete: str) -> list[str]:
    """Return the bases with this prefix, of all that the library has used."""
    return _beginning(incomplete, lambda library: library.reader.tier_ids())


def model_names_and_tiers(ctx: Any, incomplete: str) -> list[str]:
    """Return the tiers with this prefix, once a model was named, and the registered names."""
    return (tiers(incomplete) if ctx.params.get("to") else []) + model_names(incomplete)


def jobs(incomplete: str) -> list[tuple[str, str]]:
    """Return the numbers of unfinished jobs with this prefix, and what they do."""
    found: dict[str, str] = {}
    numbers = _beginning(incomplete, lambda library: found.update(library.reader.open_jobs()) or found)
    return [(number, found[number]) for number in numbers]


def one_of(*words: str) -> Callable[[str], list[str]]:
    """Return what completes one of some words."""
    return lambda incomplete: [word for word in words if word.startswith(incomplete)]


def job_verbs(incomplete: str) -> list[tuple[str, str]]:
    """Return what can be done with a job, and the numbers of unfinished ones."""
    verbs = one_of("pause", "resume", "cancel", "retry", "first", "last")(incomplete)
    return [*((verb, "") for verb in verbs), *jobs(incomplete)]


def engines(incomplete: str) -> list[str]:
    """Return the engines that a model may have."""
    from modelshelf.domain.backends import BACKENDS

    return one_of("auto", *(name for name in BACKENDS if name != "url"))(incomplete)


def view_kinds(incomplete: str) -> list[str]:
    """Return the kinds of views that a person makes."""
    from modelshelf.domain.view_kinds import ViewKind

    return one_of(*(kind.value for kind in ViewKind if kind is not ViewKind.ADOPTED))(incomplete)


def settings(ctx: Any, incomplete: str) -> list[str]:
    """Return the names of settings; for `set` with the sign that follows."""
    from modelshelf.domain.setting_changes import BY_NAME

    behind = "=" if ctx.params.get("verb") == "set" else ""
    return [f"{name}{behind}" for name in BY_NAME if name.startswith(incomplete)]


def key_names(ctx: Any, incomplete: str) -> list[str]:
    """Return the names of the keys that can be revoked."""
    if ctx.params.get("verb") != "revoke":
        return []
    return _beginning(incomplete, lambda library: library.reader.key_names())


def _tiers(library: QuickLibrary) -> Iterator[str]:
    configured = library.tiers.configured()
    yield from (tier.location for tier in configured)
    yield from library.reader.tier_ids().keys() - {tier.base for tier in configured}


def _beginning(incomplete: str, words: Callable[[QuickLibrary], Iterable[str]]) -> list[str]:
    from modelshelf.bootstrap.read_only import open_quick_library
    from modelshelf.errors import ShelfError

    logging.disable()  # output would appear in the middle of the typed line
    with suppress(ShelfError, OSError):
        return [word for word in words(open_quick_library()) if word.startswith(incomplete)]
    return []
