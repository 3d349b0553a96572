"""Jobs: what needs a decision, what runs and waits, and what is over. Pure."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from modelshelf.domain.job_files import JobFile, JobFiles, files_of
from modelshelf.domain.jobs import (
    CANCELLED,
    FAILED,
    PAUSED,
    QUEUED,
    RUNNING,
    WAITING,
    Job,
    JobKind,
    can_be_cancelled,
    can_be_paused,
)
from modelshelf.domain.models import ModelRow
from modelshelf.server.web import jobs_words, words
from modelshelf.server.web.charts import sparkline
from modelshelf.server.web.look import Look

HISTORY = 100
"""So many jobs that are over stand on a page."""
MOST_DECISIONS = 50
STEADY = 4
"""After so many readings of its rate, about a second apart, a job has an estimate and may be called stalled."""
MOST_FILES = 6
"""So many files of a job are shown: more streams than that hardly run at once."""
_ICONS: Mapping[str, str] = {
    JobKind.PULL: "down", JobKind.UPDATE: "down", JobKind.MOVE: "right", JobKind.VERIFY: "eye", JobKind.LOAD: "running",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Decision:
    """Something that waits for a person."""

    name: str
    what: str
    means: str
    command: str


@dataclass(frozen=True, slots=True)
class Verb:
    """What a person may do with a job."""

    name: str
    """As `/jobs/ID/NAME` takes it."""
    icon: str
    label: str


_PAUSE = Verb("pause", "pause", "Pause")
_RESUME = Verb("resume", "running", "Resume")
_CANCEL = Verb("cancel", "close", "Cancel")
_RETRY = Verb("retry", "again", "Retry now")
_FIRST = Verb("first", "top", "Put first")
_LAST = Verb("last", "bottom", "Put last")


def verbs_of(state: str, *, is_part: bool = False) -> list[Verb]:
    """Return what a person may do with a job that isn't over; a part of another one ends or pauses with that.

    >>> [verb.name for verb in verbs_of("queued")]
    ['first', 'last', 'pause', 'cancel']

    >>> [verb.name for verb in verbs_of("waiting")], [verb.name for verb in verbs_of("paused")]
    (['retry', 'pause', 'cancel'], ['resume', 'cancel'])
    >>> verbs_of("running", is_part=True)
    []
    """
    if is_part:
        return {PAUSED: [_RESUME], WAITING: [_RETRY]}.get(state, [])
    if state == PAUSED:
        return [_RESUME, _CANCEL]
    if state == QUEUED:
        return [_FIRST, _LAST, _PAUSE, _CANCEL]
    return [_RETRY, _PAUSE, _CANCEL] if state == WAITING else [_PAUSE, _CANCEL]


@dataclass(frozen=True, slots=True)
class FileRow:
    """A file of a job."""

    path: str
    done: int
    total: int
    label: str


@dataclass(frozen=True, slots=True)
class JobRow:
    """A job that isn't over."""

    id: int
    icon: str
    name: str
    path: str
    verb: str
    tiers: Sequence[tuple[str, str]]
    """Class and name of the tiers: where it is, and where it goes."""
    why: str
    spark: str
    """The path of its rate in the last minute, 100 by 20; empty without one."""
    rate: str
    behind: str
    stalled: bool
    css: str
    """The class of its bar."""
    done: int
    total: int
    label: str
    share: str
    files: Sequence[FileRow]
    """Files that aren't whole yet, those that are being worked on first."""
    is_kid: bool
    """Whether the job above it caused it."""
    verbs: Sequence[Verb]


@dataclass(frozen=True, slots=True)
class Past:
    """A job that is over."""

    icon: str
    css: str
    result: str
    name: str
    path: str
    what: str
    size: str
    after: str
    """From when it was asked for until it ended, pauses included."""
    why: str
    ended: str
    exact: str


@dataclass(frozen=True, slots=True)
class ActivityPage:
    """The jobs."""

    summary: str
    decisions: Sequence[Decision]
    undecided: int
    """How many more wait for a decision."""
    jobs: Sequence[JobRow]
    history: Sequence[Past]
    earlier: str
    """The address of the page with the jobs before these; empty if there is none."""


def activity_page(
    look: Look, failures: Mapping[int, Job], past: Sequence[Job], courses: Mapping[int, Sequence[int]]
) -> ActivityPage:
    """Return the jobs.

    Args:
        look: The library.
        failures: The newest jobs of the failed models that are shown, by the models' ids.
        past: The jobs of this page that are over, newest first.
        courses: The rates of running jobs in the last minute, by their ids.
    """
    rows = {row.id: row for row in look.models}
    names = {row.model_name for row in look.models}
    return ActivityPage(
        summary=_summary(look.jobs, {number for number, course in courses.items() if len(course) >= STEADY}),
        decisions=[_decision(row, failures.get(row.id)) for row in look.failed[:MOST_DECISIONS]],
        undecided=len(look.failed[MOST_DECISIONS:]),
        jobs=[_job(look, job, rows, courses.get(job.id, ()), is_kid=is_kid) for job, is_kid in _in_order(look.jobs)],
        history=[_past(job, look.now_s, is_here=job.model_name in names) for job in past],
        earlier=f"/activity?after={past[-1].id}" if len(past) == HISTORY else "",
    )


def _in_order(jobs: Sequence[Job]) -> list[tuple[Job, bool]]:
    """Return the running ones first, then the others as they will begin, each before those that it caused."""
    kids: dict[int, list[Job]] = {}
    known = {job.id for job in jobs}
    for job in jobs:
        if job.parent_id in known:
            kids.setdefault(job.parent_id or 0, []).append(job)
    top = [job for job in jobs if job.parent_id not in known]
    top.sort(key=lambda job: (job.state != RUNNING, -job.priority, job.id))
    found: list[tuple[Job, bool]] = []
    for job in top:
        found += [(job, False), *((kid, True) for kid in kids.get(job.id, []))]
    return found


def _summary(jobs: Sequence[Job], steady: Collection[int]) -> str:
    running = [job for job in jobs if job.state == RUNNING]
    paused = sum(job.state == PAUSED for job in jobs)
    waits = len(jobs) - len(running) - paused
    stalled = sum(job.id in steady and jobs_words.is_stalled(job) for job in running)
    down = sum(job.rate_bytes_per_s for job in running if job.kind in (JobKind.PULL, JobKind.UPDATE))
    parts = [f"{len(running)} running", f"{waits} waiting"]
    parts += [f"{paused} paused"] if paused else []
    parts += [f"{stalled} stalled"] if stalled else []
    parts += [f"{words.size(down)}/s down"] if down else []
    return " · ".join(parts) if jobs else "Nothing runs or waits."


def _decision(row: ModelRow, job: Job | None) -> Decision:
    hint = _hint(job.error) if job is not None else ""
    what = f"{row.model_name}: {_title(job.error) if job is not None else 'failed'}"
    return Decision(row.model_name, what, f"{row.job_detail} {hint}".strip(), f"shelf pull {row.model_name}")


def _problem(error: str) -> Mapping[str, object]:
    try:
        found = json.loads(error) if error else {}
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _hint(error: str) -> str:
    return str(_problem(error).get("hint", ""))


def _title(error: str) -> str:
    return str(_problem(error).get("title", "failed")).lower()


def _job(look: Look, job: Job, rows: Mapping[int, ModelRow], course: Sequence[int], *, is_kid: bool) -> JobRow:
    row = rows.get(job.model_id or 0) or next((row for row in look.models if row.model_name == job.model_name), None)
    tiers = [_tier(row.cache_location, look.bases[row.id])] if row is not None else []
    to = jobs_words.target(job)
    if to is not None:
        tiers.append(_tier(*to))
    files = files_of(job.files)
    runs, is_steady = job.state == RUNNING, len(course) >= STEADY
    stalled = jobs_words.is_stalled(job) and is_steady
    rate = f"{words.size(job.rate_bytes_per_s)}/s" if runs and (job.rate_bytes_per_s or stalled) else "–"
    return JobRow(
        id=job.id,
        icon=_icon(job, stalled=stalled),
        name=job.model_name or jobs_words.verb(job.kind),
        path=_path(job) if row is not None else "",
        verb=jobs_words.verb(job.kind) if job.model_name else "",
        tiers=tiers,
        why=_why(job, row, stalled=stalled),
        spark=sparkline(course) if runs else "",
        rate=rate,
        behind=_behind(job, stalled=stalled) if is_steady else "",
        stalled=stalled,
        css="stall" if stalled else "off" if not runs else tiers[-1][0] if tiers else "",
        done=job.done_bytes,
        total=job.total_bytes,
        label=f"{words.size(job.done_bytes)} of {words.size(job.total_bytes)}"
        + (f", {job.phase}" if job.phase else "")
        + (f", {files.done} of {files.total} files" if files.total > 1 else ""),
        share=words.percent(job.done_bytes, job.total_bytes) if job.total_bytes else "",
        files=_files(files),
        is_kid=is_kid,
        verbs=[verb for verb in verbs_of(job.state, is_part=is_kid) if _takes(job, verb)],
    )


def _path(job: Job) -> str:
    return f"/models/{quote(job.model_name, safe='')}"


def _takes(job: Job, verb: Verb) -> bool:
    return (verb is not _CANCEL or can_be_cancelled(job)) and (verb is not _PAUSE or can_be_paused(job))


def _behind(job: Job, *, stalled: bool) -> str:
    if stalled:
        return "no estimate"
    return "" if job.eta_s is None else f"about {words.seconds(job.eta_s)} left"


def _files(files: JobFiles) -> list[FileRow]:
    """Return the files that aren't whole yet; a job of one file has its own bar."""
    left = [file for file in files.listed if file.done_bytes < file.total_bytes] if files.total > 1 else []
    left.sort(key=lambda file: not file.done_bytes)
    return [FileRow(file.path, file.done_bytes, file.total_bytes, _file_label(file)) for file in left[:MOST_FILES]]


def _file_label(file: JobFile) -> str:
    if not file.done_bytes:
        return f"waits, {words.size(file.total_bytes)}"
    return f"{words.size(file.done_bytes)} of {words.size(file.total_bytes)}"


def _icon(job: Job, *, stalled: bool) -> str:
    if stalled:
        return "warn"
    if job.state == PAUSED:
        return "pause"
    return _ICONS.get(job.kind, "activity") if job.state == RUNNING else "clock"


def _tier(location: str, base: str) -> tuple[str, str]:
    return words.tier_class(location), words.tier_said(location, base)


def _why(job: Job, row: ModelRow | None, *, stalled: bool) -> str:
    if stalled:
        return "No data for some seconds; what arrived is kept, and it goes on by itself."
    if job.state == PAUSED:
        return "paused; what arrived is kept"
    if job.state in (QUEUED, WAITING):
        return job.detail or "in the queue"
    repo = row.hf_path if row is not None else ""
    phase = "" if job.total_bytes else job.phase
    return " · ".join(part for part in (repo, phase, job.reason, job.detail) if part)


_RESULTS = {"done": ("done", ""), FAILED: ("cross", "bad"), CANCELLED: ("close", "")}


def _past(job: Job, now_s: float, *, is_here: bool) -> Past:
    icon, css = _RESULTS.get(job.state, ("info", ""))
    done = job.state == "done"
    return Past(
        icon=icon,
        css=css,
        result=job.state,
        name=job.model_name or jobs_words.verb(job.kind),
        path=_path(job) if is_here else "",
        what=jobs_words.verb(job.kind, 2) if done else f"{jobs_words.verb(job.kind)} {job.state}",
        size=words.size(job.done_bytes) if job.done_bytes else "–",
        after=words.seconds((job.finished_at or now_s) - job.created_at),
        why=job.reason or ("" if done else job.detail),
        ended=words.ago(job.finished_at, now_s),
        exact=words.exact(job.finished_at),
    )
