"""A terminal of a given width, in which a real process runs."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
import termios
import time
from dataclasses import dataclass

from tests.world import DEADLINE_S, Child, Home

SHELF = (sys.executable, "-m", "modelshelf")
STYLE = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class Screen:
    """What a process wrote to its terminal."""

    code: int
    raw: str

    @property
    def text(self) -> str:
        """It without colours."""
        return STYLE.sub("", self.raw)

    @property
    def lines(self) -> list[str]:
        """Its lines without colours."""
        return self.text.splitlines()


class Terminal:
    """A process on a terminal of its own."""

    def __init__(self, home: Home, *command: str, columns: int = 80, **more: str) -> None:
        self.ours, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, (24, columns))
        self.process: subprocess.Popen[bytes] = subprocess.Popen(
            command,
            cwd=home.work,
            env=home.environ(**({"TERM": "xterm-256color"} | more)),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        home.children.append(Child(self.process))  # type: ignore[arg-type]  # the home ends what a test left behind
        self.said = b""

    def read(self) -> bool:
        """Take what it wrote meanwhile, and wait for the first of it; returns whether it may write more."""
        if not select.select([self.ours], [], [], DEADLINE_S)[0]:
            self.process.kill()
            raise TimeoutError(f"nothing in {DEADLINE_S} s after {self.said!r}")
        try:
            more = os.read(self.ours, 65536)
        except OSError:  # the other end is closed
            more = b""
        self.said += more
        return bool(more)

    def type(self, text: str) -> None:
        """Type on its keyboard."""
        os.write(self.ours, text.encode())

    def wait_for(self, text: str) -> None:
        """Read until it wrote this."""
        deadline = time.monotonic() + DEADLINE_S
        while text.encode() not in self.said:
            if time.monotonic() > deadline or not self.read():
                self.process.kill()
                raise TimeoutError(f"no {text!r} in {self.said!r}")

    def finish(self) -> Screen:
        """Read to its end."""
        while self.read():
            pass
        os.close(self.ours)
        return Screen(self.process.wait(timeout=DEADLINE_S), self.said.decode().replace("\r\n", "\n"))


def shelf_on_terminal(home: Home, *words: str, columns: int = 80, **more: str) -> Screen:
    """Run `shelf` on a terminal of its own, to its end."""
    return Terminal(home, *SHELF, *words, columns=columns, **more).finish()
