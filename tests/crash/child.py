"""A process that dies at the k-th change that it makes to a disk: `python -m tests.crash.child`.

It reads one JSON object per line, `{"environ": {…}, "work": [name, …], "at": k}`, forks, lets the fork open the
library and do the work, and answers with its exit code: -9 when it died at the k-th change, 0 when there were fewer.
A fork costs a tenth of what starting Python does.
"""

from __future__ import annotations

import itertools
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

from modelshelf.bootstrap.library import open_shelf
from modelshelf.errors import ShelfError
from modelshelf.services.shelf import Shelf
from modelshelf.settings import load_settings

CHANGES = ("replace", "rename", "link", "symlink", "unlink", "rmdir", "mkdir", "pwrite", "write", "ftruncate")
"""The calls of `os` that change a disk; pathlib goes through them as well. The database is killed between them."""


def arm(at: int) -> None:
    """Let this process die just before its k-th change from now on."""
    count = itertools.count(1)

    def deadly(call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **options: Any) -> Any:
            if next(count) == at:
                os.kill(os.getpid(), signal.SIGKILL)
                threading.Event().wait()
            return call(*args, **options)

        return wrapped

    for name in CHANGES:
        setattr(os, name, deadly(getattr(os, name)))


def work(shelf: Shelf, name: str, *words: str) -> None:
    """Do one thing with a library."""
    if name == "move":
        shelf.move(*words)
    elif name == "pull":
        shelf.pull(*words)
    elif name == "use":
        with shelf.leaser.using(words[0], "load", "a test"):
            pass
        for _, thread in shelf.behind._going:
            thread.join()
        shelf.run_due("retire")
    else:
        getattr(shelf, name)(*words)


def run(order: dict[str, Any]) -> int:
    """Carry out one order; returns an exit code."""
    with open_shelf(settings=load_settings(environ=order["environ"])) as shelf:
        arm(order["at"])
        try:
            work(shelf, *order["work"])
        except ShelfError as err:
            print(err.detail, file=sys.stderr)
            return err.exit_code
    return 0


def main() -> None:
    """Carry out orders until the input ends."""
    import modelshelf.registry.queries
    import modelshelf.store.shared_blobs  # noqa: F401 - imported once, for all forks

    logging.disable()
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            code = 70
            try:
                code = run(json.loads(line))
            finally:
                os._exit(code)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
