"""shelf jobs, and shelf cancel for shelf jobs cancel."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from modelshelf.cli import complete, output, render
from modelshelf.cli.bars import file_lines, job_progress, pace
from modelshelf.cli.errors import at_the_edge
from modelshelf.cli.options import AsJson
from modelshelf.cli.terminal import Styled, is_drawable, rows
from modelshelf.domain.job_files import MOST_LISTED
from modelshelf.domain.jobs import CANCELLED, DONE, FAILED, PAUSED, QUEUED, RUNNING, UNFINISHED, WAITING, Cause
from modelshelf.errors import BadInput, NotFound, Unavailable
from modelshelf.units import LARGEST_INT, format_age, format_size

if TYPE_CHECKING:
    from modelshelf.domain.jobs import Job
    from modelshelf.services.shelf import Shelf

_LOOK_EVERY_S = 1.0
_STYLES = {RUNNING: "cyan", WAITING: "yellow", PAUSED: "yellow", FAILED: "red"}


_VERBS = ("pause", "resume", "cancel", "retry", "first", "last")
_GO_ON = ("resume", "retry")


def jobs(
    verb: Annotated[
        str,
        typer.Argument(
            metavar="[pause|resume|cancel|retry|first|last|JOB]",
            help="What to do with the job, or the number of the one to show with its files.",
            show_default=False,
            autocompletion=complete.job_verbs,
        ),
    ] = "ls",
    job: Annotated[
        str | None,
        typer.Argument(metavar="[JOB|NAME]", help="Its number, or the model's name.", autocompletion=complete.jobs),
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Go on showing them until Ctrl-C.")] = False,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Print a line for each change until Ctrl-C; with --json as JSON.")
    ] = False,
    after: Annotated[
        int | None, typer.Option(metavar="ID", help="Follow from this change on: the last id that was read as JSON.")
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Resume or retry: wait with a job for the hub, its hours or its tier.")
    ] = False,
    limit: Annotated[
        int, typer.Option(min=1, max=1000, metavar="N", help="List the newest N, and all that aren't finished.")
    ] = 50,
    all_jobs: Annotated[bool, typer.Option("--all", help="List all, however many.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the jobs; pause, resume, cancel, retry or reorder one.

    The newest come first. It doesn't matter which process runs a job; one that is resumed or retried while no server
    runs goes on in this shell.

    A job is queued, running, waiting, paused, done, failed or cancelled. What arrived stays, whatever is done with it.

    Those that wait begin in the order of their numbers; first and last put one before or behind the others, in every
    process. What runs goes on.

    Example: shelf jobs pause 7
    """
    with at_the_edge(as_json=as_json):
        if job is not None and verb in _VERBS:
            _steer(verb, job, wait=wait, as_json=as_json)
        elif job is None and (number := _number(verb)) is not None:
            _show_one(number, as_json=as_json)
        elif job is not None or verb != "ls":
            raise BadInput(
                "shelf jobs needs a verb and a number.", hint=", ".join(f"shelf jobs {one} 7" for one in _VERBS)
            )
        else:
            most = None if all_jobs else limit
            _list(most, watch=watch, follow=follow or after is not None, after=after, as_json=as_json)


def _number(word: str) -> int | None:
    """Return the number of a job; None for another word.

    Raises:
        NotFound: No job has so large a number.
    """
    if not word.isascii() or not word.isdigit():
        return None
    if len(word) > len(str(LARGEST_INT)) or int(word) > LARGEST_INT:
        raise NotFound(f"There is no job {word:.80}.", hint="shelf jobs lists them.")
    return int(word)


def _id_of(shelf: Shelf, word: str, verb: str) -> int:
    """Return the number that a word is, or that of the job of a model to which something can be done.

    Raises:
        NotFound: There is none, or no such model.
        BadInput: There are several. Of those to try again the newest is meant.
    """
    if (number := _number(word)) is not None:
        return number
    states = (FAILED, CANCELLED, WAITING) if verb == "retry" else UNFINISHED
    jobs = shelf.services.registry.jobs(model_id=shelf.model(word).row.id, state=states)
    found = [job for job in jobs if job.parent_id is None][: 1 if verb == "retry" else None]
    if not found:
        raise NotFound(f"{word} has no job to {verb}.", hint="shelf jobs lists them.")
    if len(found) > 1:
        each = ", ".join(f"{job.id} ({job.kind})" for job in found)
        raise BadInput(f"{word} has {len(found)} such jobs: {each}.", hint="Give the number of one.")
    return found[0].id


def _list(most: int | None, *, watch: bool, follow: bool, after: int | None, as_json: bool) -> None:
    """Print the jobs, once or until Ctrl-C."""
    from modelshelf.bootstrap.shelf import open_shelf
    from modelshelf.cli import follow_jobs
    from modelshelf.schemas.jobs import JobJson

    if watch and as_json:
        raise BadInput(
            "--watch and --json exclude each other.", hint="shelf jobs --follow --json prints a line for each change."
        )
    with open_shelf(read_only=True) as shelf:
        if follow or (watch and not is_drawable(sys.stdout)):
            follow_jobs.follow(shelf, after=after, as_json=as_json)
        while True:
            found = _newest(shelf, rows(sys.stdout) if watch else most)
            if as_json:
                output.as_json([JobJson.of(job) for job in found])
            else:
                _show(found, render.now_s(), redrawn=watch)
            if not watch:
                break
            time.sleep(_LOOK_EVERY_S)
        left = 0 if most is None or len(found) < most else sum(shelf.services.registry.job_counts().values())
        if left > len(found) and not as_json:
            output.note(f"{left - len(found):,} more: shelf jobs --all")


def _newest(shelf: Shelf, most: int | None) -> list[Job]:
    """Return the newest jobs, and all that aren't finished, newest first; None: all."""
    found = shelf.services.runner.all(limit=most)
    if most is None or len(found) < most:
        return found
    return [*found, *shelf.services.runner.all(state=UNFINISHED, after=found[-1].id)]


def _show_one(job_id: int, *, as_json: bool) -> None:
    """Print a job with all that is known of it."""
    from modelshelf.bootstrap.shelf import open_shelf
    from modelshelf.schemas.jobs import JobDetailJson

    with open_shelf(read_only=True) as shelf:
        job = shelf.services.runner.with_wait(shelf.job(job_id))
    if as_json:
        output.as_json(JobDetailJson.of(job))
        return
    now_s, left_s = render.now_s(), job.eta_s
    facts = {
        "JOB": f"{job.id} {job.kind} {job.model_name}".rstrip(),
        "STATE": job.state + (f", {job.phase}" if job.phase else ""),
        "TIERS": job.tiers.replace(",", " to "),
        "DONE": _done(job),
        "RATE": ", ".join(filter(None, pace(job, left_s))) if job.state == RUNNING else "",
        "WHY": str(Cause(job.reason, job.parent_id)),
        "WAITS" if job.state in (QUEUED, WAITING) else "DETAIL": job.detail,
        "ASKED": format_age(job.created_at, now_s),
        "ENDED": format_age(job.finished_at, now_s) if job.finished_at is not None else "",
    }
    indent = max(map(len, facts)) + 2
    for label, text in facts.items():
        if text:
            output.fact(label, text, indent)
    for line in file_lines(job, 0, MOST_LISTED):
        output.line(line)


def _show(found: Sequence[Job], now_s: float, *, redrawn: bool) -> None:
    """Print jobs, newest first; when redrawn, as many as fit the terminal."""
    if redrawn:
        output.clear()
    if not found:
        output.note("No jobs.")
        return
    cells = [
        [
            str(job.id),
            job.kind,
            job.model_name,
            Styled(job.state, _STYLES.get(job.state, "")),
            _done(job),
            format_age(job.finished_at or job.created_at, now_s),
            " ".join(filter(None, (str(Cause(job.reason, job.parent_id)), *_going(job)))),
        ]
        for job in found
    ]
    header = ["JOB", "KIND", "MODEL", "STATE", "DONE", "WHEN", "DETAIL"]
    most_lines = rows(sys.stdout) - 1 if redrawn else None
    output.table(header, cells, frozenset({0}), frozenset({6}), frozenset({3, 4, 5}), most_lines, narrow=(5, 1))


def _done(job: Job) -> str:
    """Return how much of a job is done."""
    size = format_size(job.total_bytes) if job.total_bytes else ""
    return size if job.state == DONE or not size else f"{job.done_bytes / job.total_bytes:.0%} of {size}"


def _going(job: Job) -> tuple[str, ...]:
    """Return what a job does, or waits for, and its priority unless it is the usual one."""
    if job.state == RUNNING:
        return (", ".join(filter(None, (job.phase, *pace(job, job.eta_s)))),)
    return job.detail, f"Priority {job.priority:+}." if job.priority and job.finished_at is None else ""


def cancel(
    job: Annotated[
        str,
        typer.Argument(metavar="JOB|NAME", help="The job's number, or the model's name.", autocompletion=complete.jobs),
    ],
    as_json: AsJson = False,
) -> None:
    """Cancel a job; what arrived stays for the next try."""
    with at_the_edge(as_json=as_json):
        _steer("cancel", job, wait=False, as_json=as_json)


def _steer(verb: str, word: str, *, wait: bool, as_json: bool) -> None:
    """Do something to a job, by its number or its model's name, and print it as it is then.

    One that is to go on runs here if no server is there.
    """
    from modelshelf.bootstrap.partner import server_url
    from modelshelf.bootstrap.shelf import open_shelf
    from modelshelf.schemas.jobs import JobJson
    from modelshelf.services.jobs.recovery import recover_dead_owners

    with open_shelf(begins=False) as shelf:
        recover_dead_owners(shelf.services.registry)
        job_id = _id_of(shelf, word, verb)
        job = shelf.services.runner.with_wait(getattr(shelf.services.steering, verb)(job_id))
        if verb in _GO_ON and job.state in (QUEUED, WAITING) and not server_url(shelf.services):
            job = _run(shelf, job, wait=wait)
    if as_json:
        output.as_json(JobJson.of(job))
    else:
        output.answer(
            " ".join(filter(None, (f"Job {job.id} is {job.state}.", *(_going(job) if job.state == QUEUED else ()))))
        )


def _run(shelf: Shelf, job: Job, *, wait: bool) -> Job:
    """Run a job in this process, and show its progress; return it finished.

    Args:
        shelf: The library.
        job: The job.
        wait: Wait with it, where it has to wait.
    """
    with job_progress(f"{job.kind} {job.model_name}".rstrip(), job.kind) as show:
        while True:
            try:
                return shelf.services.runner.finish(job, show)
            except Unavailable:
                if not wait:
                    raise
            while (now := shelf.job(job.id)).state == WAITING and now.due_at > render.now_s():
                shelf.services.clock.sleep(_LOOK_EVERY_S)
