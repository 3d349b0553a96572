"""What the doctor would mend without asking, as a plan. Pure."""

from __future__ import annotations

from modelshelf.schemas.reports import DoctorReportJson
from modelshelf.server.web import words
from modelshelf.server.web.sheet import Part, Sheet, Step
from modelshelf.units import many


def fix_sheet(report: DoctorReportJson) -> Sheet:
    """Return what `shelf doctor --fix` would do about these findings."""
    steps = [
        Step("tools", "", one.topic.capitalize(), "", words.size(one.size_bytes) if one.size_bytes else "", one.detail)
        for one in report.findings
        if one.fixable
    ]
    return Sheet(
        "Fix what is safe to fix",
        "/doctor",
        "/doctor",
        button=f"Fix {many(len(steps), 'finding')}" if steps else "",
        parts=[Part("What is mended", steps)] if steps else [],
        notes=[] if steps else ["Nothing here can be fixed automatically."],
        summary="No byte of a model is touched." if steps else "",
        command="shelf doctor --fix",
    )
