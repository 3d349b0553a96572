"""A gc or dedupe of one base that dies at its k-th change: `python -m tests.crash.tidying gc|dedupe K BASE`.

Python's audit events tell of each change, whatever makes it. It prints how many changes it made.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from modelshelf.domain.gc import Needs
from modelshelf.services.jobs.progress import Counter
from modelshelf.store.gc import collect, dedupe
from modelshelf.store.layout import Base
from tests.fakes.clock import Later

CHANGES = {f"os.{name}" for name in "remove rename rmdir link symlink chmod chown utime mkdir".split()}
CHANGES |= {"fcntl.ioctl", "fcntl.flock"}
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def gc(base: Base) -> Callable[[], object]:
    """Return the gc of a base."""
    plan = collect.plan_gc(base, Needs(), Later().now(), quarantine=True)
    return partial(collect.execute, base, plan, lambda repo_id: Needs(), Later(), Counter())


def deduping(base: Base) -> Callable[[], object]:
    """Return the dedupe of a base."""
    return partial(dedupe.execute, base, dedupe.plan_dedupe(base), {}, Counter())


def main(what: str, at: str, base: str) -> None:
    """Tidy a base until the k-th change."""
    tidy, left = {"gc": gc, "dedupe": deduping}[what](Base(Path(base))), int(at)

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal left
        if event in CHANGES or (event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITES):
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)
    tidy()
    print(int(at) - left)


if __name__ == "__main__":
    main(*sys.argv[1:])
