"""Requests to one hub: redirects are followed, and only the hub's own origin gets the token."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from urllib.parse import urljoin, urlsplit

import urllib3

from modelshelf.domain.network import origin
from modelshelf.domain.outside import parse_json
from modelshelf.errors import BadInput
from modelshelf.hub import errors
from modelshelf.hub.transport import Transport

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MAX_REDIRECTS = 10
_MAX_ANSWER_BYTES = 64 * 2**20
"""Longest JSON answer that is read at once: one about a model of 500,000 files."""
_PIECE_BYTES = 2**16
_PAUSES_S = (0.1, 0.4)
"""Pauses before a failed request is sent again, in seconds."""


class Http:
    """One hub to send requests to.

    Args:
        endpoint: Its address, without a slash at the end.
        token: Returns the token; None for none.
        transport: Makes the requests.
    """

    def __init__(self, endpoint: str, token: Callable[[], str | None], transport: Transport) -> None:
        self.endpoint = endpoint
        self._token = token
        self._transport = transport

    @property
    def transport(self) -> Transport:
        """What makes the requests."""
        return self._transport

    @property
    def has_token(self) -> bool:
        """Whether there is a token to send."""
        return self._token() is not None

    def drop_idle(self) -> None:
        """Close the connections that are kept for reuse."""
        self._transport.drop_idle()

    def ask(
        self, method: str, url: str, *, tries: int = len(_PAUSES_S) + 1, timeout_s: float | None = None
    ) -> tuple[str, urllib3.BaseHTTPResponse]:
        """Return the answer to a question, unread, and its address, after all redirects.

        A hub that breaks off or answers 5xx is asked again.

        Raises:
            Unavailable: It isn't reachable, or redirects without end; see `Transport.request`.
        """
        for pause_s in _PAUSES_S[: tries - 1]:
            *_, (landed, response) = self.hops(method, url, {}, tries=tries, timeout_s=timeout_s)
            if response.status < 500:
                return landed, response
            response.close()
            time.sleep(pause_s)
        *_, (landed, response) = self.hops(method, url, {}, tries=tries, timeout_s=timeout_s)
        return landed, response

    def hops(
        self, method: str, url: str, headers: Mapping[str, str], *, tries: int = 1, timeout_s: float | None = None
    ) -> Iterator[tuple[str, urllib3.BaseHTTPResponse]]:
        """Yield an answer and its address, and those that each redirect leads to; the last one is left open.

        Raises:
            Unavailable: See `ask`.
        """
        for _ in range(_MAX_REDIRECTS + 1):
            token = self._token() if origin(url) == origin(self.endpoint) else None
            secret = {"Authorization": f"Bearer {token}"} if token else {}
            response = self._transport.request(method, url, {**headers, **secret}, tries=tries, timeout_s=timeout_s)
            yield url, response
            location = response.headers.get("Location")
            if response.status not in _REDIRECTS or not location:
                return
            _skip_body(response)
            url = self.follow(url, location)
        raise errors.unreachable(self.endpoint, "it redirects without end")

    def follow(self, url: str, location: str) -> str:
        """Return the address that an answer of `url` redirects to.

        Raises:
            Unavailable: It is invalid, has a password, or isn't encrypted while `url` is.
        """
        try:
            target = urljoin(url, location)
            parts = urlsplit(target)
            is_good = parts.scheme in ("http", "https") and bool(parts.hostname) and "@" not in parts.netloc
            is_good = is_good and parts.port != 0 and target.isprintable() and " " not in target
        except ValueError:
            is_good = False
        if not is_good:
            raise errors.unreachable(self.endpoint, "it redirects to something that isn't an address")
        if parts.scheme == "http" and url.startswith("https:"):
            host = errors.shown_origin(target)[1]
            raise errors.unreachable(self.endpoint, f"it redirects from https to http, which isn't safe (to {host})")
        return target

    def json(self, response: urllib3.BaseHTTPResponse) -> object:
        """Return the value in an answer, and release its connection.

        Raises:
            Corrupt: It isn't JSON.
            Unavailable: It is too long, too slow, or breaks off.
        """
        text = bytearray()
        for piece in self.pieces(response):
            text += piece
            if len(text) > _MAX_ANSWER_BYTES:
                raise errors.too_much(self.endpoint, f"{_MAX_ANSWER_BYTES} bytes")
        try:
            return parse_json(text.decode())
        except (BadInput, UnicodeDecodeError) as err:
            raise errors.nonsense(self.endpoint, "its answer isn't JSON.") from err

    def pieces(self, response: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
        """Yield an answer's body in pieces of 64 KiB, and release its connection."""
        try:
            while piece := response.read(_PIECE_BYTES):
                yield piece
        except (urllib3.exceptions.HTTPError, OSError) as err:
            raise errors.unreachable(self.endpoint, f"the connection broke ({type(err).__name__})") from err
        finally:
            give_back(response)


def give_back(response: urllib3.BaseHTTPResponse) -> None:
    """Keep a connection whose answer was read to its end; close any other."""
    if response.closed:
        response.release_conn()
    else:
        response.close()


def _skip_body(response: urllib3.BaseHTTPResponse) -> None:
    """Release a redirect's connection, for reuse if the rest of its body is short."""
    left_bytes = response.length_remaining if isinstance(response, urllib3.HTTPResponse) else None
    if left_bytes is not None and left_bytes <= _PIECE_BYTES:
        with contextlib.suppress(urllib3.exceptions.HTTPError, OSError):
            response.read()
    give_back(response)
