"""shelf pull."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelshelf.cli import render, several
from modelshelf.cli.bars import job_progress
from modelshelf.cli.errors import at_the_edge
from modelshelf.cli.options import AsJson, SomeNames

if TYPE_CHECKING:
    from modelshelf.services.shelf import Shelf


def pull(names: SomeNames, as_json: AsJson = False) -> None:
    """Download the missing files of models.

    A stopped download goes on where it was.
    """
    from modelshelf.bootstrap.shelf import open_shelf
    from modelshelf.schemas.models import ModelJson

    with at_the_edge(as_json=as_json), open_shelf() as shelf:

        def pull_one(name: str) -> ModelJson:
            pull_missing(shelf, name)
            if not as_json:
                render.print_model(shelf, name, as_json=False)
            return ModelJson.of(shelf.model(name))

        several.end(*several.of_each(several.known(shelf, names), pull_one, as_json=as_json), as_json=as_json)


def pull_missing(shelf: Shelf, name: str) -> None:
    """Pull a model, and show how far it is."""
    with job_progress(name) as show:
        shelf.pull(name, progress=show)
