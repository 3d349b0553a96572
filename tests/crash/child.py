"""A process that dies at its k-th change of a disk, or whose disks are full from then on.

`python -m tests.crash.child {"home": FOLDER, "work": [NAME, …], "at": K, "full": false}` opens the library of its
environment, does the work in that folder, and ends with 0 when it was done before the k-th change.
"""

from __future__ import annotations

import errno
import itertools
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

import sqlalchemy

from modelshelf.bootstrap.shelf import open_shelf
from modelshelf.cli import main as cli
from modelshelf.domain.job_params import GcParams
from modelshelf.domain.jobs import JobKind
from modelshelf.domain.names import ModelName, ViewRoot
from modelshelf.domain.view_kinds import kind_of
from modelshelf.errors import ShelfError
from modelshelf.services.shelf import Shelf
from modelshelf.settings import load_settings

CHANGES = ("replace", "rename", "link", "symlink", "unlink", "rmdir", "mkdir", "pwrite", "write", "ftruncate")
"""The calls of `os` that change a disk, also through pathlib. A commit of the registry counts too."""


def arm(at: int) -> None:
    """Make this process die just before its k-th change from now on."""
    count = itertools.count(1)

    def die(*_: object) -> None:
        if next(count) == at:
            os.kill(os.getpid(), signal.SIGKILL)
            threading.Event().wait()

    def deadly(call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **options: Any) -> Any:
            die()
            return call(*args, **options)

        return wrapped

    for name in CHANGES:
        setattr(os, name, deadly(getattr(os, name)))
    sqlalchemy.event.listen(sqlalchemy.Engine, "commit", die)


GROWING = ("open", "link", "symlink", "mkdir", "pwrite", "write", "ftruncate")
"""The calls of `os` that take a byte or an inode from a disk."""


def fill(at: int) -> None:
    """Make this process's disks full from its k-th growing change on."""
    count = itertools.count(1)

    def failing(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **options: Any) -> Any:
            if (name != "open" or _creates(*args, **options)) and next(count) >= at:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), args[0] if name in ("open", "mkdir") else None)
            return call(*args, **options)

        return wrapped

    for name in GROWING:
        setattr(os, name, failing(name, getattr(os, name)))


def _creates(path: Any, flags: int = 0, *_: object, dir_fd: int | None = None, **__: object) -> bool:
    if not flags & os.O_CREAT:
        return False
    try:
        os.stat(path, dir_fd=dir_fd, follow_symlinks=False)
    except FileNotFoundError:
        return True
    return False


def read_through(shelf: Shelf, repo_id: str, path: str) -> None:
    """Read a file to its end, as the answer to a client of `/hf` does."""
    face = shelf.services.hub_face()
    found = face.file(repo_id, "main", path)
    if found.disk_path is not None:
        return
    at = 0
    with face.follow(repo_id, "main", found) as arrival:
        while True:
            part = arrival.read(at, found.size_bytes)
            if part is None:
                threading.Event().wait(0.01)
            elif isinstance(part, bytes):
                at += len(part)
            else:
                part.close()
                return


def take_strays(shelf: Shelf) -> None:
    """Take in what is beside `hub`, as a server does once an hour."""
    for job in shelf.services.adopter.enqueue_strays():
        shelf.services.runner.finish(job)
    shelf.services.views.keep_true(look=True)


def change_view(shelf: Shelf, name: str, kind: str = "folder", root: str = "/none", *models: str) -> None:
    """Add, remove or sync a view, or take in what belongs behind one."""
    views, place = shelf.services.views, ViewRoot(root)
    if name == "view strays":
        take_strays(shelf)
    elif name == "view add":
        views.add(kind_of(kind), place, [ModelName(model) for model in models])
    elif name == "view rm":
        views.remove(kind_of(kind), place)
    else:
        views.sync(kind_of(kind), place)


def work(shelf: Shelf, name: str, *words: str) -> None:
    """Do one thing with a library."""
    if name == "move":
        shelf.move(*words)
    elif name == "pull":
        shelf.pull(*words)
    elif name == "rm":
        shelf.remove(words[0], delete_files=True)
    elif name == "gc":
        shelf.services.runner.finish(shelf.services.collector.enqueue(GcParams()))
    elif name == "use":
        with shelf.services.leaser.using(words[0], "load", "a test"):
            pass
        shelf.services.runner.background.wait()
        shelf.services.runner.run_due(JobKind.DELETE_OLD_COPY)
    elif name == "mirror":
        for path in words[1:]:
            read_through(shelf, words[0], path)
        shelf.services.runner.run_due(JobKind.MIRROR)  # as a server does with what a dead one left
        shelf.services.runner.background.wait()
    elif name.startswith("view "):
        change_view(shelf, name, *words)
    else:
        getattr(shelf, name)(*words)


def run(order: dict[str, Any]) -> int:
    """Carry out one order; return an exit code."""
    if order["work"][0] == "shelf":
        return command(order)
    with open_shelf(settings=load_settings(environ=os.environ)) as shelf:
        (fill if order["full"] else arm)(order["at"])
        try:
            work(shelf, *order["work"])
        except ShelfError as err:
            print(err.detail, file=sys.stderr)
            return err.exit_code
    return 0


def command(order: dict[str, Any]) -> int:
    """Run the command line; return its exit code."""
    arm(order["at"])
    try:
        cli.main(order["work"][1:])
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def main() -> None:
    """Carry out the order."""
    order = json.loads(sys.argv[1])
    os.chdir(order["home"])
    logging.disable()
    os._exit(run(order))


if __name__ == "__main__":
    main()
