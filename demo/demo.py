"""The whole job on a real model, without an account and without the Hub: `make demo`.

Everything happens in one folder (`.demo` by default), which can be deleted afterwards. Two servers run on loopback
while it lasts: one plays the Hub over a folder of its own, the other is the library that a user would run.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from openai import OpenAI
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

ROOT = Path(__file__).resolve().parent.parent
DENSE, GGUF = "HuggingFaceTB/SmolLM2-135M-Instruct", "HuggingFaceTB/SmolLM2-135M-Instruct-GGUF"
QUESTION = "What is 2+2?"
console = Console(highlight=False, soft_wrap=True)


def main() -> None:
    """Show the job; exits with 1 when an answer is wrong."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--folder", type=Path, default=ROOT / ".demo", help="where everything goes")
    folder = arguments.parse_args().folder.resolve()
    started_s = time.monotonic()
    os.environ |= {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    step("Building the demo's hub: SmolLM2-135M-Instruct as safetensors and as GGUF (once, about 20 s)")
    subprocess.run([sys.executable, str(ROOT / "demo" / "build_models.py"), str(folder / "upstream")], check=True)
    for name in ("fast", "slow", "usb", "state"):
        shutil.rmtree(folder / name, ignore_errors=True)
    with ExitStack() as stack:
        hub_port, port = free_port(), free_port()
        hub_environment = clean_environment(folder) | {
            "PRIMARY_CACHE_PATH": str(folder / "upstream"),
            "SHELF_PORT": str(hub_port),
            "XDG_STATE_HOME": str(folder / "state" / "hub"),
        }
        stack.enter_context(server(hub_environment, folder / "upstream"))
        write_env(folder, hub_port, port)
        environment = clean_environment(folder)
        step("Starting the library: python main.py")
        stack.enter_context(server(environment, folder))
        url = f"http://127.0.0.1:{port}"
        names = register(url, folder)
        wait(url, names)
        answers = [load(names[0], environment, folder)]
        step("The library: shelf ls, shelf tiers")
        shelf(["ls"], environment, folder)
        console.print()
        shelf(["tiers"], environment, folder)
        answers += ask_all(url, names)
        step("Who answered: shelf ps")
        shelf(["ps"], environment, folder)
    if not all("4" in answer for answer in answers):
        raise SystemExit(f"An answer to {QUESTION!r} holds no 4: {answers}")
    step(f"Done in {time.monotonic() - started_s:.0f} s. The same against the real Hub, into ~/.cache/huggingface:")
    console.print(f"    .venv/bin/shelf add smollm2 {DENSE} && .venv/bin/shelf load smollm2")


def step(text: str) -> None:
    """Say what comes next."""
    console.print(f"\n[bold]{text}[/bold]")
    console.file.flush()  # what a child prints comes after it


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def clean_environment(folder: Path) -> dict[str, str]:
    """Return this environment without what would lead the demo elsewhere."""
    led_elsewhere = ("HF_", "SHELF_", "PRIMARY_CACHE", "SECONDARY_CACHE", "DATABASE_URL", "TRANSFORMERS_", "CACHE_")
    kept = {name: text for name, text in os.environ.items() if not name.startswith(led_elsewhere)}
    return kept | {"XDG_STATE_HOME": str(folder / "state")}


def write_env(folder: Path, hub_port: int, port: int) -> None:
    """Write the `.env` of the demo's user, and show it."""
    lines = [
        "PRIMARY_CACHE_PATH=./fast",
        "PRIMARY_CACHE_LIMIT_GB=0.6",
        "SECONDARY_CACHE_PATH=./slow",
        "SECONDARY_CACHE_LIMIT_GB=2",
        f"HF_ENDPOINT=http://127.0.0.1:{hub_port}/hf",
        f"SHELF_PORT={port}",
        f"SHELF_CUSTOM_ROOTS={folder}",
    ]
    (folder / ".env").write_text("\n".join(lines) + "\n")
    step(f"The settings: {folder / '.env'}")
    console.print("\n".join(f"    {line}" for line in lines))


@contextmanager
def server(environment: dict[str, str], folder: Path) -> Iterator[None]:
    """Run `python main.py` in a folder until the context ends."""
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "main.py")], cwd=folder, env=environment, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    try:
        said = []
        for line in process.stderr:
            said.append(line)
            if line.startswith("Listening on"):
                break
        else:
            raise SystemExit("The server did not start:\n" + "".join(said))
        log = (folder / "server.log").open("w")
        with log, subprocess.Popen(["cat"], stdin=process.stderr, stdout=log):
            try:
                yield
            finally:
                process.terminate()  # cat ends with it
    finally:
        process.terminate()
        process.wait()


def register(url: str, folder: Path) -> list[str]:
    """Register three models with the three bodies; returns their names."""
    bodies: list[dict[str, Any]] = [
        {"model_name": "smol", "hf_path": DENSE, "cache_location": "primary", "cache_path": None},
        {"model_name": "smol-gguf", "hf_path": GGUF, "cache_location": "secondary", "cache_path": None},
        {"model_name": "smol-usb", "hf_path": DENSE, "cache_location": "custom", "cache_path": str(folder / "usb")},
    ]
    step("Registering: POST /api/models")
    for body in bodies:
        console.print(f"    {json.dumps(body)}")
        ask_json("POST", f"{url}/api/models", body)
    return [str(body["model_name"]) for body in bodies]


def wait(url: str, names: list[str]) -> None:
    """Show the downloads until all models are ready."""
    step("Downloading")
    columns = (TextColumn("    {task.description:<12}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console) as progress:
        tasks = {name: progress.add_task(name, total=None) for name in names}
        while tasks:
            for name, task in list(tasks.items()):
                model = ask_json("GET", f"{url}/api/models/{name}")
                if model["state"] == "failed":
                    raise SystemExit(f"{name}: {model['detail']}")
                job = ask_json("GET", f"{url}/api/jobs/{model['job_id']}")
                progress.update(task, completed=job["done_bytes"], total=job["total_bytes"] or None)
                if model["state"] == "ready":
                    progress.update(task, completed=model["size_bytes"], total=model["size_bytes"])
                    del tasks[name]
            time.sleep(0.2)


def load(name: str, environment: dict[str, str], folder: Path) -> str:
    """Load a model with transformers, offline, in a process of its own, and ask it; returns its answer."""
    step(f"shelf load {name}: {QUESTION}")
    said = shelf(["load", name, "--prompt", QUESTION, "--json"], environment, folder, capture=True)
    trial = json.loads(said)
    seconds, memory_mb = trial["load_s"], trial["memory_bytes"] / 1e6
    console.print(f"    {trial['answer']}")
    console.print(f"    [dim]loaded in {seconds:.1f} s, {memory_mb:.0f} MB of memory, offline, from its snapshot[/dim]")
    return str(trial["answer"])


def ask_all(url: str, names: list[str]) -> list[str]:
    """Ask models through `/v1` as any program does, each from cold; prints and returns their answers."""
    step(f'OpenAI(base_url="{url}/v1").chat.completions.create(…, stream=True): {QUESTION}')
    with OpenAI(base_url=f"{url}/v1", api_key="none", timeout=300) as client:
        return [ask(client, name) for name in names]


def ask(client: OpenAI, name: str) -> str:
    """Print a model's answer as it comes, and how long its first token took; returns the answer."""
    console.print(f"    {name:<12}", end="")
    began_s = time.monotonic()
    stream = client.chat.completions.create(
        model=name, messages=[{"role": "user", "content": QUESTION}], temperature=0, max_tokens=30, stream=True
    )
    first_s, pieces = 0.0, []
    for event in stream:
        if piece := event.choices[0].delta.content if event.choices else None:
            first_s = first_s or time.monotonic() - began_s
            pieces.append(piece)
            console.print(piece, end="", markup=False)
    console.print(f"\n{'':16}[dim]loaded, and its first token, in {first_s:.1f} s[/dim]")
    return "".join(pieces)


def shelf(arguments: list[str], environment: dict[str, str], folder: Path, *, capture: bool = False) -> str:
    """Run a command of the library where the demo's `.env` lies; returns what it printed when captured."""
    console.file.flush()
    command = [sys.executable, "-m", "modelshelf", *arguments]
    done = subprocess.run(
        command, cwd=folder, env=environment, check=True, text=True, stdout=subprocess.PIPE if capture else None
    )
    return done.stdout or ""


def ask_json(method: str, url: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """Send a request and return the JSON of its answer."""
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            found: dict[str, Any] = json.load(answer)
            return found
    except urllib.error.HTTPError as err:
        raise SystemExit(f"{method} {url}: {err.code} {err.read().decode()}") from err


if __name__ == "__main__":
    main()
