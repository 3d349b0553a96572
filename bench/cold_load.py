"""What reading ahead is worth: the first token of a cold model on a slow disk, with it and without.

    python bench/cold_load.py [--rounds 3] [--latency-ms 20] [--gguf FILE]

The slow disk is a FUSE file system that answers each read late, as a drive in the network or a hard disk does: what one
reader gets is a part of what it gives. It needs mfusepy (pip install mfusepy) and fusermount. Both models are the same
file, whose bytes are there; one is on the secondary, which the server reads ahead with several threads, and one on the
primary, which it doesn't. Before each start the kernel forgets the file.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import _measure
import serving

AIM = 1.5
DIGEST = "d" * 64


def main() -> None:
    """Measure, or, with --serve, be the slow disk."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="rounds that count (3)")
    parser.add_argument("--latency-ms", type=float, default=20.0, help="how late a read is answered (20)")
    parser.add_argument("--gguf", type=Path, help="the model file")
    parser.add_argument("--serve", nargs=2, type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        source, mount = args.serve
        be_slow(source, mount, args.latency_ms / 1000)
        return
    file = args.gguf or next(serving.BUILT.glob("*/*.gguf"), None)
    if file is None:
        raise SystemExit("No model: run make demo, or name a file with --gguf.")
    with tempfile.TemporaryDirectory(prefix="modelshelf-bench-") as name, contextlib.ExitStack() as stack:
        environment = build(Path(name), file.resolve(), args.latency_ms, stack)
        print(_measure.machine(Path(name)), flush=True)
        measure(environment, Path(name), args.rounds)


def be_slow(source: Path, mount: Path, latency_s: float) -> None:
    """Show a folder's files, read-only, until it is unmounted; each read of at most 128 KiB is answered late."""
    import mfusepy

    class Slow(mfusepy.Operations):  # type: ignore[misc]
        use_ns = True

        def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
            try:
                found = (source / path[1:]).stat()
            except FileNotFoundError as err:
                raise mfusepy.FuseOSError(err.errno) from err
            return {name: getattr(found, name) for name in ("st_mode", "st_nlink", "st_size", "st_uid")}

        def readdir(self, path: str, fh: int) -> list[str]:
            return [".", "..", *(one.name for one in (source / path[1:]).iterdir())]

        def open(self, path: str, flags: int) -> int:
            return os.open(source / path[1:], os.O_RDONLY)

        def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
            time.sleep(latency_s)
            return os.pread(fh, size, offset)

        def release(self, path: str, fh: int) -> None:
            os.close(fh)

    mfusepy.FUSE(Slow(), str(mount), foreground=True, ro=True, kernel_cache=True)


def build(folder: Path, file: Path, latency_ms: float, stack: contextlib.ExitStack) -> dict[str, str]:
    """Lay out a model on each tier, whose blobs are on the slow disk; returns the settings."""
    from modelshelf.bootstrap.shelf import open_shelf
    from modelshelf.domain.models import FileEntry, Registration
    from modelshelf.settings import load_settings
    from modelshelf.store.layout import Base
    from modelshelf.store.repos import scan

    bases = {"primary": folder / "fast", "secondary": folder / "slow"}
    settings = {"HOME": str(folder), "XDG_STATE_HOME": str(folder / "state"), "SHELF_REQUIRE_MOUNT": "0"}
    settings |= {f"{tier.upper()}_CACHE_PATH": str(base) for tier, base in bases.items()}
    source, commit_hash = folder / "source", "c" * 40
    source.mkdir()
    (source / DIGEST).write_bytes(file.read_bytes())
    with open_shelf(settings=load_settings(environ=settings)) as shelf:
        for place in shelf.services.tiers.configured():
            shelf.services.tiers.open(place)
        for tier, base in bases.items():
            repo = Base(base).repo(f"bench/{tier}")
            for path in (repo.blobs, repo.snapshot(commit_hash), repo.refs):
                path.mkdir(parents=True)
            stack.enter_context(mounted(source, repo.blobs, latency_ms))
            (repo.snapshot(commit_hash) / "model-Q4_1.gguf").symlink_to(f"../../blobs/{DIGEST}")
            repo.ref("main").write_text(commit_hash)
            row = shelf.services.registry.add_model(Registration(tier, f"bench/{tier}", tier), str(base))
            shelf.services.registry.set_manifest(
                row, commit_hash, [FileEntry("model-Q4_1.gguf", file.stat().st_size, DIGEST)]
            )
            shelf.services.registry.set_complete(row.id, scan.signature(repo, commit_hash))
    return settings | {"MAX_LOADED": "1", "PROMOTE": "never", "VIEWS": ""}


@contextlib.contextmanager
def mounted(source: Path, mount: Path, latency_ms: float) -> Iterator[None]:
    """Have a folder on the slow disk."""
    command = [sys.executable, __file__, "--latency-ms", str(latency_ms), "--serve", str(source), str(mount)]
    with subprocess.Popen(command) as child:
        while not os.path.ismount(mount):
            if child.poll() is not None:
                raise SystemExit("The slow disk can't be mounted.")
            time.sleep(0.05)
        try:
            yield
        finally:
            subprocess.run(["fusermount", "-u", "-z", str(mount)], check=True)


def measure(environment: dict[str, str], folder: Path, rounds: int) -> None:
    """Print the time to the first token of either model from cold, in turns."""
    took: dict[str, list[float]] = {"primary": [], "secondary": []}
    with serving.serving(environment) as (_, host):
        for number in range(rounds + 1):
            for tier, base in (("primary", "fast"), ("secondary", "slow")):
                forget(folder / base / "hub" / f"models--bench--{tier}" / "blobs" / DIGEST)
                first_s = serving.first_token_s(host, tier)
                if number:
                    took[tier].append(first_s)
    ratios = [alone / ahead for alone, ahead in zip(took["primary"], took["secondary"], strict=True)]
    ratio = statistics.median(ratios)
    rows = [[name, f"{statistics.median(took[tier]):.2f} s", f"{min(took[tier]):.2f} to {max(took[tier]):.2f}"]
            for tier, name in (("primary", "its own reads"), ("secondary", "read ahead"))]  # fmt: skip
    _measure.table(["cold, to the first token", "median", "range"], rows)
    print(f"Reading ahead is {ratio:.2f} times as fast ({min(ratios):.2f} to {max(ratios):.2f}); aim {AIM:g}:"
          f" {'reached' if ratio >= AIM else 'missed'}")  # fmt: skip


def forget(file: Path) -> None:
    """Have the kernel forget a file's bytes."""
    fd = os.open(file, os.O_RDONLY)
    try:
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(fd)


if __name__ == "__main__":
    main()
