"""How fast `/hf` passes on what it has to fetch first, against the hub itself, and what is here, in one run.

    python bench/mirror.py [--size-mib 1024] [--rounds 5] [--folder /dev/shm] [--clients 1] [--line-mbit 1000]

curl reads the whole file and drops it: from a hub on loopback, or behind a line of that rate; through a mirror whose
library is empty (cold); and once more through the same mirror (warm). The three take turns, the first round is thrown
away. Prints the medians in MB/s (10^6 bytes a second) and the two ratios. All of them share this machine's cores, which
the real Hub doesn't.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from _measure import run_hub
from line import open_line

REPO = "bench/model"
ROOT = Path(__file__).parent.parent


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size-mib", type=int, default=1024, help="size of the file (1024)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds that count (5)")
    parser.add_argument("--folder", type=Path, default=Path("/dev/shm"), help="where everything is put (/dev/shm)")
    parser.add_argument("--clients", type=int, default=1, help="how many read at the same time (1)")
    parser.add_argument("--line-mbit", type=int, default=0, help="rate of the line to the hub, in Mbit/s (unlimited)")
    args = parser.parse_args()
    if not shutil.which("curl"):
        sys.exit("This needs curl.")
    with tempfile.TemporaryDirectory(dir=args.folder, prefix="modelshelf-bench-") as folder:
        compare(Path(folder), args.size_mib << 20, args.rounds, args.clients, args.line_mbit)


def compare(folder: Path, size_bytes: int, rounds: int, clients: int, line_mbit: int) -> None:
    """Read one file in the three ways and print how they do."""
    file = folder / "model.bin"
    with file.open("wb") as out:
        for start in range(0, size_bytes, 1 << 20):
            out.write(os.urandom(min(1 << 20, size_bytes - start)))
    rates: dict[str, list[float]] = {"direct": [], "cold": [], "warm": []}
    with run_hub(REPO, file) as address, behind_line(address, line_mbit) as hub:
        for number in range(rounds + 1):
            with run_mirror(folder / f"library-{number}", hub) as mirror:
                for name, url in (("direct", hub), ("cold", f"{mirror}/hf"), ("warm", f"{mirror}/hf")):
                    rate = fetch(f"{url}/{REPO}/resolve/main/{file.name}", clients, size_bytes)
                    if number:
                        rates[name].append(rate)
            shutil.rmtree(folder / f"library-{number}")
    middle = {name: statistics.median(all_) for name, all_ in rates.items()}
    spread = ", ".join(f"{name} {min(all_):.0f} to {max(all_):.0f}" for name, all_ in rates.items())
    print(
        f"{size_bytes / 1e6:.0f} MB in {folder.parent}, {clients} at once, median of {rounds}: "
        f"direct {middle['direct']:.0f} MB/s, cold {middle['cold']:.0f} MB/s, warm {middle['warm']:.0f} MB/s; "
        f"cold/direct {middle['cold'] / middle['direct']:.2f}, warm/direct {middle['warm'] / middle['direct']:.2f}"
        f"   ({spread})"
    )


def fetch(url: str, clients: int, size_bytes: int) -> float:
    """Return the rate at which some clients together get the file, in MB/s."""
    begin = time.perf_counter()
    command = ["curl", "-sSf", "-o", "/dev/null", "-w", "%{size_download}", url]
    children = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(clients)]
    sizes = [int(child.communicate()[0] or 0) for child in children]
    took_s = time.perf_counter() - begin
    if sizes != [size_bytes] * clients:
        sys.exit(f"{url} gave {sizes} bytes instead of {size_bytes}")
    return sum(sizes) / took_s / 1e6


@contextlib.contextmanager
def behind_line(hub: str, line_mbit: int) -> Iterator[str]:
    """Give the URL by which a hub is reached: through a line of a rate, if there is one."""
    if not line_mbit:
        yield hub
        return
    with open_line(hub, ("--rate", str(line_mbit * 125_000))) as line:
        yield line.url


def free_port() -> int:
    """Return a port that is free now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def wait_for(port: int) -> None:
    """Wait until something listens."""
    until_s = time.monotonic() + 60
    while time.monotonic() < until_s:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.1)
    sys.exit("The mirror did not start.")


@contextlib.contextmanager
def run_mirror(base: Path, hub: str) -> Iterator[str]:
    """Run a server with an empty library that fetches from a hub; gives its URL."""
    base.mkdir()
    port = free_port()
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(base),
        "PYTHONPATH": str(ROOT / "src"),
        "PRIMARY_CACHE_PATH": str(base / "fast"),
        "HF_ENDPOINT": hub,
        "SHELF_MIRROR": "on",
        "SHELF_MIRROR_SHARE": "1",
        "SHELF_REQUIRE_MOUNT": "0",
        "SHELF_PORT": str(port),
    }
    command = [sys.executable, str(ROOT / "main.py")]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, env=environment, cwd=base) as child:
        try:
            wait_for(port)
            yield f"http://127.0.0.1:{port}"
        finally:
            child.terminate()


if __name__ == "__main__":
    main()
