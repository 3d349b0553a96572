"""The command `shelf`."""

from __future__ import annotations

import atexit
import logging
import os
import sys
from collections.abc import Callable
from gc import freeze, set_threshold
from pathlib import Path
from typing import Annotated, TextIO

import typer

from modelshelf import __version__
from modelshelf.cli import (
    add,
    adopt,
    chat,
    clean,
    dedupe,
    doctor,
    engines,
    env,
    files,
    fit,
    forget,
    gc,
    init,
    install_service,
    jobs,
    key,
    lease,
    load,
    logs,
    ls,
    move,
    output,
    path,
    pin,
    ps,
    pull,
    reconcile,
    rename,
    rm,
    run,
    search,
    serve,
    show,
    status,
    tiers,
    unload,
    update,
    verify,
    warm,
)
from modelshelf.cli.errors import INTERRUPTED
from modelshelf.cli.light import LightCommand, LightGroup
from modelshelf.cli.options import NoColor, NoTruncate, Quiet
from modelshelf.cli.visible import visible

_NEW_OBJECTS = 100_000
"""So many are made before the garbage collector looks among them for cycles.

What is imported stays: with Python's 700 that search takes a fifth of the start of a command that changes something.
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


_GROUPS: dict[str, list[Callable[..., None]]] = {
    "Models": [
        search.search,
        files.files,
        add.add,
        pull.pull,
        ls.ls,
        show.show,
        fit.fit,
        path.path,
        env.env,
        run.run,
        load.load,
        warm.warm,
        chat.chat,
        update.update,
        pin.pin,
        pin.unpin,
        rename.rename,
        lease.lease,
        rm.rm,
    ],
    "Disks": [init.init, tiers.tiers, move.move, adopt.adopt, forget.forget],
    "Upkeep": [
        status.status,
        doctor.doctor,
        verify.verify,
        gc.gc,
        clean.clean,
        dedupe.dedupe,
        reconcile.reconcile,
        jobs.jobs,
        jobs.cancel,
    ],
    "Server": [serve.serve, ps.ps, unload.unload, logs.logs, engines.engines, key.key, install_service.install_service],
}
"""The commands as `shelf --help` lists them."""
_CONTEXTS = {
    run.run: {"allow_extra_args": True, "ignore_unknown_options": True},
    add.add: {"allow_extra_args": True},
}
"""Words after `shelf run NAME --` belong to its program; `shelf add` says what to do with extra words."""


def make_app() -> typer.Typer:
    """Return the command with its subcommands."""
    app = typer.Typer(
        cls=LightGroup,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["--help", "-h"]},
    )
    app.callback()(_root)
    for group, commands in _GROUPS.items():
        for command in commands:
            app.command(cls=LightCommand, rich_help_panel=group, context_settings=_CONTEXTS.get(command))(command)
    app.command(cls=LightCommand, hidden=True)(load.try_out)
    return app


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
    try:
        make_app()(arguments)
    except KeyboardInterrupt:  # before or after a command: there is nothing to say
        os._exit(INTERRUPTED)
