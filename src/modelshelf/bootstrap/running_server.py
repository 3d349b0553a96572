"""Asking the running server of a library, for what only its process knows."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from modelshelf.errors import ShelfError
from modelshelf.settings import load_settings

if TYPE_CHECKING:
    from modelshelf.services.services import Services

_CONNECT_WITHIN_S = 5.0


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A server of this library."""

    url: str
    key: str = field(default="", repr=False)

    def ask(self, method: str, path: str) -> Any:
        """Return what the server answers, from JSON; None where it answers nothing.

        Raises:
            Denied: It wants a key.
            ShelfError: What it refuses with; Unavailable where it doesn't answer.
        """
        from urllib3 import Timeout, request
        from urllib3.exceptions import HTTPError

        from modelshelf.services.serving.conversation import broke_off, key_wanted

        headers = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        timeout = Timeout(connect=_CONNECT_WITHIN_S, read=None)
        try:
            answer = request(method, self.url + path, headers=headers, retries=False, redirect=False, timeout=timeout)
            told = json.loads(answer.data) if answer.data else None
        except (HTTPError, ValueError) as err:
            raise broke_off(self.url) from err
        if answer.status == 401:
            raise key_wanted(self.url, changes=method != "GET")
        if answer.status >= 400:
            raise ShelfError.from_dict(told if isinstance(told, dict) else {})
        return told


def find_server() -> RunningServer | None:
    """Return a server of this library that answers; None where none runs here. Nothing is made or changed.

    Raises:
        BadInput: The settings are wrong.
        Unavailable: The primary base isn't mounted, or the registry can't be opened.
    """
    from modelshelf.bootstrap.shelf import open_shelf

    with open_shelf(read_only=True) as shelf:
        return server_of(shelf.services)


def server_of(services: Services) -> RunningServer | None:
    """Return a server of an open library that answers; None where none runs here.

    Raises:
        BadInput: The settings are wrong.
    """
    from modelshelf.bootstrap.partner import server_url

    url = server_url(services)
    return RunningServer(url, load_settings().api_key or "") if url else None
