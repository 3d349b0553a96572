"""shelf pull."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelshelf.cli import output, render
from modelshelf.cli.errors import at_the_edge
from modelshelf.cli.options import AsJson, Name

if TYPE_CHECKING:
    from modelshelf.services.shelf import Shelf


def pull(name: Name, as_json: AsJson = False) -> None:
    """Download the missing files of a model.

    A stopped download goes on where it was.
    """
    from modelshelf.bootstrap.shelf import open_shelf

    with at_the_edge(as_json=as_json), open_shelf() as shelf:
        shelf.model(name)
        pull_missing(shelf, name)
        render.print_model(shelf, name, as_json=as_json)


def pull_missing(shelf: Shelf, name: str) -> None:
    """Pull a model, and show how far it is."""
    with output.job_progress(name) as show:
        shelf.pull(name, progress=show)
