"""Taking models in: strays move into `hub`, every byte is verified, rows are written by reconcile's steps.

Second copies are merged; files of other programs are linked or copied.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from modelshelf.domain.adopt import Act, Adoption, AdoptMode, AdoptPlan, Order
from modelshelf.domain.adopt_inventory import FoundModel, Origin
from modelshelf.domain.file_system_limits import check_entries
from modelshelf.domain.made_up_commits import make_up
from modelshelf.domain.models import FileEntry, ModelRow
from modelshelf.domain.names import Digest, ModelName, RefName, RepoId
from modelshelf.domain.ports import Clock
from modelshelf.domain.reconcile import Action, Step
from modelshelf.domain.sidecars import Sidecar
from modelshelf.domain.tiers import CUSTOM, Tier
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
from modelshelf.store.blobs import copy, link_or_clone
from modelshelf.store.blobs.partial import digest_of, file_agrees
from modelshelf.store.layout import Base, CacheDir
from modelshelf.store.probe import is_folder, is_real_file, is_there
from modelshelf.store.repos import scan, snapshot, trees, verify
from modelshelf.store.repos.materialize import lay_out
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
            target = self._tier(order.target_location, order.target)
            check_entries(needs.entries(plan), target, free_entries)
        if order.mode is AdoptMode.LEAVE:
            return
        tier, takes_disk = self._tier(order.target_location, order.target), self._takes_disk(order)
        tier_id = self.tiers.check_writable(tier)
        need_bytes = max(0, need_bytes - self.old_copies.waiting_bytes(Base(Path(tier.base))))
        self.admission.check(tier, tier_id, need_bytes, takes_disk=takes_disk)

    @contextlib.contextmanager
    def _room(self, order: Order, need_bytes: int) -> Iterator[Reservation]:
        tier, takes_disk = self._tier(order.target_location, order.target), self._takes_disk(order)
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

    def _tier(self, location: str, base: str) -> Tier:
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
        tier_id = self.tiers.open(self._tier(order.location, order.base))
        for adoption in adoptions:
            self._link_anew(base, adoption.found)
        adoptions = [replace(a, found=self._with_digests(base, a.found, running)) for a in adoptions]
        damaged = self._verify(base, tier_id, [a.found for a in adoptions], running)
        running.progress.phase("registering")
        wrong = [damaged.get((a.found.repo_id, a.found.commit_hash)) for a in adoptions]
        added = self._add(order, [adoption for adoption, why in zip(adoptions, wrong, strict=True) if why is None])
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
        files = [f if f.digest else replace(f, digest=_digest_of(folder / f.path, running)) for f in found.files]
        return replace(found, files=tuple(files))

    def _verify(
        self, base: Base, tier_id: str, models: Iterable[FoundModel], running: Running
    ) -> dict[tuple[str, str], str]:
        """Verify what wasn't verified before; return what is damaged by repository and commit, in sentences."""
        known = self.registry.verified.of_tier(tier_id)
        targets = []
        for found in models:
            repo = base.repo(found.repo)
            folder, blobs = repo.snapshot(found.commit), repo.blobs.resolve()
            for file in found.entries:
                path, blob = folder / file.path, blobs / file.digest
                if known.get(file.digest) != scan.stamp(path):
                    real = blob if is_real_file(blob) and scan.is_same(path, blob) else path.resolve()
                    where = (file.size_bytes, file.path, "", found.commit_hash)
                    targets.append(verify.Target(str(base.path), found.repo, path, real, file.digest, *where))
        with VerifiedNotes(self.registry, self.clock, {str(base.path): tier_id}) as notes:
            findings = verify.verify_blobs(
                targets,
                workers=verify.all_cores(),
                throttle=lambda count: None,
                progress=running.progress,
                on_checked=notes.add,
            )
        return {(f.repo_id, f.commit_hash): f"{f.file} is damaged ({f.kind.value}): it stays." for f in findings}

    def _add(self, order: Order, adoptions: Sequence[Adoption]) -> set[str]:
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
            done |= self.reconciler.add(new[start : start + _AT_ONCE])
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
        tier = self._tier(row.cache_location, row.cache_path)
        if Path(tier.base).resolve() == Path(order.base).resolve():
            return []  # a stray, which was merged when it moved into hub/
        base, tier_id = Base(Path(tier.base)), self.tiers.open(tier)
        held = snapshot.locate(base, base.repo(row.hf_path), row.commit_hash, found.entries)
        there = replace(found, files=tuple(file for file in found.files if file.digest in held))
        damaged = self._verify(base, tier_id, [there], running)
        if damaged:
            raise Corrupt(
                f"{adoption.copy_of} in {tier.base} is damaged: {next(iter(damaged.values()))}",
                hint=f"shelf verify {adoption.copy_of} --repair",
            )
        self.old_copies.delete(Base(Path(order.base)), found.repo, found.commit, there.entries)
        alone = [file.path for file in found.files if file.digest not in held]
        return [f"{found.repo_id}: {path} is not part of {adoption.copy_of}: it stays." for path in alone]

    # --- other programs ---

    def bring_foreign(self, adoption: Adoption, order: Order, running: Running, *, copies: bool) -> str:
        """Bring another program's model into the target and register it; return how, or an empty text if it was there.

        Its own files stay as they are. **Crash:** blobs that arrived are found by the next run.

        Raises:
            Conflict: It can't be linked, and copying wasn't asked for.
            Corrupt: A file doesn't match its program's digest.
            OutOfSpace: It doesn't fit.
        """
        found = self._read_foreign(adoption.found, running)
        if any(self._has(row.hf_path, row.commit_hash, found) for row in self.registry.models() if row.complete):
            return ""
        base = Base(Path(order.target))
        with self.room(order, found.size_bytes, running) as reservation:
            sources = dict(found.sources)
            method = link_or_clone.probe_share(base.path, Path(next(iter(sources.values()))), base.own)
            if method == "copy" and not copies:
                why = link_or_clone.why_not_linked(base.path, Path(next(iter(sources.values()))), base.own)
                raise Conflict(f"{found.place} can only be copied to {order.target}: {why}", hint="--copy copies it.")
            running.progress.phase("bringing", found.size_bytes)
            for file in found.entries:
                source = Path(sources[file.path])
                with locks.wait_lock(base.path, base.part_lock(file.digest), self.clock, check=running.progress.check):
                    self._bring_file(base, found.repo, file, source, running, reservation)
            with locks.wait_lock(base.path, base.repo_lock(found.repo), self.clock):
                self._lay_out(base, found)
            adoption = replace(adoption, found=found)
            away = replace(order, base=order.target, location=order.target_location)
            if not self._add(away, [adoption]):
                raise Conflict(f"The name {adoption.model_name} was taken meanwhile: run the command again.")
        return {"link": "linked", "reflink": "reflinked"}.get(method, "copied")

    def recognise(self, found: FoundModel) -> FoundModel:
        """Return a foreign model with its made-up commit, if its files were linked into a tier."""
        if found.commit_hash:
            return found
        for row in self.registry.models(repo_id=found.repo_id):
            if row.commit_hash and row.complete:
                with contextlib.suppress(BadInput):  # a tier that this process doesn't have
                    tier = self._tier(row.cache_location, row.cache_path)
                    folder = Base(Path(tier.base)).repo(row.hf_path).snapshot(row.commit_hash)
                    if all(scan.is_same(folder / path, Path(source)) for path, source in found.sources):
                        return replace(found, commit_hash=row.commit_hash)
        return found

    def _has(self, repo_id: str, commit_hash: str | None, found: FoundModel) -> bool:
        return (repo_id, commit_hash) == (found.repo_id, found.commit_hash)

    def _read_foreign(self, found: FoundModel, running: Running) -> FoundModel:
        """Return a foreign model with all digests and a commit."""
        sources = dict(found.sources)
        running.progress.phase("reading", found.size_bytes)
        files = []
        for file in found.files:
            source = Path(sources[file.path])
            if not file.digest:
                file = replace(file, digest=_digest_of(source, running))  # noqa: PLW2901
            elif not file_agrees(source, file.digest):
                raise Corrupt(f"{source} doesn't match the digest that its program recorded.", path=str(source))
            files.append(file)
        found = replace(found, files=tuple(files))
        digests = {file.path: file.digest for file in found.entries}
        return replace(found, commit_hash=found.commit_hash or make_up(found.repo_id, digests))

    def _bring_file(
        self, base: Base, repo_id: RepoId, file: FileEntry, source: Path, running: Running, reservation: Reservation
    ) -> None:
        repo = base.repo(repo_id)
        if scan.has_blob(repo, file.digest, file.size_bytes):
            running.progress.advance(file.size_bytes)
            reservation.wrote(file.size_bytes)
        else:
            blob = repo.blob(file.digest)
            copy.bring(source, base, file.digest, file.size_bytes, blob, running.progress, reservation.wrote)

    def _lay_out(self, base: Base, found: FoundModel) -> None:
        repo, commit_hash, files = base.repo(found.repo), found.commit, found.entries
        lay_out(base, repo, commit_hash, files, Counter(), symlinks=self.tiers.links(base))
        # Files without a list may be part of a commit of the Hub's, but are all of a made-up one.
        listed = files if found.kind.is_foreign and found.kind is not Origin.LOCAL_DIR else found.listed
        if listed and not is_there(repo.tree(commit_hash)):
            trees.write(repo, commit_hash, listed)
        snapshot.set_refs(repo, {_revision(found): commit_hash}, overwrite=False)


def _sidecar(adoption: Adoption) -> Sidecar:
    found = adoption.found
    return Sidecar(
        model_name=ModelName(adoption.model_name),
        hf_path=found.repo,
        revision=_revision(found),
        commit_hash=found.commit,
        allow_patterns=found.patterns,
        pinned=False,
        pin_reason="",
        files=found.listed or found.entries,
    )


def _revision(found: FoundModel) -> RefName:
    """Return the ref that leads to a snapshot, or its commit if no valid ref does.

    A model that is on no hub follows no revision.
    """
    if found.kind.is_of_no_hub:
        return RefName(found.commit_hash)
    with contextlib.suppress(BadInput):
        return RefName(found.revision or found.commit_hash)
    return RefName(found.commit_hash)


def _digest_of(path: Path, running: Running) -> Digest:
    def on_read(count_bytes: int) -> None:
        running.progress.check()
        running.progress.advance(count_bytes)

    return digest_of(path, on_read)
