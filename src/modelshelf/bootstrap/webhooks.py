"""Composing what tells webhooks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from modelshelf.settings import Settings, load_settings

if TYPE_CHECKING:
    from modelshelf.services.events.courier import Courier, Post
    from modelshelf.services.events.watch import Watcher
    from modelshelf.services.services import Services

_CONNECT_S, _ANSWER_S = 5.0, 10.0


def make_couriers(services: Services, watcher: Watcher) -> list[Courier]:
    """Return what tells each webhook of the settings; not started.

    Raises:
        BadInput: The settings are wrong.
    """
    from modelshelf.services.events.courier import Courier

    settings = load_settings()
    secret, owner = settings.webhooks.secret, services.runner.owner
    return [
        Courier(url, secret, services.registry, watcher, owner, services.clock, _make_post(settings), number)
        for number, url in enumerate(settings.webhooks.urls, 1)
    ]


def _make_post(settings: Settings) -> Post:
    from modelshelf import __version__
    from modelshelf.hub.transport import Patience, Transport

    network = replace(settings.network, offline_by="")  # a word to the hub's clients, not to a person's own programs
    transport = Transport(network, f"modelshelf/{__version__}", 1, Patience(_CONNECT_S, _ANSWER_S))

    def post(url: str, body: bytes, headers: Mapping[str, str]) -> int:
        answer = transport.request("POST", url, headers, body=body)
        answer.close()
        return answer.status

    return post
