"""shelf pin and shelf unpin."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from modelshelf.cli import output, several
from modelshelf.cli.errors import at_the_edge
from modelshelf.cli.options import AsJson, SomeNames

if TYPE_CHECKING:
    from modelshelf.domain.models import Model
    from modelshelf.services.shelf import Shelf


def pin(
    names: SomeNames,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why; shelf show prints it.")] = "",
    as_json: AsJson = False,
) -> None:
    """Keep models on their tier: never evict them."""
    _change(names, lambda shelf, name: shelf.pin(name, reason), as_json=as_json)


def unpin(names: SomeNames, as_json: AsJson = False) -> None:
    """Allow models to be evicted again."""
    _change(names, lambda shelf, name: shelf.unpin(name), as_json=as_json)


def _change(names: Sequence[str], work: Callable[[Shelf, str], Model], *, as_json: bool) -> None:
    from modelshelf.bootstrap.shelf import open_shelf

    with at_the_edge(as_json=as_json), open_shelf(begins=False) as shelf:

        def change_one(name: str) -> object:
            model = work(shelf, name)
            if as_json:
                from modelshelf.schemas.models import ModelJson

                return ModelJson.of(model)
            output.answer(f"{name} is {'pinned' if model.row.pinned else 'not pinned'}.")
            return model

        several.end(*several.of_each(several.known(shelf, names), change_one, as_json=as_json), as_json=as_json)
