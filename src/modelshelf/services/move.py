"""Moving a model to another tier: the copy first, whole and verified, then the row, then the source.

At every instant a complete copy exists that the registry resolves to. Until the switch that is the source, of which
nothing is touched; after it, the target. A killed move is simply run again: blobs that arrived are found, a blob in
the middle goes on at its next segment, and a switched model only has its source left to delete.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from modelshelf.domain.jobs import Job
from modelshelf.domain.models import Model, ModelRow, State
from modelshelf.domain.names import COMMIT_HASH
from modelshelf.domain.plans import BlobNeed, MovePlan, plan_pull
from modelshelf.domain.ports import Clock, Progress
from modelshelf.domain.tiers import Tier
from modelshelf.errors import BadInput, Conflict, Corrupt, NotFound, Unavailable
from modelshelf.registry.queries import Registry
from modelshelf.services.admission import Hold
from modelshelf.services.jobs import Running
from modelshelf.services.library import Library
from modelshelf.services.pull import card_of, missing_bytes, refresh_card
from modelshelf.services.room import RoomMaker
from modelshelf.services.tiers import TierService
from modelshelf.store import cards, copy, fs, locks, scan, snapshot
from modelshelf.store.incoming import file_agrees
from modelshelf.store.layout import Base, Repo

_log = logging.getLogger(__name__)
MOVE = "move"
_LOCK_WAIT_S = 3600.0
"""Another process that fetches or copies the same blob is waited for; it leaves it verified."""


@dataclass(frozen=True, slots=True)
class _Route:
    """Where a move goes."""

    row: ModelRow
    source: Base
    target: Base
    tier: Tier
    tier_id: str

    @property
    def from_repo(self) -> Repo:
        """The repository's folder on the source."""
        return self.source.repo(self.row.hf_path)

    @property
    def to_repo(self) -> Repo:
        """The repository's folder on the target."""
        return self.target.repo(self.row.hf_path)


@dataclass(frozen=True, slots=True)
class Mover:
    """Moves models between tiers."""

    registry: Registry
    library: Library
    tiers: TierService
    room: RoomMaker
    clock: Clock

    def enqueue(self, model_name: str, to: str, cache_path: str | None, *, keep_source: bool) -> Job:
        """Return the job that moves a model, after checking that it can be.

        Raises:
            BadInput: There is no such tier, or it lies there already.
            NotFound, Conflict, Unavailable: There is no such model, it is not whole, or a tier is offline.
        """
        route = self._route(self.library.model(model_name), self.tiers.tiers.resolve(to, cache_path))
        params = {"cache_location": route.tier.location, "cache_path": route.tier.base, "keep_source": keep_source}
        job = self.registry.enqueue(MOVE, route.row, params)
        if json.loads(job.params) != params:
            raise Conflict(
                f"{model_name} is being moved elsewhere by job {job.id}.", hint=f"shelf cancel {job.id}", job_id=job.id
            )
        return job

    def plan(self, model_name: str, to: str, cache_path: str | None, *, keep_source: bool) -> MovePlan:
        """Return what moving a model would do; raises as `enqueue` does."""
        route = self._route(self.library.model(model_name), self.tiers.tiers.resolve(to, cache_path))
        return self._plan(route, keep_source=keep_source)

    def run(self, running: Running) -> None:
        """Carry out a move job."""
        params = json.loads(running.job.params)
        tier = self.tiers.tiers.resolve(params["cache_location"], params["cache_path"])
        model = self.library.model(running.job.model_name)
        if model.base == tier.base:  # an earlier run switched it, and left its source to a job of its own
            refresh_card(self.registry, model)
            return
        route = self._route(model, tier)
        self.move(route, running.progress, running.holds.append, keep_source=bool(params["keep_source"]))

    def move(self, route: _Route, progress: Progress, on_hold: Callable[[Hold], None], *, keep_source: bool) -> None:
        """Move a model.

        **Crash:** see the module.

        Raises:
            OutOfSpace: The target has no room; nothing was copied.
            Corrupt: A blob of the source is damaged; the source stays as it is.
            Cancelled: It was stopped; what arrived stays for the next run.
        """
        progress.phase("checking")
        self._set_aside_damage(route, progress)
        plan = self._plan(route, keep_source=keep_source)
        manifest = self.registry.files(plan.repo_id, plan.commit_hash)
        arriving = card_of(route.row, plan.commit_hash, manifest, arriving_from=plan.source)
        pull_plan = plan_pull(plan.repo_id, plan.commit_hash, plan.files, scan.blob_sizes(route.to_repo))
        need = partial(missing_bytes, route.target, pull_plan)
        takes_disk = plan.method == "copy"
        with self.room.reserve(route.tier, route.tier_id, need, model_id=route.row.id, takes_disk=takes_disk) as hold:
            on_hold(hold)
            cards.write(route.target, arriving)
            progress.phase("moving", plan.total_bytes)
            progress.advance(plan.total_bytes - plan.transfer_bytes)
            self._transfer(route, plan, progress, hold)
            with locks.wait_lock(route.target.repo_lock(plan.repo_id), self.clock):
                self._arrive(route, plan)
        cards.write(route.target, card_of(route.row, plan.commit_hash, manifest))
        cards.remove(route.source, route.row.model_name)

    def _route(self, model: Model, tier: Tier) -> _Route:
        row = model.row
        if model.base == tier.base:
            raise BadInput(f"{row.model_name} lies on {tier.location} already.", model_name=row.model_name)
        if model.state is State.OFFLINE:
            raise Unavailable(model.detail, hint="Mount its drive.")
        if row.commit_hash is None or self.library.missing(model):
            raise Conflict(
                f"{row.model_name} is not whole: {model.detail or 'files are missing'}",
                hint=f"shelf pull {row.model_name}",
                model_name=row.model_name,
            )
        return _Route(row, Base(Path(model.base)), Base(Path(tier.base)), tier, self.tiers.open(tier))

    def _plan(self, route: _Route, *, keep_source: bool) -> MovePlan:
        assert route.row.commit_hash is not None
        files = self.library.files(route.row)
        wanted = plan_pull(route.row.hf_path, route.row.commit_hash, files, scan.blob_sizes(route.to_repo))
        return MovePlan(
            model_name=route.row.model_name,
            repo_id=route.row.hf_path,
            commit_hash=route.row.commit_hash,
            source=str(route.source.path),
            target=str(route.target.path),
            target_location=route.tier.location,
            files=tuple(files),
            transfer=wanted.fetch,
            method=fs.probe_share(route.source.marker, route.target.own),
            keep_source=keep_source,
        )

    def _set_aside_damage(self, route: _Route, progress: Progress) -> None:
        """Make sure that what the target has already is what its name says, for the source will be deleted."""
        assert route.row.commit_hash is not None
        files = self.library.files(route.row)
        sources = snapshot.locate(route.source, route.from_repo, route.row.commit_hash, files)
        plan = plan_pull(route.row.hf_path, route.row.commit_hash, files, scan.blob_sizes(route.to_repo))
        checked = self.registry.checks.of_tier(route.tier_id)
        fetch = {need.digest for need in plan.fetch}
        good: dict[str, str] = {}
        for digest in {file.digest for file in files} - fetch | {need.digest for need in plan.suspect}:
            progress.check()
            path = route.to_repo.blob(digest)
            stamp = scan.stamp(path)
            if checked.get(digest) == stamp or (digest in sources and path.samefile(sources[digest])):
                continue
            if digest not in fetch and file_agrees(path, digest):
                good[digest] = stamp
            else:
                _log.warning("blob_quarantined", extra={"digest": digest, "path": str(path)})
                fs.set_aside(path, route.target.quarantine)
        self.registry.checks.add(route.tier_id, good)

    def _transfer(self, route: _Route, plan: MovePlan, progress: Progress, hold: Hold) -> None:
        sources = snapshot.locate(route.source, route.from_repo, plan.commit_hash, plan.files)
        lost = [need for need in plan.transfer if need.digest not in sources]
        if lost:
            raise Corrupt(
                f"{lost[0].path} of {plan.model_name} is not on the source any more.",
                hint=f"shelf verify {plan.model_name} --repair",
            )
        for need in plan.transfer:
            progress.check()
            with (
                locks.wait_lock(route.target.part_lock(need.digest), self.clock, _LOCK_WAIT_S),
                locks.wait_lock(route.target.hub_lock(plan.repo_id, need.digest), self.clock, _LOCK_WAIT_S),
            ):
                self._bring(route, need, sources[need.digest], plan.method, progress, hold)

    def _bring(self, route: _Route, need: BlobNeed, source: Path, method: str, progress: Progress, hold: Hold) -> None:
        """Bring one blob to the target, whose locks are held."""
        path = route.to_repo.blob(need.digest)
        there = scan.blob_sizes(route.to_repo).get(need.digest) == need.size_bytes
        if there or (method != "copy" and fs.share(source, path)):
            progress.advance(need.size_bytes)
            hold.wrote(need.size_bytes)
            return
        copy.copy_blob(source, route.target, need.digest, need.size_bytes, path, progress, hold.wrote)
        self.registry.checks.add(route.tier_id, {need.digest: scan.stamp(path)})

    def _arrive(self, route: _Route, plan: MovePlan) -> None:
        """Lay the snapshot out on the target, and let the model resolve to it."""
        row = route.row
        snapshot.tag_cache(route.target)
        snapshot.link(route.to_repo, plan.commit_hash, plan.files)
        snapshot.copy_extras(route.from_repo, route.to_repo, plan.commit_hash)
        missing = scan.missing_files(route.to_repo, plan.commit_hash, plan.files)
        if missing:
            raise Unavailable(f"{missing[0].path} of {row.model_name} vanished from the target; tried again.")
        refs = {ref: commit for ref, commit in scan.refs(route.from_repo).items() if commit == plan.commit_hash}
        snapshot.set_refs(route.to_repo, refs, overwrite=False)
        if not COMMIT_HASH.fullmatch(row.revision):
            snapshot.set_refs(route.to_repo, {row.revision: plan.commit_hash}, overwrite=True)
        current = self.registry.model(row.model_name)
        if current is None or current.id != row.id or current.commit_hash != plan.commit_hash:
            raise NotFound(f"{row.model_name} was removed or updated while it was being moved.")
        retire = {
            "cache_path": plan.source,
            "hf_path": plan.repo_id,
            "commit_hash": plan.commit_hash,
            "files": [[file.path, file.size_bytes, file.digest] for file in plan.files],
        }
        signature = scan.signature(route.to_repo, plan.commit_hash)
        location, base = route.tier.location, route.tier.base
        self.registry.switch(row.id, location, base, signature, None if plan.keep_source else retire)
