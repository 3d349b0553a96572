"""A server that sends any bytes: for answers that no HTTP library would give."""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
from collections.abc import Callable, Iterable, Iterator

Talk = Callable[[str], Iterable[bytes]]
"""From the requested path to the bytes that are sent before the connection is closed."""


@contextlib.contextmanager
def talking(talk: Talk) -> Iterator[str]:
    """Answer every connection on a free port with what `talk` yields; yield the address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_accept, args=(listener, talk), daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)


def _accept(listener: socket.socket, talk: Talk) -> None:
    with contextlib.suppress(OSError):
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=_answer, args=(connection, talk), daemon=True).start()


def _answer(connection: socket.socket, talk: Talk) -> None:
    with connection, contextlib.suppress(OSError, IndexError):
        head = b""
        while b"\r\n\r\n" not in head:
            head += connection.recv(65536) or b"\r\n\r\n"
        for piece in talk(head.split(b" ")[1].decode()):
            connection.sendall(piece)


def dripping(text: bytes, pause_s: float) -> Iterator[bytes]:
    """Yield a text byte by byte, and its last byte for ever."""
    pause = threading.Event()
    for value in itertools.chain(text, itertools.repeat(text[-1])):
        yield bytes([value])
        pause.wait(pause_s)
