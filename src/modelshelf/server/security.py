"""Access to the server: a key on every address but loopback, and no requests by other sites' web pages.

A page in a browser can send requests to loopback, and can make its own name resolve to it (DNS rebinding). So on
loopback the Host must be loopback, an Origin must be the Host itself, and a browser's Sec-Fetch-Site header that names
another site is believed.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import quote

from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as Request

from modelshelf.domain.keys import Scope
from modelshelf.errors import BadInput, Denied, ShelfError, Unavailable
from modelshelf.server.answers import Json
from modelshelf.server.errors import Unauthorized, problem
from modelshelf.server.fresh_keys import FreshKeys
from modelshelf.server.gateway.entry import KEY_NAME
from modelshelf.server.gateway.errors import OLLAMA_PATHS, headers_of, shape_of
from modelshelf.server.sessions import COOKIE, Sessions
from modelshelf.services.access.keys import KeyRing, new_key

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_OPEN_PATHS = frozenset({"/healthz", "/readyz"})
_OPEN_PAGES = frozenset({"/", "/docs", "/openapi.json", "/login", "/logout"})
"""Paths that need no key, because a browser sends none with a typed address; they show nothing of the library."""
_OF_PROGRAMS = ("/api/", "/v1/", "/hf/", "/metrics")
_OWN_SITE = frozenset({"same-origin", "none"})
_HOST = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<name>[A-Za-z0-9._-]+))(?::[0-9]{1,5})?")
_HUB = "/hf/"
_SEND_KEY = "Send Authorization: Bearer KEY (HF_TOKEN for /hf)."
_HUB_TOKEN = "modelshelf.hub_token"
_OF_OWNERS = ("/api/settings", "/settings")
"""Paths that show what only who manages the library should see."""
_READING = frozenset({"GET", "HEAD"})
_SHOW = "/api/show"
"""Where Ollama's clients look at a model, which they do with POST."""


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


def check_listening(host: str, has_key: Callable[[], bool]) -> None:
    """Raise if the server would listen for other machines without a key.

    Raises:
        BadInput: The address isn't loopback and there is no key; the hint has a new one.
    """
    if host not in _LOOPBACK and not has_key():
        raise BadInput(
            f"Listening on {host} would let every machine that reaches it use this library.",
            hint=f"Make a key (shelf key add NAME), set SHELF_API_KEY={new_key()}, for example, or leave SHELF_HOST at"
            " 127.0.0.1.",
        )


def scopes_for(method: str, path: str) -> tuple[Scope, ...]:
    """Return what a key must allow for a request: one of these; the first is what fits best.

    >>> scopes_for("GET", "/api/models"), scopes_for("POST", "/v1/chat/completions"), scopes_for("POST", "/api/models")
    ((<Scope.READ: 'read'>,), (<Scope.INFER: 'infer'>,), (<Scope.MANAGE: 'manage'>,))
    >>> scopes_for("GET", "/v1/models") == scopes_for("POST", "/api/show") == (Scope.READ, Scope.INFER)
    True
    """
    if path.startswith("/v1/") or path in OLLAMA_PATHS:
        return (Scope.READ, Scope.INFER) if method in _READING or path == _SHOW else (Scope.INFER,)
    if path.startswith(_OF_OWNERS):
        return (Scope.MANAGE,)
    return (Scope.READ,) if method in _READING or path.startswith(_HUB) else (Scope.MANAGE,)


def hub_token(scope: Request) -> str:
    """Return the token that a request brings for the hub; empty for none, and where it brings a key of this server."""
    return str(scope.get(_HUB_TOKEN, ""))


class Gate:
    """ASGI middleware that forwards a request or answers 400, 401 or 403 before any of it is read.

    A browser without a session is sent to `/login`.

    Args:
        app: The next application.
        host: The address by which others reach the server; see `reached_on`. On loopback a key is asked for only where
            SHELF_API_KEY is set.
        keys: The keys, one of which a request must bring, as `Authorization: Bearer` or below `/v1` as `x-api-key`.
        sessions: The browsers that logged in, whose cookie stands for their key.
    """

    def __init__(self, app: ASGIApp, *, host: str, keys: FreshKeys, sessions: Sessions) -> None:
        self._app = app
        self._on_loopback = host in _LOOPBACK
        self._keys = keys
        self._asks_key = needs_key(host, keys.ring)
        self._sessions = sessions

    async def __call__(self, scope: Request, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            caller = await self._check(str(scope["method"]), str(scope["path"]), Headers(scope=scope))
        except ShelfError as err:
            if isinstance(err, Unauthorized) and _is_of_a_browser(scope):
                await _to_login(scope)(scope, receive, send)
                return
            shape = shape_of(str(scope["path"]))
            answer = Json(shape(err), err.status, headers_of(err)) if shape else problem(err)
            await answer(scope, receive, send)
        else:
            if caller.key_name:
                scope.setdefault("state", {})[KEY_NAME] = caller.key_name
            scope[_HUB_TOKEN] = caller.hub_token
            await self._app(scope, receive, send)

    async def _check(self, method: str, path: str, headers: Headers) -> _Caller:
        """Return who sent a request that may pass.

        Raises:
            BadInput: It has no Host header, or several.
            Denied: A page of another site sent it, or the key isn't for such requests.
            Unauthorized: The key is missing or wrong.
            Unavailable: The registry is away, and nobody knows which keys are still good.
        """
        host = _host_of(headers)
        if self._on_loopback and host.name not in _LOOPBACK:
            raise Denied(
                f"This server answers only to loopback names, and {host.text!r} isn't one.", hint="Use 127.0.0.1."
            )
        _check_site(path, headers, host.text)
        asks_key = self._asks_key and not _needs_no_key(path, headers)
        if asks_key or path.startswith(_HUB):
            await self._keys.refresh()
        if asks_key:
            secret = _secret_in(path, headers, _in_cookie(self._sessions, method, headers))
            return await self._owner(secret, scopes_for(method, path), is_of_hub=path.startswith(_HUB))
        return _Caller(hub_token=await _token_of_hub(self._keys, headers)) if path.startswith(_HUB) else _Caller()

    async def _owner(self, secret: bytes, wanted: tuple[Scope, ...], *, is_of_hub: bool) -> _Caller:
        """Return who has a secret, whose key allows what is wanted; raises as `_check` does."""
        found = await self._keys.find(secret, *([_ours_in(secret)] if is_of_hub else []))
        if found is None:
            raise _wrong()
        if not found.allows(*wanted):
            raise Denied(
                f"The key {found.name} isn't for this: it would need the scope {' or '.join(wanted)}.",
                hint=f"Make one that is: shelf key add NAME --scope {wanted[0]}",
            )
        token = _token_beside(self._keys.ring, secret) if is_of_hub else b""
        return _Caller(found.name, token.decode("latin-1"))


@dataclass(frozen=True, slots=True)
class _Caller:
    """Who sent a request."""

    key_name: str = ""
    """Empty where no key is needed."""
    hub_token: str = field(default="", repr=False)
    """The caller's own token of the hub; empty for none."""


def needs_key(host: str, keys: KeyRing) -> bool:
    """Return whether a server that is reached on an address asks for a key."""
    return keys.has_setting or host not in _LOOPBACK


def _needs_no_key(path: str, headers: Headers) -> bool:
    """Return whether a request may come without a key: `/` shows a browser the library, and a program nothing of it."""
    if path == "/" and _takes_html(headers):
        return False
    return path in _OPEN_PATHS | _OPEN_PAGES or path.startswith("/static/")


def _takes_html(headers: Headers) -> bool:
    return "text/html" in headers.get("accept", "")


def _is_of_a_browser(scope: Request) -> bool:
    """Return whether a person looks at a page, and can log in."""
    path = str(scope["path"])
    return scope["method"] == "GET" and _takes_html(Headers(scope=scope)) and not path.startswith(_OF_PROGRAMS)


def _to_login(scope: Request) -> RedirectResponse:
    query = bytes(scope["query_string"]).decode("latin-1")
    wanted = str(scope["path"]) + (f"?{query}" if query else "")
    return RedirectResponse(f"/login?next={quote(wanted, safe='/')}", 303, {"Cache-Control": "no-store"})


def _in_cookie(sessions: Sessions, method: str, headers: Headers) -> bytes | None:
    """Return the key of a browser's session; None without one.

    Raises:
        Denied: The request would change something, and the browser doesn't say which page sent it.
    """
    key = sessions.key_of(cookie_parser(headers.get("cookie", "")).get(COOKIE, ""))
    if key is not None and method not in _READING and not {"origin", "sec-fetch-site"} & set(headers.keys()):
        raise Denied("The request doesn't say which page sent it.", hint="Send Authorization: Bearer KEY instead.")
    return key


def _secret_in(path: str, headers: Headers, in_cookie: bytes | None) -> bytes:
    """Return the secret that a request brings: a key, and below `/hf` perhaps a token with it.

    Raises:
        Unauthorized: There is none, or it isn't said in the right form.
    """
    given = [value for name, value in headers.raw if name == b"authorization"]
    if not given and in_cookie is not None:
        given = [b"Bearer " + in_cookie]
    if not given and path.startswith("/v1/"):  # as Anthropic's clients send it
        given = [b"Bearer " + value for name, value in headers.raw if name == b"x-api-key"]
    if not given:
        raise Unauthorized("The API key is missing.", hint=_SEND_KEY)
    scheme, _, secret = given[0].partition(b" ")
    if len(given) > 1 or scheme.lower() != b"bearer":
        raise _wrong()
    return secret.strip()


def _wrong() -> Unauthorized:
    # huggingface_hub takes 401 for a missing repository, except with this very sentence.
    return Unauthorized("Invalid credentials in Authorization header", hint=_SEND_KEY)


def _ours_in(secret: bytes) -> bytes:
    """Return the key in a secret of the form KEY:TOKEN: clients of the hub have one header for both."""
    return secret.rpartition(b":")[0]


def _token_beside(keys: KeyRing, secret: bytes) -> bytes:
    """Return what of a secret isn't a key of ours, and may be the hub's."""
    if keys.find(secret) is not None:
        return b""
    ours = _ours_in(secret)
    return secret[len(ours) + 1 :] if ours and keys.find(ours) is not None else secret


async def _token_of_hub(keys: FreshKeys, headers: Headers) -> str:
    """Return the token of a request that needs no key; empty for a key of ours, which the hub mustn't see."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    with contextlib.suppress(Unavailable):
        if scheme.lower() == "bearer":
            secret = token.strip().encode("latin-1")
            await keys.find(secret, _ours_in(secret))
            return _token_beside(keys.ring, secret).decode("latin-1")
    return ""


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
