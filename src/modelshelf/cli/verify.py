"""shelf verify."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from modelshelf.cli import output
from modelshelf.cli.bars import job_progress
from modelshelf.cli.errors import at_the_edge
from modelshelf.cli.options import AsJson, Names
from modelshelf.errors import BadInput, Corrupt
from modelshelf.units import format_size, many, parse_duration, parse_size


def verify(
    names: Names = None,
    everything: Annotated[bool, typer.Option("--all", help="Everything on every tier, registered or not.")] = False,
    max_age: Annotated[
        str | None, typer.Option(metavar="DURATION", help="Skip what was verified this recently: 12h, 30d.")
    ] = None,
    repair: Annotated[
        bool, typer.Option("--repair", help="Move damaged files to quarantine and download them again.")
    ] = False,
    rate: Annotated[str | None, typer.Option(metavar="SIZE", help="Read at most this much per second: 100MB.")] = None,
    as_json: AsJson = False,
) -> None:
    """Read every byte and compare it with its digest.

    Works offline. Exit code 6 when anything is wrong.

    Example: shelf verify --all --max-age 30d
    """
    from modelshelf.bootstrap.shelf import open_shelf
    from modelshelf.schemas.jobs import JobDetailJson

    with at_the_edge(as_json=as_json):
        if bool(names) == everything:
            raise BadInput("Name the models, or give --all.", hint="shelf ls lists them.")
        max_age_s, rate_bytes_per_s = _limits(max_age, rate)
        with open_shelf(begins=False) as shelf:
            job = shelf.services.verifier.enqueue(
                names or (), max_age_s=max_age_s, rate_bytes_per_s=rate_bytes_per_s, repair=repair
            )
            with job_progress(job.model_name or "everything", job.kind) as show:
                view = asdict(JobDetailJson.of(shelf.services.runner.finish(job, show)))
        if as_json:
            output.as_json(view)
        else:
            _show(view["result"])
        if view["result"]["wrong"]:
            raise SystemExit(Corrupt.exit_code)


def _limits(max_age: str | None, rate: str | None) -> tuple[float | None, int | None]:
    """Return seconds and bytes per second.

    Raises:
        BadInput: One of them is invalid.
    """
    try:
        rate_bytes_per_s = None if rate is None else parse_size(rate.removesuffix("/s"))
        max_age_s = None if max_age is None else parse_duration(max_age)
    except ValueError as err:
        raise BadInput(f"{err}") from err
    if rate_bytes_per_s == 0:
        raise BadInput("With --rate 0 a verification never ends.", hint="Leave --rate out, or give more.")
    return max_age_s, rate_bytes_per_s


def _show(view: dict[str, Any]) -> None:
    """Print what a verification found, and what to do about it."""
    checked = f"Read {many(view['checked_blobs'], 'blob')}, {format_size(view['checked_bytes'])}"
    skipped = f"; skipped {view['skipped_blobs']} verified recently" if view["skipped_blobs"] else ""
    for base in view["offline"]:
        output.note(f"{base} isn't mounted: its files were not verified.")
    found = view["findings"]
    if not found:
        output.line(f"{checked}{skipped}. Everything is intact.")
        return
    output.line(f"{checked}{skipped}. Found {many(len(found), 'problem')}, {view['wrong']} not repaired.")
    rows = [[f["kind"], _outcome(f), f["model_name"] or f["repo_id"], f["file"], f["detail"], f["path"]] for f in found]
    output.table(["PROBLEM", "NOW", "MODEL", "FILE", "DETAIL", "WHERE"], rows, sentences=frozenset({4, 5}))
    for hint in dict.fromkeys(f["hint"] for f in found if f["hint"]):
        output.note(f"hint: {hint}")


def _outcome(found: dict[str, Any]) -> str:
    if found["repaired"]:
        return "repaired"
    return "quarantined" if found["quarantined"] else "not repaired"
