"""uvicorn as we run it: zero-copy, bound before anything is said, stopped within seconds."""

from __future__ import annotations

import contextlib
import errno
import logging
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import TYPE_CHECKING, Any

import uvicorn
from uvicorn.config import LOGGING_CONFIG

from modelshelf.errors import BadInput, Conflict, Denied, ShelfError
from modelshelf.server.sendfile import ZeroCopyProtocol

if TYPE_CHECKING:
    from starlette.types import ASGIApp

_LOG = logging.getLogger(__name__)
_BACKLOG = 2048
_STOP_WITHIN_S = 5


def serve(
    app: ASGIApp,
    *,
    host: str,
    port: int,
    log_level: str = "info",
    announce: Callable[[str], None] | None = None,
    on_stop: Callable[[], None] | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT, then return; an answer under way has some seconds to end.

    Args:
        app: The application.
        host: The address to listen on.
        port: The port; 0 takes a free one.
        log_level: uvicorn's level.
        announce: Called with the server's URL once connections to it are accepted.
        on_stop: Called by the signal handler, to end answers that would go on for ever.

    Raises:
        Conflict: The port is taken.
        Denied: The port is not for ordinary users.
        BadInput: There is no such address here.
    """
    server = create_server(app, log_level=log_level, log_config=None, on_stop=on_stop)
    with listen(host, port) as listener, _signals_end(server):
        url = url_of(listener)
        _LOG.info("listening", extra={"url": url})
        if announce is not None:
            announce(url)
        server.run(sockets=[listener])


class _Server(uvicorn.Server):
    """A server that says when it was asked to end, while its answers still go on."""

    def __init__(self, config: uvicorn.Config, on_stop: Callable[[], None] | None) -> None:
        super().__init__(config)
        self._on_stop = on_stop

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Handle a signal."""
        if self._on_stop is not None:
            self._on_stop()
        super().handle_exit(sig, frame)


def create_server(
    app: ASGIApp,
    *,
    log_level: str = "info",
    log_config: dict[str, Any] | None = LOGGING_CONFIG,
    on_stop: Callable[[], None] | None = None,
) -> uvicorn.Server:
    """Return the server that `serve` runs, for who brings their own socket and thread.

    Args:
        app: The application.
        log_level: uvicorn's level.
        log_config: uvicorn's own log; None: what it says goes where everything else goes.
        on_stop: Called by the signal handler.
    """
    config = uvicorn.Config(
        app,
        http=ZeroCopyProtocol,
        loop="asyncio",  # uvloop has no sendfile
        ws="none",
        access_log=False,
        server_header=False,
        log_config=log_config,
        log_level=log_level,
        timeout_graceful_shutdown=_STOP_WITHIN_S,
    )
    return _Server(config, on_stop)


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket: from now on connections wait for the server instead of being refused.

    Raises:
        Conflict: The port is taken.
        Denied: The port is not for ordinary users.
        BadInput: There is no such address here.
    """
    if not 0 <= port <= 0xFFFF:  # getaddrinfo would take it modulo 65536
        raise BadInput(f"{port} is no port.", hint="Choose one between 1 and 65535.", host=host, port=port)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, address = found[0][0], found[0][4]
        return socket.create_server(address, family=family, backlog=_BACKLOG)
    except OSError as err:
        raise _why_not(err, host, port) from err


def url_of(listener: socket.socket) -> str:
    """Return the URL of a listening socket."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _why_not(err: OSError, host: str, port: int) -> ShelfError:
    fields: dict[str, Any] = {"host": host, "port": port}
    if err.errno == errno.EADDRINUSE:
        hint = "Stop what runs there (is it another shelf?), or choose another SHELF_PORT."
        return Conflict(f"The port {port} of {host} is taken.", hint=hint, **fields)
    if err.errno == errno.EACCES:
        return Denied(f"The port {port} is not for ordinary users.", hint="Choose one above 1023.", **fields)
    return BadInput(f"{host}:{port} is no address to listen on here: {err}.", hint="See SHELF_HOST.", **fields)


@contextlib.contextmanager
def _signals_end(server: uvicorn.Server) -> Iterator[None]:
    """Let a signal end the server, from the very start, and let `serve` return so that its caller can tidy up.

    uvicorn restores the handlers it found and then raises the signal again, which would kill the process here.
    """

    def end(number: int, frame: object) -> None:
        server.should_exit = True

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
