"""shelf run."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

import typer

from modelshelf.cli import output
from modelshelf.cli.errors import at_the_edge
from modelshelf.cli.habits import unknown_option
from modelshelf.cli.options import Name

if TYPE_CHECKING:
    from modelshelf.domain.models import Model
    from modelshelf.services.shelf import Shelf


def run(context: typer.Context, name: Name) -> None:
    """Run a program that uses a model, offline.

    The program finds the model through HF_HOME, and nobody deletes or evicts the model while the program runs. In its
    arguments {path} stands for the snapshot's folder.

    Example: shelf run qwen -- python chat.py {path}
    """
    from modelshelf.bootstrap.read_only import run_environment
    from modelshelf.bootstrap.shelf import open_shelf

    with at_the_edge(as_json=False):
        _check(name, context.args)
    with at_the_edge(as_json=False), open_shelf(begins=False) as shelf:
        holder = f"{context.args[0]} (shelf run, pid {os.getpid()})"
        with shelf.services.leaser.using(name, "run", holder) as model, _with_base(shelf, model, holder):
            command = [argument.replace("{path}", str(model.path)) for argument in context.args]
            code = _run(command, run_environment(shelf.services.tiers.settings, model))
    raise SystemExit(code)


def _check(name: str, command: list[str]) -> None:
    """Raise if the words are those of docker or ollama, or too few.

    Raises:
        BadInput: An option stands where the model belongs, or the command is missing.
    """
    from modelshelf.errors import BadInput

    if name.startswith("-"):
        raise unknown_option(name, "shelf run")
    if not command:
        hint = f"shelf run {name} -- python script.py {{path}}. To talk to it: shelf chat {name}"
        raise BadInput("The command is missing.", hint=hint)


@contextmanager
def _with_base(shelf: Shelf, model: Model, holder: str) -> Iterator[None]:
    """Hold an adapter's base model, and say what the program can't find by itself."""
    from modelshelf.errors import ShelfError

    try:
        base = shelf.services.loader.adapters.base_of(model)
    except ShelfError as err:
        output.note(" ".join(filter(None, (err.detail, err.hint))))
        base = None
    if base is None:
        yield
        return
    name = base.row.model_name
    with shelf.services.leaser.using(name, "run", holder) as base:
        if base.base != model.base:
            here = model.base if model.row.cache_location == "custom" else model.row.cache_location
            output.note(
                f"The base model {name} ({base.row.hf_path}) isn't below HF_HOME={model.base}. Give the program its"
                f" folder {base.path}, or bring it there: shelf move {name} {here}"
            )
        yield


def _run(command: list[str], environment: dict[str, str]) -> int:
    """Run a program to its end, forwarding the signals that ask this process to stop; return its exit code."""
    from modelshelf.errors import BadInput

    child: subprocess.Popen[bytes] | None = None
    early: list[int] = []

    def hand_on(number: int, frame: FrameType | None) -> None:
        if child is None:
            early.append(number)
        else:
            child.send_signal(number)

    # Before the program starts, or a signal that comes with its first line would end only this process. Handlers in
    # Python aren't inherited, while SIG_IGN would be. Ctrl-C reaches the program itself, in the same process group.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, hand_on)
    signal.signal(signal.SIGINT, lambda number, frame: None)
    try:
        child = subprocess.Popen(command, env=environment)
    except OSError as err:
        hint = "shelf run starts a program: check its name and PATH. To talk to the model: shelf chat NAME"
        raise BadInput(f"{command[0]} cannot be run: {err.strerror}.", hint=hint) from err
    for missed in early:
        child.send_signal(missed)
    code = child.wait()
    return code if code >= 0 else 128 - code
