"""A library with links planted in its base, used in every way: `python -m tests.hostile.planted ORDER`.

The order is a JSON object, `{"root": folder, "environ": {…}, "places": [path, …], "before": bool}`. For each place a
library with one model is made below the root. The place becomes a link to its content, moved out of the base, before
or after the model is registered. Then everything that changes a disk is run. The answer is one JSON object: by place,
what changed outside, what was refused and why, and what ended in another error than our own.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from modelshelf.bootstrap.shelf import open_shelf
from modelshelf.errors import ShelfError
from modelshelf.services.mirror.lookup import HubFace
from modelshelf.services.shelf import Shelf
from modelshelf.settings import load_settings
from modelshelf.store.layout import Base
from tests.canary import picture
from tests.fakes.clock import Later

REPO = "org/name"


def verbs(base: Path, other: Path) -> dict[str, Callable[[Shelf], object]]:
    """Return everything that changes a disk, and what reads for others."""
    return {
        "add": lambda shelf: shelf.register("m", REPO),
        "pull": lambda shelf: shelf.pull("m"),
        "reconcile": lambda shelf: shelf.reconcile(),
        "adopt": lambda shelf: shelf.adopt(str(base), "leave"),
        "verify": lambda shelf: shelf.verify(repair=True),
        "face": lambda shelf: HubFace(lambda: [Base(base)]).file(REPO, "main", "config.json"),
        "update": lambda shelf: shelf.update("m"),
        "gc": lambda shelf: shelf.gc(quarantine=True),
        "dedupe": lambda shelf: shelf.dedupe(),
        "move": lambda shelf: shelf.move("m", "secondary"),
        "move back": lambda shelf: shelf.move("m", "primary"),
        "adopt away": lambda shelf: shelf.adopt(str(base), "move", str(other)),
        "remove": lambda shelf: shelf.remove("m", delete_files=True),
        "gc again": lambda shelf: shelf.gc(quarantine=True),
    }


def try_place(root: Path, place: str, environ: dict[str, str], *, before: bool) -> dict[str, Any]:
    """Make a library, plant one link, and run everything; return the result."""
    base, outside = root / "fast", root / "outside" / "it"
    environ = environ | {"PRIMARY_CACHE_PATH": str(base), "SECONDARY_CACHE_PATH": str(root / "slow")}
    environ |= {"XDG_STATE_HOME": str(root / "state"), "SHELF_CUSTOM_ROOTS": str(root)}
    settings = load_settings(environ=environ)
    with open_shelf(settings=settings) as shelf:
        shelf.register("m", REPO)
    if before:
        shutil.rmtree(base / "modelshelf")
        shutil.rmtree(root / "state")
    _plant(base / place, outside)
    seen, refused, odd = picture(outside.parent), {}, {}
    for name, verb in verbs(base, root / "usb").items():
        try:
            with open_shelf(settings=settings, clock=Later()) as shelf:
                verb(shelf)
        except ShelfError as err:
            refused[name] = f"{err.detail} {err.hint}"
        except Exception:  # noqa: BLE001 - what a person would see as a traceback
            odd[name] = traceback.format_exc()
    now = picture(outside.parent)
    changed = sorted(path for path in seen.keys() | now.keys() if seen.get(path) != now.get(path))
    return {"changed": changed, "odd": odd, "refused": refused}


def _plant(path: Path, outside: Path) -> None:
    outside.parent.mkdir(parents=True)
    if os.path.lexists(path):
        path.rename(outside)
    else:
        (outside / "precious").mkdir(parents=True)
        path.parent.mkdir(parents=True, exist_ok=True)
    (outside.parent / "bystander").write_text("mine")
    path.symlink_to(outside)


def main() -> None:
    """Try every place in its own process; imports are paid once."""
    order = json.loads(sys.argv[1])
    logging.disable()
    found = {}
    for number, place in enumerate(order["places"]):
        read, write = os.pipe()
        if os.fork() == 0:
            root = Path(order["root"]) / str(number)
            said = try_place(root, place, order["environ"], before=order["before"])
            os.write(write, json.dumps(said).encode()[:60_000])
            os._exit(0)
        os.close(write)
        with os.fdopen(read, "rb") as answer:
            found[place] = json.loads(answer.read() or b"{}")
        os.wait()
    print(json.dumps(found))


if __name__ == "__main__":
    main()
