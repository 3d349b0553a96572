"""Runs commands of `shelf`, each in a fork of one process that has imported everything.

It reads a JSON object a line, `{"environ": {…}, "words": […], "uid": n}`, and answers with
`{"code": n, "out": "…", "err": "…"}`. A fork costs a tenth of what starting Python does, and can be another user.
"""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import sys
import tempfile
import traceback
from typing import Any

import modelshelf


def import_all() -> None:
    """Import what any command needs, because another user may not be able to read it later."""
    for found in pkgutil.walk_packages(modelshelf.__path__, "modelshelf."):
        if not found.name.endswith(("__main__", ".env")) and ".versions." not in found.name:
            importlib.import_module(found.name)
    for name in (
        "huggingface_hub.hf_api",
        "huggingface_hub._snapshot_download",
        "urllib.request",
        "alembic.command",
        "alembic.config",
        "alembic.script",
        "encodings.idna",
        "encodings.ascii",
    ):
        importlib.import_module(name)
    importlib.import_module("sqlalchemy.dialects.sqlite")


def run(order: dict[str, Any], out: int, err: int) -> int:
    """Run one command in this process; return its exit code."""
    from modelshelf.cli.main import main

    os.environ.clear()
    os.environ.update(order["environ"])
    os.dup2(out, 1)
    os.dup2(err, 2)
    os.chdir(order["cwd"])
    if order["uid"]:
        os.setgroups([])
        os.setresgid(order["uid"], order["uid"], order["uid"])
        os.setresuid(order["uid"], order["uid"], order["uid"])
    code = 0
    try:
        main(order["words"])
    except SystemExit as end:
        code = int(end.code or 0)
    except BaseException:  # noqa: BLE001 - it is told by its traceback, which no test forgives
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return code


def answer(order: dict[str, Any]) -> dict[str, Any]:
    """Return the output of a fork that ran one command."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        pid = os.fork()
        if pid == 0:
            code = 70
            try:
                code = run(order, out.fileno(), err.fileno())
            finally:
                os._exit(code)
        _, status = os.waitpid(pid, 0)
        out.seek(0)
        err.seek(0)
        said = {"out": out.read().decode(), "err": err.read().decode()}
    return {"code": os.waitstatus_to_exitcode(status), **said}


def main() -> None:
    """Run commands until the input ends."""
    import_all()
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
