"""The models that a person means by what they type, for every command but those that delete."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import typer


def one(context: typer.Context, typed: str | None) -> str | None:
    """Return the model's own name; what means none, or more than one, stays for the command to tell."""
    from modelshelf.errors import ShelfError

    if context.resilient_parsing or typed is None or not _may_mean_another(typed):
        return typed
    from modelshelf.bootstrap.read_only import open_library
    from modelshelf.services.catalog.meant import row_meant

    with suppress(ShelfError, OSError):
        return row_meant(open_library(), typed).model_name
    return typed


def several(context: typer.Context, typed: Sequence[str] | None) -> list[str] | None:
    """Return the models' own names."""
    return None if typed is None else [one(context, name) or name for name in typed]


def _may_mean_another(typed: str) -> bool:
    """Return whether to look a name up before the command does: a usual one isn't worth opening the registry twice."""
    return typed != typed.lower() or "/" in typed or ":" in typed
