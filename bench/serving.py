"""How soon a server answers, what it holds idle, and how long it takes from one model to another, first token included.

    python bench/serving.py [--rounds 5] [--gguf FILE] [--llama-server PROGRAM]

Two models are the same GGUF file in two repositories, and MAX_LOADED is 1, so a request to the other one ends an engine
and starts one. Beside it: the same request to a model that is loaded, which has the question in its cache; and
the bound, the same program started by hand. Without --gguf it is the demo's model (`make demo` builds it). With
--llama-server the same swap is taken with that program as the engine, in turns with its own router.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import http.client
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil

import _measure

ROOT = Path(__file__).parents[1]
WORKER = ROOT / "src" / "modelshelf" / "engines" / "llama_worker.py"
BUILT = ROOT / ".demo" / "upstream" / "hub" / "models--HuggingFaceTB--SmolLM2-135M-Instruct-GGUF" / "snapshots"
MODELS = ("one", "two")
SIZES = ("--ctx-size", "8192", "--parallel", "4", "--kv-unified")
AIM_START_S, AIM_MEMORY_BYTES, AIM_SWAP_S = 1.0, 80e6, 0.6
IDLE_S = 5.0


def main() -> None:
    """Build the library and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="rounds that count (5)")
    parser.add_argument("--gguf", type=Path, help="the model file")
    parser.add_argument("--llama-server", type=Path, help="a llama-server, to compare with its router")
    args = parser.parse_args()
    file = args.gguf or next(BUILT.glob("*/*.gguf"), None)
    if file is None:
        raise SystemExit("No model: run make demo, or name a file with --gguf.")
    with tempfile.TemporaryDirectory(prefix="modelshelf-bench-") as name:
        environment = build(Path(name), file.resolve())
        print(_measure.machine(Path(name)), flush=True)
        measure_start(environment, args.rounds)
        measure_swap(environment, args.rounds, file.resolve())
        if args.llama_server:
            measure_router(environment, args.rounds, file.resolve(), args.llama_server)


def build(folder: Path, file: Path) -> dict[str, str]:
    """Lay out a base with both models; returns the settings."""
    from modelshelf.bootstrap.shelf import open_shelf
    from modelshelf.domain.models import FileEntry, Registration
    from modelshelf.settings import load_settings
    from modelshelf.store.layout import Base
    from modelshelf.store.repos import scan

    base, commit_hash = folder / "base", "c" * 40
    settings = {"HOME": str(folder), "XDG_STATE_HOME": str(folder / "state"), "PRIMARY_CACHE_PATH": str(base)}
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    with open_shelf(settings=load_settings(environ=settings)) as shelf:
        for name in MODELS:
            repo = Base(base).repo(f"bench/{name}")
            for path in (repo.blobs, repo.snapshot(commit_hash), repo.refs):
                path.mkdir(parents=True)
            repo.blob(digest).write_bytes(file.read_bytes())
            (repo.snapshot(commit_hash) / "model-Q4_1.gguf").symlink_to(f"../../blobs/{digest}")
            repo.ref("main").write_text(commit_hash)
            row = shelf.services.registry.add_model(Registration(name, f"bench/{name}", "primary"), str(base))
            manifest = [FileEntry("model-Q4_1.gguf", file.stat().st_size, digest)]
            shelf.services.registry.set_manifest(row, commit_hash, manifest)
            shelf.services.registry.set_complete(row.id, scan.signature(repo, commit_hash))
    return settings | {"MAX_LOADED": "1"}


@contextlib.contextmanager
def serving(environment: Mapping[str, str]) -> Iterator[tuple[psutil.Process, str]]:
    """Run a server; gives its process and its host, once it says that it listens."""
    command = [str(Path(sys.executable).parent / "shelf"), "serve", "--port", "0"]
    with subprocess.Popen(
        command, env={**_measure.environment(), **environment}, stderr=subprocess.PIPE, text=True
    ) as child:
        try:
            assert child.stderr is not None
            said = next(line for line in child.stderr if line.startswith("Listening on http://"))
            yield psutil.Process(child.pid), said.split()[2].removeprefix("http://")
        finally:
            child.terminate()


def measure_start(environment: Mapping[str, str], rounds: int) -> None:
    """Print the time from the start of the process to its first answer, and the memory that it then holds."""
    walls, cpus = [], []
    for number in range(rounds + 1):
        began_s = time.monotonic()
        with serving(environment) as (process, host):
            connection = http.client.HTTPConnection(host)
            connection.request("GET", "/healthz")
            assert connection.getresponse().status == 200
            took_s, used = time.monotonic() - began_s, process.cpu_times()
            time.sleep(IDLE_S if number == rounds else 0)
            held = process.memory_full_info()
            if number:
                walls.append(took_s)
                cpus.append(used.user + used.system)
    wall_s = statistics.median(walls)
    print(f"start to the first answer: {wall_s:.2f} s ({min(walls):.2f} to {max(walls):.2f}), of it processor time"
          f" {statistics.median(cpus):.2f} s; aim {AIM_START_S:g} s: {_judged(wall_s, AIM_START_S)}")  # fmt: skip
    print(f"idle: {held.rss / 1e6:.1f} MB, of it its own, shared with no other process: {held.uss / 1e6:.1f} MB;"
          f" aim {AIM_MEMORY_BYTES / 1e6:g} MB: {_judged(held.rss, AIM_MEMORY_BYTES)},"
          f" its own {_judged(held.uss, AIM_MEMORY_BYTES)}")  # fmt: skip


def measure_swap(environment: Mapping[str, str], rounds: int, file: Path) -> None:
    """Print the time from a question to its first token, when the other model is loaded and when this one is."""
    swaps, warm, bare = [], [], []
    with serving(environment) as (_, host):
        for number in range(2 * rounds + 2):
            model = MODELS[number % 2]
            swap_s, warm_s = first_token_s(host, model), first_token_s(host, model)
            bare_s = bare_first_token_s(file)
            if number > 1:
                swaps.append(swap_s)
                warm.append(warm_s)
                bare.append(bare_s)
    middle_s = statistics.median(swaps)
    print(f"first token of the other model: {middle_s:.2f} s ({min(swaps):.2f} to {max(swaps):.2f}); of the same one:"
          f" {statistics.median(warm):.3f} s; aim {AIM_SWAP_S:g} s: {_judged(middle_s, AIM_SWAP_S)}")  # fmt: skip
    print(f"the bound, llama.cpp started by hand until its first token: {statistics.median(bare):.2f} s"
          f" ({min(bare):.2f} to {max(bare):.2f})")  # fmt: skip


def measure_router(environment: Mapping[str, str], rounds: int, file: Path, program: Path) -> None:
    """Print the same swap with a llama-server as our engine, and by its own router."""
    ours, theirs = [], []
    with serving({**environment, "LLAMA_SERVER": str(program)}) as (_, host), routing(program, file) as router:
        for number in range(2 * rounds + 2):
            model = MODELS[number % 2]
            swaps = first_token_s(host, model), first_token_s(router, model)
            if number > 1:
                ours.append(swaps[0])
                theirs.append(swaps[1])
    for what, found in (("with llama-server as the engine", ours), ("llama-server's own router", theirs)):
        print(f"first token of the other model, {what}: {statistics.median(found):.2f} s"
              f" ({min(found):.2f} to {max(found):.2f})")  # fmt: skip


@contextlib.contextmanager
def routing(program: Path, file: Path) -> Iterator[str]:
    """Run a llama-server's router over both models, of which it keeps one; gives its host."""
    with tempfile.TemporaryDirectory(prefix="modelshelf-bench-") as folder:
        for name in MODELS:
            (Path(folder) / f"{name}.gguf").symlink_to(file)
        words = ["--models-dir", folder, "--models-max", "1", "--host", "127.0.0.1", "--port", "0"]
        with listening([str(program), *words, *SIZES]) as host:
            yield host


@contextlib.contextmanager
def listening(command: list[str]) -> Iterator[str]:
    """Run a program of llama.cpp's; gives its host once it says that it listens, and reads on what it says."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as child:
        try:
            assert child.stdout is not None
            said = next(line for line in child.stdout if "listening on http://" in line)
            threading.Thread(target=child.stdout.read, daemon=True).start()
            yield said.rpartition("http://")[2].strip()
        finally:
            child.terminate()


def bare_first_token_s(file: Path) -> float:
    """Return the seconds from the start of llama.cpp, as a server starts it, to the first token of the question."""
    began_s = time.monotonic()
    with listening([sys.executable, "-P", str(WORKER), "--model", str(file), *SIZES]) as host:
        return time.monotonic() - began_s + first_token_s(host, "m")


def first_token_s(host: str, model: str) -> float:
    """Return the seconds from a question to its first token."""
    body = {"model": model, "messages": [{"role": "user", "content": "What is 2+2?"}], "max_tokens": 5, "stream": True}
    connection, began_s, first_s = http.client.HTTPConnection(host, timeout=300), time.monotonic(), 0.0
    connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    assert answer.status == 200, answer.read()
    for line in answer:
        if not first_s and line.startswith(b"data: {"):
            choices = json.loads(line[6:]).get("choices") or [{}]
            if choices[0].get("delta", {}).get("content"):
                first_s = time.monotonic() - began_s
    assert first_s, "no token came"
    return first_s


def _judged(found: float, aim: float) -> str:
    return "reached" if found <= aim else "missed"


if __name__ == "__main__":
    main()
