"""Starting anew: a server that is asked to ends as by SIGTERM, and its process then starts the same command again.

The process keeps its PID. A shell, systemd or a container that supervises it sees one process that goes on.
"""

from __future__ import annotations

import os
import signal
import sys
import threading

_asked = threading.Event()
_told: list[int] = []
"""The signals that told this process to end."""


def restart() -> None:
    """End this server soon, and start it again with the settings as they are then."""
    _asked.set()
    os.kill(os.getpid(), signal.SIGTERM)


def note_signal(number: int) -> None:
    """Take note of a signal to end: after a second one, or Ctrl-C, nothing starts again."""
    _told.append(number)
    if len(_told) > 1 or number == signal.SIGINT:
        _asked.clear()


def is_asked() -> bool:
    """Return whether this process starts again once it has ended its work."""
    return _asked.is_set()


def start_anew() -> None:
    """Start this process's command again if somebody asked for that, which doesn't return; else return."""
    if _asked.is_set():
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
