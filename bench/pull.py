"""How fast a pull is, against `hf download` and curl: one big file over loopback, each as a whole process.

    python bench/pull.py [--size-gib 2] [--rounds 3] [--folder FOLDER]

A hub in a process of its own serves random bytes that lie in the page cache. The commands take turns, each into an
empty place; what one of them left in memory is written out before the next begins, and deleted. The first round is
thrown away. Prints MB/s (10^6 bytes a second) and the ratios. shelf makes its registry, checks the sha256 and brings
the file to the disk before it ends; hf download and curl do none of this, and `curl + sync` shows what the last costs
on this disk. With --folder /dev/shm no disk takes part. The bounds are curl, which fetches, and sha256 on one core,
which checks: one file has one digest, in order; and both at once, a bare program in Python that reads the answer into
buffers, writes them, and hashes them in a second thread, without a registry, ranges, limits or a way to go on after a
crash. shelf works on several cores at once, curl on one: measure on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

import _measure
from _measure import Command, Timings

REPO = "org/model"
FILE = "model.bin"
BARE = "a bare program"
PROGRAM = """
import hashlib, http.client, os, queue, sys, threading, urllib.parse
address, folder = urllib.parse.urlsplit(sys.argv[1]), sys.argv[2]
connection = http.client.HTTPConnection(address.hostname, address.port)
connection.request("GET", address.path)
answer, free, full = connection.getresponse(), queue.SimpleQueue(), queue.SimpleQueue()
for _ in range(4):
    free.put(memoryview(bytearray(1 << 20)))
digest = hashlib.sha256()
def check():
    while piece := full.get():
        digest.update(piece)
        free.put(memoryview(piece.obj))
checking = threading.Thread(target=check)
checking.start()
target = os.open(f"{folder}/part", os.O_WRONLY | os.O_CREAT)
while answer.length:
    piece, count = free.get(), 0
    while count < len(piece) and (got := answer.readinto(piece[count:])):
        count += got
    os.write(target, piece[:count])
    full.put(piece[:count])
full.put(None)
checking.join()
os.fsync(target)
os.rename(f"{folder}/part", f"{folder}/{digest.hexdigest()}")
print("done")
"""


def main() -> None:
    """Make the file, serve it and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size-gib", type=float, default=2.0, help="size of the file (2)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds that count (3)")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()), help="where the bytes go")
    args = parser.parse_args()
    if not shutil.which("curl"):
        sys.exit("This needs curl: apt-get install -y curl")
    size_bytes = int(args.size_gib * 2**30)
    with tempfile.TemporaryDirectory(dir=args.folder, prefix="modelshelf-bench-") as name:
        folder = Path(name)
        write_random(folder / FILE, size_bytes)
        print(_measure.machine(folder), flush=True)
        with _measure.run_hub(REPO, folder / FILE) as url:
            timings = _measure.run_in_turn(contenders(folder, url, size_bytes), args.rounds)
    report(timings, size_bytes)


def write_random(path: Path, size_bytes: int) -> None:
    """Write bytes that no disk and no protocol can compress."""
    with path.open("wb") as file:
        while left := size_bytes - file.tell():
            file.write(os.urandom(min(left, 2**24)))


def contenders(folder: Path, url: str, size_bytes: int) -> list[Command]:
    """Return what is compared; each writes into a folder that is emptied beforehand."""
    target = folder / "target"
    environment = {
        "HOME": str(folder),
        "XDG_STATE_HOME": str(target / "state"),
        "PRIMARY_CACHE_PATH": str(target / "base"),
        "HF_HOME": str(target / "base"),
        "HF_ENDPOINT": url,
    }

    def afresh() -> None:
        shutil.rmtree(target, ignore_errors=True)
        (target / "base").mkdir(parents=True)
        os.sync()

    def arrived(printed: str) -> bool:
        """Hugging Face counts as arrived what the snapshot leads to."""
        return any(path.stat().st_size == size_bytes for path in target.rglob(FILE))

    fetch = f"curl -sSf -o {target / FILE} {url}/{REPO}/resolve/main/{FILE}"
    commands = {
        "shelf add": ["shelf", "add", "model", REPO],
        "hf download": ["hf", "download", REPO],
        "curl": fetch.split(),
        "curl + sync": ["sh", "-c", f"{fetch} && sync {target / FILE}"],
    }
    bare = [sys.executable, "-S", "-c", PROGRAM, f"{url}/{REPO}/resolve/main/{FILE}", str(target)]
    fetches = [
        Command(name, words, environment, afresh, arrived, "pull" * (name == "shelf add"))
        for name, words in commands.items()
    ]
    return [*fetches, Command(BARE, bare, {}, afresh), _measure.hashing(_measure.ONE_CORE, folder / FILE)]


def report(timings: Timings, size_bytes: int) -> None:
    """Print the table and the claims."""
    rows = []
    for name, runs in timings.items():
        rates = [size_bytes / run.wall_s / 1e6 for run in runs]
        numbers = [f"{statistics.median(rates):.0f}", f"{min(rates):.0f}", f"{max(rates):.0f}"]
        spent_s = statistics.median(run.cpu_s for run in runs)
        rows.append([name, *numbers, f"{spent_s:.2f}", f"{spent_s / size_bytes * 1e9:.2f}"])
    print(f"{size_bytes / 1e9:.2f} GB over loopback, whole process")
    _measure.table(["MB/s", "median", "least", "most", "cpu s", "a GB"], rows)
    _measure.claim(timings, "shelf add", "hf download", 2.0)
    for ours in ("shelf add", "shelf add, its job"):
        _measure.claim(timings, ours, "curl", 0.9, _measure.ONE_CORE)
    _measure.claim(timings, "shelf add", "curl + sync")
    for ours in ("shelf add", "shelf add, its job"):
        _measure.claim(timings, ours, BARE)


if __name__ == "__main__":
    main()
