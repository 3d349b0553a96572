"""shelf doctor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from modelshelf.cli import output
from modelshelf.cli.errors import at_the_edge
from modelshelf.cli.options import AsJson
from modelshelf.errors import Unavailable
from modelshelf.units import format_size, many

if TYPE_CHECKING:
    from modelshelf.schemas.reports import DoctorReportJson

_INDENT = 9
_STYLES = {"error": "red", "warning": "yellow"}


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
            report = DoctorReportJson.of(found.fix() if fix else found.examine(), found.where)
        if as_json:
            output.as_json(report)
        else:
            output.fact("settings", report.settings, _INDENT)
            output.fact("registry", report.registry, _INDENT)
            if fix and not report.fixed:
                output.note("Nothing to fix automatically.")
            _show(report)
        if report.errors:
            raise SystemExit(Unavailable.exit_code)


def _show(report: DoctorReportJson) -> None:
    """Print what the doctor found, the worst first, each with the command that fixes it."""
    for done in report.fixed:
        output.fact("fixed", done, _INDENT, "green")
    for found in report.findings:
        size = f" [{format_size(found.size_bytes)}]" if found.size_bytes else ""
        size = size if found.severity != "ok" else ""
        output.fact(found.severity, f"{found.detail}{size}", _INDENT, _STYLES.get(found.severity, ""))
        if found.command:
            output.line(f"{'':{_INDENT}}  → {found.command}")
    fixable = sum(found.fixable for found in report.findings)
    numbers = ((report.errors, "error"), (report.warnings, "warning"))
    counts = ", ".join(many(number, what) for number, what in numbers)
    output.note(f"{counts}; shelf doctor --fix fixes {fixable}." if fixable else f"{counts}.")
