"""A process between a server and a program of others, so that the program never outlives the server.

Usage: python -I -S guard.py FD GRACE_S COMMAND…

FD is the end of a pipe that the server keeps open. When it ends, because the server closed it or ended itself, by
whatever signal, the guard ends the program and all of its process group: politely, after GRACE_S by force. When the
program ends first, what it left in its group ends too, and the guard passes its exit code on, 128 + N for signal N.

It needs nothing but the standard library, so that it starts in 15 ms and holds 9 MB.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading

_PR_SET_PDEATHSIG = 1
"""Source: prctl(2). Linux alone has it."""


def main() -> int:
    """Run the command until it ends, or the pipe does; returns its exit code."""
    lifeline, grace_s, command = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: None)  # SIG_IGN would be inherited by the program
    try:
        program = subprocess.Popen(
            command,
            process_group=0,
            preexec_fn=_end_with_parent,  # noqa: PLW1509 - no thread runs yet
        )
    except OSError as err:
        sys.stderr.write(f"{command[0]} can't be started: {err.strerror}\n")
        return 127
    threading.Thread(target=_end_with_pipe, args=(lifeline, grace_s, program.pid), daemon=True).start()
    os.waitid(os.P_PID, program.pid, os.WEXITED | os.WNOWAIT)
    _signal(program.pid, signal.SIGKILL)  # not reaped yet, it keeps the number of its group from being used again
    code = program.wait()
    return 128 - code if code < 0 else code


def _end_with_parent() -> None:
    """Let the kernel end the program when the guard itself is killed."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _end_with_pipe(lifeline: int, grace_s: float, group: int) -> None:
    """Wait for the end of the pipe, then end the group."""
    while os.read(lifeline, 1):
        pass
    _signal(group, signal.SIGTERM)
    _signal(group, signal.SIGCONT)  # a stopped program would never hear it
    threading.Event().wait(grace_s)
    _signal(group, signal.SIGKILL)


def _signal(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, number)


if __name__ == "__main__":
    sys.exit(main())
