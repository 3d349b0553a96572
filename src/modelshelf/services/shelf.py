"""The library as Python sees it: what `modelshelf.open()` returns, over the same services as the other faces."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelshelf.domain.adopt import AdoptRequest, adopt_mode_of
from modelshelf.domain.jobs import RUNNING, UNFINISHED, Job
from modelshelf.domain.models import Model, Registration, State
from modelshelf.domain.names import ModelName, RefName, RepoId
from modelshelf.domain.outcomes import Freed, Removed
from modelshelf.domain.patterns import patterns_of
from modelshelf.domain.tiers import TierStatus
from modelshelf.domain.verify_report import VerifyReport
from modelshelf.errors import BadInput, Cancelled, Conflict, ShelfError
from modelshelf.registry.registry import Registry
from modelshelf.schemas.adopt import AdoptPlanJson
from modelshelf.services.adopt.adopt import Adopter
from modelshelf.services.catalog.models import Library
from modelshelf.services.jobs.runner import BackgroundJobs, Jobs, Running, Worker
from modelshelf.services.lifecycle.move import Mover
from modelshelf.services.lifecycle.pull import refresh_sidecar
from modelshelf.services.lifecycle.register import Registrar
from modelshelf.services.lifecycle.remove import Remover
from modelshelf.services.lifecycle.update import Updater
from modelshelf.services.maintenance.reconcile import Reconciled, Reconciler
from modelshelf.services.maintenance.verify import Verifier, read_report
from modelshelf.services.space.delete_old_copy import read_freed
from modelshelf.services.space.reservations import Admission
from modelshelf.services.space.tiers import TierService
from modelshelf.store.layout import Base
from modelshelf.store.tiers import sidecars

if TYPE_CHECKING:
    from modelshelf.domain.ports import Clock
    from modelshelf.services.catalog.leases import Leaser
    from modelshelf.services.maintenance.dedupe import Deduper
    from modelshelf.services.maintenance.gc import Collector
    from modelshelf.services.serving.load import Loader

_LOOK_AGAIN_S = 0.1


@dataclass(frozen=True)
class Shelf:
    """One library of models."""

    registry: Registry
    library: Library
    tier_service: TierService
    admission: Admission
    registrar: Registrar
    remover: Remover
    mover: Mover
    verifier: Verifier
    updater: Updater
    reconciler: Reconciler
    adopter: Adopter
    leaser: Leaser
    loader: Loader
    collector: Collector
    deduper: Deduper
    job_service: Jobs
    clock: Clock
    behind: BackgroundJobs = field(default_factory=BackgroundJobs)

    def register(
        self,
        model_name: str,
        hf_path: str,
        cache_location: str = "primary",
        cache_path: str | None = None,
        *,
        revision: str = "main",
        allow_patterns: Sequence[str] = (),
        pinned: bool = False,
        download: bool = True,
    ) -> Model:
        """Add a model and download it; returns it when that is done.

        Args:
            model_name: Our name for it.
            hf_path: The repository on the hub, `org/name`.
            cache_location: `primary`, `secondary` or `custom`.
            cache_path: The base of a custom location.
            revision: A branch, a tag or a commit hash.
            allow_patterns: Shell patterns of the files wanted; all without one.
            pinned: Never evict it.
            download: False leaves the download for later; what is on the tier already is taken at once.

        Raises:
            BadInput, Conflict, NotFound, Denied, OutOfSpace: Refused; nothing was changed.
            Unavailable: The model is registered and its download waits: the hub or the tier is away.
        """
        patterns = patterns_of(allow_patterns)
        wanted = Registration(
            ModelName(model_name), RepoId(hf_path), cache_location, cache_path, RefName(revision), patterns, pinned
        )
        plan = self.registrar.register(wanted)
        if download or plan.is_here:
            self.pull(model_name)
        return self.library.model(model_name)

    def pull(self, model_name: str, on_tick: Callable[[Job], None] | None = None) -> Job:
        """Download a registered model; returns the finished job. See `finish`.

        Raises:
            NotFound: There is no such model, or the hub does not have it.
            OutOfSpace: It does not fit.
            Unavailable: The hub or the tier is away; the job waits in the registry.
        """
        return self.finish(self.registrar.enqueue_pull(model_name), on_tick)

    def move(
        self,
        model_name: str,
        cache_location: str,
        cache_path: str | None = None,
        *,
        keep_source: bool = False,
        on_tick: Callable[[Job], None] | None = None,
    ) -> Model:
        """Move a model to another tier; returns it as it is then.

        The old copy is deleted at once, or when the last program that uses it has ended.

        Args:
            model_name: The model.
            cache_location: `primary`, `secondary` or `custom`.
            cache_path: The base of a custom location.
            keep_source: Leave the old copy where it is.
            on_tick: Called about twice a second with the job as it is.

        Raises:
            BadInput: There is no such tier, or it lies there already.
            NotFound, Conflict: There is no such model, or it is not whole.
            OutOfSpace: It does not fit.
            Corrupt: A blob is damaged.
            Unavailable: A tier is offline.
        """
        try:
            job = self.mover.enqueue(model_name, cache_location, cache_path, keep_source=keep_source)
        except BadInput:
            self.run_due("delete_old_copy")  # it lies there already, and what a killed process left goes now
            raise
        self.finish(job, on_tick)
        self.run_due("delete_old_copy")
        return self.library.model(model_name)

    def update(self, model_name: str, *, keep_old: bool = False, on_tick: Callable[[Job], None] | None = None) -> Model:
        """Take a newer commit of the revision that a model follows; returns the model as it is then.

        It can be loaded all the time: the old snapshot serves until the new one is whole and verified.

        Args:
            model_name: The model.
            keep_old: Leave the old snapshot where it is.
            on_tick: Called about twice a second with the job as it is.

        Raises:
            NotFound, Denied, Conflict, BadInput, Unavailable: See `Updater.plan`; nothing was changed.
            OutOfSpace, Corrupt: The new commit does not fit, or arrived damaged; the model stays as it was.
        """
        self.admission.recover_dead_owners()
        for job in self.registry.jobs(kind="update", state=UNFINISHED):  # what a killed update left comes first
            if job.model_name == model_name:
                self.finish(job, on_tick)
        plan = self.updater.plan(model_name, keep_old=keep_old)
        if not plan.is_current:
            self.finish(self.updater.enqueue(plan), on_tick)
        self.run_due("delete_old_copy")
        return self.library.model(model_name)

    def reconcile(self, more: Sequence[str] = ()) -> Reconciled:
        """Bring registry and disks together; see `Reconciler.reconcile`."""
        self.admission.recover_dead_owners()
        return self.reconciler.reconcile(more)

    def adopt(
        self,
        path: str,
        mode: str,
        to: str = "primary",
        *,
        merge: bool = False,
        copy: bool = False,
        repo_id: str = "",
        dry_run: bool = False,
        on_tick: Callable[[Job], None] | None = None,
    ) -> dict[str, Any]:
        """Adopt what other tools downloaded; returns what was done, or with `dry_run` what would be.

        Args:
            path: The folder, such as `~/.cache/huggingface`.
            mode: `leave` it, `move` it, or move it and `link` the old path to the new base.
            to: Where models go: `primary`, `secondary`, or the path of a base.
            merge: Delete second copies of registered models, once the first was verified.
            copy: Copy what belongs to another program and cannot be linked.
            repo_id: The repository of a `local_dir`, whose notes do not name it.
            dry_run: Change nothing of what was found.
            on_tick: Called about twice a second with the job as it is.

        Raises:
            BadInput, NotFound, Conflict, Denied, OutOfSpace: Refused; nothing was changed.
            Unavailable: A tier is away, or a model is in use; the same call later finishes.
        """
        wanted = AdoptRequest(path, adopt_mode_of(mode), to, merge, copy, repo_id)
        if dry_run:
            return asdict(AdoptPlanJson.of(self.adopter.plan(wanted)))
        self.admission.recover_dead_owners()
        found: dict[str, Any] = json.loads(self.finish(self.adopter.enqueue(wanted), on_tick).result)
        return found

    def verify(
        self,
        model_names: Sequence[str] = (),
        *,
        max_age_s: float | None = None,
        rate_bytes_per_s: int | None = None,
        repair: bool = False,
        on_tick: Callable[[Job], None] | None = None,
    ) -> VerifyReport:
        """Read models, or everything on every tier, and return what is wrong with them.

        Args:
            model_names: The models; everything without one, registered or not.
            max_age_s: Leave out blobs that were verified not longer ago, and not written since.
            rate_bytes_per_s: How much is read in a second; None: as fast as it goes.
            repair: Set damage aside, and bring good bytes from another tier, else from the hub.
            on_tick: Called about twice a second with the job as it is.

        Raises:
            NotFound: There is no such model.
            Unavailable: Its tier is offline.
        """
        job = self.verifier.enqueue(model_names, max_age_s=max_age_s, rate_bytes_per_s=rate_bytes_per_s, repair=repair)
        return read_report(self.finish(job, on_tick).result)

    def finish(self, job: Job, on_tick: Callable[[Job], None] | None = None) -> Job:
        """Carry out a job here, or wait for the process that is at it; returns it finished.

        Args:
            job: The job.
            on_tick: Called about twice a second with the job as it is.

        Raises:
            ShelfError: What it failed with, or waits for.
            Cancelled: Somebody ended it.
        """
        self.run_due("delete_old_copy")  # what one who was killed left comes first
        while True:
            self.admission.recover_dead_owners()
            self.job_service.check_reach(self.registry.job(job.id))
            mine = self.job_service.claim(job)
            if mine is not None:
                self.job_service.run(Running(mine, on_tick))
                return self.registry.job(job.id)
            job = self.registry.job(job.id)
            if job.finished_at is not None:
                return _outcome(job)
            if on_tick is not None:
                on_tick(job)
            self.clock.sleep(0.5)

    def start_in_background(self, job: Job) -> None:
        """Carry out a job in a thread of its own; when the library is closed, it goes back into the queue."""
        mine = self.job_service.claim(job)
        if mine is not None:
            self.behind.start(self.job_service, Running(mine))

    def run_inside(self, job: Job, outer: Running) -> None:
        """Carry out a job as a part of another one, whose progress it shows and with which it stops.

        Raises:
            ShelfError: What it failed with, or waits for; another process may be at it.
            Cancelled: The outer one was stopped; both are back in the queue.
        """
        mine = self.job_service.claim(job)
        if mine is None:
            raise Conflict(f"Another process runs job {job.id}.", hint="Wait for it.", job_id=job.id)
        inner = Running(mine)
        inner.progress = outer.progress
        self.job_service.run(inner)

    def run_due(self, kind: str) -> None:
        """Carry out the jobs of one kind that are due; what they wait for is left to the next time."""
        self.admission.recover_dead_owners()
        for job in self.registry.jobs(kind=kind, state=UNFINISHED):
            mine = self.job_service.claim(job)
            if mine is not None:
                with contextlib.suppress(ShelfError):
                    self.job_service.run(Running(mine))

    def settle(self, kind: str) -> None:
        """Carry out the jobs of one kind that are due; returns when nobody else is at one either."""
        self.run_due(kind)
        while self.registry.jobs(kind=kind, state=(RUNNING,)):
            self.clock.sleep(_LOOK_AGAIN_S)
            self.run_due(kind)

    def load(self, model_name: str, **options: Any) -> tuple[Any, Any]:
        """Return model and tokenizer through transformers; see `Loader.load`."""
        return self.loader.load(model_name, **options)

    def path(self, model_name: str) -> Path:
        """Return the snapshot folder of a model; see `Library.path`."""
        return self.library.path(model_name)

    def models(self) -> list[Model]:
        """Return all models as they are now, by name."""
        return self.library.models()

    def model(self, model_name: str) -> Model:
        """Return one model as it is now."""
        return self.library.model(model_name)

    def set_pin(self, model_name: str, *, pinned: bool, reason: str = "") -> Model:
        """Note the wish that a model is never evicted, or that it may be; returns it."""
        self.registry.set_pin(self.library.row(model_name).id, pinned=pinned, reason=reason)
        model = self.library.model(model_name)
        refresh_sidecar(self.registry, model)
        return model

    def rename(self, model_name: str, new_name: str) -> Model:
        """Give a model another name; returns it.

        Raises:
            BadInput, Conflict: The name is invalid or taken, or a job is working on the model.
        """
        new_name = ModelName(new_name)
        model = self.library.model(model_name)
        if model.row.job_state in UNFINISHED:
            raise Conflict(
                f"Job {model.row.job_id} is working on {model_name}.", hint=f"shelf cancel {model.row.job_id}"
            )
        if model.state is not State.OFFLINE:
            tier = self.tier_service.tiers.resolve(model.row.cache_location, model.row.cache_path)
            self.tier_service.check_storable(tier, model.row.hf_path, (), new_name)
        self.registry.rename(model.row.id, new_name)
        renamed = self.library.model(new_name)
        refresh_sidecar(self.registry, renamed)
        if model.state is not State.OFFLINE:
            sidecars.remove(Base(Path(model.base)), model.row.model_name)
        return renamed

    def tiers(self, *, rescan: bool = False) -> list[TierStatus]:
        """Return every tier with what it holds."""
        return [self.tier_service.status(tier, rescan=rescan) for tier in self.tier_service.all()]

    def remove(self, model_name: str, *, delete_files: bool = False) -> Removed:
        """Forget a model; see `Remover.remove`.

        Raises:
            Unavailable: It is forgotten, and somebody opened its files in that instant: they go when that ends.
        """
        self.run_due("delete_old_copy")
        needed_by = self.remover.adapters.needing(self.library.row(model_name))
        plan, kept, job = self.remover.remove(model_name, delete_files=delete_files)
        freed = Freed()
        if job is not None and delete_files:
            freed = read_freed(self.finish(job))
        self.run_due("delete_old_copy")  # the sidecar alone; where its drive is away, once that is back
        return Removed(model_name, plan, freed, kept, needed_by)

    def worker(self) -> Worker:
        """Return threads that carry out jobs, for a server."""
        return Worker(self.job_service, self.admission.recover_dead_owners)

    def close(self) -> None:
        """Stop what goes on behind, and give back what is open."""
        self.behind.stop()
        self.registry.close()

    def __enter__(self) -> Shelf:
        """Return itself."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Close."""
        self.close()


def _outcome(job: Job) -> Job:
    """Return a job that another process finished well; raise what it failed with."""
    if job.state == "done":
        return job
    if job.state == "cancelled":
        raise Cancelled
    raise ShelfError.from_dict({"detail": job.detail} | json.loads(job.error or "{}"))
