"""Making views true because a person asks, as a job that any process shows and stops."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from modelshelf.domain.job_params import ViewSyncParams, params_of
from modelshelf.domain.jobs import Job, result_of
from modelshelf.domain.names import ViewRoot
from modelshelf.domain.outside import object_of
from modelshelf.domain.view_kinds import ViewKind
from modelshelf.domain.views import ViewState, ViewStatus
from modelshelf.registry.registry import Registry
from modelshelf.services.jobs.runner import JobRunner
from modelshelf.services.jobs.running import Running
from modelshelf.services.views.views import Views


@dataclass(frozen=True, slots=True)
class ViewSyncer:
    """Makes views true."""

    registry: Registry
    runner: JobRunner
    views: Views

    def sync(
        self, kind: ViewKind | None = None, root: ViewRoot | None = None, on_tick: Callable[[Job], None] | None = None
    ) -> list[ViewStatus]:
        """Make views true, those of a kind and a folder or all; returns them as they are then.

        Args:
            kind: Only views of this kind.
            root: Only the view in this folder.
            on_tick: Called about twice a second with the job.

        Raises:
            NotFound: There is no such view.
            BadInput: A record can't be understood.
            Cancelled: Somebody ended it.
        """
        self.views.chosen(kind, root)
        job = self.runner.finish(self.runner.enqueue_once(ViewSyncParams(kind, root)), on_tick)
        failed = object_of(result_of(job).get("failed", {}))
        chosen = {key_of(view.kind, view.root) for view in self.views.chosen(kind, root)}
        found = [status for status in self.views.all() if key_of(status.view.kind, status.view.root) in chosen]
        return [_with_failure(status, failed) for status in found]

    def run(self, running: Running) -> None:
        """Run a job of this kind; a view that fails doesn't stop the others, and the job's result says why.

        **Crash:** a second run finds what is left.
        """
        wanted = params_of(running.job, ViewSyncParams)
        found = self.views.sync(wanted.view_kind, wanted.root, running.progress)
        failed = {key_of(one.view.kind, one.view.root): one.detail for one in found if one.state is ViewState.FAILED}
        self.registry.update_job(running.job.id, {"result": json.dumps({"failed": failed})})


def key_of(kind: ViewKind, root: str) -> str:
    """Return what tells a view from others."""
    return f"{kind} {root}"


def _with_failure(status: ViewStatus, failed: Mapping[str, object]) -> ViewStatus:
    why = failed.get(key_of(status.view.kind, status.view.root))
    return status if why is None else replace(status, state=ViewState.FAILED, detail=str(why))
