"""shelf lease."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from modelshelf.cli import output, render
from modelshelf.cli.errors import at_the_edge
from modelshelf.cli.options import AsJson, model_argument
from modelshelf.domain.jobs import JobKind
from modelshelf.units import format_duration, parse_duration

if TYPE_CHECKING:
    from modelshelf.domain.leases import Lease


def lease(
    name: Annotated[str | None, model_argument("The model; without it, list the leases.")] = None,
    ttl: Annotated[
        float, typer.Option(parser=parse_duration, metavar="DURATION", help="How long: 90s, 30m, 2h.")
    ] = "1h",  # type: ignore[assignment]  # typer parses the default as well
    release: Annotated[int | None, typer.Option(metavar="LEASE", help="End this lease.")] = None,
    as_json: AsJson = False,
) -> None:
    """Hold a model for a time, or list the leases.

    Until the lease ends, nobody deletes or evicts the model's files. Without NAME the command lists the leases.

    Example: shelf lease qwen --ttl 2h
    """
    from modelshelf.bootstrap.shelf import open_shelf
    from modelshelf.schemas.leases import LeaseJson

    is_look = name is None and release is None
    with at_the_edge(as_json=as_json), open_shelf(read_only=is_look, begins=False) as shelf:
        if release is not None:
            shelf.services.leaser.release(release)
            shelf.services.runner.run_waiting(JobKind.DELETE_OLD_COPY)  # of the model that was held, perhaps
            output.as_json({"released": release}) if as_json else output.note(f"Ended lease {release}.")
            return
        held = (
            shelf.services.leaser.live()
            if name is None
            else [shelf.services.leaser.hold(name, ttl, "a person (shelf lease)")]
        )
        if as_json:
            output.as_json([LeaseJson.of(lease) for lease in held])
        else:
            _show(held, render.now_s())


def _show(held: Sequence[Lease], now_s: float) -> None:
    """Print leases."""
    if not held:
        output.note("No program uses a model, and no person holds one.")
        return
    rows = [
        [str(lease.id), lease.model_name, lease.kind, lease.holder, format_duration(max(0.0, lease.expires_at - now_s))]
        for lease in held
    ]
    output.table(["LEASE", "MODEL", "KIND", "HOLDER", "ENDS IN"], rows, frozenset({0, 4}))
