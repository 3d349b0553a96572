"""Looking: ls, show, tiers, path, env, jobs."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from modelshelf.cli import output
from modelshelf.cli.errors import at_the_edge
from modelshelf.cli.options import AsJson, Name


def ls(as_json: AsJson = False) -> None:
    """List the models."""
    from modelshelf.bootstrap.read_only import open_library

    with at_the_edge(as_json=as_json):
        found = open_library().models()
        if as_json:
            from modelshelf.schemas.views import model_view

            output.as_json([model_view(model) for model in found])
        else:
            output.models(found, _now())


def show(name: Name, as_json: AsJson = False) -> None:
    """Show one model: files, digests, commit, folder."""
    from modelshelf.bootstrap.read_only import open_library
    from modelshelf.schemas.views import model_view

    with at_the_edge(as_json=as_json):
        library = open_library()
        found = library.model(name)
        files = library.files(found.row)
        if as_json:
            output.as_json(model_view(found, files))
        else:
            output.model(found, files, _now())


def path(name: Name, as_json: AsJson = False) -> None:
    """Print the folder of a model's snapshot."""
    from modelshelf.bootstrap.read_only import open_library

    with at_the_edge(as_json=as_json):
        folder = str(open_library().path(name))
        if as_json:
            output.as_json({"model_name": name, "path": folder})
        else:
            output.answer(folder)


def env(name: Name, as_json: AsJson = False) -> None:
    """Print shell lines that make any Hugging Face program find a model: eval "$(shelf env NAME)"."""
    from modelshelf.bootstrap.read_only import open_library
    from modelshelf.services.catalog.models import environment

    with at_the_edge(as_json=as_json):
        library = open_library()
        variables = environment(library.ready(name), library.tiers)
        if as_json:
            output.as_json(variables)
        else:
            output.exports(variables)


def tiers(
    as_json: AsJson = False,
    rescan: Annotated[bool, typer.Option("--rescan", help="Walk everything again.")] = False,
    reset_marker: Annotated[
        str | None,
        typer.Option(metavar="BASE", help="Take a known base that lost its marker as a new, empty tier."),
    ] = None,
) -> None:
    """Show each tier: its limit, what it holds, and the free space of its disk."""
    from modelshelf.bootstrap.doctor_and_setup import reset_marker as start
    from modelshelf.bootstrap.shelf import open_shelf
    from modelshelf.schemas.views import tier_view

    with at_the_edge(as_json=as_json):
        if reset_marker is not None:
            start(reset_marker)
        with open_shelf(read_only=True) as shelf:
            found = shelf.tiers(rescan=rescan)
        if as_json:
            output.as_json([tier_view(status) for status in found])
        else:
            output.tiers(found)


def jobs(as_json: AsJson = False) -> None:
    """List long work, newest first: queued, running, waiting, done, failed, cancelled."""
    from modelshelf.bootstrap.shelf import open_shelf
    from modelshelf.schemas.views import job_view

    with at_the_edge(as_json=as_json), open_shelf(read_only=True) as shelf:
        found = shelf.job_service.all()
        if as_json:
            output.as_json([job_view(job) for job in found])
        else:
            output.jobs(found)


def cancel(job_id: Annotated[int, typer.Argument(metavar="JOB")], as_json: AsJson = False) -> None:
    """End a job; what arrived stays for the next try."""
    from modelshelf.bootstrap.shelf import open_shelf
    from modelshelf.schemas.views import job_view

    with at_the_edge(as_json=as_json), open_shelf() as shelf:
        job = shelf.job_service.cancel(job_id)
        if as_json:
            output.as_json(job_view(job))
        else:
            output.answer(f"Job {job.id} is {job.state}.")


def _now() -> float:
    return time.time()  # noqa: TID251 - a person reads "2 h ago" by the wall clock
