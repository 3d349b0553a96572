"""The command `shelf`."""

from __future__ import annotations

import atexit
import gc
import logging
from collections.abc import Callable
from typing import Annotated

import typer

from modelshelf import __version__
from modelshelf.cli import adopt, change, check, keep, look, output, place, tidy, use
from modelshelf.cli.light import LightCommand, LightGroup


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
    commands += [use.load, place.move, place.pin, place.unpin, place.rename, place.lease, change.rm]
    commands += [keep.update, keep.reconcile]
    commands += [adopt.adopt]
    commands += [tidy.gc, tidy.dedupe]
    commands += [check.verify, look.jobs, look.cancel, use.serve]
    for command in commands:
        app.command(cls=LightCommand)(command)
    passes_on = {"allow_extra_args": True, "ignore_unknown_options": True}
    app.command(cls=LightCommand, context_settings=passes_on)(use.run)
    app.command("try-out", cls=LightCommand, hidden=True)(use.try_out)
    return app


def main(arguments: list[str] | None = None) -> None:
    """Run the command line.

    Args:
        arguments: What to run; by default what the process was called with.
    """
    logging.basicConfig(level=logging.ERROR, format="%(levelname)s %(name)s: %(message)s")
    atexit.register(gc.freeze)  # else the interpreter ends by searching every imported module for cycles: 0.1 s
    make_app()(arguments)
