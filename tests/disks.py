"""A home whose tiers are on different file systems, and a list of every file in a base."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from modelshelf.domain.plans import CLAIM_BYTES
from modelshelf.services.jobs.progress import Counter
from modelshelf.services.jobs.running import Running
from modelshelf.services.shelf import Shelf
from modelshelf.services.space.reservations import Reservation
from modelshelf.store.fs import TEMPORARY
from modelshelf.store.layout import Base
from modelshelf.store.repos import scan
from modelshelf.store.views import folder, records
from tests.world import Home, tree

MEMORY = Path("/dev/shm")
"""A file system other than that of the temporary folders, on any Linux and without root."""
_STAYS = ("modelshelf/", "hub/.locks/", "hub/CACHEDIR.TAG", "hub/blobs/.huggingface-shared-blobs")
"""What a tier keeps without a model: our own files, and what huggingface_hub never removes."""


@dataclass
class FarHome(Home):
    """A home whose secondary tier is on another file system."""

    far: Path = Path()

    @property
    def secondary(self) -> Path:
        """The base of the secondary tier."""
        return self.far / "slow"


@contextlib.contextmanager
def far_home(root: Path, endpoint: str) -> Iterator[FarHome]:
    """Make a home whose tiers are on two file systems, and delete it at the end."""
    if not MEMORY.is_dir() or MEMORY.stat().st_dev == root.parent.stat().st_dev:
        pytest.skip(f"{MEMORY} isn't a file system of its own here")
    far = Path(tempfile.mkdtemp(prefix="modelshelf-", dir=MEMORY))
    home = FarHome(root, endpoint, far=far)
    try:
        yield home
    finally:
        for child in home.children:
            child.clear_away()
        shutil.rmtree(far, ignore_errors=True)


def files_of(base: Path) -> list[str]:
    """Return a base's files by path, without those that every tier has and those of views."""
    shown = in_views(base)
    found = [path for one in scan.walk_files(base) if (path := one.relative_to(base).as_posix()) not in shown]
    sidecars = [path.relative_to(base).as_posix() for path in scan.walk_files(Base(base).sidecars)]
    found = [path for path in found if not path.startswith(_STAYS) or path in sidecars or _is_leftover(path)]
    return [path for path in found if not (path.startswith("hub/blobs/") and path.endswith(".lock"))]


def in_views(base: Path) -> set[str]:
    """Return the paths below a base at which there is what a view of ours has there, and nothing else."""
    views = [records.filled(Base(base), view) for view in records.read_all(Base(base)) if view.root == str(base)]
    return {path for view in views for path in view.made if view.is_ours(path, folder.mark_at(base, path))}


def own_tree(base: Path, snapshot: Path) -> dict[str, bytes]:
    """Return the files of a snapshot in a base, by path, without what a view shows beside them."""
    shown, here = in_views(base), snapshot.relative_to(base)
    return {path: data for path, data in tree(snapshot).items() if (here / path).as_posix() not in shown}


def _is_leftover(path: str) -> bool:
    return path.endswith((".shelf-tmp", ".part", ".map"))


def kept_segments(home: Home) -> int:
    """Return how many segments of all parts are on the disk; a part that was just published has none."""
    count = 0
    for path in (home.primary / "modelshelf/incoming").glob("*.map"):
        with contextlib.suppress(FileNotFoundError):
            claims = path.read_bytes()
            count += sum(any(claims[at : at + CLAIM_BYTES]) for at in range(0, len(claims), CLAIM_BYTES))
    return count


def escaping_links(base: Path) -> list[Path]:
    """Return every link below a base that leads nowhere, or out of it other than by a view's link to another base.

    What a killed process left under a temporary name is a link that nobody follows.
    """
    root, viewed = base.resolve(), set[Path]()
    for _, _, repo in scan.repos(Base(base)):
        viewed |= {repo.blob(digest).resolve() for digest in scan.viewed(repo)}
    links = [path for path in scan.walk_files(base) if path.is_symlink() and path.suffix != TEMPORARY]
    out = [path for path in links if root not in path.resolve().parents and path.resolve() not in viewed]
    return [path for path in links if not path.exists() or path in out]


def identity(path: Path) -> tuple[int, int]:
    """Return a file's device and inode."""
    return path.stat().st_dev, path.stat().st_ino


class Hooked(Counter):
    """Progress that runs code at a given moment, and knows what was reserved."""

    def __init__(self, hook: Callable[[], None], at: str = "advance", phase: str = "moving") -> None:
        super().__init__()
        self._hook = hook
        self._at = at
        self._when = phase
        self.running: Running | None = None
        self.promised_bytes = 0
        """Bytes that were still to be written when the work began."""

    def phase(self, name: str, total_bytes: int = 0) -> None:
        """Begin a phase."""
        super().phase(name, total_bytes)
        if name == "moving" and self.running is not None:
            held = self.running.reservations[-1]
            assert isinstance(held, Reservation)
            self.promised_bytes = held.remaining_bytes
        self._run("phase")

    def advance(self, done_bytes: int) -> None:
        """Count bytes."""
        super().advance(done_bytes)
        if done_bytes:
            self._run("advance")

    def _run(self, where: str) -> None:
        if where == self._at and self.read().phase == self._when:
            hook, self._hook = self._hook, lambda: None
            hook()


def move_with(shelf: Shelf, progress: Hooked, model_name: str, to: str) -> None:
    """Move a model as a job of this process, reporting to `progress`."""
    job = shelf.services.mover.enqueue(model_name, to, None, keep_source=False)
    claimed = shelf.services.registry.claim(shelf.services.runner.owner, job.id)
    assert claimed is not None
    running = Running(claimed)
    progress.running = running
    running.progress = progress
    shelf.services.runner.run(running)


def is_root() -> bool:
    """Return whether this process may mount."""
    return os.geteuid() == 0
