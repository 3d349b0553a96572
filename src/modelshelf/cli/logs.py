"""shelf logs."""

from __future__ import annotations

import sys
import time
from typing import Annotated

import typer

from modelshelf.cli import output
from modelshelf.cli.errors import at_the_edge
from modelshelf.cli.options import Name

_LOOK_EVERY_S = 0.3


def logs(
    name: Name,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what is added, until Ctrl-C.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", metavar="N", min=0, help="The last N lines.")] = 50,
) -> None:
    """Print what the engines of a model wrote.

    A log keeps the last 0.5 to 1 MB, of this machine's server and commands.
    """
    from modelshelf.bootstrap.engines import engine_log
    from modelshelf.bootstrap.read_only import open_library
    from modelshelf.errors import NotFound

    with at_the_edge(as_json=False):
        model_name = open_library().row(name).model_name
        reader = engine_log(model_name)
        try:
            found = reader.read().splitlines()
        except FileNotFoundError:
            hint = f"Start one: shelf load {model_name}"
            raise NotFound(f"No engine of {model_name} has written a log here.", hint=hint) from None
        for line in found[max(0, len(found) - lines) :]:
            output.line(line)
        while follow:
            sys.stdout.flush()
            time.sleep(_LOOK_EVERY_S)
            for line in reader.read().splitlines():
                output.line(line)
