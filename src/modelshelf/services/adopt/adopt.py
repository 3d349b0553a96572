"""Adopting other tools' downloads as `planner` decides: register in place, and move with the machinery of `move`.

A cache that is to move is first registered in place, so that every model can be loaded all the time; then each model
moves as any other does. **Crash:** every step finds what the one before it left; the same command again finishes.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from modelshelf.domain.adopt import (
    Act,
    Adoption,
    AdoptMode,
    AdoptPlan,
    AdoptRequest,
    Done,
    Order,
    with_need,
)
from modelshelf.domain.adopt_inventory import Inventory, Origin
from modelshelf.domain.job_params import MoveParams, OldCopy, params_of
from modelshelf.domain.jobs import QUEUED, UNFINISHED, Cause, Job, JobKind
from modelshelf.domain.tiers import CUSTOM
from modelshelf.errors import BadInput, Cancelled, ShelfError, Unavailable
from modelshelf.registry.registry import Registry
from modelshelf.schemas.adopt import AdoptedJson
from modelshelf.schemas.json_object import to_json
from modelshelf.services.adopt import needs
from modelshelf.services.adopt.folder import folder_of
from modelshelf.services.adopt.fresh_looks import FreshLooks
from modelshelf.services.adopt.import_models import ModelImporter
from modelshelf.services.adopt.link_old_path import Linker
from modelshelf.services.adopt.other_programs import OtherPrograms
from modelshelf.services.adopt.planner import AdoptPlanner
from modelshelf.services.adopt.take_strays import StrayTaker
from modelshelf.services.catalog.models import Library
from modelshelf.services.jobs.runner import JobRunner
from modelshelf.services.jobs.running import Running
from modelshelf.services.lifecycle.move import Mover
from modelshelf.services.space.tiers import TierService, destination
from modelshelf.store.adopt import inventory
from modelshelf.store.gc import open_files
from modelshelf.store.repos import scan

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Adopter:
    """Adopts other tools' downloads."""

    registry: Registry
    library: Library
    tiers: TierService
    importer: ModelImporter
    linker: Linker
    others: OtherPrograms
    planner: AdoptPlanner
    mover: Mover
    runner: JobRunner
    looks: FreshLooks

    def enqueue(self, wanted: AdoptRequest) -> Job:
        """Return a new job for this plan, after its checks, or the one that a killed process left.

        Raises:
            BadInput, NotFound, OutOfSpace, Conflict, Denied, Unavailable: See `plan`.
        """
        path = folder_of(wanted.path)
        exact = replace(wanted, path=str(path))
        if not self._is_linked(wanted, path):
            found = self.planner.look(wanted)
            self.planner.plan(wanted, found)
            self.looks.keep(exact, found)
        return self.runner.enqueue_once(exact)

    def enqueue_strays(self) -> list[Job]:
        """Return jobs that take in the models beside the `hub` of the settings' bases, except unfinished ones."""
        found = StrayTaker(self.tiers, self.importer, self.planner.decide).bases()
        wanted = (AdoptRequest(tier.base, AdoptMode.MOVE, tier.location, merge=True, strays=True) for tier in found)
        return [self.runner.enqueue_once(request) for request in wanted]

    def run(self, running: Running) -> None:
        """Run an adopt job of one folder; the report becomes its result."""
        wanted = params_of(running.job, AdoptRequest)
        result = self.adopt(wanted, running, self.looks.take(wanted))
        self.registry.update_job(running.job.id, {"result": to_json(result)})

    def adopt(self, wanted: AdoptRequest, running: Running, found: Inventory | None = None) -> AdoptedJson:
        """Adopt one folder as a part of a job; return the report.

        Args:
            wanted: What is wanted.
            running: The job.
            found: What `look` has just seen.

        Raises:
            BadInput, NotFound, OutOfSpace, Conflict, Denied, Unavailable: See `plan`.
        """
        done, path = Done(), folder_of(wanted.path)
        if wanted.strays:
            StrayTaker(self.tiers, self.importer, self.planner.decide).take(path, wanted.to, running, done)
            nothing = AdoptPlan(Order(wanted.mode, str(path), wanted.to, str(path), wanted.to), (), ())
            return AdoptedJson.done(nothing, done, nothing, "")
        if self._is_linked(wanted, path):
            kept = self.linker.finish(path)
            target = self.tiers.settings.resolve(*destination(wanted.to))
            nothing = AdoptPlan(Order(wanted.mode, str(path), CUSTOM, target.base, target.location), (), ())
            return AdoptedJson.done(nothing, done, nothing, str(kept))
        running.progress.phase("looking")
        found = found or self.planner.look(wanted)
        path, order = Path(found.path), self.planner.order(wanted, found)
        if any(job.kind in (JobKind.MOVE, JobKind.DELETE_OLD_COPY) for job in self.registry.jobs(state=UNFINISHED)):
            self._finish_moves(order, running)
            self.runner.settle(JobKind.DELETE_OLD_COPY)
            found = inventory.find(path, wanted.repo_id)
        backup = ""
        if self.planner.is_of_others(found):
            plan = self.planner.decide(found, order)
            for adoption in plan.of(Act.BRING):
                self._attempt(done, adoption, partial(self._bring, adoption, order, wanted, running, done))
        else:
            plan = self._adopt_base(order, path, found, running, done)
            backup = str(self.linker.make(order)) if order.mode is AdoptMode.LINK else ""
        left = plan if backup else self._left(path, found, wanted, order)
        return AdoptedJson.done(plan, done, left, backup)

    def _left(self, path: Path, found: Inventory, wanted: AdoptRequest, order: Order) -> AdoptPlan:
        """Return what another run would do; a folder in which only models were registered isn't scanned again."""
        is_touched = order.mode is not AdoptMode.LEAVE or any(m.lost or m.kind is Origin.STRAY for m in found.models)
        return self.planner.decide(inventory.find(path, wanted.repo_id) if is_touched else found, order)

    def _is_linked(self, wanted: AdoptRequest, path: Path) -> bool:
        """Return whether nothing is left to do for a link, or only the link itself."""
        return wanted.mode is AdoptMode.LINK and (self.linker.is_halfway(path) or self.linker.is_linked(path))

    def _adopt_base(self, order: Order, path: Path, found: Inventory, running: Running, done: Done) -> AdoptPlan:
        """Register what is in a base, then move it."""
        self.tiers.open_to_write(self.importer.tier(order.location, order.base))
        if order.mode is not AdoptMode.LEAVE:
            self.importer.drop_brought(order)
            found = inventory.find(path)
        plan = self.planner.decide(found, order)
        first = with_need(plan, needs.size_bytes(plan), "", ())
        if any(model.kind.value == "stray" for model in found.models):
            done.left += self.importer.bring_strays(plan, running)
            plan = self.planner.decide(inventory.find(path), order)
        registering = plan.of(Act.REGISTER) + [a for a in plan.of(Act.MOVE) if not self._is_here(a, order)]
        names, troubles = self.importer.register(order, registering, running)
        done.registered += names
        done.left += troubles
        for adoption in plan.of(Act.MERGE):
            self._attempt(done, adoption, partial(self._merge, adoption, order, running, done))
        for adoption in plan.of(Act.MOVE):
            if self._is_here(adoption, order):
                self._attempt(done, adoption, partial(self._move, adoption.model_name, order, running, done))
        self.runner.settle(JobKind.DELETE_OLD_COPY)
        if order.mode is not AdoptMode.LEAVE:
            done.left += self.linker.carry(plan, running)
        if order.mode is AdoptMode.LINK:
            self._check_left(order, done)
        return first

    def _attempt(self, done: Done, adoption: Adoption, work: Callable[[], None]) -> None:
        """Do something with one model; if it fails, the other models are still done."""
        try:
            work()
        except (Unavailable, Cancelled):
            raise
        except ShelfError as err:
            _log.warning("not_adopted", extra={"model": adoption.model_name, "detail": err.detail})
            done.left.append(f"{adoption.found.repo_id}: {err.detail}")

    def _move(self, model_name: str, order: Order, running: Running, done: Done) -> None:
        base = order.target if order.target_location == CUSTOM else None
        cause = Cause("Adopted into this library.", running.job.id)
        move = self.mover.enqueue(model_name, order.target_location, base, keep_source=False, cause=cause)
        self.runner.run_inside(move, running)
        done.moved.append(model_name)

    def _finish_moves(self, order: Order, running: Running) -> None:
        """Finish the moves to the same base that a killed process left."""
        for job in reversed(self.registry.jobs(kind=JobKind.MOVE, state=(QUEUED,))):
            with contextlib.suppress(ShelfError):
                is_left = self.registry.model(job.model_name) is not None
                if is_left and params_of(job, MoveParams).cache_path == order.target:
                    self.runner.run_inside(job, running)

    def _merge(self, adoption: Adoption, order: Order, running: Running, done: Done) -> None:
        try:
            done.left += self.importer.merge(adoption, order, running)
        except Unavailable as err:  # somebody uses the old copy: adopt doesn't wait for that
            done.left.append(f"{adoption.found.repo_id}: {err.detail}")
        else:
            done.merged.append(adoption.copy_of)

    def _bring(self, adoption: Adoption, order: Order, wanted: AdoptRequest, running: Running, done: Done) -> None:
        """Take in another program's model and, if asked, let links take the place of its files."""
        read, links = self.others.read(adoption.found, running), order.mode is AdoptMode.LINK
        found = read.found
        held = self.others.holder(found) if links else None
        if held is not None or self.others.is_registered(found):
            name = held[0].row.model_name if held is not None else adoption.model_name
            is_other = held is not None and held[0].hf_path != found.repo_id
            done.notes.append(f"{found.repo_id} {f'is {name}' if is_other else 'was there already'}.")
        else:
            adoption = replace(adoption, found=found)
            how = self.others.bring(adoption, order, running, copies=wanted.copy, shares_small=not links)
            done.registered.append(adoption.model_name)
            done.notes.append(f"{adoption.model_name}: {how}")
        if links:
            done.left += self.others.stand_in(read, order, running)

    def _check_left(self, order: Order, done: Done) -> None:
        """Raise if a registered model is left in the old base.

        Raises:
            Unavailable: One is in use or couldn't be moved, so the old path can't become a link yet.
        """
        rows = [row.model_name for row in self.registry.models() if self.library.base_of(row) == order.base]
        deletions = self.registry.jobs(kind=JobKind.DELETE_OLD_COPY, state=UNFINISHED)
        waits = [job.detail for job in deletions if _is_in(job, order.base)]
        users = open_files.users_of(scan.walk_files(Path(order.base)))
        waits += [f"It is used by {', '.join(users)}."] if users else []
        if rows or waits:
            why = "; ".join([*waits, *done.left]) or f"{', '.join(rows)} did not move."
            raise Unavailable(
                f"{order.base} cannot become a link yet: {why}",
                hint=f"Run it again later: shelf adopt {order.base} --link",
                path=order.base,
            )

    def _is_here(self, adoption: Adoption, order: Order) -> bool:
        row = self.registry.model(adoption.model_name) if adoption.model_name else None
        return row is not None and row.complete and self.library.base_of(row) == order.base

    def unlink(self, text: str) -> Path:
        """Undo a link; see `Linker.unlink`, and for another program's folder `OtherPrograms.give_back`."""
        path = folder_of(text)
        if not self.others.stands_in(path):
            return self.linker.unlink(path)
        self.others.give_back(path)
        return path

    def plan_unlink(self, text: str) -> Path:
        """Return what undoing a link would restore: the backup, or the folder itself; raises as `unlink` does."""
        path = folder_of(text)
        return path if self.others.stands_in(path) else self.linker.undoable(path)[1]


def _is_in(job: Job, base: str) -> bool:
    with contextlib.suppress(BadInput):
        return params_of(job, OldCopy).cache_path == base
    return False
