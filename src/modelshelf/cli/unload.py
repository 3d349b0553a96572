"""shelf unload."""

from __future__ import annotations

from modelshelf.cli import output
from modelshelf.cli.errors import at_the_edge
from modelshelf.cli.options import SomeNames
from modelshelf.units import many


def unload(names: SomeNames) -> None:
    """Unload models from memory.

    The running server of this library lets each finish what it answers, then ends its engine. The next request loads
    it again.
    """
    from urllib.parse import quote

    from modelshelf.bootstrap.running_server import the_server

    with at_the_edge(as_json=False):
        server = the_server()
        busy = {one["model_name"]: one["in_flight"] for one in server.ask("GET", "/api/engines")}
        for name in names:
            if running := busy.get(name):
                output.note(f"{name} finishes {many(running, 'answer')} first. Ctrl-C leaves that to the server.")
            server.ask("POST", f"/api/models/{quote(name, safe='')}/unload")
            output.note(f"Unloaded {name}.")
