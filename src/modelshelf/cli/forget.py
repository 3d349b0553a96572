"""shelf forget."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from modelshelf.cli import complete, output
from modelshelf.cli.errors import at_the_edge
from modelshelf.cli.options import AsJson, DryRun
from modelshelf.units import format_size


def forget(
    base: Annotated[
        str, typer.Argument(metavar="BASE", help="The base, as shelf status lists it.", autocompletion=complete.bases)
    ],
    models: Annotated[bool, typer.Option("--models", help="Forget its models too; their files stay.")] = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Release a base, so that another library can take it.

    Settings and files stay as they are.
    """
    from modelshelf.bootstrap.doctor_and_setup import open_forgetter, take_links_along
    from modelshelf.services.space.forget_base import base_at

    with at_the_edge(as_json=as_json), open_forgetter() as forgetter:
        wanted = base_at(base)
        plan = forgetter.plan(wanted, models=models) if dry_run else forgetter.forget(wanted, models=models)
        if plan.models and not dry_run:
            take_links_along(plan.cache_path)
        if as_json:
            output.as_json(asdict(plan))
            return
        what = "Would forget" if dry_run else "Forgot"
        names = f" and its models {', '.join(plan.models)}" if plan.models else ""
        output.answer(f"{what} {plan.cache_path}{names}; every file stays where it is.")
        if plan.models:
            output.note(
                f"{format_size(plan.stays_bytes)} stay there. To register them again:"
                f" shelf reconcile --base {plan.cache_path}"
            )
