"""What Ctrl-C does to a command."""

from __future__ import annotations

import os
import signal
from types import FrameType

INTERRUPTED = 130


def interrupt_stops() -> None:
    """Let Ctrl-C stop what runs, and a second one end at once, amid the cleaning up too: nothing is lost by it.

    A process that was started with Ctrl-C ignored, as a shell's script does with `&`, goes on to ignore it.
    """
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, _stop)


def _stop(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGINT, _end)
    raise KeyboardInterrupt


def _end(number: int, frame: FrameType | None) -> None:
    os._exit(INTERRUPTED)
