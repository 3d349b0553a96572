"""Starting anew: a server that is asked to ends as by SIGTERM, and its process then starts the same command again.

It keeps its number, so whoever supervises it (a shell, systemd, a container) sees one process that goes on.
"""

from __future__ import annotations

import os
import signal
import sys
import threading

_asked = threading.Event()


def restart() -> None:
    """End this server soon, and start it again with the settings as they are then."""
    _asked.set()
    os.kill(os.getpid(), signal.SIGTERM)


def start_anew() -> None:
    """Start this process's command again if somebody asked for that, which doesn't return; else return."""
    if _asked.is_set():
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
