"""shelf doctor."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from modelshelf.cli import output
from modelshelf.cli.errors import at_the_edge
from modelshelf.cli.options import AsJson
from modelshelf.errors import Unavailable
from modelshelf.units import format_size


def doctor(
    fix: Annotated[bool, typer.Option("--fix", help="Fix what is safe to fix.")] = False,
    as_json: AsJson = False,
) -> None:
    """Find problems with disks, settings, tools and the hub.

    Exit code 7 when there are errors.
    """
    from modelshelf.bootstrap.doctor_and_setup import open_doctor
    from modelshelf.schemas.reports import DoctorReportJson

    with at_the_edge(as_json=as_json):
        with open_doctor(mend=fix) as found:
            view = asdict(DoctorReportJson.of(found.fix() if fix else found.examine(), found.where))
        if as_json:
            output.as_json(view)
        else:
            output.answer(f"settings {view['settings']}\nregistry {view['registry']}")
            if fix and not view["fixed"]:
                output.note("Nothing to fix automatically.")
            _show(view)
        if view["errors"]:
            raise SystemExit(Unavailable.exit_code)


def _show(view: dict[str, Any]) -> None:
    """Print what the doctor found, the worst first, each with the command that mends it."""
    for done in view["fixed"]:
        output.line(f"fixed    {done}")
    for found in view["findings"]:
        size = f" [{format_size(found['size_bytes'])}]" if found["size_bytes"] else ""
        output.line(f"{found['severity']:<8} {found['detail']}{size if found['severity'] != 'ok' else ''}")
        if found["command"]:
            output.line(f"{'':<8}   → {found['command']}")
    fixable = sum(found["fixable"] for found in view["findings"])
    counts = ", ".join(f"{view[what]} {what if view[what] != 1 else what[:-1]}" for what in ("errors", "warnings"))
    output.note(f"{counts}; shelf doctor --fix fixes {fixable}." if fixable else f"{counts}.")
