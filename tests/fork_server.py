"""Runs Python code in forks of one process that has imported what it needs: `python fork_server.py DESCRIPTOR`.

A fork is a process of its own, which only hasn't spent its time on imports. `tests/forked.py` asks for it.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import pkgutil
import runpy
import selectors
import socket
import sys
import threading
import time
from typing import Any

LIMIT_BYTES = 2**18
"""More than a command line and an environment take."""
ALSO = """
anyio._backends._asyncio encodings.ascii encodings.idna filelock httpx2 sqlalchemy.dialects.sqlite
uvicorn.lifespan.on uvicorn.loops.auto yaml
""".split()
"""What the modules of modelshelf and huggingface_hub import; huggingface_hub itself reads the environment meanwhile."""


def import_everything() -> None:
    """Import every module of modelshelf but those that engines run alone, and what they import later."""
    import modelshelf

    for found in pkgutil.walk_packages(modelshelf.__path__, "modelshelf."):
        if not found.name.endswith(("__main__", "guard", "_worker")) and ".migrations" not in found.name:
            importlib.import_module(found.name)
    for name in ALSO:
        importlib.import_module(name)


def answer(control: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """Fork for each request; return in a fork, with what it shall run and its descriptors."""
    with selectors.DefaultSelector() as selector, control:
        selector.register(control, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is not control:
                    _tell_the_end(selector, key)
                    continue
                text, descriptors, *_ = socket.recv_fds(control, LIMIT_BYTES, 4)
                if not text:  # whoever asks has ended
                    sys.exit()
                if not (pid := os.fork()):
                    return json.loads(text), descriptors
                *streams, told = descriptors
                for descriptor in streams:
                    os.close(descriptor)
                _tell(told, pid)
                selector.register(os.pidfd_open(pid), selectors.EVENT_READ, (pid, told))


def _tell_the_end(selector: selectors.BaseSelector, key: selectors.SelectorKey) -> None:
    pid, told = key.data
    selector.unregister(key.fd)
    os.close(key.fd)
    _tell(told, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    os.close(told)


def _tell(descriptor: int, number: int) -> None:
    with contextlib.suppress(BrokenPipeError):  # nobody waits for the process any more
        os.write(descriptor, b"%d\n" % number)


def become(wanted: dict[str, Any], descriptors: list[int]) -> None:
    """Make this process what `python -m MODULE WORD…` or `python -c CODE WORD…` would be, and run it."""
    for stream, descriptor in enumerate(descriptors[:3]):
        os.dup2(descriptor, stream)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    os.chdir(wanted["cwd"])
    os.umask(wanted["umask"])
    os.environ.clear()
    os.environ.update(wanted["environ"])
    time.tzset()
    sys.path[0] = wanted["cwd"]
    gc.enable()
    try:
        _run(wanted["module"], wanted["words"])
    except SystemExit as end:
        if not isinstance(end.code, int | None):
            raise
        leave(end.code or 0)
    leave(0)


def _run(module: str, words: list[str]) -> None:
    if module == "-c":
        code, *words = words
        sys.argv = ["-c", *words]
        exec(code, {"__name__": "__main__"})
    else:
        sys.argv = [module, *words]
        runpy.run_module(module, run_name="__main__", alter_sys=True)


def leave(code: int) -> None:
    """End this process as an interpreter ends, but for taking apart every module, which would copy all of them."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        sys.exit(code)  # it ends as an interpreter does that cannot print
    os._exit(code & 0xFF)


if __name__ == "__main__":
    gc.disable()
    import_everything()
    gc.freeze()  # else a collection in a fork would copy all of it
    become(*answer(socket.socket(fileno=int(sys.argv[1]))))
