"""shelf pin and shelf unpin."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from modelshelf.cli import output
from modelshelf.cli.errors import at_the_edge
from modelshelf.cli.options import AsJson, Name

if TYPE_CHECKING:
    from modelshelf.domain.models import Model
    from modelshelf.services.shelf import Shelf


def pin(
    name: Name,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why; shelf show prints it.")] = "",
    as_json: AsJson = False,
) -> None:
    """Keep a model on its tier: never evict it."""
    _change(name, lambda shelf: shelf.pin(name, reason), as_json=as_json)


def unpin(name: Name, as_json: AsJson = False) -> None:
    """Allow a model to be evicted again."""
    _change(name, lambda shelf: shelf.unpin(name), as_json=as_json)


def _change(name: str, work: Callable[[Shelf], Model], *, as_json: bool) -> None:
    from modelshelf.bootstrap.shelf import open_shelf
    from modelshelf.schemas.models import ModelJson

    with at_the_edge(as_json=as_json), open_shelf() as shelf:
        model = work(shelf)
        if as_json:
            output.as_json(ModelJson.of(model))
        else:
            output.answer(f"{name} is {'pinned' if model.row.pinned else 'not pinned'}.")
