"""Who holds a reservation or runs a job: a process, named so that another one can tell whether it still lives."""

from __future__ import annotations

import os
from pathlib import Path

import psutil


def this_process() -> str:
    """Return this process's name: boot, process namespace, pid and start time.

    A pid alone is used again; a pid of a container means another process outside.
    """
    return f"{_place()}:{os.getpid()}:{_start_time(os.getpid())}"


def is_alive(owner: str) -> bool | None:
    """Return whether an owner lives; None when that cannot be told from here (another container or machine)."""
    place, _, process = owner.rpartition(":")[0].rpartition(":")
    started = owner.rpartition(":")[2]
    if place != _place() or not process.isdigit():
        return None
    return _start_time(int(process)) == started


def _place() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot}:{Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return f"{psutil.boot_time():.0f}:host"


def _start_time(pid: int) -> str:
    """Return when a process began: ticks since the boot, which stay when the clock is set; `gone` without one.

    Source: Linux `proc_pid_stat(5)`, field 22; the name, field 2, may hold blanks and brackets.
    """
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[19]
    except FileNotFoundError:
        if Path("/proc/self/stat").exists():
            return "gone"
    except (OSError, IndexError):
        return "gone"  # it ended while it was read
    try:
        return f"{psutil.Process(pid).create_time():.2f}"
    except psutil.Error:
        return "gone"
