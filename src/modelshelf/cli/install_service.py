"""shelf install-service."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from modelshelf.cli import output
from modelshelf.cli.errors import at_the_edge
from modelshelf.cli.options import AsJson, DryRun

if TYPE_CHECKING:
    from modelshelf.schemas.setup import UnitJson


def install_service(
    dry_run: DryRun = False,
    uninstall: Annotated[bool, typer.Option("--uninstall", help="Stop the server and remove the service.")] = False,
    as_json: AsJson = False,
) -> None:
    """Run the server as a systemd service of your user.

    systemd starts the service now, and again whenever you log in.
    """
    from modelshelf.bootstrap.doctor_and_setup import unit_service
    from modelshelf.schemas.setup import UnitJson

    with at_the_edge(as_json=as_json):
        service = unit_service()
        plan = service.plan_uninstall() if uninstall else service.plan_install()
        if not as_json:
            _show_plan(UnitJson.of(plan), dry_run=dry_run)
        ran = [] if dry_run else service.execute(plan)
        unit = UnitJson.of(plan, ran)
        if as_json:
            output.as_json(unit)
        elif not dry_run:
            _show_done(unit)


def _show_plan(unit: UnitJson, *, dry_run: bool) -> None:
    """Print the unit before it is written, and the commands to run."""
    if unit.text:
        output.answer(f"# {unit.path}\n{unit.text.rstrip()}")
    else:
        output.answer(f"{'Would remove' if dry_run else 'Removing'} {unit.path}.")
    sys.stdout.flush()  # printed before it is done, into a pipe too
    if unit.left_out:
        names = ", ".join(unit.left_out)
        output.note(
            f"The unit holds no secrets, so these aren't in it: {names}. Put what the server needs into its .env."
        )
    if dry_run:
        for step in unit.commands:
            output.note(f"would run: {' '.join(step.command)}")


def _show_done(unit: UnitJson) -> None:
    """Print the commands that were run, and those that a person has to run."""
    for step in unit.commands:
        words = " ".join(step.command)
        output.note(f"ran: {words}" if step.ran else f"systemd --user isn't reachable; run this yourself: {words}")
    if unit.text:
        output.note(
            "Log: journalctl --user -u modelshelf. To keep the server running after you log out: loginctl enable-linger"
        )
