"""Which service carries out which kind of job, and what follows it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Protocol

from modelshelf.domain.job_params import OldCopy, params_of
from modelshelf.domain.jobs import JobKind

if TYPE_CHECKING:
    from collections.abc import Callable

    from modelshelf.bootstrap.parts import Parts
    from modelshelf.services.jobs.running import Running


class _RunsJobs(Protocol):
    """A service that carries out jobs of a kind."""

    def run(self, running: Running) -> None:
        """Carry one out."""


def job_handlers(parts: Parts) -> dict[str, Callable[[Running], None]]:
    """Return the function that runs each kind of job; a service is made with its first job."""
    changes: dict[JobKind, Callable[[], _RunsJobs]] = {
        JobKind.ADOPT: lambda: parts.everything,
        JobKind.PULL: lambda: parts.puller,
        JobKind.MOVE: lambda: parts.mover,
        JobKind.UPDATE: lambda: parts.updater,
        JobKind.GC: lambda: parts.collector,
        JobKind.DEDUPE: lambda: parts.deduper,
        JobKind.VERIFY: lambda: parts.verifier,
        JobKind.MIRROR: lambda: parts.mirror_jobs,
    }
    handlers: dict[str, Callable[[Running], None]] = {
        JobKind.RECONCILE: partial(_reconcile, parts),
        JobKind.VIEW_SYNC: partial(_sync_views, parts),
        JobKind.DELETE_OLD_COPY: partial(_delete_old_copy, parts),
    }
    return handlers | {kind: partial(_change, parts, service) for kind, service in changes.items()}


def _change(parts: Parts, service: Callable[[], _RunsJobs], running: Running) -> None:
    """Carry out a job, which may change where models are; then make views true, and note what the tiers hold."""
    service().run(running)
    parts.keeper.after_change()
    parts.history.after_change()


def _reconcile(parts: Parts, running: Running) -> None:
    """Reconcile, merge what programs fetched over the links of a view, and look at each link again."""
    parts.reconciler.run(running)
    parts.view_merger.run(running.progress)
    parts.keeper.after_change(look=True)
    parts.history.after_change()


def _sync_views(parts: Parts, running: Running) -> None:
    parts.view_syncer.run(running)


def _delete_old_copy(parts: Parts, running: Running) -> None:
    """Delete an old copy, then note what the tiers hold, unless only a sidecar went."""
    parts.old_copies.run(running)
    if params_of(running.job, OldCopy).files:
        parts.history.after_change()
