"""The command `shelf`."""

from __future__ import annotations

import atexit
import gc
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from modelshelf import __version__
from modelshelf.cli import (
    adopt,
    change,
    check,
    doctor,
    forget,
    keep,
    look,
    output,
    place,
    service,
    setup,
    status,
    tidy,
    use,
)
from modelshelf.cli.errors import INTERRUPTED
from modelshelf.cli.light import LightCommand, LightGroup
from modelshelf.cli.visible import visible


def _print_version(wanted: bool) -> None:
    if wanted:
        output.answer(f"modelshelf {__version__}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """One library of Hugging Face models across the disks of this machine."""


def make_app() -> typer.Typer:
    """Return the command with its sub-commands."""
    app = typer.Typer(cls=LightGroup, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None)
    app.callback()(_root)
    commands: list[Callable[..., None]] = [change.add, change.pull, look.ls, look.show, look.tiers, look.path, look.env]
    commands.insert(0, setup.init)
    commands += [use.load, place.move, place.pin, place.unpin, place.rename, place.lease, change.rm]
    commands += [keep.update, keep.reconcile]
    commands += [adopt.adopt]
    commands += [tidy.gc, tidy.dedupe]
    commands += [status.status, doctor.doctor, forget.forget]
    commands += [check.verify, look.jobs, look.cancel, use.serve]
    for command in commands:
        app.command(cls=LightCommand)(command)
    app.command("install-service", cls=LightCommand)(service.install_service)
    passes_on = {"allow_extra_args": True, "ignore_unknown_options": True}
    app.command(cls=LightCommand, context_settings=passes_on)(use.run)
    app.command("try-out", cls=LightCommand, hidden=True)(use.try_out)
    return app


class _LogFormatter(logging.Formatter):
    """Formats what is for a person as the notes that a command prints itself."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        is_note = record.name == "modelshelf.notes"
        return visible(f"note: {record.getMessage()}" if is_note else super().format(record), lines=True)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line.

    Args:
        arguments: What to run; by default what the process was called with.
    """
    logs = logging.StreamHandler()
    logs.setFormatter(_LogFormatter("%(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.ERROR, handlers=[logs])
    logging.getLogger("modelshelf.notes").setLevel(logging.INFO)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by the caller: what is said goes nowhere
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - until the process ends
    atexit.register(gc.freeze)  # else the interpreter ends by searching every imported module for cycles: 0.1 s
    try:
        make_app()(arguments)
    except KeyboardInterrupt:  # before or after a command: there is nothing to tell
        os._exit(INTERRUPTED)
