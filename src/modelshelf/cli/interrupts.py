"""What Ctrl-C does to a command.

Before a command begins and after it has ended, Ctrl-C ends the process at once. While it runs, the first one stops it,
and a second one, amid the cleaning up too, ends it: nothing is lost by that. A process that was started with Ctrl-C
ignored, as a shell's script does with `&`, goes on to ignore it.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

INTERRUPTED = 130


def interrupt_ends() -> None:
    """Let Ctrl-C end this process at once from now on."""
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, _end)


def interrupt_stops() -> None:
    """Let the next Ctrl-C stop what runs, if it would end the process."""
    if signal.getsignal(signal.SIGINT) in (_end, _end_amid):
        signal.signal(signal.SIGINT, _stop)


@contextmanager
def stoppable() -> Iterator[None]:
    """Let Ctrl-C stop what runs inside the context."""
    interrupt_stops()
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGINT) is _stop:
            interrupt_ends()


def was_interrupted() -> bool:
    """Return whether what runs was stopped by Ctrl-C, whatever error came of that."""
    return signal.getsignal(signal.SIGINT) is _end_amid


def _stop(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGINT, _end_amid)
    raise KeyboardInterrupt


def _end_amid(number: int, frame: FrameType | None) -> None:
    _end(number, frame)


def _end(number: int, frame: FrameType | None) -> None:
    os._exit(INTERRUPTED)
