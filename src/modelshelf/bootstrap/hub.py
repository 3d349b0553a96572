"""Composing the hub client, which needs no library."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelshelf.settings import Settings, load_settings

if TYPE_CHECKING:
    from modelshelf.hub.client import HubClient


def make_hub(settings: Settings, connections: int = 1) -> HubClient:
    """Return the hub of the settings, which connects when it is first asked: most commands don't.

    Args:
        settings: The settings.
        connections: How many requests run at the same time.
    """
    from modelshelf import __version__
    from modelshelf.hub.client import HubClient

    agent = f"modelshelf/{__version__}"
    return HubClient(settings.hf_endpoint, settings.hf_token, agent, connections, settings.network)


def make_peers(settings: Settings, connections: int) -> tuple[HubClient, ...]:
    """Return the LAN hubs of the settings, none of which is ever sent the hub's token."""
    if not settings.peers:
        return ()
    from modelshelf import __version__
    from modelshelf.hub.client import HubClient
    from modelshelf.hub.transport import Patience

    agent, key, patience = f"modelshelf/{__version__}", settings.peer_key or "", Patience(connect_s=3, silence_s=15)
    return tuple(HubClient(url, key, agent, connections, settings.network, patience) for url in settings.peers)


def open_hub() -> HubClient:
    """Return the hub, for a question that doesn't need a library.

    Raises:
        BadInput: The settings are invalid.
    """
    return make_hub(load_settings())
