"""A prepared drive: a whole model on a custom base, any file of which a test replaces."""

from __future__ import annotations

import json
import os
import shutil
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from modelshelf.bootstrap.doctor_and_setup import open_doctor
from modelshelf.domain.gc import GcPlan
from modelshelf.domain.names import FilePath, ModelName, RefName, RepoId
from modelshelf.domain.sidecars import Sidecar
from modelshelf.errors import ShelfError
from modelshelf.services.shelf import Shelf
from modelshelf.store.gc import collect
from modelshelf.store.layout import Base, Repo
from modelshelf.store.tiers import capabilities, marker, meter, sidecars, strange
from tests.builders import AGED_S, age, commit, lay_out
from tests.world import Home

REPO = RepoId("org/drive")
COMMIT = commit("a")
NAME = ModelName("drive-model")
DRAWING = """
    model org/drive
      commit a main
        config.json 20
        model.safetensors 3000
      missing a added_tokens.json
      part 900
"""
WATCHDOG_S = 60.0
"""Inspecting a few files takes no tenth of it, in seconds."""

Canary = dict[str, tuple[int, int, bytes]]


def canary(folder: Path) -> Canary:
    """Return mode, mtime and bytes of a folder and everything below it."""
    found: Canary = {}
    for path in (folder, *sorted(folder.rglob("*"))):
        status = path.lstat()
        content = path.read_bytes() if stat.S_ISREG(status.st_mode) else b""
        found[str(path)] = (status.st_mode, status.st_mtime_ns, content)
    return found


@dataclass
class Drive:
    """The drive, and what lies beside it."""

    home: Home
    template: Path = field(init=False)
    outside: Path = field(init=False)

    def __post_init__(self) -> None:
        """Lay out the drive once; `fresh` restores it."""
        self.outside = self.home.root / "outside"
        (self.outside / "deep").mkdir(parents=True)
        for name in (".bashrc", "deep/models--org--drive", "deep/key"):
            (self.outside / name).write_bytes(name.encode())
        drawn = lay_out(self.home.custom, DRAWING)
        marker.reset_marker(self.base)
        sidecar = Sidecar(NAME, REPO, RefName("main"), COMMIT, (), False, "", tuple(drawn.of(REPO, "a")))
        sidecars.write(self.base, sidecar)
        capabilities.probe(self.base)
        age(self.base.path)
        meter.measure(self.base, keep=True)
        (self.base.links).write_text("{}")
        part = next(self.base.incoming.glob("*.part"))
        part.with_suffix(".map").write_bytes(b"01234567")
        self.template = self.home.root / "template"
        shutil.copytree(self.base.path, self.template, symlinks=True)

    @property
    def base(self) -> Base:
        """The base on the drive."""
        return Base(self.home.custom)

    @property
    def repo(self) -> Repo:
        """The repository on the drive."""
        return self.base.repo(REPO)

    def fresh(self) -> None:
        """Restore the drive."""
        shutil.rmtree(self.base.path)
        shutil.copytree(self.template, self.base.path, symlinks=True)

    def files(self) -> dict[str, Path]:
        """Return the small files of the drive, by kind."""
        part = next(self.base.incoming.glob("*.part"), self.base.incoming / "x.part")
        return {
            "sidecar": self.base.sidecar(NAME),
            "marker": self.base.marker,
            "capabilities": self.base.capabilities,
            "meter": self.base.meter,
            "links": self.base.links,
            "tree": self.repo.tree(COMMIT),
            "ref": self.repo.ref(RefName("main")),
            "map": part.with_suffix(".map"),
            "absence": self.repo.no_exist(COMMIT) / FilePath("added_tokens.json"),
        }

    @contextmanager
    def open(self) -> Iterator[Shelf]:
        """Open a library that doesn't know the drive."""
        for path in (self.home.primary / "modelshelf").glob("registry.db*"):
            path.unlink()
        with self.home.open() as shelf:
            yield shelf


def attempt(step: Callable[[], object]) -> str:
    """Take a step; return the named error that it raised, or an empty text. Any other error fails the test."""
    try:
        step()
    except ShelfError as err:
        if type(err) is ShelfError:
            raise AssertionError(f"a job failed for no reason that it knows: {err.detail}") from err
        return err.detail
    return ""


def look(drive: Drive, shelf: Shelf) -> None:
    """Register the drive's models, and inspect everything."""
    base = str(drive.base.path)
    attempt(lambda: shelf.services.reconciler.plan([base]))
    attempt(lambda: shelf.reconcile([base]))
    attempt(lambda: [shelf.services.library.files(model.row) for model in shelf.models()])
    attempt(lambda: shelf.tiers(rescan=False))
    attempt(lambda: strange.find(drive.base))
    attempt(lambda: _gc(drive, shelf))


def change(shelf: Shelf) -> None:
    """Change every model: update, rename, verify, move, remove."""
    attempt(lambda: shelf.verify([]))
    for model in shelf.models():
        name = model.row.model_name
        attempt(lambda name=name: shelf.update(name))  # type: ignore[misc]
        attempt(lambda name=name: shelf.rename(name, "another"))  # type: ignore[misc]
        attempt(lambda: shelf.move("another", "secondary"))
        attempt(lambda: shelf.remove("another", delete_files=True))


def examine(drive: Drive) -> list[str]:
    """Return the doctor's findings, and assert that none is a traceback."""
    with open_doctor(drive.home.environ()) as doctor:
        found = [diagnosis.detail for diagnosis in doctor.examine().found]
    assert [detail for detail in found if "could not be examined" in detail and "hub" not in detail] == []
    return found


def _gc(drive: Drive, shelf: Shelf) -> GcPlan:
    needs = shelf.services.collector.needs(drive.base, None)
    return collect.plan_gc(drive.base, needs, AGED_S + 10.0**8, 0.0)


def within(seconds: float, work: Callable[[], None]) -> None:
    """Do something; fail if it hangs.

    Raises:
        TimeoutError: It did not end.
    """
    failed: list[BaseException] = []

    def guarded() -> None:
        try:
            work()
        except BaseException as err:  # noqa: BLE001 - it is raised again below
            failed.append(err)

    worker = threading.Thread(target=guarded, daemon=True)
    worker.start()
    worker.join(seconds)
    if worker.is_alive():
        raise TimeoutError(f"held up for {seconds} s")
    if failed:
        raise failed[0]


def replaced(path: Path, make: Callable[[Path], None]) -> None:
    """Replace a file by something else."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    make(path)


def said_in(sidecar: Path, **changes: object) -> None:
    """Change a sidecar's content."""
    value = json.loads(sidecar.read_text(encoding="utf-8")) | changes
    sidecar.write_text(json.dumps(value), encoding="utf-8")


def examples(short: int) -> int:
    """Return how many examples to try: `short`, or SHELF_HOSTILE."""
    return int(os.environ.get("SHELF_HOSTILE") or short)
