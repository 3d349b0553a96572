"""Children that outlived their server and its guard: both were killed, and a program of theirs left its group."""

from __future__ import annotations

import contextlib

import psutil

from modelshelf.engines.child import MARK


def end_left_behind(marks: frozenset[str]) -> int:
    """End every process that has one of these marks; returns how many there were.

    A number of a process is used again; a mark was made for one child, and all that it starts inherit it.

    Args:
        marks: Those of children whose server is gone.
    """
    found = [process for process in psutil.process_iter() if marks and _mark_of(process) in marks]
    for process in found:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(found, timeout=5)
    return len(found)


def _mark_of(process: psutil.Process) -> str:
    try:
        return process.environ().get(MARK, "")
    except (psutil.Error, OSError):  # another user's, or gone
        return ""
