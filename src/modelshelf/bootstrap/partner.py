"""Finding who answers for a model: the running server of its library."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from modelshelf.errors import Unavailable
from modelshelf.settings import load_settings

if TYPE_CHECKING:
    from modelshelf.services.services import Services
    from modelshelf.services.serving.conversation import Partner

_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}
"""Where a server listens, and where it is found then."""
_ANSWERS_WITHIN_S = 2.0


@contextlib.contextmanager
def open_partner(model_name: str, told: Callable[[str], None]) -> Iterator[Partner]:
    """Give who answers for a model.

    Args:
        model_name: The model, by any name that the server knows.
        told: Told what is waited for.

    Raises:
        Unavailable: No server of this library runs here.
    """
    from modelshelf.bootstrap.shelf import open_shelf
    from modelshelf.services.serving.conversation import Partner

    settings = load_settings()
    with open_shelf(settings=settings) as shelf:
        if url := server_url(shelf.services):
            yield Partner(url, model_name, settings.api_key or "")
            return
    raise Unavailable("No server of this library runs here.", hint="Start one: shelf serve")


def server_url(services: Services) -> str:
    """Return the URL of a server of this library that answers; empty without one."""
    from modelshelf.services.jobs.process import is_alive

    urls = [server.url for server in services.registry.servers.all() if is_alive(server.owner) is not False]
    return next((url for url in map(_reachable, urls) if _answers(url)), "")


def _reachable(url: str) -> str:
    """Return where a server is found that listens at a URL."""
    host, _, port = urlsplit(url).netloc.rpartition(":")
    return f"http://{_EVERYWHERE.get(host, host)}:{port}"


def _answers(url: str) -> bool:
    from urllib3 import request
    from urllib3.exceptions import HTTPError

    try:
        return request("GET", f"{url}/healthz", retries=False, redirect=False, timeout=_ANSWERS_WITHIN_S).status == 200
    except HTTPError:
        return False
