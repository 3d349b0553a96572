"""A process that dies by SIGKILL just before its k-th change of a disk.

Python calls an audit hook before every rename, link, deletion and file opened for writing. The process counts those
below one folder and kills itself at the one that was asked for. Commits of the registry count too if asked for.

Source: Python's audit events (PEP 578, PEP 551). SQLite's own writes are made in C and raise no event.
"""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass

from tests.world import Home, Result

_CHILD = """
import os, signal, sys
from modelshelf.cli.main import main
root, step, commits, *words = sys.argv[1:]
left = int(step)
CHANGES = {"os.rename": 2, "os.link": 2, "os.symlink": 2}
CHANGES |= dict.fromkeys(["os.remove", "os.rmdir", "os.truncate", "os.mkdir"], 1)

def hook(event, arguments):
    global left
    if event == "open":
        path, _, flags = arguments
        if not isinstance(flags, int) or not flags & (os.O_WRONLY | os.O_RDWR) or str(path).endswith(".lock"):
            return
        paths = [path]
    elif event in CHANGES:
        paths = arguments[:CHANGES[event]]
    else:
        return
    if not any(isinstance(path, (str, bytes, int, os.PathLike)) and is_below(path) for path in paths):
        return
    count()

def count(*arguments):
    global left
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    left -= 1

def is_below(path):
    if isinstance(path, int):
        return True  # os.ftruncate
    name = os.fsdecode(path)
    return name.startswith(root) or os.sep not in name  # `store.fs` names what lies in a folder that it holds open

if commits == "commits":
    import sqlalchemy
    sqlalchemy.event.listen(sqlalchemy.Engine, "commit", count)
sys.addaudithook(hook)
main(words)
"""


DIED = -9
"""The exit code after SIGKILL."""


@dataclass
class Mortal:
    """Processes that die where or when they are told to; see `tests.crash.child`."""

    home: Home
    process: subprocess.Popen[str]

    def do(self, at: int, *work: str, after_s: float | None = None, full: bool = False) -> int:
        """Do one thing in a process that dies at its k-th change (0: none) or at an instant; return its exit code.

        With `full` it doesn't die: its disks are full from its k-th change on.
        """
        order = {"environ": self.home.environ(), "work": work, "at": at, "after_s": after_s, "full": full}
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())


def die_at(home: Home, step: int, *words: str, commits: bool = False, **more: str) -> Result | None:
    """Run `shelf` until its change number `step`, counted from 0; return None if it died there, else its output."""
    done = home.python(_CHILD, str(home.root), str(step), "commits" if commits else "", *words, **more)
    if done.code == DIED:
        return None
    return done
