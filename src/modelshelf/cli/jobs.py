"""shelf jobs and shelf cancel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from modelshelf.cli import output
from modelshelf.cli.errors import at_the_edge
from modelshelf.cli.options import AsJson
from modelshelf.domain.jobs import Cause
from modelshelf.units import format_size

if TYPE_CHECKING:
    from modelshelf.domain.jobs import Job


def jobs(as_json: AsJson = False) -> None:
    """List the jobs, newest first.

    A job is queued, running, waiting, done, failed or cancelled.
    """
    from modelshelf.bootstrap.shelf import open_shelf
    from modelshelf.schemas.jobs import JobJson

    with at_the_edge(as_json=as_json), open_shelf(read_only=True) as shelf:
        found = shelf.jobs()
        if as_json:
            output.as_json([JobJson.of(job) for job in found])
        else:
            _show(found)


def _show(found: Sequence[Job]) -> None:
    """Print jobs, newest first."""
    rows = [
        [
            str(job.id),
            job.kind,
            job.model_name,
            job.state,
            f"{format_size(job.done_bytes)} of {format_size(job.total_bytes)}" if job.total_bytes else "",
            " ".join(filter(None, (str(Cause(job.reason, job.parent_id)), job.detail))),
        ]
        for job in found
    ]
    output.table(
        ["JOB", "KIND", "MODEL", "STATE", "DONE", "DETAIL"], rows, frozenset({0}), frozenset({5}), frozenset({3, 4})
    )


def cancel(
    job_id: Annotated[int, typer.Argument(metavar="JOB", help="The job's number, as shelf jobs lists it.")],
    as_json: AsJson = False,
) -> None:
    """Cancel a job; what arrived stays for the next try."""
    from modelshelf.bootstrap.shelf import open_shelf
    from modelshelf.schemas.jobs import JobJson

    with at_the_edge(as_json=as_json), open_shelf() as shelf:
        job = shelf.cancel(job_id)
        if as_json:
            output.as_json(JobJson.of(job))
        else:
            output.answer(f"Job {job.id} is {job.state}.")
