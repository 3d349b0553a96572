"""uvicorn as we run it: zero-copy, bound before it announces itself, stopped within seconds."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import TYPE_CHECKING, Any, cast

import uvicorn
from uvicorn.config import LOGGING_CONFIG

from modelshelf.errors import BadInput, Conflict, Denied, ShelfError
from modelshelf.server.connections import GuardedProtocol, Limits, State
from modelshelf.server.restart import is_asked, note_signal, start_anew

if TYPE_CHECKING:
    from starlette.types import ASGIApp

_LOG = logging.getLogger(__name__)
_BACKLOG = 2048
"""How many connections may wait to be accepted."""
_AT_ONCE = 32
"""How many connections are accepted before one of them is handled."""
_HEADERS = (("X-Content-Type-Options", "nosniff"), ("Cross-Origin-Resource-Policy", "same-origin"))
"""Headers of every answer: no page of another site shows or runs its content."""
_ANSWERS_END_WITHIN_S = 3
_RESTART_WITHIN_S = 25.0
"""Seconds until a restart is forced: no supervisor hurries it, and an engine may take ten seconds to end."""
_STOP_WITHIN_S = 4.5
"""Seconds after a signal; then hanging threads are left: the next process resumes their jobs, as after a power cut."""


def serve(
    app: ASGIApp,
    *,
    host: str,
    port: int,
    log_level: str = "info",
    announce: Callable[[str], None] | None = None,
    on_stop: Callable[[], None] | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT, then return; an answer in progress has some seconds to end.

    Args:
        app: The application.
        host: The address to listen on.
        port: The port; 0 takes a free one.
        log_level: uvicorn's level.
        announce: Called with the server's URL once connections to it are accepted.
        on_stop: Called by the signal handler, to end endless answers.

    Raises:
        Conflict: The port is taken.
        Denied: The port isn't for ordinary users.
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
    """A server with limits that says when it was asked to end while its answers still go on."""

    def __init__(self, config: uvicorn.Config, limits: Limits, on_stop: Callable[[], None] | None) -> None:
        super().__init__(config)
        self.server_state = State(limits)
        self._on_stop = on_stop

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start accepting; asyncio alone would accept as many at once as may wait, and run out of descriptors."""
        await super().startup(sockets)
        for listener in sockets or ():
            listener.listen(_BACKLOG)

    async def on_tick(self, counter: int) -> bool:
        """Check the connections now and then; called ten times a second."""
        if counter % 5 == 0:
            cast("State", self.server_state).sweep()
        return await super().on_tick(counter)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Handle a signal."""
        note_signal(sig)
        _end_in_time()
        if self._on_stop is not None:
            self._on_stop()
        super().handle_exit(sig, frame)


def _end_in_time() -> None:
    """End this process soon, even if a thread hangs for ever on a disk that doesn't answer."""

    def end() -> None:
        _LOG.warning("stopped_hard", extra={"detail": "A thread did not end in time; the next server resumes its job."})
        start_anew()
        os._exit(0)

    timer = threading.Timer(_RESTART_WITHIN_S if is_asked() else _STOP_WITHIN_S, end)
    timer.daemon = True
    timer.start()


def create_server(
    app: ASGIApp,
    *,
    log_level: str = "info",
    log_config: dict[str, Any] | None = LOGGING_CONFIG,
    limits: Limits | None = None,
    on_stop: Callable[[], None] | None = None,
) -> uvicorn.Server:
    """Return the server that `serve` runs, for callers with their own socket and thread.

    Args:
        app: The application.
        log_level: uvicorn's level.
        log_config: uvicorn's own log; None: it goes where everything else goes.
        limits: The server's limits; by default what this process's descriptors allow.
        on_stop: Called by the signal handler.
    """
    config = uvicorn.Config(
        app,
        http=GuardedProtocol,
        loop="asyncio",  # uvloop has no sendfile
        ws="none",
        access_log=False,
        server_header=False,
        log_config=log_config,
        log_level=log_level,
        headers=list(_HEADERS),
        backlog=_AT_ONCE,
        timeout_graceful_shutdown=_ANSWERS_END_WITHIN_S,
    )
    return _Server(config, limits or Limits.of_this_process(), on_stop)


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket: from now on connections wait for the server instead of being refused.

    Raises:
        Conflict: The port is taken.
        Denied: The port isn't for ordinary users.
        BadInput: There is no such address here.
    """
    if not 0 <= port <= 0xFFFF:  # getaddrinfo would take it modulo 65536
        raise BadInput(f"{port} isn't a port.", hint="Choose one between 1 and 65535.", host=host, port=port)
    try:
        # a text makes it import the tables of foreign letters, half a megabyte
        found = socket.getaddrinfo(
            host.encode() if host.isascii() else host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        family, address = found[0][0], found[0][4]
        listener = socket.create_server(address, family=family, backlog=_BACKLOG)
    except OSError as err:
        raise _why_not(err, host, port) from err
    # Connections inherit it. asyncio sets it if a socket says that it is TCP; this one has proto 0, and without it
    # an answer's body waits 40 ms for the client to confirm the head.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


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
        return Denied(f"Ordinary users can't listen on port {port}.", hint="Choose one above 1023.", **fields)
    return BadInput(f"{host}:{port} isn't an address to listen on here: {err}.", hint="See SHELF_HOST.", **fields)


@contextlib.contextmanager
def _signals_end(server: uvicorn.Server) -> Iterator[None]:
    """Let a signal end the server, from the very start, and let `serve` return so that its caller can clean up.

    uvicorn restores the handlers it found and then raises the signal again, which would kill the process here.
    """

    def end(number: int, frame: object) -> None:
        _end_in_time()
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
