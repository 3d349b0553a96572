"""Processes of the fork server, which begin and end like those of `subprocess.Popen`."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import select
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

import modelshelf

SERVER = Path(__file__).with_name("fork_server.py")
EARLY = {"PYTHONPATH": str(Path(modelshelf.__file__).parents[1]), "LANG": "C.UTF-8"}
"""What a fork has of the variables that the interpreter and the libraries read before a command does."""
_READ_EARLY = re.compile(
    r"_?PYTHON\w+|LD_\w+|LANG\w*|LC_\w+|(TYPER|PSUTIL|PYDANTIC|OTEL|PROMETHEUS)_\w+", re.IGNORECASE
)
_STARTING = threading.Lock()
_FOREVER_S = 1e6
at_the_end = contextlib.ExitStack()
"""Ends the server."""


def is_read_early(name: str) -> bool:
    """Tell whether the interpreter or a library reads this variable before a command does."""
    return _READ_EARLY.fullmatch(name) is not None


def can_fork(environ: Mapping[str, str]) -> bool:
    """Tell whether a process with this environment can be a fork."""
    return {name: value for name, value in environ.items() if is_read_early(name)} == EARLY


def option_of(module: str) -> list[str]:
    """Return how an interpreter is told to run a module, or code."""
    return ["-c"] if module == "-c" else ["-m", module]


@functools.cache
def _server() -> socket.socket:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        command = [sys.executable, str(SERVER), str(theirs.fileno())]
        process = subprocess.Popen(
            command, pass_fds=[theirs.fileno()], env=EARLY, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
    at_the_end.enter_context(process)
    return at_the_end.enter_context(ours)


def _umask() -> int:
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.partition("Umask:")[2].split()[0], 8)


class Forked:
    """What `subprocess.Popen` would be for `python -m MODULE WORD…` or `-c CODE WORD…`, with text, without a stdin."""

    def __init__(
        self, module: str, words: Sequence[str], cwd: Path, environ: Mapping[str, str], output: int | None = None
    ) -> None:
        """Start it.

        Args:
            module: The module, or `-c`.
            words: Its words; the first is the code after `-c`.
            cwd: Its working directory.
            environ: Its whole environment, one that `can_fork`.
            output: A descriptor for stdout and stderr; by default each has a pipe.
        """
        self.args = ["python", *option_of(module), *words]
        self.returncode: int | None = None
        self.stdout: IO[str] | None = None
        self.stderr: IO[str] | None = None
        wanted = {"module": module, "words": words, "cwd": str(cwd), "environ": dict(environ), "umask": _umask()}
        with contextlib.ExitStack() as closed_here:
            stdin = closed_here.enter_context(Path(os.devnull).open("rb")).fileno()
            if output is None:
                (self.stdout, out), (self.stderr, err) = _pipe(closed_here), _pipe(closed_here)
            else:
                out = err = output
            self._told, told = _pipe(closed_here)
            with _STARTING:
                server = _server()
            socket.send_fds(server, [json.dumps(wanted).encode()], [stdin, out, err, told])
        self.pid = int(self._told.readline())

    def poll(self) -> int | None:
        """Return the exit code, or the negative number of the signal that ended it; None while it runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end and return the exit code.

        Raises:
            subprocess.TimeoutExpired: It runs on after so many seconds.
        """
        if self.returncode is None:
            waiting = select.poll()
            waiting.register(self._told, select.POLLIN)
            if not waiting.poll(None if timeout is None else timeout * 1000):
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
            with self._told:
                self.returncode = int(self._told.readline())
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal unless it has ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill it."""
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Return what it prints until its end.

        Raises:
            subprocess.TimeoutExpired: It runs on after so many seconds.
        """
        deadline = time.monotonic() + (_FOREVER_S if timeout is None else timeout)
        said = {stream: b"" for stream in (self.stdout, self.stderr) if stream is not None}
        with selectors.DefaultSelector() as selector:
            for stream in said:
                if not stream.closed:
                    selector.register(stream, selectors.EVENT_READ, stream)
            while selector.get_map():
                if not (ready := selector.select(deadline - time.monotonic())):
                    raise subprocess.TimeoutExpired(self.args, timeout or 0)
                for key, _ in ready:
                    said[key.data] += (chunk := os.read(key.fd, 2**16))
                    if not chunk:
                        selector.unregister(key.data)
                        key.data.close()
        self.wait(max(0, deadline - time.monotonic()))
        out, err = [text.decode().replace("\r\n", "\n").replace("\r", "\n") for text in said.values()]
        return out, err


def _pipe(closed_here: contextlib.ExitStack) -> tuple[IO[str], int]:
    reading, writing = os.pipe()
    closed_here.callback(os.close, writing)
    return open(reading, encoding="utf-8"), writing  # noqa: PTH123 - a descriptor has no path
