"""How fast everything is verified, against `hf cache verify` and sha256 on one and on all cores, as whole processes.

    python bench/verify.py [--size-gib 4] [--files 4] [--rounds 3] [--folder FOLDER]

A model of random bytes in as many files is pulled once from a hub in a process of its own, which `hf cache verify`
has to ask. The commands take turns over the same blobs, which lie in the page cache where they fit; the first round
is thrown away. Prints GB/s (10^9 bytes a second) and the ratios.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

import _measure
from _measure import Command, Timings
from pull import write_random

REPO = "org/model"
AIMS = (("hf cache verify", None), ("openssl dgst -sha256", None), (_measure.ALL_CORES, 0.95))


def main() -> None:
    """Make the model, pull it and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size-gib", type=float, default=4.0, help="size of the model (4)")
    parser.add_argument("--files", type=int, default=4, help="in so many files (4)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds that count (3)")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()), help="where the bytes go")
    args = parser.parse_args()
    if not shutil.which("openssl"):
        sys.exit("This needs openssl: apt-get install -y openssl")
    size_bytes = int(args.size_gib * 2**30)
    with tempfile.TemporaryDirectory(dir=args.folder, prefix="modelshelf-bench-") as name:
        folder = Path(name)
        files = [folder / f"model-{number}.safetensors" for number in range(args.files)]
        for file in files:
            write_random(file, size_bytes // args.files)
        print(_measure.machine(folder), flush=True)
        with _measure.run_hub(REPO, *files) as url:
            environment = environment_of(folder, url)
            _measure.time_once(Command("shelf add", ["shelf", "add", "model", REPO], environment))
            timings = _measure.run_in_turn(contenders(folder, environment), args.rounds)
    report(timings, size_bytes)


def environment_of(folder: Path, url: str) -> dict[str, str]:
    """Return the variables by which all find the same base."""
    base = str(folder / "base")
    return {
        "HOME": str(folder),
        "XDG_STATE_HOME": str(folder / "state"),
        "PRIMARY_CACHE_PATH": base,
        "HF_HOME": base,
        "HF_ENDPOINT": url,
    }


def contenders(folder: Path, environment: dict[str, str]) -> list[Command]:
    """Return what is compared."""
    blobs = sorted((folder / "base").glob("hub/models--*/blobs/*"))
    commands = {
        "shelf verify --all": ["shelf", "verify", "--all", "--json"],
        "hf cache verify": ["hf", "cache", "verify", REPO],
        "openssl dgst -sha256": ["openssl", "dgst", "-sha256", *map(str, blobs)],
    }
    checks = {"shelf verify --all": lambda printed: json.loads(printed)["result"]["checked_blobs"] == len(blobs)}
    jobs = {"shelf verify --all": "verify"}
    ours = [
        Command(name, words, environment, check=checks.get(name, bool), job=jobs.get(name, ""))
        for name, words in commands.items()
    ]
    return [*ours, *(_measure.hashing(name, *blobs) for name in (_measure.ONE_CORE, _measure.ALL_CORES))]


def report(timings: Timings, size_bytes: int) -> None:
    """Print the table and the claims."""
    rows = []
    for name, runs in timings.items():
        rates = [size_bytes / run.wall_s / 1e9 for run in runs]
        numbers = [f"{statistics.median(rates):.2f}", f"{min(rates):.2f}", f"{max(rates):.2f}"]
        rows.append([name, *numbers, f"{statistics.median(run.cpu_s for run in runs):.2f}"])
    print(f"{size_bytes / 1e9:.2f} GB, whole process")
    _measure.table(["GB/s", "median", "least", "most", "cpu s"], rows)
    for theirs, aim in AIMS:
        _measure.claim(timings, "shelf verify --all", theirs, aim)
    _measure.claim(timings, "shelf verify --all, its job", _measure.ALL_CORES, 0.95)


if __name__ == "__main__":
    main()
