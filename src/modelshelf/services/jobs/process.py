"""The process that holds a reservation or runs a job, named so that another process can tell whether it lives."""

from __future__ import annotations

import os
from pathlib import Path

import psutil

_PROC = Path("/proc")
_GONE, _HIDDEN = "gone", "hidden"


def this_process() -> str:
    """Return this process's identity: boot, process namespace, pid and start time.

    A pid alone is reused, and a container's pid means another process outside.
    """
    return f"{_place()}:{os.getpid()}:{_start_time(os.getpid())}"


def is_alive(owner: str) -> bool | None:
    """Return whether an owner lives; None if that can't be told from here.

    It can't be told of another container or machine, or where `/proc` hides other users' processes or belongs to
    another container. What such an owner holds stays its own while it renews it: jobs, reservations and leases expire
    by the database's clock.
    """
    if not _sees_itself():
        return None
    place, _, process = owner.rpartition(":")[0].rpartition(":")
    started = owner.rpartition(":")[2]
    if place != _place() or not process.isdigit():
        return None
    found = _start_time(int(process))
    return None if found == _HIDDEN else found == started


def _sees_itself() -> bool:
    """Return whether `/proc` numbers processes as this process does; without `/proc`, pids are all there is."""
    try:
        return (_PROC / "self").readlink().name == str(os.getpid())
    except OSError:
        return True


def _place() -> str:
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot}:{(_PROC / 'self/ns/pid').readlink()}"
    except OSError:
        return f"{psutil.boot_time():.0f}:host"


def _start_time(pid: int) -> str:
    """Return a process's start time in ticks since boot, which setting the clock doesn't change.

    Source: proc(5), `/proc/PID/stat`, field 22; the command before it may hold blanks and brackets. A zombie has ended.
    """
    try:
        text = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
        fields = text.rpartition(")")[2].split()
        return _GONE if fields[0] in "ZX" else fields[19]
    except (OSError, IndexError):
        return _without_proc(pid)


def _without_proc(pid: int) -> str:
    """Return the same if `/proc` doesn't show the process: it is gone, another user's, or there is no `/proc`."""
    try:
        os.kill(pid, 0)
        return f"{psutil.Process(pid).create_time():.2f}"
    except ProcessLookupError:
        return _GONE
    except (OSError, psutil.Error):
        return _HIDDEN
