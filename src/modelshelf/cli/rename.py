"""shelf rename."""

from __future__ import annotations

from typing import Annotated

import typer

from modelshelf.cli import output
from modelshelf.cli.errors import at_the_edge
from modelshelf.cli.options import AsJson, Name


def rename(
    name: Name,
    new_name: Annotated[str, typer.Argument(metavar="NEW_NAME", help="The new name.")],
    as_json: AsJson = False,
) -> None:
    """Give a model another name; its files stay in place."""
    from modelshelf.bootstrap.shelf import open_shelf
    from modelshelf.schemas.models import ModelJson

    with at_the_edge(as_json=as_json), open_shelf(begins=False) as shelf:
        model = shelf.rename(name, new_name)
        if as_json:
            output.as_json(ModelJson.of(model))
        else:
            output.answer(f"{name} is {new_name} now.")
