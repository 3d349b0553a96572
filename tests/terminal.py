"""A terminal of a given width, in which a real process runs."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import termios
from dataclasses import dataclass
from pathlib import Path

from tests.world import DEADLINE_S, Home

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
        self.process = subprocess.Popen(
            command,
            cwd=home.work,
            env=home.environ(**({"TERM": "xterm-256color"} | more)),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        self.said = b""

    def read(self) -> bool:
        """Take what it wrote meanwhile, and wait for the first of it; returns whether it may write more."""
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
        while text.encode() not in self.said:
            assert self.read(), self.said.decode()

    def finish(self) -> Screen:
        """Read to its end."""
        while self.read():
            pass
        os.close(self.ours)
        return Screen(self.process.wait(timeout=DEADLINE_S), self.said.decode().replace("\r\n", "\n"))


def shelf_on_terminal(home: Home, *words: str, columns: int = 80, **more: str) -> Screen:
    """Run `shelf` on a terminal of its own, to its end."""
    shelf = Path(os.sys.executable).parent / "shelf"  # type: ignore[attr-defined]
    return Terminal(home, str(shelf), *words, columns=columns, **more).finish()
