"""The processes of engines."""

from __future__ import annotations

import contextlib

import psutil

from modelshelf.engines.child import MARK


def with_mark(mark: str) -> list[psutil.Process]:
    """Return the processes of a child that live."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found
