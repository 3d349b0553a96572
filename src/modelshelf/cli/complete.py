"""What a shell proposes where a person presses Tab: quickly, in silence, and nothing where the library can't be read.

Paths are left to the shell, which completes them where a command proposes nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from modelshelf.bootstrap.read_only import QuickLibrary


def model_names(incomplete: str) -> list[str]:
    """Return the registered names that begin so."""
    return _beginning(incomplete, lambda library: library.reader.names())


def tiers(incomplete: str) -> list[str]:
    """Return the tiers that begin so, and the bases of custom ones."""
    return _beginning(incomplete, _tiers)


def bases(incomplete: str) -> list[str]:
    """Return the bases that begin so, of all that the library has used."""
    return _beginning(incomplete, lambda library: library.reader.tier_ids())


def model_names_and_tiers(ctx: Any, incomplete: str) -> list[str]:
    """Return the tiers, where a model was named already, and the registered names that begin so."""
    return (tiers(incomplete) if ctx.params.get("to") else []) + model_names(incomplete)


def jobs(incomplete: str) -> list[tuple[str, str]]:
    """Return the numbers of jobs that are not over and begin so, with what they do."""
    found: dict[str, str] = {}
    numbers = _beginning(incomplete, lambda library: found.update(library.reader.open_jobs()) or found)
    return [(number, found[number]) for number in numbers]


def _tiers(library: QuickLibrary) -> Iterator[str]:
    configured = library.tiers.configured()
    yield from (tier.location for tier in configured)
    yield from library.reader.tier_ids().keys() - {tier.base for tier in configured}


def _beginning(incomplete: str, words: Callable[[QuickLibrary], Iterable[str]]) -> list[str]:
    from modelshelf.bootstrap.read_only import open_quick_library
    from modelshelf.errors import ShelfError

    logging.disable()  # what a command would say stands in the middle of the line that is typed
    with suppress(ShelfError, OSError):
        return [word for word in words(open_quick_library()) if word.startswith(incomplete)]
    return []
