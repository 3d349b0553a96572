"""shelf pin and shelf unpin."""

from __future__ import annotations

from typing import Annotated

import typer

from modelshelf.cli import output
from modelshelf.cli.errors import at_the_edge
from modelshelf.cli.options import AsJson, Name


def pin(
    name: Name,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why; shelf show prints it.")] = "",
    as_json: AsJson = False,
) -> None:
    """Keep a model on its tier: never evict it."""
    _set_pin(name, pinned=True, reason=reason, as_json=as_json)


def unpin(name: Name, as_json: AsJson = False) -> None:
    """Allow a model to be evicted again."""
    _set_pin(name, pinned=False, reason="", as_json=as_json)


def _set_pin(name: str, *, pinned: bool, reason: str, as_json: bool) -> None:
    from modelshelf.bootstrap.shelf import open_shelf
    from modelshelf.schemas.models import ModelJson

    with at_the_edge(as_json=as_json), open_shelf() as shelf:
        model = shelf.set_pin(name, pinned=pinned, reason=reason)
        if as_json:
            output.as_json(ModelJson.of(model))
        else:
            output.answer(f"{name} is {'pinned' if pinned else 'not pinned'}.")
