"""Bringing registry and disks together: decided from one scan, done step by step, with each step checked again.

**Crash:** the row comes before the sidecar that goes with it, and sidecars go last; the next run finds what is left.
**Concurrency:** a step is done only if the model is still as scanned and has no job; files are checked again under the
repository's lock, which every deletion there holds as well. What has changed in the meantime is left to the next run.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from modelshelf.domain.job_params import ReconcileParams, params_of
from modelshelf.domain.jobs import Job
from modelshelf.domain.names import RepoId
from modelshelf.domain.ports import Clock
from modelshelf.domain.reconcile import Action, ReconcilePlan, Step, plan_reconcile
from modelshelf.domain.sidecars import Sidecar
from modelshelf.registry.placements import Arrival
from modelshelf.registry.registry import Registry
from modelshelf.schemas.json_object import to_json
from modelshelf.schemas.reconcile import ReconciledJson
from modelshelf.services.catalog.facts import weight_format_of
from modelshelf.services.catalog.look import Look
from modelshelf.services.catalog.models import Library
from modelshelf.services.jobs.runner import JobRunner
from modelshelf.services.jobs.running import Running
from modelshelf.services.lifecycle.promote import Promoter
from modelshelf.services.maintenance.reconcile_scan import further_bases, observe
from modelshelf.services.space.other_uses import OtherUses
from modelshelf.services.space.tiers import TierService
from modelshelf.store import locks
from modelshelf.store.layout import Base
from modelshelf.store.repos import scan, snapshot
from modelshelf.store.tiers import marker, meter, sidecars

_log = logging.getLogger(__name__)
_WRITERS = 8
"""How many sidecars are made durable at a time."""


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What reconciling did."""

    plan: ReconcilePlan
    skipped: tuple[Step, ...] = ()
    """Steps that no longer applied when their turn came."""

    @property
    def done(self) -> tuple[Step, ...]:
        """The steps that were done."""
        return tuple(step for step in self.plan.steps if step not in self.skipped)


@dataclass(frozen=True, slots=True)
class Reconciler:
    """Brings registry and disks together."""

    registry: Registry
    library: Library
    tiers: TierService
    clock: Clock
    runner: JobRunner
    others: OtherUses
    promoter: Promoter

    def plan(self, more: Sequence[str] = (), look: Look | None = None) -> ReconcilePlan:
        """Return what reconciling would do; nothing is changed.

        Args:
            more: Bases to scan beside the known ones.
            look: What was read of the library already.

        Raises:
            BadInput: One of them isn't a base.
        """
        return plan_reconcile(observe(self.registry, self.tiers, more, look))

    def reconcile(self, more: Sequence[str] = (), only: Collection[Action] = tuple(Action)) -> Reconciled:
        """Bring registry and disks together; return what was done. Raises as `plan` does.

        Args:
            more: Bases to scan beside the known ones.
            only: The kinds of steps to do.
        """
        seen = observe(self.registry, self.tiers, more)
        known = self.registry.tier_ids()
        for base in seen.bases:
            if not base.offline and known.get(base.path) != base.tier_id:
                self.registry.bases.remember(base.tier_id, base.location, base.path)
        plan = plan_reconcile(seen)
        plan = replace(plan, steps=tuple(step for step in plan.steps if step.action in only))
        skipped = tuple(step for step in plan.steps if not self.carry_out(step))
        for base in seen.bases:
            if not base.offline and base.writable:
                meter.measure(Base(Path(base.path)), keep=True)
        self.note_other_uses()
        for step in skipped:
            _log.warning("not_reconciled", extra={"model": step.model_name, "why": step.why})
        return Reconciled(plan, skipped)

    def note_other_uses(self) -> None:
        """Record what other programs used since the last look, and promote what that makes worth it."""
        for row in self.others.note_all():
            used = self.registry.model(row.model_name)
            if used is not None and used.last_used_at is not None:
                self.promoter.on_other_use(self.library.model(row.model_name), used.last_used_at)

    def enqueue(self, more: Sequence[str] = ()) -> Job:
        """Return a job that reconciles, after checking that it can.

        Raises:
            BadInput: One of `more` isn't a base.
        """
        return self.runner.enqueue_once(ReconcileParams(further_bases(self.tiers, more)))

    def run(self, running: Running) -> None:
        """Run a reconcile job; the report becomes its result."""
        running.progress.phase("reconciling")
        done = self.reconcile(params_of(running.job, ReconcileParams).bases)
        self.registry.update_job(running.job.id, {"result": to_json(ReconciledJson.of(done.plan, done.skipped))})

    def carry_out(self, step: Step) -> bool:
        """Do one step; return whether it still applied."""
        base = Base(Path(step.base))
        if step.action is Action.RETAG:
            tier_id = marker.give_new_id(base)
            self.tiers.known.remember(base, tier_id)
            self.registry.bases.remember(tier_id, step.location, step.base)
            return True
        if step.action is Action.LOSE:
            assert step.row is not None
            return self.registry.placements.lose(step.row)
        assert step.sidecar is not None
        with self._locked(base, step.sidecar.hf_path):
            if step.action in (Action.ADD, Action.PLACE):
                return self._set_row(step)
            if step.action is Action.SET_REF:
                return self._set_ref(base, step.sidecar)
            return self._set_sidecar(base, step.sidecar, gone=step.action is Action.DROP_SIDECAR)

    def add(self, base: Base, steps: Sequence[Step]) -> set[str]:
        """Add whole models of one base, each with its sidecar; return the names of those whose step still applied.

        The registry is written once for all of them, and the disk waits for several sidecars at a time. A repository
        that somebody has locked comes after the others.

        **Crash:** the models are registered, and some lack a sidecar, which the next run writes.
        """
        todo: dict[Path, list[Step]] = {}
        for step in steps:
            assert step.sidecar is not None
            todo.setdefault(base.repo_lock(step.sidecar.hf_path), []).append(step)
        with locks.free_locks(base.path, list(todo)) as held:
            done = self._add(base, [step for lock in held for step in todo.pop(lock)])
        for lock, later in todo.items():
            with locks.wait_lock(base.path, lock, self.clock):
                done |= self._add(base, later)
        return done

    def _add(self, base: Base, steps: Sequence[Step]) -> set[str]:
        """Add models whose repositories' locks are held; return the names of those that were added."""
        arrivals = [found for step in steps if (found := self._arrival(step)) is not None]
        are_new = self.registry.placements.add(arrivals)
        added = [found.sidecar for found, is_new in zip(arrivals, are_new, strict=True) if is_new]
        with ThreadPoolExecutor(_WRITERS) as pool:
            sidecars.write_all(base, added, pool.map)
        return {sidecar.model_name for sidecar in added}

    def _set_row(self, step: Step) -> bool:
        arrival, placements = self._arrival(step), self.registry.placements
        if arrival is None:
            return False
        return placements.add([arrival])[0] if step.row is None else placements.place(step.row, arrival)

    def _arrival(self, step: Step) -> Arrival | None:
        """Return what the registry is told of a step's model; None if it isn't as whole as the step says."""
        sidecar, base = step.sidecar, Base(Path(step.base))
        assert sidecar is not None
        repo, selected = base.repo(sidecar.hf_path), sidecar.selected
        if step.complete and scan.missing_files(repo, sidecar.commit_hash, selected):
            return None
        signature = scan.signature(repo, sidecar.commit_hash) if step.complete else ""
        written = weight_format_of(base, sidecar.hf_path, sidecar.commit_hash, selected)
        stored = self.tiers.settings.stored_path(step.base)
        return Arrival(sidecar, step.location, stored, step.complete, signature, written)

    def _set_sidecar(self, base: Base, sidecar: Sidecar, *, gone: bool) -> bool:
        row = self.registry.model(sidecar.model_name)
        is_same = row is not None and row.hf_path == sidecar.hf_path
        is_here = row is not None and is_same and scan.is_same(Path(self.library.base_of(row)), base.path)
        if is_here == gone:
            return False
        if gone:
            sidecars.remove(base, sidecar.model_name)
        else:
            sidecars.write(base, sidecar)
        return True

    def _set_ref(self, base: Base, sidecar: Sidecar) -> bool:
        repo = base.repo(sidecar.hf_path)
        if scan.missing_files(repo, sidecar.commit_hash, sidecar.selected):
            return False
        snapshot.set_refs(repo, {sidecar.revision: sidecar.commit_hash}, overwrite=True)
        return True

    @contextlib.contextmanager
    def _locked(self, base: Base, repo_id: RepoId) -> Iterator[None]:
        """Hold a repository's lock; in a base that can't be written nobody deletes anything."""
        if not marker.is_writable(base):
            yield
            return
        with locks.wait_lock(base.path, base.repo_lock(repo_id), self.clock):
            yield
