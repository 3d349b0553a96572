"""Leaving it running: install-service."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from modelshelf.cli import output
from modelshelf.cli.errors import at_the_edge
from modelshelf.cli.options import AsJson


def install_service(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be done.")] = False,
    uninstall: Annotated[bool, typer.Option("--uninstall", help="Stop the server and remove the unit.")] = False,
    as_json: AsJson = False,
) -> None:
    """Leave the server running: a systemd unit of yours, started now and whenever you log in."""
    from modelshelf.bootstrap.first_aid import unit_service
    from modelshelf.services.views import unit_view

    with at_the_edge(as_json=as_json):
        service = unit_service()
        plan = service.plan_uninstall() if uninstall else service.plan_install()
        if not as_json:
            output.unit_plan(unit_view(plan), dry_run=dry_run)
        ran = [] if dry_run else service.execute(plan)
        view: dict[str, Any] = unit_view(plan, ran)
        if as_json:
            output.as_json(view)
        elif not dry_run:
            output.unit_done(view)
