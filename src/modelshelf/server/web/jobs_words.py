"""What a job does, in words: never a rate that wasn't measured, nor an estimate without its rate. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from modelshelf.domain.job_params import MoveParams, params_of
from modelshelf.domain.jobs import PAUSED, QUEUED, RUNNING, WAITING, Job, JobKind
from modelshelf.errors import BadInput
from modelshelf.server.web import words

_VERBS = {
    "pull": ("pull", "downloading", "pulled"),
    "move": ("move", "moving", "moved"),
    "update": ("update", "updating", "updated"),
    "verify": ("verify", "verifying", "verified"),
    "delete_old_copy": ("delete", "deleting the old copy", "deleted the old copy"),
    "gc": ("gc", "collecting garbage", "collected garbage"),
    "dedupe": ("dedupe", "sharing bytes", "shared bytes"),
    "reconcile": ("reconcile", "reconciling", "reconciled"),
    "adopt": ("adopt", "adopting", "adopted"),
    "view_sync": ("sync views", "syncing views", "synced views"),
    "evict": ("evict", "evicting", "evicted"),
    "load": ("load", "loading", "loaded"),
}


@dataclass(frozen=True, slots=True)
class Doing:
    """What a job does."""

    text: str
    behind: str
    """Its rate and the time that is left, or what it waits for."""
    stalled: bool


def verb(kind: str, form: int = 0) -> str:
    """Return the verb of a kind of job: 0 its name, 1 what it does, 2 what it did.

    >>> verb("pull", 1), verb("warm")
    ('downloading', 'warm')
    """
    return _VERBS.get(kind, (kind, kind, kind))[form]


def target(job: Job) -> tuple[str, str] | None:
    """Return location and path of the tier that a move goes to; None for another job."""
    if job.kind != JobKind.MOVE:
        return None
    try:
        params = params_of(job, MoveParams)
    except BadInput:
        return None
    return params.cache_location, params.cache_path or ""


def is_stalled(job: Job) -> bool:
    """Return whether a job that runs brings no bytes though some are left: the rate is that of the last seconds."""
    is_transfer = job.kind in (JobKind.PULL, JobKind.UPDATE, JobKind.MOVE)
    return is_transfer and job.state == RUNNING and job.rate_bytes_per_s == 0 and 0 < job.done_bytes < job.total_bytes


def doing(job: Job, now_s: float) -> Doing:
    """Return what a job does now."""
    what = verb(job.kind, 1)
    to = target(job)
    where = f" to {words.tier_said(*to)}" if to else ""
    if job.state == PAUSED:
        return Doing(f"{verb(job.kind)}{where} is paused", "", stalled=False)
    if job.state in (QUEUED, WAITING):
        return Doing(f"{what}{where} waits", job.detail or "in the queue", stalled=False)
    share = f", {words.percent(job.done_bytes, job.total_bytes)}" if job.total_bytes else ""
    if is_stalled(job):
        return Doing(f"stalled{share.replace(',', ' at', 1)}", f"0{words.NBSP}B/s, no estimate", stalled=True)
    return Doing(f"{what}{where}{share}", rate(job), stalled=False)


def rate(job: Job) -> str:
    """Return a job's rate and the time that is left, as far as they are known."""
    if job.rate_bytes_per_s <= 0:
        return job.phase
    left = "" if job.eta_s is None else f" · about {words.seconds(job.eta_s)} left"
    return f"{words.size(job.rate_bytes_per_s)}/s{left}"
