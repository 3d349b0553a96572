"""How fast a move is: between two file systems against `cp` + `sync` and `rsync -a`, within one against `mv`.

    python bench/move.py [--size-gib 3] [--files 3] [--rounds 3] [--source FOLDER] [--target FOLDER]

The source is a base with one registered model of random bytes in as many files. Without --target, an ext4 image on the
same disk is mounted (as root), so that both ends share the disk, as the peers' ends do. shelf hashes every byte on its
way, makes the copy durable, switches the registry and deletes the old copy; cp and rsync only copy. The bounds are
sha256 of the same files on all cores, and cp while those are hashed. The commands take turns, each into an empty place,
with nothing of the round before left to be written.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import _measure
from _measure import Command
from modelshelf.bootstrap.shelf import open_shelf
from modelshelf.domain.models import FileEntry, Registration
from modelshelf.settings import load_settings
from modelshelf.store.layout import Base
from modelshelf.store.repos import scan

REPO, COMMIT, NAME = "org/model", "c" * 40, "m"


def main() -> None:
    """Lay the model out and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size-gib", type=float, default=3.0, help="size of the model (3)")
    parser.add_argument("--files", type=int, default=3, help="in so many files (3)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds that count (3)")
    parser.add_argument("--source", type=Path, default=Path(tempfile.gettempdir()), help="a folder on one file system")
    parser.add_argument("--target", type=Path, default=None, help="a folder on another one")
    args = parser.parse_args()
    size_bytes = int(args.size_gib * 2**30)
    with (
        tempfile.TemporaryDirectory(dir=args.source, prefix="modelshelf-bench-") as name,
        target_folder(args.target, Path(name), size_bytes) as target,
    ):
        home = Path(name)
        environment = {
            "HOME": name,
            "XDG_STATE_HOME": f"{name}/state",
            "PRIMARY_CACHE_PATH": f"{name}/fast",
            "SECONDARY_CACHE_PATH": f"{target}/slow",
        }
        lay_out(environment, [size_bytes // args.files] * args.files)
        print(_measure.machine(home), f"to {target} on {_measure.file_system(target)}", flush=True)
        across(environment, home, target, args.rounds)
        within(environment, home, args.rounds)


@contextlib.contextmanager
def target_folder(given: Path | None, beside: Path, size_bytes: int) -> Iterator[Path]:
    """Yield an empty folder on another file system than the source's."""
    if given is not None:
        with tempfile.TemporaryDirectory(dir=given, prefix="modelshelf-bench-") as name:
            yield Path(name)
        return
    image, point = beside / "disk.img", beside / "mnt"
    point.mkdir()
    with image.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, int(size_bytes * 1.3) + 2**28)
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", str(image)], check=True)
    if subprocess.run(["mount", "-o", "loop", str(image), str(point)], check=False).returncode:
        sys.exit("An image cannot be mounted here: name a folder on another file system with --target.")
    try:
        yield point
    finally:
        subprocess.run(["umount", str(point)], check=True)


def lay_out(environment: dict[str, str], sizes_bytes: list[int]) -> None:
    """Write a model of random bytes into the source and register it."""
    repo = Base(Path(environment["PRIMARY_CACHE_PATH"])).repo(REPO)
    repo.blobs.mkdir(parents=True)
    repo.snapshot(COMMIT).mkdir(parents=True)
    files = []
    for number, size_bytes in enumerate(sizes_bytes):
        part, digest = repo.blobs / "part", hashlib.sha256()
        with part.open("wb") as file:
            while left := size_bytes - file.tell():
                block = os.urandom(min(left, 2**24))
                digest.update(block)
                file.write(block)
        files.append(FileEntry(f"model-{number}.bin", size_bytes, digest.hexdigest()))
        part.rename(repo.blob(files[-1].digest))
        (repo.snapshot(COMMIT) / files[-1].path).symlink_to(f"../../blobs/{files[-1].digest}")
    with open_shelf(settings=load_settings(environ=environment)) as shelf:
        row = shelf.services.registry.add_model(Registration(NAME, REPO, "primary"), environment["PRIMARY_CACHE_PATH"])
        shelf.services.registry.set_manifest(row, COMMIT, files)
        shelf.services.registry.set_complete(row.id, scan.signature(repo, COMMIT))


def across(environment: dict[str, str], home: Path, target: Path, rounds: int) -> None:
    """Compare copies to the other file system."""
    source, copy = home / "fast" / "hub", target / "copy"

    def clear() -> None:
        bring_home(environment)
        shutil.rmtree(copy, ignore_errors=True)
        os.sync()

    shelf = [sys.executable, "-m", "modelshelf", "move", NAME, "secondary"]
    cp = f"cp -r {source} {copy} && sync -f {target}"
    rsync = f"rsync -a {source}/ {copy}/ && sync -f {target}"
    blobs = sorted(Base(home / "fast").repo(REPO).blobs.glob("*"))
    sha256 = _measure.hashing(_measure.ALL_CORES, *blobs)
    both = f"{shlex.join(sha256.arguments)} & {cp} && wait && echo done"
    commands = [
        Command("shelf move", shelf, environment, clear, job="move"),
        Command("cp + sync", ["sh", "-c", cp + " && echo done"], {}, clear),
        replace(sha256, before=clear),
        Command("cp beside sha256", ["sh", "-c", both], {}, clear),
        Command("rsync -a + sync", ["sh", "-c", rsync + " && echo done"], {}, clear),
    ]
    if not shutil.which("rsync"):
        print("rsync is not installed, and left out")
        commands.pop()
    timings = _measure.run_in_turn(commands, rounds)
    _measure.table(["between file systems", "median s", "least", "most", "CPU s"], _measure.seconds(timings))
    _measure.claim(timings, "shelf move", "cp + sync", 0.9, _measure.ALL_CORES)
    _measure.claim(timings, "shelf move, its job", "cp + sync", 0.9, _measure.ALL_CORES)
    _measure.claim(timings, "shelf move", "cp + sync")
    for ours in ("shelf move", "shelf move, its job"):
        _measure.claim(timings, ours, "cp beside sha256")
    if "rsync -a + sync" in timings:
        _measure.claim(timings, "shelf move", "rsync -a + sync", 1.5)


def within(environment: dict[str, str], home: Path, rounds: int) -> None:
    """Compare moves within one file system."""
    other = home / "other"

    def clear() -> None:
        bring_home(environment)
        os.sync()

    shelf = [sys.executable, "-m", "modelshelf", "move", NAME, str(other)]
    mv = f"mv {home}/fast/hub {home}/moved && mv {home}/moved {home}/fast/hub && echo done"
    commands = [
        Command("shelf move", shelf, environment, clear, job="move"),
        Command("mv (there and back)", ["sh", "-c", mv], {}, clear),
        Command("shelf path", [sys.executable, "-m", "modelshelf", "path", NAME], environment, clear),
    ]
    timings = _measure.run_in_turn(commands, rounds)
    _measure.table(["within a file system", "median s", "least", "most", "CPU s"], _measure.seconds(timings))


def bring_home(environment: dict[str, str]) -> None:
    """Move the model back to the source."""
    with open_shelf(settings=load_settings(environ=environment)) as shelf:
        if shelf.model(NAME).row.cache_location != "primary":
            shelf.move(NAME, "primary")


if __name__ == "__main__":
    main()
