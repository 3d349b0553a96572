"""shelf serve."""

from __future__ import annotations

from typing import Annotated

import typer

from modelshelf.cli import output
from modelshelf.cli.errors import at_the_edge


def serve(
    host: Annotated[str | None, typer.Option(metavar="ADDRESS", help="The address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(metavar="PORT", help="The port to listen on.")] = None,
) -> None:
    """Serve the library over HTTP.

    The API is below /api, and Hugging Face clients use /hf as their endpoint.
    """
    from modelshelf.server.main import serve as start

    with at_the_edge(as_json=False):
        start(host=host, port=port, announce=lambda url: output.note(f"Listening on {url} (API at {url}/docs)"))
