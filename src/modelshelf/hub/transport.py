"""One request, one answer: through the environment's proxy, with its certificates, and never too slowly.

Measured against huggingface_hub's own client: its 10 MiB chunks through httpx2 reach a third of what `readinto` into
one reused buffer does (bench/pull.py). So bytes and metadata both go through urllib3.
"""

from __future__ import annotations

import base64
import http.client
import io
import select
import socket
import ssl
import stat
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import urllib3

from modelshelf.domain.network import SOCKS, Network, Proxy
from modelshelf.errors import BadInput, ShelfError, Unavailable
from modelshelf.hub import errors

if TYPE_CHECKING:
    from typing_extensions import Buffer

_MAX_HEAD_BYTES = 2**20
"""Longest head of an answer, including interim ones before it."""
_PAUSE_MS = 20
"""A reader takes what there is after so many milliseconds without a byte."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait for another host."""

    connect_s: float = 10
    silence_s: float = 60
    """Longest wait for the next byte, in seconds."""
    window_s: float = 60
    """Over so many seconds of waiting, at least the rate below has to come."""
    least_bytes_per_s: int = 100


class Transport:
    """Makes single requests; the caller judges redirects.

    Args:
        network: Proxies and certificates.
        user_agent: The User-Agent header.
        connections: How many requests run at the same time.
        patience: How long to wait.

    **Concurrency:** one instance serves all threads; connections are kept and reused.
    """

    def __init__(self, network: Network, user_agent: str, connections: int, patience: Patience) -> None:
        self._network = network
        self._headers = {"User-Agent": user_agent, "Accept-Encoding": "identity"}
        self._connections = connections
        self._patience = patience
        self._pools: dict[tuple[Proxy | None, bool], urllib3.PoolManager] = {}
        self._mutex = threading.Lock()

    def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        *,
        tries: int = 1,
        timeout_s: float | None = None,
        body: bytes | None = None,
    ) -> urllib3.BaseHTTPResponse:
        """Make one request and return the open answer, whatever its status, unread.

        Args:
            method: GET, HEAD or POST.
            url: The address.
            headers: In addition to the usual ones.
            tries: How often it is made if the connection breaks before an answer.
            timeout_s: The longest wait, if the usual patience is longer.
            body: What is sent.

        Raises:
            BadInput: A proxy or certificate of the environment can't be used.
            Denied: The proxy wants a password.
            Unavailable: The host isn't reachable, or answers too slowly; or the environment forbids asking.
        """
        if self._network.offline_by:
            raise Unavailable(f"{self._network.offline_by} is set.", hint="Unset it to reach the hub.")
        proxy = self._network.proxy_for(url)
        patience = self._patience
        most_s = timeout_s or patience.silence_s
        timeout = urllib3.Timeout(connect=min(most_s, patience.connect_s), read=min(most_s, patience.silence_s))
        retries = urllib3.Retry(total=None, connect=0, read=tries - 1, redirect=0, status=0, other=0)
        ask = partial(
            self._pool(proxy, is_secure=url.startswith("https:")).request,
            method,
            url,
            headers={**self._headers, **headers},
            body=body,
            preload_content=False,
            redirect=False,
            retries=retries,
            timeout=timeout,
        )
        try:
            try:
                response = ask()
            except urllib3.exceptions.MaxRetryError as err:
                if not _proxy_hung_up(err):
                    raise
                response = ask()
        except (urllib3.exceptions.HTTPError, http.client.HTTPException, OSError, ValueError) as err:
            raise _meaning(err, url, proxy) from err
        if response.status == 407 and proxy is not None:
            response.close()
            raise errors.proxy_wants_password(proxy)
        return response

    def drop_idle(self) -> None:
        """Close the connections that are kept for reuse."""
        with self._mutex:
            for pool in self._pools.values():
                pool.clear()

    def _pool(self, proxy: Proxy | None, *, is_secure: bool) -> urllib3.PoolManager:
        with self._mutex:
            key = proxy, is_secure
            if key not in self._pools:
                self._pools[key] = self._make_pool(proxy, is_secure=is_secure)
            return self._pools[key]

    def _make_pool(self, proxy: Proxy | None, *, is_secure: bool) -> urllib3.PoolManager:
        scheme = proxy.address.partition(":")[0] if proxy else ""
        context = _context(self._network.ca_bundle) if is_secure or scheme == "https" else None
        pool: urllib3.PoolManager
        if proxy is None:
            pool = urllib3.PoolManager(maxsize=self._connections, ssl_context=context)
        elif scheme in SOCKS:
            pool = _socks(proxy, self._connections, context)
        else:
            pool = urllib3.ProxyManager(
                proxy.address,
                proxy_headers=_authorization(proxy),
                proxy_ssl_context=context,
                maxsize=self._connections,
                ssl_context=context,
            )
        _keep_pace(pool, self._patience)
        return pool


def _authorization(proxy: Proxy) -> dict[str, str]:
    if proxy.user is None:
        return {}
    secret = base64.b64encode(f"{proxy.user}:{proxy.password}".encode()).decode()
    return {"Proxy-Authorization": f"Basic {secret}"}


def _socks(proxy: Proxy, connections: int, context: ssl.SSLContext | None) -> urllib3.PoolManager:
    try:
        from urllib3.contrib.socks import SOCKSProxyManager
    except ImportError as err:
        raise BadInput(
            f"{proxy.address} is a SOCKS proxy, which needs another package.", hint="pip install pysocks"
        ) from err
    return SOCKSProxyManager(
        proxy.address, username=proxy.user, password=proxy.password, maxsize=connections, ssl_context=context
    )


def _context(ca_bundle: str | None) -> ssl.SSLContext:
    try:
        if ca_bundle is None:
            return ssl.create_default_context()
        is_folder = stat.S_ISDIR(Path(ca_bundle).stat().st_mode)
        return ssl.create_default_context(
            cafile=None if is_folder else ca_bundle, capath=ca_bundle if is_folder else None
        )
    except OSError as err:  # an SSLError is one
        raise BadInput(
            f"The certificates in {ca_bundle} can't be read ({err.strerror or err}).",
            hint="Check REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE, SSL_CERT_FILE and SSL_CERT_DIR.",
        ) from err


def _proxy_hung_up(err: urllib3.exceptions.MaxRetryError) -> bool:
    """Return whether a proxy closed a connection without an answer, as it does with old kept ones.

    urllib3 tries again if a hub does so; for a proxy it reports a failed connection.
    """
    reason = err.reason
    return isinstance(reason, urllib3.exceptions.ProxyError) and isinstance(reason.original_error, ConnectionResetError)


def _meaning(err: Exception, url: str, proxy: Proxy | None) -> ShelfError:
    """Return why a request brought no answer."""
    reason: BaseException = err
    while isinstance(reason, urllib3.exceptions.MaxRetryError) and reason.reason is not None:
        reason = reason.reason
    host = "://".join(errors.shown_origin(url))
    if isinstance(reason, urllib3.exceptions.ProxyError) and proxy is not None:
        text = f"{reason.original_error}"
        if " 407" in text:
            return errors.proxy_wants_password(proxy)
        return errors.proxy_away(proxy, text)
    if isinstance(reason, urllib3.exceptions.SSLError | ssl.SSLError):
        return errors.not_trusted(host, f"{reason}")
    if isinstance(reason, urllib3.exceptions.NameResolutionError):
        return errors.unreachable(host, "its name isn't known")
    if isinstance(reason, urllib3.exceptions.NewConnectionError):
        return errors.unreachable(host, f"{reason}".rpartition(": ")[2])
    return errors.unreachable(host, type(reason).__name__)


def _keep_pace(pool: urllib3.PoolManager, patience: Patience) -> None:
    """Apply these limits to every answer of a pool, including its head and a proxy's."""
    classes: dict[str, Any] = {}
    for scheme, pool_class in cast("dict[str, Any]", pool.pool_classes_by_scheme).items():
        paced = {"response_class": partial(PacedResponse, patience)}
        connection_class = type("PacedConnection", (_LeavableConnection, pool_class.ConnectionCls), paced)
        classes[scheme] = type("PacedPool", (pool_class,), {"ConnectionCls": connection_class})
    pool.pool_classes_by_scheme = classes


class _LeavableConnection:
    """A connection that Ctrl-C leaves while it is made: for ten seconds the look-up of a name may hear no signal."""

    def _new_conn(self) -> socket.socket:
        made: Future[socket.socket] = Future()

        def connect() -> None:
            try:
                made.set_result(super(_LeavableConnection, self)._new_conn())  # type: ignore[misc]
            except BaseException as err:  # noqa: BLE001 - raised again by whoever waits
                made.set_exception(err)

        threading.Thread(target=connect, name="connect", daemon=True).start()
        try:
            return made.result()
        except KeyboardInterrupt:
            made.add_done_callback(_close_late)
            raise


def _close_late(made: Future[socket.socket]) -> None:
    """Close a connection that nobody waits for any more."""
    if made.exception() is None:
        made.result().close()


class PacedResponse(http.client.HTTPResponse):
    """An answer that ends if it comes too slowly, or with an endless head."""

    def __init__(self, patience: Patience, sock: socket.socket, debuglevel: int = 0, method: str | None = None) -> None:
        super().__init__(sock, debuglevel, method)
        self._paced = _PacedReader(self.fp.detach(), patience)
        self.fp = io.BufferedReader(self._paced, 2**16)

    def begin(self) -> None:
        """Read the head."""
        self._paced.left_bytes = _MAX_HEAD_BYTES
        super().begin()
        self._paced.left_bytes = None

    def readinto(self, buffer: Buffer) -> int:
        """Read what one read of the connection brings, while the base would wait until the buffer is full."""
        if self.chunked or self.length is None or self.fp is None:
            return super().readinto(buffer)
        with memoryview(buffer).cast("B") as view:
            count = self.fp.readinto1(view[: self.length])
        self.length -= count
        if not (count and self.length):
            self._close_conn()  # type: ignore[attr-defined]
        return count

    def more_comes(self) -> bool:
        """Return whether more of the body is there, or comes at once."""
        return bool(self.length) and self.fp is not None and self._paced.more_comes()


class _PacedReader(io.RawIOBase):
    """Reads a socket; the reader's own pauses, as for a rate limit, don't count."""

    def __init__(self, source: io.RawIOBase, patience: Patience) -> None:
        self.left_bytes: int | None = None
        """How many bytes may still come; None: unlimited."""
        self._source = source
        self._patience = patience
        self._waited_s = 0.0
        self._came_bytes = 0

    def readable(self) -> bool:
        """Say that it is readable."""
        return True

    def fileno(self) -> int:
        """Return the socket's descriptor."""
        return self._source.fileno()

    def more_comes(self) -> bool:
        """Return whether more is there within a pause."""
        started_s = time.monotonic()
        ready = select.poll()
        ready.register(self.fileno(), select.POLLIN)
        found = bool(ready.poll(_PAUSE_MS))
        self._waited_s += time.monotonic() - started_s
        return found

    def close(self) -> None:
        """Close the source too."""
        self._source.close()
        super().close()

    def readinto(self, buffer: Buffer, /) -> int | None:
        """Read what is there.

        Raises:
            Unavailable: Too few bytes came for too long, or a head is too long.
        """
        started_s = time.monotonic()
        count = cast("int | None", self._source.readinto(buffer))
        self._waited_s += time.monotonic() - started_s
        self._came_bytes += count or 0
        if self.left_bytes is not None:
            self.left_bytes -= count or 0
            if self.left_bytes < 0:
                raise Unavailable("The head of the hub's answer doesn't end.")
        if self._waited_s >= self._patience.window_s:
            if self._came_bytes < self._waited_s * self._patience.least_bytes_per_s:
                raise errors.too_slow(self._patience.least_bytes_per_s)
            self._waited_s, self._came_bytes = 0.0, 0
        return count
