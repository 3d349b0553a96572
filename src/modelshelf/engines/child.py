"""The life of a child: its start behind a guard, its output, its memory, its end."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from modelshelf.engines.ports import is_theirs

MARK = "SHELF_ENGINE"
"""The variable by which the processes of a child are known, whoever their parent is by now."""
_GUARD = Path(__file__).with_name("guard.py")
_KEPT_LINES = 200
_LONGEST_LINE = 2000
_LISTENS = re.compile(r"(?:listening|running) on (http://127\.0\.0\.1:[1-9]\d*)", re.IGNORECASE)
"""Source: llama.cpp `tools/server`, `listening on http://…`; uvicorn `server.py`, `Uvicorn running on http://…`."""


@dataclass(frozen=True, slots=True)
class Launch:
    """How a child is started."""

    command: Sequence[str]
    environment: Mapping[str, str] = field(repr=False)
    """All variables that it has."""
    mark: str
    """The value of `MARK`: this child alone has it."""
    url: str = ""
    """Where it will listen; empty if it chooses the port itself and prints it."""
    grace_s: float = 10.0
    """How long it may take to end after SIGTERM, before SIGKILL."""


class Child:
    """A program behind a guard. It is alive until `ended` is done.

    **Concurrency:** may be asked and stopped from any thread.
    """

    def __init__(
        self, launch: Launch, write_log: Callable[[str], None], on_end: Callable[[], None] = lambda: None
    ) -> None:
        """Start it.

        Args:
            launch: How.
            write_log: Told of each line that it writes, in a thread of the child's.
            on_end: Called once nothing of it is left, in a thread too, before `ended` is done.
        """
        self.url = launch.url
        """Where it listens; empty as long as it didn't say."""
        self.ended: Future[int] = Future()
        """Its exit code, 128 + N for signal N, once nothing of its process group is left."""
        self.ended.set_running_or_notify_cancel()
        self.was_stopped = False
        self._launch = launch
        self._lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self._write_log = write_log
        self._on_end = on_end
        theirs, self._lifeline = os.pipe()
        self._mutex = threading.Lock()
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(_GUARD), str(theirs), str(launch.grace_s), *launch.command],
                cwd="/",
                env={**launch.environment, MARK: launch.mark},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=(theirs,),
                start_new_session=True,
            )
        except BaseException:
            os.close(self._lifeline)
            raise
        finally:
            os.close(theirs)
        reader = threading.Thread(target=self._read, name="engine output", daemon=True)
        reader.start()
        threading.Thread(target=self._wait, args=(reader,), name="engine", daemon=True).start()

    @property
    def pid(self) -> int:
        """The guard's number."""
        return self._process.pid

    def lines(self) -> tuple[str, ...]:
        """Return the last lines that it wrote, oldest first."""
        with self._mutex:
            return tuple(self._lines)

    def memory_bytes(self) -> int:
        """Return what it and its children hold in memory; 0 where that can't be told."""
        return sum(_of(process, lambda one: one.memory_info().rss) for process in self._processes())

    def progress(self) -> int:
        """Return a number that grows while it reads its model: bytes read, from the disk or not, and bytes held."""
        return sum(_of(process, _read_and_held) for process in self._processes())

    def processor_ms(self) -> int:
        """Return the processor time that it and its children have taken, in milliseconds."""
        return sum(_of(process, lambda one: int(1000 * sum(one.cpu_times()[:4]))) for process in self._processes())

    def listens(self) -> bool:
        """Return whether it listens where it is to be asked, and no other program does."""
        if not self._launch.url:  # it said so itself
            return bool(self.url)
        return is_theirs(urlsplit(self.url).port or 0, self._processes(), self._launch.command)

    def stop(self) -> None:
        """Let it end: politely, then by force; returns when nothing of it is left."""
        self.was_stopped = True
        self._close_lifeline()
        try:
            self.ended.result(self._launch.grace_s + 5)
        except TimeoutError:  # the guard itself doesn't answer; the kernel ends the program with it
            self._process.kill()
            self.ended.result()

    def _close_lifeline(self) -> None:
        with self._mutex:
            lifeline, self._lifeline = self._lifeline, -1
        if lifeline >= 0:
            os.close(lifeline)

    def _processes(self) -> list[psutil.Process]:
        try:
            return psutil.Process(self._process.pid).children(recursive=True)
        except psutil.Error:
            return []

    def _read(self) -> None:
        """Keep what it writes, line by line; a bar of progress that is drawn anew is a line each time."""
        assert self._process.stdout is not None
        rest = ""
        while piece := os.read(self._process.stdout.fileno(), 2**16):
            *whole, rest = re.split(r"[\r\n]+", rest + piece.decode(errors="replace"))
            for line in whole:
                self._keep(line)
            if len(rest) > _LONGEST_LINE:
                self._keep(rest)
                rest = ""
        self._keep(rest)

    def _keep(self, line: str) -> None:
        line = line[:_LONGEST_LINE].rstrip()
        if not line:
            return
        if not self.url and (found := _LISTENS.search(line)):
            self.url = found[1]
        with self._mutex:
            self._lines.append(line)
        self._write_log(line)

    def _wait(self, reader: threading.Thread) -> None:
        code = self._process.wait()
        reader.join(1)  # who left the process group may hold the output open
        self._close_lifeline()
        with contextlib.suppress(OSError):
            if not reader.is_alive() and self._process.stdout is not None:
                self._process.stdout.close()
        try:
            self._on_end()
        finally:
            self.ended.set_result(128 - code if code < 0 else code)


def _of(process: psutil.Process, ask: Callable[[psutil.Process], int]) -> int:
    try:
        return ask(process)
    except psutil.Error:
        return 0


def _read_and_held(process: psutil.Process) -> int:
    """Return what a process read and holds: of mapped files the kernel counts reads from the disk alone."""
    io = process.io_counters()
    return int(io.read_bytes + io.read_chars + process.memory_info().rss)
