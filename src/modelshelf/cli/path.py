"""shelf path."""

from __future__ import annotations

from modelshelf.cli import output
from modelshelf.cli.errors import at_the_edge
from modelshelf.cli.options import AsJson, Name


def path(name: Name, as_json: AsJson = False) -> None:
    """Print the path of a model's snapshot folder.

    Example: llama-server -m "$(shelf path NAME)/model.gguf"
    """
    from modelshelf.bootstrap.read_only import open_library

    with at_the_edge(as_json=as_json):
        folder = str(open_library().path(name))
        if as_json:
            output.as_json({"model_name": name, "path": folder})
        else:
            output.answer(folder)
