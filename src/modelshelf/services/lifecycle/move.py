"""Moving a model to another tier: first the copy, whole and verified, then the row, then the source's deletion.

At every instant the registry resolves to a complete copy: until the switch the source, which isn't touched, and after
it the target. A killed move is run again: blobs that arrived are found, one in progress resumes at its next segment,
and a switched model only has its source left to delete.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from modelshelf.domain.eviction import EvictionPlan
from modelshelf.domain.job_params import MoveParams, params_of
from modelshelf.domain.jobs import A_PERSON, Cause, Job
from modelshelf.domain.models import FileEntry, Model, ModelRow, State
from modelshelf.domain.names import COMMIT_HASH, BasePath, CommitHash, Digest, is_own_ref
from modelshelf.domain.plans import BlobNeed, MovePlan, PullPlan, plan_pull
from modelshelf.domain.ports import Clock, Progress
from modelshelf.domain.tiers import Tier, for_a_move
from modelshelf.errors import BadInput, Conflict, Corrupt, Denied, NotFound, OutOfSpace, ShelfError, Unavailable
from modelshelf.registry.registry import Registry
from modelshelf.services.catalog.models import Library
from modelshelf.services.jobs.progress import Counter
from modelshelf.services.jobs.running import Running
from modelshelf.services.lifecycle.model_sidecar import refresh_sidecar, sidecar_of
from modelshelf.services.lifecycle.pull import missing_bytes
from modelshelf.services.lifecycle.side_by_side import side_by_side
from modelshelf.services.space.delete_old_copy import old_copy
from modelshelf.services.space.enqueue_move import enqueue_move, left_move
from modelshelf.services.space.make_room import RoomMaker
from modelshelf.services.space.reservations import Reservation
from modelshelf.services.space.tiers import TierService
from modelshelf.store import locks
from modelshelf.store.blobs import copy, link_or_clone
from modelshelf.store.blobs.copy import Turn
from modelshelf.store.blobs.partial import file_agrees
from modelshelf.store.layout import Base, Repo
from modelshelf.store.os_errors import open_to_read
from modelshelf.store.repos import delete, quarantine, scan, snapshot
from modelshelf.store.repos.materialize import lay_out
from modelshelf.store.repos.verify import all_cores
from modelshelf.store.tiers import capabilities, marker, sidecars
from modelshelf.store.tiers.marker import is_writable

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Route:
    """A move's source and target."""

    row: ModelRow
    source: Base
    target: Base
    tier: Tier
    tier_id: str
    links: bool
    """Whether snapshots of the target link to their blobs."""

    @property
    def from_repo(self) -> Repo:
        """The repository's folder on the source."""
        return self.source.repo(self.row.hf_path)

    @property
    def to_repo(self) -> Repo:
        """The repository's folder on the target."""
        return self.target.repo(self.row.hf_path)

    def held(self, commit_hash: CommitHash, files: Sequence[FileEntry]) -> dict[Digest, Path]:
        """Return the model's files that the target has, by digest."""
        return snapshot.held(self.target, self.to_repo, commit_hash, files, symlinks=self.links)

    def wanted(self, commit_hash: CommitHash, files: Sequence[FileEntry]) -> PullPlan:
        """Return the model's files that the target lacks, by names and sizes."""
        return plan_pull(self.row.hf_path, commit_hash, files, snapshot.sizes(self.held(commit_hash, files)))


@dataclass(frozen=True, slots=True)
class Mover:
    """Moves models between tiers."""

    registry: Registry
    library: Library
    tiers: TierService
    room: RoomMaker
    clock: Clock

    def enqueue(
        self, model_name: str, to: str, cache_path: str | None, *, keep_source: bool, cause: Cause = A_PERSON
    ) -> Job:
        """Return the job that moves a model, after its checks: a new one, or the one that a killed process left.

        `cause` says why the move is needed.

        Raises:
            BadInput: There is no such tier, or the model is on it already.
            NotFound, Conflict, Unavailable: There is no such model, it isn't whole, or a tier is offline.
            Denied: The target can't be written.
        """
        tier = self.tiers.settings.chosen(to, cache_path)
        model = self.library.model(model_name)
        left = left_move(self.registry, self.tiers.settings, model.row, tier, keep_source=keep_source)
        if left is not None:
            return left
        row = self._route(model, tier).row
        return enqueue_move(self.registry, self.tiers.settings, row, tier, keep_source=keep_source, cause=cause)

    def plan(self, model_name: str, to: str, cache_path: str | None, *, keep_source: bool) -> MovePlan:
        """Return what a move would do; raises as `enqueue` does, and as `RoomMaker.check` if the target is full."""
        route = self._route(self.library.model(model_name), self.tiers.settings.chosen(to, cache_path))
        plan = self._plan(route, self._likely_method(route), keep_source=keep_source)
        need, takes_disk, row = self._need(route, plan), plan.method == "copy", route.row
        try:
            room = self.room.check(route.tier, route.tier_id, need(), model_id=row.id, takes_disk=takes_disk)
        except OutOfSpace as err:
            raise for_a_move(err, row.model_name, row.cache_location) from err
        return replace(plan, makes_room=room)

    def who_leaves(self, model_name: str, to: str, cache_path: str | None) -> EvictionPlan | None:
        """Return what a move would evict from its target; None for nothing, or if the move itself will say why not."""
        with contextlib.suppress(ShelfError):
            return self.plan(model_name, to, cache_path, keep_source=False).makes_room
        return None

    def run(self, running: Running) -> None:
        """Run a move job."""
        params = params_of(running.job, MoveParams)
        tier = self.tiers.settings.resolve(params.cache_location, params.cache_path)
        model = self.library.model(running.job.model_name)
        if model.base == tier.base:  # an earlier run switched it, and left its source to another job
            refresh_sidecar(self.registry, model)
            return
        self.tiers.open_to_write(tier)
        route = self._route(model, tier)
        try:
            self._move(route, running, keep_source=params.keep_source)
        except OutOfSpace as err:
            raise for_a_move(err, model.row.model_name, model.row.cache_location) from err

    def _move(self, route: _Route, running: Running, *, keep_source: bool) -> None:
        """Move a model.

        **Crash:** see the module.

        Raises:
            OutOfSpace: It doesn't fit on the target; nothing was copied.
            Corrupt: A blob of the source is damaged; the source stays as it is.
            Cancelled: It was stopped; what arrived stays for the next run.
        """
        progress = running.progress
        progress.phase("checking")
        self._set_aside_damage(route, progress)
        plan = self._plan(route, self._method(route), keep_source=keep_source)
        sources = self._sources(route, plan)
        manifest = self.registry.files(plan.repo_id, plan.commit_hash)
        arriving = sidecar_of(route.row, plan.commit_hash, manifest, arriving_from=plan.source)
        need, takes_disk = self._need(route, plan), plan.method == "copy"
        with self.room.reserve(
            route.tier, route.tier_id, need, model_id=route.row.id, takes_disk=takes_disk
        ) as reservation:
            running.reservations.append(reservation)
            sidecars.write(route.target, arriving)
            progress.phase("moving", plan.total_bytes)
            progress.advance(plan.total_bytes - plan.transfer_bytes)
            progress.files({need.path: need.size_bytes for need in plan.transfer})
            self._transfer(route, plan, sources, progress, reservation)
            with locks.wait_lock(route.target.path, route.target.repo_lock(plan.repo_id), self.clock):
                self._arrive(route, plan, running.job.id)
        with contextlib.suppress(OutOfSpace, Denied, NotFound):  # a pin that was set meanwhile is found by reconcile
            refresh_sidecar(self.registry, self.library.model(plan.model_name))
        if is_writable(route.source):
            sidecars.remove(route.source, route.row.model_name)

    def why_kept(self, model_name: str) -> str:
        """Return why a move would leave the old copy, in a sentence; empty if it wouldn't."""
        base = Base(Path(self.library.model(model_name).base))
        return "" if is_writable(base) else f"{base.path} is read-only: the copy there stays as it is."

    def _route(self, model: Model, tier: Tier) -> _Route:
        row = model.row
        if model.base == tier.base:
            raise BadInput(f"{row.model_name} is on {tier.location} already.", model_name=row.model_name)
        if model.state is State.OFFLINE:
            raise Unavailable(model.detail, hint="Mount its drive.")
        if row.commit_hash is None or self.library.missing(model):
            raise Conflict(
                f"{row.model_name} is incomplete: {model.detail or 'files are missing'}",
                hint=f"shelf pull {row.model_name}",
                model_name=row.model_name,
            )
        if model.state is State.DAMAGED:
            raise Conflict(f"{row.model_name} is damaged: {model.detail}", model_name=row.model_name)
        source, target = Base(Path(model.base)), Base(Path(tier.base))
        tier_id = self.tiers.check_writable(tier)
        self.tiers.check_storable(tier, row.hf_path, self.library.files(row), row.model_name, row.revision)
        for base in (source, target):
            delete.check_no_links(base.repo(row.hf_path), row.commit_hash)
        return _Route(row, source, target, tier, tier_id, self.tiers.links(target))

    def _plan(self, route: _Route, method: str, *, keep_source: bool) -> MovePlan:
        assert route.row.commit_hash is not None
        files = self.library.files(route.row)
        wanted = route.wanted(route.row.commit_hash, files)
        return MovePlan(
            model_name=route.row.model_name,
            repo_id=route.row.hf_path,
            commit_hash=route.row.commit_hash,
            source=BasePath(str(route.source.path)),
            target=BasePath(str(route.target.path)),
            target_location=route.tier.location,
            files=tuple(files),
            transfer=wanted.fetch,
            method=method,
            keep_source=keep_source or not is_writable(route.source),
            note=self.why_kept(route.row.model_name),
        )

    def _method(self, route: _Route) -> str:
        """Return how the bytes get there, by trying what works."""
        return link_or_clone.probe_share(route.target.path, route.source.marker, route.target.own)

    def _likely_method(self, route: _Route) -> str:
        """Return how the bytes will probably get there, without trying."""
        likely = link_or_clone.likely_share(route.source.path, marker.nearest_folder(route.target))
        return likely if likely != "link" or capabilities.of(route.target).hardlinks else "copy"

    def _need(self, route: _Route, plan: MovePlan) -> Callable[[], int]:
        """Return a function that says how many bytes the target lacks now."""
        pull_plan = PullPlan(plan.repo_id, plan.commit_hash, plan.files, plan.transfer, ())
        return partial(missing_bytes, route.target, pull_plan, self.tiers.second_bytes(route.target, plan.files))

    def _set_aside_damage(self, route: _Route, progress: Progress) -> None:
        """Verify what the target already has, because the source will be deleted."""
        assert route.row.commit_hash is not None
        files = self.library.files(route.row)
        sources = snapshot.locate(route.source, route.from_repo, route.row.commit_hash, files)
        checked = self.registry.verified.of_tier(route.tier_id)
        for digest, path in route.held(route.row.commit_hash, files).items():
            progress.check()
            is_known = checked.get(digest) == scan.stamp(path)
            if not is_known and (digest not in sources or not scan.is_same(path, sources[digest])):
                self._keep_if_good(route, digest, path)

    def _keep_if_good(self, route: _Route, digest: Digest, path: Path) -> bool:
        """Return whether a file of the target matches its digest; if not, it is set aside."""
        stamp = scan.stamp(path)
        if file_agrees(path, digest):
            self.registry.verified.add(route.tier_id, {digest: stamp})
            return True
        _log.warning("blob_quarantined", extra={"digest": digest, "path": str(path)})
        quarantine.set_aside(route.target, path, digest)
        return False

    def _sources(self, route: _Route, plan: MovePlan) -> dict[Digest, Path]:
        """Return the source files to bring, by digest; each can be read.

        Raises:
            Corrupt: One is missing by now.
            Denied: One belongs to another user; nothing was copied.
        """
        sources = snapshot.locate(route.source, route.from_repo, plan.commit_hash, plan.files)
        lost = [need for need in plan.transfer if need.digest not in sources]
        if lost:
            raise Corrupt(
                f"{lost[0].path} of {plan.model_name} is missing on the source now.",
                hint=f"shelf verify {plan.model_name} --repair",
            )
        for need in plan.transfer:
            open_to_read(sources[need.digest]).close()
        return sources

    def _transfer(
        self,
        route: _Route,
        plan: MovePlan,
        sources: Mapping[Digest, Path],
        progress: Progress,
        reservation: Reservation,
    ) -> None:
        """Bring all blobs: one is written at a time, as disks like it, while those before it are hashed."""
        turn = Turn()

        def bring(need: BlobNeed, progress: Progress) -> None:
            target, waits = route.target, (self.clock, locks.BLOB_WAIT_S, progress.check)
            with (
                locks.wait_lock(target.path, target.part_lock(need.digest), *waits),
                locks.wait_lock(target.path, target.hub_lock(plan.repo_id, need.digest), *waits),
            ):
                self._bring(route, need, sources[need.digest], progress.of(need.path), reservation, turn)

        side_by_side(bring, plan.transfer, progress, all_cores())

    def _bring(
        self,
        route: _Route,
        need: BlobNeed,
        source: Path,
        progress: Progress,
        reservation: Reservation,
        turn: Turn,
    ) -> None:
        """Bring one blob, whose locks are held, to the target."""
        path = route.to_repo.blob(need.digest)
        assert route.row.commit_hash is not None
        arrived = route.held(route.row.commit_hash, [FileEntry(need.path, need.size_bytes, need.digest)])
        if need.digest in arrived and self._keep_if_good(route, need.digest, arrived[need.digest]):
            progress.advance(need.size_bytes)
            reservation.wrote(need.size_bytes)
            return
        try:
            how = copy.bring(
                source, route.target, need.digest, need.size_bytes, path, progress, reservation.wrote, turn
            )
        except Corrupt as err:
            raise Corrupt(
                f"{need.path} of {route.row.model_name} is damaged: {source} doesn't match its digest.",
                hint=f"shelf verify {route.row.model_name} --repair",
                **err.fields,
            ) from err
        if how == "copy":
            self.registry.verified.add(route.tier_id, {need.digest: scan.stamp(path)})

    def _arrive(self, route: _Route, plan: MovePlan, job_id: int) -> None:
        """Lay out the snapshot on the target, and switch the model to it."""
        row = route.row
        lay_out(route.target, route.to_repo, plan.commit_hash, plan.files, Counter(), symlinks=route.links)
        snapshot.copy_extras(route.from_repo, route.to_repo, plan.commit_hash)
        missing = scan.missing_files(route.to_repo, plan.commit_hash, plan.files)
        if missing:
            raise Unavailable(f"{missing[0].path} of {row.model_name} vanished from the target; tried again.")
        refs = {
            ref: commit
            for ref, commit in scan.refs(route.from_repo).items()
            if commit == plan.commit_hash and not is_own_ref(ref)
        }
        snapshot.set_refs(route.to_repo, refs, overwrite=False)
        if not COMMIT_HASH.fullmatch(row.revision):
            snapshot.set_refs(route.to_repo, {row.revision: plan.commit_hash}, overwrite=True)
        left = old_copy(self.tiers.settings, route.source, plan.repo_id, plan.commit_hash, plan.files)
        now = self.registry.model(row.model_name) or row
        manifest = self.registry.files(plan.repo_id, plan.commit_hash)
        sidecars.write(route.target, sidecar_of(now, plan.commit_hash, manifest))  # the last write before the row's
        signature = scan.signature(route.to_repo, plan.commit_hash)
        location, base = route.tier.location, self.tiers.settings.stored_path(route.tier.base)
        then = None if plan.keep_source else left
        self.registry.placements.switch(
            row.id, location, base, signature, then, job_id=job_id, commit_hash=plan.commit_hash
        )
