"""Choosing one of several quantisations when a person names only their repository."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from modelshelf.cli import output
from modelshelf.cli.ask import ask, is_answered
from modelshelf.cli.files import rows_of
from modelshelf.domain.choices import Choice, recommended
from modelshelf.domain.tiers import CUSTOM, PRIMARY
from modelshelf.errors import BadInput, Unavailable
from modelshelf.units import format_size

if TYPE_CHECKING:
    from modelshelf.domain.choices import RepoFiles
    from modelshelf.domain.models import Registration
    from modelshelf.domain.tiers import Tier
    from modelshelf.services.shelf import Shelf


def choose_quant(shelf: Shelf, wanted: Registration, name: str, *, may_ask: bool, yes: bool) -> Choice | None:
    """Return what to take of a repository of several quantisations; None if there is nothing to choose.

    Nobody wants all ten of them by mistake: some hundred GB. Only repositories with GGUF in their name are checked,
    as on the Hub, so that no other `shelf add` asks the hub twice.

    Args:
        shelf: The library.
        wanted: The registration; one with patterns has been chosen already.
        name: The name that a person gave; empty for none.
        may_ask: Whether a question may be asked at all.
        yes: Whether to take the proposal without asking.

    Raises:
        BadInput: Nobody can be asked; lists the choices.
        typer.Exit: The person takes none.
    """
    if wanted.allow_patterns or "gguf" not in wanted.hf_path.lower() or _is_registered(shelf, wanted, name):
        return None
    tier = shelf.services.tiers.settings.chosen(wanted.cache_location, wanted.cache_path)
    try:
        found = shelf.services.finder.files(wanted.hf_path, wanted.revision, tier)
    except Unavailable:
        return None  # it is registered without its files, and the person is told so
    if len(found.ggufs) < 2:
        return None
    if yes:
        return recommended(found.ggufs, tier.location)[0]
    if may_ask and is_answered() and sys.stdout.isatty():
        return _asked(found.ggufs, tier)
    raise _refused(found, name, tier)


def _is_registered(shelf: Shelf, wanted: Registration, name: str) -> bool:
    """Return whether this registration exists already, so that it changes nothing."""
    registry = shelf.services.registry
    if name:
        return registry.model(name) is not None
    return any(not row.allow_patterns for row in registry.models(any_case=wanted.hf_path))


def _asked(choices: Sequence[Choice], tier: Tier) -> Choice:
    """Return the person's choice."""
    best, why = recommended(choices, tier.location)
    rows = [[str(number), *row] for number, row in enumerate(rows_of(choices), 1)]
    output.table(["", "FILES", "SIZE", "MEMORY", "DISK"], rows, frozenset({0, 2}), whole=frozenset({3}))
    output.note(f"{best.group.label} is {why}.")

    def chosen(text: str) -> Choice | None:
        if text.lower() in ("q", "quit"):
            return None
        named = {str(number): choice for number, choice in enumerate(choices, 1)}
        named |= {choice.group.label.lower(): choice for choice in choices}
        if text.lower() not in named:
            raise BadInput(f"There is no {text}.", hint=f"Type a number from 1 to {len(choices)}, or q.")
        return named[text.lower()]

    choice = ask("Which one? A number, or q to leave", str(choices.index(best) + 1), chosen)
    if choice is None:
        output.note("Nothing was added.")
        raise typer.Exit
    return choice


def _refused(found: RepoFiles, name: str, tier: Tier) -> BadInput:
    """Return the error for a choice that nobody can make."""
    best, why = recommended(found.ggufs, tier.location)
    words = f"shelf add {name} " if name else "shelf add "
    to = "" if tier.location == PRIMARY else f" --to {tier.base if tier.location == CUSTOM else tier.location}"
    each = ", ".join(f"{choice.group.label} ({format_size(choice.size_bytes)})" for choice in found.ggufs)
    return BadInput(
        f"{found.repo_id} has {len(found.ggufs)} models in one repository: {each}.",
        hint=f"{best.group.label} is {why}: {words}{best.reference}{to}, or --yes. "
        f"To take them all: {words}{found.reference}{to} --include '*'",
        hf_path=found.repo_id,
        choices=[choice.reference for choice in found.ggufs],
    )
