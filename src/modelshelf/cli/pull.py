"""shelf pull."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from modelshelf.cli import output, render, several
from modelshelf.cli.bars import job_progress
from modelshelf.cli.errors import at_the_edge
from modelshelf.cli.options import AsJson, Detach, Now, SomeNames, Verbose
from modelshelf.domain.jobs import JobKind

if TYPE_CHECKING:
    from modelshelf.domain.jobs import Job
    from modelshelf.services.shelf import Shelf

_LOOK_AT_CLOCK_S = 15.0


def pull(
    names: SomeNames, now: Now = False, detach: Detach = False, verbose: Verbose = False, as_json: AsJson = False
) -> None:
    """Download the missing files of models.

    A stopped download goes on where it was.
    """
    from modelshelf.bootstrap.shelf import open_shelf
    from modelshelf.schemas.models import ModelJson

    with at_the_edge(as_json=as_json), open_shelf(begins=False) as shelf:

        def pull_one(name: str) -> ModelJson:
            if detach:
                pull_detached(shelf, name, now=now)
            else:
                pull_missing(shelf, name, now=now, files=verbose)
            if not (as_json or detach):
                render.print_model(shelf, name, as_json=False)
            return ModelJson.of(shelf.model(name))

        several.end(*several.of_each(_known(shelf, names), pull_one, as_json=as_json), as_json=as_json)


def _known(shelf: Shelf, names: Sequence[str]) -> list[str]:
    """Return each name once, or say where a model is found that isn't registered yet."""
    from modelshelf.errors import NotFound

    try:
        return several.known(shelf, names)
    except NotFound as err:
        name = str(err.fields["model_name"])
        if not name or "/" in name or err.hint != "shelf ls lists them.":
            raise
        hint = f"{err.hint} To find one on the hub: shelf search {shlex.quote(name)}"
        raise NotFound(err.detail, hint=hint, **err.fields) from None


def pull_missing(shelf: Shelf, name: str, *, now: bool, files: bool) -> None:
    """Pull a model and show its progress, of its files too; wait for the hours of downloads unless it is to run now."""
    if now:
        shelf.services.hours.ignore()
    with job_progress(name, JobKind.PULL, files=files) as show:
        while not _pulled(shelf, name, show):
            while shelf.services.hours.closed_s():
                shelf.services.clock.sleep(_LOOK_AT_CLOCK_S)


def pull_detached(shelf: Shelf, name: str, *, now: bool) -> None:
    """Leave the pull of a model to a process that outlives this one, and say how to follow it.

    Raises:
        BadInput: It is to run now, which is this shell's wish and no other process knows of.
    """
    from modelshelf.bootstrap.detached import detach
    from modelshelf.errors import BadInput

    if now:
        raise BadInput("--now and --detach exclude each other.", hint="Without --detach: shelf pull NAME --now")
    job = shelf.services.registrar.enqueue_pull(name)
    url = detach(shelf.services, job)
    by = f"The server at {url}" if url else "A process in the background"
    output.note(
        f"{by} downloads {name}: job {job.id}. Follow it: shelf jobs --follow. Stop it: shelf jobs pause {job.id}"
    )


def _pulled(shelf: Shelf, name: str, show: Callable[[Job], None]) -> bool:
    """Pull a model; return False if it has to wait for its hours."""
    from modelshelf.errors import Unavailable

    try:
        shelf.pull(name, progress=show)
    except Unavailable as err:
        if "opens_in_s" not in err.fields:
            raise
        output.note(f"{err.detail} So does this command; Ctrl-C leaves it to a server, and --now downloads at once.")
        return False
    return True
