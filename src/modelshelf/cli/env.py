"""shelf env."""

from __future__ import annotations

import shlex
from typing import Annotated

import typer

from modelshelf.cli import output
from modelshelf.cli.errors import at_the_edge
from modelshelf.cli.options import AsJson, model_argument
from modelshelf.cli.terminal import asked_by_fish
from modelshelf.errors import BadInput


def env(
    name: Annotated[str | None, model_argument("The model's name.")] = None,
    unset: Annotated[bool, typer.Option("--unset", help="Take back what an earlier shelf env set.")] = False,
    as_json: AsJson = False,
) -> None:
    """Print shell variables for other Hugging Face programs.

    In fish they are fish's: shelf env NAME | source

    Example: eval "$(shelf env NAME)"
    """
    from modelshelf.bootstrap.read_only import shell_back, shell_to_find

    with at_the_edge(as_json=as_json):
        if name is None and not unset:
            raise BadInput("The model's name is missing.", hint="shelf ls lists them.")
        if name is not None and unset:
            raise BadInput("--unset takes no name.", hint='eval "$(shelf env --unset)"')
        variables = shell_back() if name is None else shell_to_find(name)
        if as_json:
            output.as_json(variables)
        elif variables:
            _show(variables)
        else:
            output.note("No shelf env set anything in this shell.")


def _show(variables: dict[str, str | None]) -> None:
    """Print shell lines that set and unset variables."""
    is_fish = asked_by_fish()
    for name, value in variables.items():
        if is_fish:
            output.answer(f"set -e {name}" if value is None else f"set -gx {name} {_quoted_for_fish(value)}")
        else:
            output.answer(f"unset {name}" if value is None else f"export {name}={shlex.quote(value)}")


def _quoted_for_fish(text: str) -> str:
    """Return a text as a word of fish, in whose single quotes a backslash stands before a quote or a backslash."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
