"""Access to the server: a key on every address but loopback, and no requests by other sites' web pages.

A page in a browser can send requests to loopback, and can make its own name resolve to it (DNS rebinding). So on
loopback the Host must be loopback, an Origin must be the Host itself, and a browser's Sec-Fetch-Site header that names
another site is believed.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import string

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from modelshelf.errors import BadInput, Denied, ShelfError
from modelshelf.server.answers import Json
from modelshelf.server.errors import Unauthorized, problem
from modelshelf.server.gateway.errors import headers_of, shape_of

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_OPEN_PATHS = frozenset({"/healthz", "/readyz"})
_OPEN_PAGES = frozenset({"/", "/docs", "/openapi.json"})
"""Paths that need no key, because a browser sends none with a typed address; they show nothing of the library."""
_OWN_SITE = frozenset({"same-origin", "none"})
_HOST = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<name>[A-Za-z0-9._-]+))(?::[0-9]{1,5})?")
_KEY_LETTERS = string.ascii_letters + string.digits


def reached_on(host: str, published_on: str | None, api_key: str | None) -> str:
    """Return the address by which others reach a server.

    Without a key, a container whose port is published only on loopback is reached on loopback, whatever the server
    listens on inside; with one, any client with the key may use any name.

    Args:
        host: The address that it listens on.
        published_on: The address on which its container's port is published; None: no container, or unknown.
        api_key: The key that it requires.
    """
    return host if published_on is None or api_key else published_on


def check_listening(host: str, api_key: str | None) -> None:
    """Raise if the server would listen for other machines without a key.

    Raises:
        BadInput: The address isn't loopback and there is no key; the hint has a new one.
    """
    if host not in _LOOPBACK and not api_key:
        raise BadInput(
            f"Listening on {host} would let every machine that reaches it use this library.",
            hint=f"Set SHELF_API_KEY={new_key()}, for example, or leave SHELF_HOST at 127.0.0.1.",
        )


def new_key() -> str:
    """Return a random key in the form of the Hub's tokens, because some clients refuse to send any other."""
    return "hf_" + "".join(secrets.choice(_KEY_LETTERS) for _ in range(34))


class Gate:
    """ASGI middleware that forwards a request or answers 400, 401 or 403 before any of it is read.

    Args:
        app: The next application.
        host: The address by which others reach the server; see `reached_on`.
        api_key: The key that every request must bring, as `Authorization: Bearer` or below `/v1` as `x-api-key`; None:
            none is asked for.
    """

    def __init__(self, app: ASGIApp, *, host: str, api_key: str | None) -> None:
        self._app = app
        self._on_loopback = host in _LOOPBACK
        self._key_digest = _digest(api_key.encode()) if api_key else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            self._check(str(scope["path"]), Headers(scope=scope))
        except ShelfError as err:
            shape = shape_of(str(scope["path"]))
            answer = Json(shape(err), err.status, headers_of(err)) if shape else problem(err)
            await answer(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _check(self, path: str, headers: Headers) -> None:
        """Raise unless a request may pass.

        Raises:
            BadInput: It has no Host header, or several.
            Denied: A page of another site sent it.
            Unauthorized: The key is missing or wrong.
        """
        host = _host_of(headers)
        if self._on_loopback and host.name not in _LOOPBACK:
            raise Denied(
                f"This server answers only to loopback names, and {host.text!r} isn't one.", hint="Use 127.0.0.1."
            )
        _check_site(path, headers, host.text)
        needs_no_key = path in _OPEN_PATHS | _OPEN_PAGES or path.startswith("/static/")
        if self._key_digest is not None and not needs_no_key:
            self._check_key(path, headers, self._key_digest)

    def _check_key(self, path: str, headers: Headers, key_digest: bytes) -> None:
        hint = "Send Authorization: Bearer KEY (HF_TOKEN for /hf)."
        given = [value for name, value in headers.raw if name == b"authorization"]
        if not given and path.startswith("/v1/"):  # as Anthropic's clients send it
            given = [b"Bearer " + value for name, value in headers.raw if name == b"x-api-key"]
        if not given:
            raise Unauthorized("The API key is missing.", hint=hint)
        scheme, _, key = given[0].partition(b" ")
        right = hmac.compare_digest(_digest(key.strip()), key_digest)
        if not right or len(given) > 1 or scheme.lower() != b"bearer":
            # huggingface_hub takes 401 for a missing repository, except with this very sentence.
            raise Unauthorized("Invalid credentials in Authorization header", hint=hint)


class _Host:
    """A Host header and the name in it."""

    def __init__(self, text: str, name: str) -> None:
        self.text = text
        self.name = name


def _host_of(headers: Headers) -> _Host:
    hosts = headers.getlist("host")
    match = _HOST.fullmatch(hosts[0]) if len(hosts) == 1 else None
    if match is None:
        raise BadInput("The request must name one host, as HOST or HOST:PORT.", hint="Send one Host header.")
    return _Host(hosts[0], (match["v6"] or match["name"]).lower())


def _check_site(path: str, headers: Headers, host: str) -> None:
    """Raise if a page of another site sent a request; only health checks are open to all.

    Raises:
        Denied: One did.
    """
    for origin in headers.getlist("origin"):
        if origin.lower() not in (f"http://{host.lower()}", f"https://{host.lower()}"):
            raise Denied(f"A page of {origin!r:.200} may not use this library.")
    sites = {site.strip().lower() for value in headers.getlist("sec-fetch-site") for site in value.split(",")}
    if path not in _OPEN_PATHS and not sites <= _OWN_SITE:
        raise Denied("A page of another site may not use this library.", hint="Open the address itself.")


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()
