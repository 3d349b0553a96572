"""What a server that was asked nothing has in its memory."""

from __future__ import annotations

import signal
import sys

from tests.world import Home, wait_until

TELLING = """
import gc, runpy, signal, sys
def tell(number, frame): print("\\nmodules", *sys.modules, gc.get_freeze_count(), "end", file=sys.stderr, flush=True)
signal.signal(signal.SIGUSR1, tell)
runpy.run_path(sys.argv[2], run_name="__main__")
"""
ASKED_FOR = {
    "modelshelf.server.api.router": "the library's API",
    "modelshelf.server.hub.routes": "a client of the Hub",
    "modelshelf.server.web.site": "a page",
    "prometheus_client": "a request to a model, and a look at the metrics",
    "pydantic.v1": "nothing of the server's",
    "aiohttp": "a request to an engine",
    "jinja2": "a page",
    "markdown_it": "a model's README",
    "nh3": "a model's README",
    "huggingface_hub": "a pull",
    "urllib3": "the hub",
    "alembic": "a registry of an older version",
    "gguf": "an engine",
    "torch": "nothing of the server's",
    "transformers": "nothing of the server's",
    "xllamacpp": "nothing of the server's",
}
"""Packages, and what first needs them."""


def test_an_idle_server_has_not_imported_what_requests_need(home: Home) -> None:
    """A server that made its registry and answered /healthz has imported nothing that asks engines or makes pages.

    What it is made of is nothing that the collector of cycles looks at during requests.
    """
    with home.serve(sys.executable, "-c", TELLING) as server:
        server.get("/healthz")
        server.process.send_signal(signal.SIGUSR1)
        wait_until(lambda: server.log.read_text().rstrip().endswith(" end"), "the names of its modules")
        imported = server.log.read_text().rpartition("\nmodules ")[2].split()
    frozen = int(imported[-2])

    assert {"fastapi", "sqlalchemy"} <= set(imported)
    assert ASKED_FOR.keys() & set(imported) == set()
    assert frozen > 10_000
