"""Who may ask: a key on every address but loopback, and no web page of another site in the name of a person.

A page in a browser can send requests to loopback, and can make its own name resolve to it (DNS rebinding). So on
loopback the Host must be loopback, and an Origin, where there is one, must be the Host itself.
"""

from __future__ import annotations

import hashlib
import hmac
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from modelshelf.errors import BadInput, Denied
from modelshelf.server.errors import problem

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_OPEN_PATHS = frozenset({"/healthz", "/readyz"})


def check_listening(host: str, api_key: str | None) -> None:
    """Refuse to listen to other machines without a key.

    Raises:
        BadInput: The address is not loopback and there is no key.
    """
    if host not in _LOOPBACK and not api_key:
        raise BadInput(
            f"Listening on {host} would let every machine that reaches it use this library.",
            hint="Set SHELF_API_KEY, or leave SHELF_HOST at 127.0.0.1.",
        )


class Gate:
    """ASGI middleware that lets a request through or answers 403.

    Args:
        app: What is behind it.
        host: The address that the server listens on.
        api_key: The key that every request must bring as `Authorization: Bearer`; None: none is asked for.
    """

    def __init__(self, app: ASGIApp, *, host: str, api_key: str | None) -> None:
        self._app = app
        self._on_loopback = host in _LOOPBACK
        self._key_digest = _digest(api_key) if api_key else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        why_not = self._why_not(str(scope["path"]), Headers(scope=scope))
        if why_not is None:
            await self._app(scope, receive, send)
        else:
            await problem(why_not)(scope, receive, send)

    def _why_not(self, path: str, headers: Headers) -> Denied | None:
        host, origin = headers.get("host", ""), headers.get("origin")
        if self._on_loopback and _name(host) not in _LOOPBACK:
            return Denied(f"This server listens on loopback and was asked as {host!r}.", hint="Use 127.0.0.1.")
        if origin is not None and urlsplit(origin).netloc != host:
            return Denied(f"A page of {origin} may not use this library.")
        if self._key_digest is None or path in _OPEN_PATHS:
            return None
        given = headers.get("authorization", "").removeprefix("Bearer ")
        if hmac.compare_digest(_digest(given), self._key_digest):
            return None
        return Denied("The API key is missing or wrong.", hint="Send Authorization: Bearer KEY (HF_TOKEN for /hf).")


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


def _name(host: str) -> str:
    """Return the name of a Host header without its port."""
    return urlsplit(f"//{host}").hostname or ""
