"""Asking the doctor."""

from __future__ import annotations

from typing import Annotated

import typer

from modelshelf.cli import output
from modelshelf.cli.errors import at_the_edge
from modelshelf.cli.options import AsJson
from modelshelf.errors import Unavailable


def doctor(
    fix: Annotated[bool, typer.Option("--fix", help="Mend what is safe to mend, and say what.")] = False,
    as_json: AsJson = False,
) -> None:
    """Say why it does not work: disks, registry, variables, tools, hub; exit code 7 when there are errors."""
    from modelshelf.bootstrap.doctor_and_setup import open_doctor
    from modelshelf.schemas.views import doctor_view

    with at_the_edge(as_json=as_json):
        with open_doctor(mend=fix) as found:
            view = doctor_view(found.fix() if fix else found.examine(), found.where)
        if as_json:
            output.as_json(view)
        else:
            output.answer(f"settings {view['settings']}\nregistry {view['registry']}")
            if fix and not view["fixed"]:
                output.note("Nothing here is for --fix to mend.")
            output.doctor(view)
        if view["errors"]:
            raise SystemExit(Unavailable.exit_code)
