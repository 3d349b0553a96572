"""shelf serve."""

from __future__ import annotations

from typing import Annotated

import typer

from modelshelf.cli import complete, meant, output
from modelshelf.cli.errors import at_the_edge


def serve(
    host: Annotated[str | None, typer.Option(metavar="ADDRESS", help="The address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(metavar="PORT", help="The port to listen on.")] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="Load this model at once.", autocompletion=complete.model_names, callback=meant.several
        ),
    ] = None,
) -> None:
    """Serve the library over HTTP.

    The API is below /api, and Hugging Face clients use /hf as their endpoint. Programs ask the models below /v1, in
    OpenAI's protocol: the first request loads a model. One that --model names is loaded at once and stays, until others
    need its room.
    """
    from modelshelf.server.main import serve as start

    with at_the_edge(as_json=False):
        start(
            host=host,
            port=port,
            announce=lambda url: output.note(f"Listening on {url} (API at {url}/docs)"),
            preload=model or (),
        )
