"""A real process on a terminal of a given width."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import termios
import time
from collections.abc import Callable
from dataclasses import dataclass

from tests.world import DEADLINE_S, Child, Home

SHELF = ("shelf",)
STYLE = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class Screen:
    """What a process wrote to its terminal."""

    code: int
    raw: str

    @property
    def text(self) -> str:
        """Its text without colours."""
        return STYLE.sub("", self.raw)

    @property
    def lines(self) -> list[str]:
        """Its lines without colours."""
        return self.text.splitlines()


class Terminal:
    """A process on its own terminal."""

    def __init__(self, home: Home, *command: str, columns: int = 80, **more: str) -> None:
        self.ours, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, (24, columns))
        self.process: subprocess.Popen[bytes] = subprocess.Popen(
            ["setsid", "--ctty", *command],  # its own terminal, so that Ctrl-C reaches it
            cwd=home.work,
            env=home.environ(**({"TERM": "xterm-256color"} | more)),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        home.children.append(Child(self.process))  # the home ends what a test left behind
        self.said = b""
        self._heard = 0

    def type(self, text: str) -> None:
        """Type on its keyboard."""
        os.write(self.ours, text.encode())

    def wait_for(self, text: str) -> None:
        """Read until this text appears behind what was waited for before.

        Ctrl-D counts only once a prompt is there, and what is typed before it is echoed twice: wait for the prompt.
        """
        wanted = text.encode()
        self._read_until(lambda: wanted in self.said[self._heard :], text)
        at = self.said.find(wanted, self._heard)
        assert at >= 0, f"ended without {text!r}: {self.said[-2000:]!r}"
        self._heard = at + len(wanted)

    def finish(self) -> Screen:
        """Read to the end."""
        self._read_until(lambda: False, "its end")
        os.close(self.ours)
        return Screen(self.process.wait(timeout=DEADLINE_S), self.said.decode().replace("\r\n", "\n"))

    def _read_until(self, is_enough: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while not is_enough():
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.ours], [], [], left)[0]:
                raise TimeoutError(f"waited {DEADLINE_S} s for {what} after {self.said[-2000:]!r}")
            try:
                more = os.read(self.ours, 65536)
            except OSError:  # the other end is closed
                more = b""
            if not more:
                return
            self.said += more


def shelf_on_terminal(home: Home, *words: str, columns: int = 80, **more: str) -> Screen:
    """Run `shelf` on its own terminal to the end."""
    return Terminal(home, *SHELF, *words, columns=columns, **more).finish()
