"""Taking models in: strays move into `hub`, every byte is verified, rows are written by reconcile's steps.

Second copies are merged.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from modelshelf.domain.adopt import Act, Adoption, AdoptMode, AdoptPlan, Order
from modelshelf.domain.adopt_inventory import FoundModel, Origin
from modelshelf.domain.file_system_limits import check_entries
from modelshelf.domain.made_up_commits import is_made_up
from modelshelf.domain.models import ModelRow
from modelshelf.domain.names import Digest, ModelName, RefName
from modelshelf.domain.ports import Clock
from modelshelf.domain.reconcile import Action, Step
from modelshelf.domain.sidecars import Sidecar
from modelshelf.domain.tiers import CUSTOM, Tier
from modelshelf.domain.verify_report import Finding
from modelshelf.errors import BadInput, Conflict, Corrupt
from modelshelf.registry.registry import Registry
from modelshelf.services.adopt import needs
from modelshelf.services.jobs.progress import Counter
from modelshelf.services.jobs.running import Running
from modelshelf.services.maintenance.reconcile import Reconciler
from modelshelf.services.maintenance.verified_notes import VerifiedNotes
from modelshelf.services.space.delete_old_copy import OldCopyDeleter
from modelshelf.services.space.reservations import Admission, Reservation
from modelshelf.services.space.tiers import TierService
from modelshelf.store import locks
from modelshelf.store.adopt import inventory, merge_folder
from modelshelf.store.blobs.partial import digest_of
from modelshelf.store.layout import Base, CacheDir
from modelshelf.store.probe import is_folder
from modelshelf.store.repos import scan, snapshot, verify
from modelshelf.store.repos.materialize import lay_out
from modelshelf.store.repos.names import RepoNames
from modelshelf.store.tiers import marker

_AT_ONCE = 100
"""So many models are registered in one transaction; the lock of each is an open file, and a process has about 1,000."""


@dataclass(frozen=True, slots=True)
class ModelImporter:
    """Takes models in."""

    registry: Registry
    tiers: TierService
    admission: Admission
    reconciler: Reconciler
    old_copies: OldCopyDeleter
    clock: Clock

    # --- room ---

    def check_fits(self, plan: AdoptPlan, need_bytes: int) -> None:
        """Raise unless so many bytes fit on the target once the old copies there are deleted.

        Raises:
            OutOfSpace: They don't, or its disk has too few entries left.
            Denied, Unavailable: It can't be written, or is offline.
        """
        order = plan.order
        if plan.of(Act.REGISTER, Act.MOVE, Act.BRING, Act.MERGE):
            free_entries = marker.free_entries(Base(Path(order.target)))
            target = self.tier(order.target_location, order.target)
            check_entries(needs.entries(plan), target, free_entries)
        if order.mode is AdoptMode.LEAVE:
            return
        tier, takes_disk = self.tier(order.target_location, order.target), self._takes_disk(order)
        tier_id = self.tiers.check_writable(tier)
        need_bytes = max(0, need_bytes - self.old_copies.waiting_bytes(Base(Path(tier.base))))
        self.admission.check(tier, tier_id, need_bytes, takes_disk=takes_disk)

    @contextlib.contextmanager
    def _room(self, order: Order, need_bytes: int) -> Iterator[Reservation]:
        tier, takes_disk = self.tier(order.target_location, order.target), self._takes_disk(order)
        tier_id = self.tiers.open_to_write(tier)
        with self.admission.reserve(tier, tier_id, lambda: need_bytes, takes_disk=takes_disk) as reservation:
            yield reservation

    @contextlib.contextmanager
    def room(self, order: Order, need_bytes: int, running: Running) -> Iterator[Reservation]:
        """Reserve room on the target inside the context; raises as `check_fits` does."""
        with self._room(order, need_bytes) as reservation:
            running.reservations.append(reservation)
            yield reservation

    def _takes_disk(self, order: Order) -> bool:
        """Return whether the bytes come from another file system."""
        return marker.device(Base(Path(order.base))) != marker.device(Base(Path(order.target)))

    def tier(self, location: str, base: str) -> Tier:
        return self.tiers.settings.resolve(location, base if location == CUSTOM else None)

    # --- strays ---

    def bring_strays(self, plan: AdoptPlan, running: Running) -> list[str]:
        """Move the repositories outside hub/ into it; return what stayed, in sentences.

        If they are to be left, they get a second name there and keep the first.
        """
        base, left = Base(Path(plan.order.base)), []
        keeps = plan.order.mode is AdoptMode.LEAVE
        done: set[Path] = set()
        for adoption in plan.models:
            found, cache_dir = adoption.found, CacheDir(Path(adoption.found.place))
            source = cache_dir.repo(found.repo).path
            goes = adoption.act in (Act.REGISTER, Act.MOVE, Act.MERGE)
            if found.kind is not Origin.STRAY or source in done or not goes:
                continue
            done.add(source)
            with locks.wait_lock(base.path, base.repo_lock(found.repo), self.clock):
                carrying = merge_folder.plan(source, base.repo(found.repo).path, cache_dir.hub)
                if keeps and not merge_folder.can_share(carrying, base):
                    left.append(f"{source} cannot be linked into hub/: --move brings it there.")
                    continue
                left += carrying.left
                merge_folder.bring(carrying, base, running.progress, lambda count: None)
                if keeps and adoption.act is not Act.MERGE:
                    continue
                kept = merge_folder.why_kept(carrying)
                if kept:
                    left.append(kept)
                else:
                    merge_folder.drop(carrying, cache_dir)
        return left

    def drop_brought(self, order: Order) -> None:
        """Delete strays that are already complete in hub/: a run died while deleting them."""
        base = Base(Path(order.base))
        for cache_dir in inventory.stray_dirs(base):
            for repo_type, repo_id, repo in scan.repos(cache_dir):
                target = base.repo(repo_id, repo_type).path
                if repo_type == "model" and is_folder(target):
                    with locks.wait_lock(base.path, base.repo_lock(repo_id), self.clock):
                        carrying = merge_folder.plan(repo.path, target, cache_dir.hub)
                        is_there = all(piece.is_there for piece in carrying.pieces)
                        if is_there and not carrying.left and not merge_folder.why_kept(carrying):
                            merge_folder.drop(carrying, cache_dir)

    # --- registering ---

    def register(self, order: Order, adoptions: Sequence[Adoption], running: Running) -> tuple[list[str], list[str]]:
        """Register models in place, after verifying every byte; return their names, and what stayed and why."""
        base = Base(Path(order.base))
        tier_id = self.tiers.open(self.tier(order.location, order.base))
        for adoption in adoptions:
            self._link_anew(base, adoption.found)
        adoptions = [replace(a, found=self._with_digests(base, a.found, running)) for a in adoptions]
        damaged = self.verify(base, tier_id, [a.found for a in adoptions], running)
        running.progress.phase("registering")
        wrong = [damaged.get((a.found.repo_id, a.found.commit_hash)) for a in adoptions]
        added = self.add(order, [adoption for adoption, why in zip(adoptions, wrong, strict=True) if why is None])
        names, left = [], []
        for adoption, why in zip(adoptions, wrong, strict=True):
            if adoption.model_name in added:
                names.append(adoption.model_name)
            else:
                left.append(f"{adoption.found.repo_id}: {why or 'it changed meanwhile: run the command again.'}")
        return names, left

    def _link_anew(self, base: Base, found: FoundModel) -> None:
        """Restore the links of a snapshot that lost them; their bytes are verified afterwards as for any other.

        **Crash:** some links are there and some aren't; the next run makes the rest.
        """
        if found.lost:
            with locks.wait_lock(base.path, base.repo_lock(found.repo), self.clock):
                lay_out(
                    base, base.repo(found.repo), found.commit, found.lost, Counter(), symlinks=self.tiers.links(base)
                )

    def _with_digests(self, base: Base, found: FoundModel, running: Running) -> FoundModel:
        """Return a model whose files all have a digest; files that no list names are hashed."""
        folder = base.repo(found.repo).snapshot(found.commit)
        files = [f if f.digest else replace(f, digest=hashed(folder / f.path, running)) for f in found.files]
        return replace(found, files=tuple(files))

    def verify(
        self, base: Base, tier_id: str, models: Iterable[FoundModel], running: Running
    ) -> dict[tuple[str, str], str]:
        """Verify what wasn't verified before; return what is damaged by repository and commit, in sentences."""
        known = self.registry.verified.of_tier(tier_id)
        targets = [target for found in models for target in _targets(base, found, known)]
        with VerifiedNotes(self.registry, self.clock, {str(base.path): tier_id}) as notes:
            findings = verify.verify_blobs(
                targets,
                workers=verify.all_cores(),
                throttle=lambda count: None,
                progress=running.progress,
                on_checked=notes.add,
            )
        return {(f.repo_id, f.commit_hash): _damaged(f) for f in findings}

    def add(self, order: Order, adoptions: Sequence[Adoption]) -> set[str]:
        """Write rows, then sidecars, by the steps of reconcile; return the models of which every step still held."""
        rows: dict[str, ModelRow] = {row.model_name: row for row in self.registry.models()}
        new, done = list[Step](), set[str]()
        for adoption in adoptions:
            sidecar, row = _sidecar(adoption), rows.get(adoption.model_name)
            action = Action.ADD if row is None else Action.PLACE
            step = Step(action, order.base, adoption.model_name, "", order.location, sidecar, row, complete=True)
            if row is None:
                new.append(step)
            elif (row.hf_path, row.commit_hash) == (sidecar.hf_path, sidecar.commit_hash):  # else the name was taken
                steps = (step, replace(step, action=Action.WRITE_SIDECAR, row=None))
                done |= {adoption.model_name} if all(map(self.reconciler.carry_out, steps)) else set()
        for start in range(0, len(new), _AT_ONCE):
            done |= self.reconciler.add(Base(Path(order.base)), new[start : start + _AT_ONCE])
        return done

    # --- second copies ---

    def merge(self, adoption: Adoption, order: Order, running: Running) -> list[str]:
        """Delete a second copy after every byte that goes was verified in the first; return what stayed.

        Raises:
            Conflict: The registered copy is gone or has changed.
            Unavailable: Somebody uses the copy.
        """
        found, row = adoption.found, self.registry.model(adoption.copy_of)
        if row is None or row.commit_hash != found.commit_hash or not row.complete:
            raise Conflict(f"{adoption.copy_of} changed meanwhile: run the command again.")
        tier = self.tier(row.cache_location, row.cache_path)
        if Path(tier.base).resolve() == Path(order.base).resolve():
            return []  # a stray, which was merged when it moved into hub/
        base, tier_id = Base(Path(tier.base)), self.tiers.open(tier)
        held = snapshot.locate(base, base.repo(row.hf_path), row.commit_hash, found.entries)
        there = replace(found, files=tuple(file for file in found.files if file.digest in held))
        damaged = self.verify(base, tier_id, [there], running)
        if damaged:
            raise Corrupt(
                f"{adoption.copy_of} in {tier.base} is damaged: {next(iter(damaged.values()))}",
                hint=f"shelf verify {adoption.copy_of} --repair",
            )
        self.old_copies.delete(Base(Path(order.base)), found.repo, found.commit, there.entries)
        alone = [file.path for file in found.files if file.digest not in held]
        return [f"{found.repo_id}: {path} is not part of {adoption.copy_of}: it stays." for path in alone]


def _targets(base: Base, found: FoundModel, known: Mapping[Digest, str]) -> Iterator[verify.Target]:
    """Yield the files of a model that weren't verified as they are; `known` has the stamps of those that were."""
    repo, repo_id, commit_hash = base.repo(found.repo), found.repo, found.commit
    folder = str(repo.snapshot(commit_hash))
    files = [f for f in found.entries if f.digest not in known or known[f.digest] != scan.stamp(f"{folder}/{f.path}")]
    names = RepoNames(repo)
    leads_to = {file.name: file.digest for file in names.snapshot(commit_hash).files} if files else {}
    for file in files:
        path = f"{folder}/{file.path}"
        blob = names.plain_blobs.get(file.digest) if leads_to.get(file.path) == file.digest else None
        real = os.path.realpath(path) if blob is None else blob.path
        where = (file.size_bytes, file.path, "", commit_hash)
        yield verify.Target(str(base.path), repo_id, path, real, file.digest, *where)


def _sidecar(adoption: Adoption) -> Sidecar:
    found = adoption.found
    return Sidecar(
        model_name=ModelName(adoption.model_name),
        hf_path=found.repo,
        revision=revision_of(found),
        commit_hash=found.commit,
        allow_patterns=found.patterns,
        pinned=False,
        pin_reason="",
        files=found.listed or found.entries,
    )


def revision_of(found: FoundModel) -> RefName:
    """Return the ref that leads to a snapshot, or its commit if no valid ref does.

    A model that is on no hub follows no revision.
    """
    if found.kind.is_of_no_hub:
        return RefName(found.commit_hash)
    with contextlib.suppress(BadInput):
        return RefName(found.revision or found.commit_hash)
    return RefName(found.commit_hash)


def hashed(path: Path, running: Running) -> Digest:
    """Return the digest of a file, read as a part of a job."""

    def on_read(count_bytes: int) -> None:
        running.progress.check()
        running.progress.advance(count_bytes)

    return digest_of(path, on_read)


def _damaged(found: Finding) -> str:
    """Return what to say about a damaged file of a model that isn't registered because of it."""
    anew = "" if is_made_up(found.commit_hash) else f" To download it anew: shelf add {found.repo_id}"
    return f"{found.file} is damaged ({found.kind.value}), and stays.{anew}"
