"""shelf env."""

from __future__ import annotations

import shlex

from modelshelf.cli import output
from modelshelf.cli.errors import at_the_edge
from modelshelf.cli.options import AsJson, Name


def env(name: Name, as_json: AsJson = False) -> None:
    """Print shell variables for other Hugging Face programs.

    Example: eval "$(shelf env NAME)"
    """
    from modelshelf.bootstrap.read_only import open_library
    from modelshelf.services.catalog.models import environment

    with at_the_edge(as_json=as_json):
        library = open_library()
        variables = environment(library.ready(name), library.tiers)
        if as_json:
            output.as_json(variables)
        else:
            _show(variables)


def _show(variables: dict[str, str | None]) -> None:
    """Print shell lines that set and unset variables."""
    for name, value in variables.items():
        output.answer(f"unset {name}" if value is None else f"export {name}={shlex.quote(value)}")
