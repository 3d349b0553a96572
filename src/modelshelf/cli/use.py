"""Using: load, run, serve."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from modelshelf.cli import output
from modelshelf.cli.errors import at_the_edge
from modelshelf.cli.options import AsJson, Name

if TYPE_CHECKING:
    from modelshelf.domain.models import Model
    from modelshelf.services.shelf import Shelf

QUESTION = "What is 2+2?"
_QUIET = {"TQDM_DISABLE": "1", "TRANSFORMERS_VERBOSITY": "error"}
"""A load of a second needs no bars."""


def load(
    name: Name,
    prompt: Annotated[str, typer.Option(help="What to ask it.")] = QUESTION,
    as_json: AsJson = False,
) -> None:
    """Load a model in a process of its own, offline, ask it something, and print seconds and memory."""
    from modelshelf.bootstrap.read_only import run_environment
    from modelshelf.bootstrap.shelf import open_shelf
    from modelshelf.errors import Unavailable

    with at_the_edge(as_json=as_json), open_shelf() as shelf:
        with shelf.loader.using(name, f"shelf load (pid {os.getpid()})") as (model, base):
            command = [sys.executable, "-m", "modelshelf", "try-out", str(model.path), prompt]
            command += [str(base.path)] if base is not None else []
            done = subprocess.run(
                command,
                env=run_environment(shelf.library, model) | _QUIET,
                stdout=subprocess.PIPE,
                text=True,
                check=False,
            )
            if done.returncode:
                raise Unavailable(f"{name} could not be loaded; its process ended with {done.returncode}, see above.")
        view = {"model_name": name, **json.loads(done.stdout)}
        if as_json:
            output.as_json(view)
        else:
            output.trial(name, view)


def try_out(path: str, prompt: str, base: Annotated[str | None, typer.Argument()] = None) -> None:
    """Load the model of a snapshot folder and print what that took; `shelf load` runs this in a child process."""
    from pathlib import Path

    from modelshelf.schemas.views import trial_view
    from modelshelf.services.serving.load import try_out as attempt

    with at_the_edge(as_json=False):
        output.as_json(trial_view(attempt(Path(path), prompt, Path(base) if base else None)))


def run(context: typer.Context, name: Name) -> None:
    """Run a program that finds the model: shelf run NAME -- CMD …, where {path} is the snapshot's folder."""
    from modelshelf.bootstrap.read_only import run_environment
    from modelshelf.bootstrap.shelf import open_shelf
    from modelshelf.errors import BadInput

    with at_the_edge(as_json=False), open_shelf() as shelf:
        if not context.args:
            raise BadInput("There is no command.", hint=f"shelf run {name} -- python script.py {{path}}")
        holder = f"{context.args[0]} (shelf run, pid {os.getpid()})"
        with shelf.leaser.using(name, "run", holder) as model, _with_base(shelf, model, holder):
            command = [argument.replace("{path}", str(model.path)) for argument in context.args]
            code = _run(command, run_environment(shelf.library, model))
    raise SystemExit(code)


@contextmanager
def _with_base(shelf: Shelf, model: Model, holder: str) -> Iterator[None]:
    """Hold the base model of an adapter, and say what the program can't find by itself."""
    from modelshelf.errors import ShelfError

    try:
        base = shelf.loader.adapters.base_of(model)
    except ShelfError as err:
        output.note(" ".join(filter(None, (err.detail, err.hint))))
        base = None
    if base is None:
        yield
        return
    name = base.row.model_name
    with shelf.leaser.using(name, "run", holder) as base:
        if base.base != model.base:
            here = model.base if model.row.cache_location == "custom" else model.row.cache_location
            output.note(
                f"The base model {name} ({base.row.hf_path}) isn't below HF_HOME={model.base}. Give the program its"
                f" folder {base.path}, or bring it there: shelf move {name} {here}"
            )
        yield


def _run(command: list[str], environment: dict[str, str]) -> int:
    """Run a program to its end, handing it the signals that ask this one to stop; returns its exit code."""
    from modelshelf.errors import BadInput

    child: subprocess.Popen[bytes] | None = None
    early: list[int] = []

    def hand_on(number: int, frame: FrameType | None) -> None:
        if child is None:
            early.append(number)
        else:
            child.send_signal(number)

    # Before the program starts, or a signal that comes with its first line would end this process alone. Handlers of
    # Python are not inherited, as SIG_IGN would be. Ctrl-C reaches the program itself, in the same process group.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, hand_on)
    signal.signal(signal.SIGINT, lambda number, frame: None)
    try:
        child = subprocess.Popen(command, env=environment)
    except OSError as err:
        raise BadInput(f"{command[0]} cannot be run: {err.strerror}.", hint="Check its name and PATH.") from err
    for missed in early:
        child.send_signal(missed)
    code = child.wait()
    return code if code >= 0 else 128 - code


def serve(
    host: Annotated[str | None, typer.Option(help="The address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="The port to listen on.")] = None,
) -> None:
    """Serve the library over HTTP: the API, and /hf for Hugging Face clients."""
    from modelshelf.server.main import serve as start

    with at_the_edge(as_json=False):
        start(host=host, port=port, announce=lambda url: output.note(f"Listening on {url} (API at {url}/docs)"))
