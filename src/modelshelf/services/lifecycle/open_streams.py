"""The connections that a fetch reads from, and the threads that wait for an answer's head."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from modelshelf.domain.ports import ByteStream
from modelshelf.services.lifecycle.line import STALL_S


@dataclass(slots=True, eq=False)
class OpenStreams:
    """The open connections of one fetch.

    **Concurrency:** any thread may open, read and abort; all is touched under `changed`.
    """

    changed: threading.Condition
    """Notified when a thread has its answer, or won't have one."""
    asking: set[threading.Thread] = field(default_factory=set)
    """Threads that wait for an answer's head, which nothing can interrupt; they hold no file."""
    _open: set[ByteStream] = field(default_factory=set)
    _reading: dict[ByteStream, float] = field(default_factory=dict)
    """Streams that wait for their next bytes, and since when."""

    @contextlib.contextmanager
    def opening(self, answer: AbstractContextManager[ByteStream], check: Callable[[], None]) -> Iterator[ByteStream]:
        """Wait for an answer's head and give its body; `check` is called in between and may raise."""
        me = threading.current_thread()
        with self.changed:
            self.asking.add(me)
        try:
            with answer as stream:
                with self.changed:
                    self.asking.discard(me)
                    check()
                    self._open.add(stream)
                try:
                    yield stream
                finally:
                    with self.changed:
                        self._open.discard(stream)
        finally:
            with self.changed:
                self.asking.discard(me)
                self.changed.notify_all()

    def read_into(self, view: memoryview, stream: ByteStream) -> int:
        """Read the next bytes of a stream; return how many, 0 at its end.

        Raises:
            Unavailable: The connection broke, or was aborted.
        """
        with self.changed:
            self._reading[stream] = time.monotonic()
        try:
            return stream.read_into(view)
        finally:
            with self.changed:
                del self._reading[stream]

    def abort_silent(self, *, woke: bool) -> None:
        """Drop the connections that bring nothing, or all that are being read after the machine slept."""
        now_s = time.monotonic()
        with self.changed:
            for stream, since_s in self._reading.items():
                if woke or now_s - since_s >= STALL_S:
                    stream.abort()

    def abort(self) -> None:
        """End what waits for bytes of any stream."""
        with self.changed:
            for stream in self._open:
                stream.abort()
