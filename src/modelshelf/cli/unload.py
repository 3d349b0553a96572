"""shelf unload."""

from __future__ import annotations

from modelshelf.cli import output
from modelshelf.cli.errors import at_the_edge
from modelshelf.cli.options import SomeNames


def unload(names: SomeNames) -> None:
    """Unload models from memory.

    The running server of this library ends what each answers, then its engine. The next request loads it again.
    """
    from urllib.parse import quote

    from modelshelf.bootstrap.running_server import the_server

    with at_the_edge(as_json=False):
        server = the_server()
        for name in names:
            server.ask("POST", f"/api/models/{quote(name, safe='')}/unload")
            output.note(f"Unloaded {name}.")
