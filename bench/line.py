"""What a pull makes of a slow or broken line: the part of its rate that it uses, and what it fetches twice.

    python bench/line.py [--size-mb 60] [--fast-mb 2000] [--folder FOLDER]

A hub serves a file in a process of its own, and `tests/fakes/line.py`, in another, stands between it and `shelf add`:
1 MB/s with a round trip of 300 ms, without and with cuts every 20 s; 1 MB/s where the client is killed with SIGKILL
every 10 s and started again; and 50 MB/s with 50 ms and cuts every 20 s. Each is a whole process, from its start to its
end. Prints the rate over the line's, that of curl over the same line without cuts, and the bytes that the client was
sent over those of the file: what a cut takes from the line was sent too.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import _measure
from pull import write_random

REPO = "org/model"
SLOW = ("--rate", "1e6", "--delay", "0.3")
FAST = ("--rate", "50e6", "--delay", "0.05")
CUTS = ("--cut-every-s", "20")
AIM, MOST_SENT = 0.95, 1.01


@dataclass
class Line:
    """A line, and what the client was sent over it once it is closed."""

    url: str
    sent_bytes: int = 0
    connections: int = 0


def main() -> None:
    """Measure each line once."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size-mb", type=int, default=60, help="size of the file over 1 MB/s (60)")
    parser.add_argument("--fast-mb", type=int, default=2000, help="size of the file over 50 MB/s (2000)")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()), help="where the bytes go")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder, prefix="modelshelf-bench-") as name:
        folder = Path(name)
        print(_measure.machine(folder), flush=True)
        rows = [
            ["1 MB/s, 300 ms", *measure(folder, SLOW, args.size_mb)],
            ["1 MB/s, 300 ms, cut every 20 s", *measure(folder, (*SLOW, *CUTS), args.size_mb)],
            ["1 MB/s, 300 ms, killed every 10 s", *measure(folder, SLOW, args.size_mb, kill_every_s=10)],
            ["50 MB/s, 50 ms, cut every 20 s", *measure(folder, (*FAST, *CUTS), args.fast_mb)],
        ]
    _measure.table(["line", "of its rate", "curl", "sent", "connections"], rows)
    print(f"Aims: {AIM} of the rate where nobody kills, and at most {MOST_SENT} of the bytes sent.")


def measure(folder: Path, faults: tuple[str, ...], size_mb: int, kill_every_s: float | None = None) -> list[str]:
    """Return which part of the line's rate a pull and curl used, what was sent over what is needed, and connections."""
    file, target = folder / "model.bin", folder / "target"
    write_random(file, size_mb * 10**6)
    (target / "base").mkdir(parents=True)
    with _measure.run_hub(REPO, file) as hub, open_line(hub, faults) as line:
        environment = _measure.environment() | {
            "HOME": str(folder),
            "XDG_STATE_HOME": str(target / "state"),
            "PRIMARY_CACHE_PATH": str(target / "base"),
            "HF_ENDPOINT": line.url,
        }
        started_s = time.monotonic()
        while not add(environment, kill_every_s):
            pass
        took_s = time.monotonic() - started_s
        peer_s = curl(hub, faults[:4], target / "curl")
    if not any(path.stat().st_size == size_mb * 10**6 for path in (target / "base").rglob(file.name)):
        sys.exit("It did not arrive.")
    shutil.rmtree(target)
    least_s = size_mb * 10**6 / float(faults[1])
    return [
        f"{least_s / took_s:.3f}",
        f"{least_s / peer_s:.3f}",
        f"{line.sent_bytes / (size_mb * 10**6):.4f}",
        f"{line.connections}",
    ]


def add(environment: dict[str, str], kill_every_s: float | None) -> bool:
    """Run `shelf add` once; returns whether it was let to its end."""
    with subprocess.Popen(
        ["shelf", "--quiet", "add", "model", REPO], env=environment, stdout=subprocess.DEVNULL
    ) as child:
        try:
            if child.wait(kill_every_s):
                sys.exit(f"shelf add ended with {child.returncode}.")
        except subprocess.TimeoutExpired:
            child.kill()
            return False
    return True


def curl(hub: str, faults: tuple[str, ...], target: Path) -> float:
    """Return how long curl takes over a line of its own that isn't cut."""
    with open_line(hub, faults) as line:
        started_s = time.monotonic()
        subprocess.run(["curl", "-sSf", "-o", target, f"{line.url}/{REPO}/resolve/main/model.bin"], check=True)
        return time.monotonic() - started_s


@contextlib.contextmanager
def open_line(hub: str, faults: tuple[str, ...]) -> Iterator[Line]:
    """Open a line to a hub."""
    command = [sys.executable, "-m", "tests.fakes.line", hub.partition("://")[2], *faults]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parent.parent) as child:
        assert child.stdout is not None
        line = Line(f"http://127.0.0.1:{child.stdout.readline().strip()}")
        try:
            yield line
        finally:
            child.send_signal(signal.SIGTERM)
            line.sent_bytes, line.connections = map(int, child.stdout.readline().split())


if __name__ == "__main__":
    main()
