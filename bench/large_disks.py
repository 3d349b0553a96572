"""What a large library costs on the disk's side, beside the bounds: `du`, a bare walk in Python, and Python's start.

    python bench/large_disks.py [--models 5000] [--files 20] [--large 50000] [--rounds 3] [--folder FOLDER]

The first library is that of `bench/look.py` after `shelf reconcile`, which writes sidecars and keeps the meter, as
pulls do; its commands take turns. `adopt` is timed over a fifth as many models of tiny files that nobody registered,
and over a fifth of those: where both take the same for a model, it is linear; `rm --files` likewise over three
repositories. Last, one repository of many tiny files is adopted, reconciled, as every server does soon after its start,
served below `/hf` by another server page by page, and removed. No command asks a hub.
"""

from __future__ import annotations

import argparse
import hashlib
import http.client
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import _measure
import look
from _measure import Command

WALK = """
import os, sys
def walk(folder):
    with os.scandir(folder) as entries:
        for entry in entries:
            entry.stat(follow_symlinks=False)
            if entry.is_dir(follow_symlinks=False):
                walk(entry.path)
walk(sys.argv[1])
print("walked")
"""
HASH = """
import hashlib, os, sys
for folder, _, names in os.walk(sys.argv[1]):
    for name in names:
        path = f"{folder}/{name}"
        if not os.path.islink(path):
            with open(path, "rb") as file:
                hashlib.file_digest(file, "sha256")
print("hashed")
"""
OFFLINE = {"HF_HUB_OFFLINE": "1"}
AIM_DOCTOR_S = 3.0
AIM_RESCAN = 1 / 1.8
AIM_PAGE_S = 0.3


def main() -> None:
    """Build the libraries and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, default=5000, help="models (5000)")
    parser.add_argument("--files", type=int, default=20, help="files in each (20)")
    parser.add_argument("--large", type=int, default=50_000, help="files of the large repository (50000)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds that count (3)")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()), help="where the bases are put")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder, prefix="modelshelf-bench-") as name:
        folder = Path(name)
        print(_measure.machine(folder), flush=True)
        measure_library(folder / "library", args.models, args.files, args.rounds)
        measure_adopt(folder, args.models, args.files)
        measure_rm(folder, args.large)
        measure_large(folder / "large", args.large)


def measure_library(folder: Path, models: int, files: int, rounds: int) -> None:
    """Print what commands that look at everything take, beside their bounds."""
    folder.mkdir()
    environment = look.build(folder, models, files) | OFFLINE
    _measure.time_once(Command("shelf reconcile", ["shelf", "reconcile"], environment))
    base = str(folder / "base")

    def command(*arguments: str, name: str = "") -> Command:
        return Command(name or " ".join(arguments), arguments, environment)

    timings = _measure.run_in_turn(
        [
            command("shelf", "doctor"),
            command("shelf", "gc", "--dry-run"),
            command("shelf", "tiers", "--rescan"),
            command("du", "-s", base, name="du -s"),
            command("python", "-c", WALK, base, name="a bare walk in Python"),
            command("python", "-c", "print()", name="Python's start"),
        ],
        rounds,
    )
    _measure.table([f"{models} models, s", "median", "least", "most", "cpu"], _measure.seconds(timings))
    cpu_s = statistics.median(run.cpu_s for run in timings["shelf doctor"])
    print(f"shelf doctor computes for {cpu_s:.2f} s; aim {AIM_DOCTOR_S:g} s")
    _measure.claim(timings, "shelf doctor", "a bare walk in Python")
    _measure.claim(timings, "shelf tiers --rescan", "du -s", AIM_RESCAN)
    _measure.claim(timings, "a bare walk in Python", "du -s")


def measure_adopt(folder: Path, models: int, files: int) -> None:
    """Print what adopting a model takes where it lies, in a small and in a large folder."""
    for count in (models // 25, models // 5):
        place = folder / f"adopt-{count}"
        for number in range(count):
            lay_out(place / "theirs", f"model-{number:05}", files, number)
        arguments = ["shelf", "adopt", str(place / "theirs"), "--leave", "--json"]
        hashing = _measure.time_once(Command("hashing", ["python", "-c", HASH, str(place / "theirs")]))
        timing = _measure.time_once(Command("shelf adopt --leave", arguments, settings(place), check=json.loads))
        each_ms, cpu_ms = 1000 * timing.wall_s / count, 1000 * timing.cpu_s / count
        hash_ms = 1000 * hashing.cpu_s / count
        print(f"shelf adopt --leave, {count} models: {each_ms:.1f} ms a model, {cpu_ms:.1f} ms of it computing", end="")
        print(f", {hash_ms:.1f} ms of that is what reading and hashing its files takes in plain Python")


def measure_large(folder: Path, files: int) -> None:
    """Print what adopting, listing below /hf and removing a repository of many files take."""
    lay_out(folder / "base", "large", files, 0)
    environment = settings(folder)

    def timed(*arguments: str) -> None:
        timing = _measure.time_once(Command(arguments[1], arguments, environment, check=lambda text: True))
        print(f"shelf {arguments[1]} of {files} files: {timing.wall_s:.1f} s, {timing.cpu_s:.1f} s of it computing")

    timed("shelf", "adopt", str(folder / "base"), "--leave")
    json_s = list_of_files(folder / "base", files)
    time.sleep(2)  # a folder that changed within two seconds isn't trusted
    _measure.time_once(Command("shelf reconcile", ["shelf", "reconcile"], environment, check=lambda text: True))
    took_s = list(pages(folder, environment, "/hf/api/models/bench/large/tree/main?recursive=true"))
    rest_s = statistics.median(took_s[1:])
    print(f"{len(took_s)} pages of /hf: the first {took_s[0]:.3f} s, the others {rest_s:.3f} s; aim {AIM_PAGE_S:g} s")
    print(f"to parse the list as JSON and no more takes {json_s:.3f} s")
    timed("shelf", "rm", "large", "--files", "--yes")


def measure_rm(folder: Path, files: int) -> None:
    """Print what removing a repository of ever more files takes for a file: the same, where it is linear."""
    for count in (files // 20, files // 10, files // 5):
        place = folder / f"rm-{count}"
        lay_out(place / "base", "large", count, 0)
        adopt = ["shelf", "adopt", str(place / "base"), "--leave"]
        _measure.time_once(Command("shelf adopt", adopt, settings(place), check=lambda text: True))
        remove = Command("shelf rm", ["shelf", "rm", "large", "--files", "--yes"], settings(place))
        timing = _measure.time_once(remove)
        each_ms, cpu_ms = 1000 * timing.wall_s / count, 1000 * timing.cpu_s / count
        print(f"shelf rm --files, {count} files: {each_ms:.2f} ms a file, {cpu_ms:.2f} ms of it computing")


def list_of_files(base: Path, files: int) -> float:
    """Write the list of the large commit, as huggingface_hub and a pull do; returns the seconds to parse its JSON."""
    from modelshelf.domain.models import FileEntry
    from modelshelf.store.layout import Base
    from modelshelf.store.repos import scan, trees

    repo = Base(base).repo("bench/large")
    [commit_hash] = scan.snapshots(repo)
    found = scan.snapshot_files(repo, commit_hash)
    entries = [FileEntry(path, link.stat().st_size, link.readlink().name) for path, link in found]
    assert len(entries) == files
    trees.write(repo, commit_hash, entries)
    text, begin = repo.tree(commit_hash).read_bytes(), time.perf_counter()
    json.loads(text)
    return time.perf_counter() - begin


def pages(folder: Path, environment: Mapping[str, str], path: str) -> Iterator[float]:
    """Yield the seconds that each page of a list takes."""
    command = [str(Path(sys.executable).parent / "shelf"), "serve", "--port", "0"]
    with subprocess.Popen(
        command, env=_measure.environment() | dict(environment), stderr=subprocess.PIPE, text=True, cwd=folder
    ) as child:
        try:
            assert child.stderr is not None
            said = next(line for line in child.stderr if line.startswith("Listening on http://"))
            hub = http.client.HTTPConnection(said.split()[2].removeprefix("http://"))
            while path:
                begin = time.perf_counter()
                hub.request("GET", path)
                answer = hub.getresponse()
                entries = json.loads(answer.read())
                yield time.perf_counter() - begin
                assert entries
                path = (answer.headers["Link"] or "").partition(">")[0].partition("/hf/")[2]
                path = f"/hf/{path}" if path else ""
        finally:
            child.terminate()


def settings(folder: Path) -> dict[str, str]:
    """Return the variables of a library of its own."""
    places = {"HOME": str(folder), "XDG_STATE_HOME": str(folder / "state"), "PRIMARY_CACHE_PATH": str(folder / "base")}
    return places | OFFLINE


def lay_out(base: Path, name: str, files: int, seed: int) -> tuple[Path, str]:
    """Lay out a model of tiny files; returns the repository's folder and the commit."""
    repo, commit_hash = base / "hub" / f"models--bench--{name}", f"{seed + 1:040x}"
    snapshot = repo / "snapshots" / commit_hash
    for path in (repo / "blobs", snapshot, repo / "refs"):
        path.mkdir(parents=True)
    header = json.dumps({"w": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]}}).encode()
    weights = len(header).to_bytes(8, "little") + header + seed.to_bytes(4, "little")
    contents = {"config.json": b"{}", "model.safetensors": weights}
    contents |= {f"file-{i:05}.txt": b"%d %d" % (seed, i) for i in range(files - 2)}
    for name, content in contents.items():
        digest = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        if name.endswith(".safetensors"):
            digest = hashlib.sha256(content).hexdigest()
        (repo / "blobs" / digest).write_bytes(content)
        (snapshot / name).symlink_to(f"../../blobs/{digest}")
    (repo / "refs/main").write_text(commit_hash)
    return repo, commit_hash


if __name__ == "__main__":
    main()
