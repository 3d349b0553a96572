"""A process that dies by SIGKILL just before its k-th change of a disk or commit of the registry."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass

from tests.forked import Forked
from tests.world import ROOT, Child, Home

DIED = -9
"""The exit code after SIGKILL."""


@dataclass
class Mortal:
    """Processes that die where or when they are told to; see `tests.crash.child`."""

    home: Home

    def do(self, at: int, *work: str, after_s: float | None = None, full: bool = False) -> int:
        """Do one thing in a process that dies at its k-th change (0: none) or at an instant; return its exit code.

        With `full` it doesn't die: its disks are full from its k-th change on.
        """
        order = {"home": str(self.home.work), "work": work, "at": at, "full": full}
        child = Child(Forked("tests.crash.child", [json.dumps(order)], ROOT, self.home.environ()))
        self.home.children.append(child)
        if after_s is not None:
            time.sleep(after_s)  # the instant is the test case: nothing is waited for
            child.process.kill()
        done = child.finish(timeout_s=600)
        print(done.err, end="", file=sys.stderr)
        return done.code
