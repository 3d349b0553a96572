"""Whose program listens on a port that was chosen for a child, before the child's key is sent there."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import psutil

_LISTENS = "0A"
_RUNTIMES = frozenset({"docker", "podman", "nerdctl"})
"""Programs whose containers aren't their children."""


def is_theirs(port: int, processes: Iterable[psutil.Process], command: Sequence[str]) -> bool:
    """Return whether a child, or the container that it runs, listens on a port of loopback.

    A container's runtime holds its port, and isn't a child of ours. There a program of root or of our own user counts
    as the child's: both can read the key anyway.

    Args:
        port: The port.
        processes: The child's.
        command: What the child was started with.
    """
    if any(_listens(process, port) for process in processes):
        return True
    if Path(command[0]).name not in _RUNTIMES:
        return False
    owners = _owners(port)
    return bool(owners) and owners <= {0, os.getuid()}


def _listens(process: psutil.Process, port: int) -> bool:
    try:
        found = process.net_connections("tcp")
    except psutil.Error:
        return False
    return any(one.status == psutil.CONN_LISTEN and one.laddr.port == port for one in found)


def _owners(port: int) -> set[int]:
    """Return the users whose programs listen on a port. Source: proc(5), `/proc/net/tcp`."""
    try:
        lines = Path("/proc/net/tcp").read_text("ascii").splitlines()[1:]
    except OSError:
        return set()
    found = (line.split() for line in lines)
    return {int(words[7]) for words in found if words[3] == _LISTENS and int(words[1].rpartition(":")[2], 16) == port}
