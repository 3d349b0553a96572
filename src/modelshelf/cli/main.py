"""The command `shelf`."""

from __future__ import annotations

import atexit
import logging
import os
import sys
from collections.abc import Callable, Sequence
from gc import freeze, set_threshold
from importlib import import_module
from pathlib import Path
from typing import Annotated, TextIO

import typer

from modelshelf import __version__
from modelshelf.cli import output
from modelshelf.cli.habits import in_our_words
from modelshelf.cli.light import LightCommand, LightGroup
from modelshelf.cli.options import NoColor, NoTruncate, Quiet
from modelshelf.cli.visible import visible

_NEW_OBJECTS = 1_000_000
"""So many are made before the garbage collector looks among them for cycles.

What is imported or listed stays, and holds no cycle: with Python's 700 that search takes a fifth of the start of a
command that changes something, and with 100,000 a twentieth of a doctor's look at 100,000 files.
"""


def _print_version(wanted: bool) -> None:
    if wanted:
        output.answer(f"modelshelf {__version__}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
    no_color: NoColor = False,
    no_truncate: NoTruncate = False,
    quiet: Quiet = False,
) -> None:
    """One library of Hugging Face models across the disks of this machine."""


_GROUPS = {
    "Models": "search files add pull ls show fit path env run load warm chat update pin unpin rename lease rm".split(),
    "Disks": "init tiers move adopt forget view".split(),
    "Upkeep": "status config doctor verify gc clean dedupe reconcile jobs cancel".split(),
    "Server": "serve ps stats unload logs engines key install-service".split(),
}
"""The commands as `shelf --help` lists them."""
_HIDDEN = ["try-out"]
_MODULES = {"unpin": "pin", "cancel": "jobs", "try-out": "load"}
"""Where a command is that has no module of its own name."""
_CONTEXTS = {
    "run": {"allow_extra_args": True, "ignore_unknown_options": True},
    "add": {"allow_extra_args": True},
}
"""Words after `shelf run NAME --` belong to its program; `shelf add` says what to do with extra words."""


def make_app(words: Sequence[str] = ()) -> typer.Typer:
    """Return the command with its subcommands.

    Args:
        words: The command line: if it begins with the name of a subcommand, only that one is imported and built, which
            halves the time that it takes to start.
    """
    app = typer.Typer(
        cls=LightGroup,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["--help", "-h"]},
    )
    app.callback()(_root)
    groups = {name: group for group, names in _GROUPS.items() for name in names} | dict.fromkeys(_HIDDEN, "")
    asked = next(iter(in_our_words(words)), "")
    for name in [asked] if asked in groups else groups:
        decorate = app.command(
            name,
            cls=LightCommand,
            rich_help_panel=groups[name],
            context_settings=_CONTEXTS.get(name),
            hidden=name in _HIDDEN,
        )
        decorate(_function(name))
    return app


def _function(name: str) -> Callable[..., None]:
    """Return the function of a subcommand."""
    module = import_module(f"modelshelf.cli.{_MODULES.get(name, name).replace('-', '_')}")
    function: Callable[..., None] = getattr(module, name.replace("-", "_"))
    return function


class _LogFormatter(logging.Formatter):
    """Formats records for people like the notes that a command prints itself."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        is_note = record.name == "modelshelf.notes"
        return visible(f"note: {record.getMessage()}" if is_note else super().format(record), lines=True)


class _LogHandler(logging.StreamHandler[TextIO]):
    """Writes below the drawn line, not after it."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record."""
        output.draw("")
        super().emit(record)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line.

    Args:
        arguments: The words; by default the process's.
    """
    handler = _LogHandler()
    handler.setFormatter(_LogFormatter("%(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.ERROR, handlers=[handler])
    logging.getLogger("modelshelf.notes").setLevel(logging.INFO)
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # closed by the caller: nobody answers, output goes nowhere
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115 - until the process ends
    set_threshold(_NEW_OBJECTS)
    atexit.register(freeze)  # otherwise the interpreter ends by searching every imported module for cycles: 0.1 s
    words = sys.argv[1:] if arguments is None else arguments
    make_app(words)(words)
