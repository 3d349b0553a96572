"""shelf unload."""

from __future__ import annotations

from modelshelf.cli import output, several
from modelshelf.cli.errors import at_the_edge
from modelshelf.cli.options import AsJson, SomeNames
from modelshelf.units import many


def unload(names: SomeNames, as_json: AsJson = False) -> None:
    """Unload models from memory.

    The running server of this library lets each finish what it answers, then ends its engine. The next request loads
    it again.
    """
    from urllib.parse import quote

    from modelshelf.bootstrap.read_only import open_library
    from modelshelf.bootstrap.running_server import find_server
    from modelshelf.errors import Unavailable

    with at_the_edge(as_json=as_json):
        library = open_library()
        known = list(dict.fromkeys(library.row(name).model_name for name in names))
        if (server := find_server()) is None:
            raise Unavailable("No server of this library runs here, so no model is loaded.")
        busy = {one["model_name"]: one["in_flight"] for one in server.ask("GET", "/api/engines")}

        def unload_one(name: str) -> dict[str, str]:
            if (running := busy.get(name)) and not as_json:
                output.note(f"{name} finishes {many(running, 'answer')} first. Ctrl-C leaves that to the server.")
            server.ask("POST", f"/api/models/{quote(name, safe='')}/unload")
            if not as_json:
                output.note(f"Unloaded {name}.")
            return {"unloaded": name}

        several.end(*several.of_each(known, unload_one, as_json=as_json), as_json=as_json)
