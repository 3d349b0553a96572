"""Repairing what verify found: damage is set aside, never deleted; good bytes come from another tier, else from the
hub, and are verified before they get their name; then links, refs and lists of files are restored.

A damaged payload of the shared store is set aside itself, under huggingface_hub's lock: the next download of the same
content would link to it. The repository gets its own blob in place of its link; nothing is put back into the store,
because a payload's name is a hash that only Xet can check.

Damage in an unregistered repository is only set aside: nobody said which commit of it is wanted.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from modelshelf.domain.jobs import REPAIRING
from modelshelf.domain.models import FileEntry, ModelRow, may_be_short
from modelshelf.domain.names import CommitHash, Digest, RepoId
from modelshelf.domain.plans import BlobNeed, PullPlan
from modelshelf.domain.ports import Clock, Hub, Progress
from modelshelf.domain.repo_folders import parse_repo_folder
from modelshelf.domain.tiers import Tier
from modelshelf.domain.verify_report import DAMAGE, Fault, Finding
from modelshelf.errors import Conflict, Corrupt, OutOfSpace, ShelfError
from modelshelf.registry.registry import Registry
from modelshelf.services.catalog.models import Library
from modelshelf.services.jobs.running import Running
from modelshelf.services.lifecycle.download import Fetcher
from modelshelf.services.lifecycle.local_copies import LocalCopies
from modelshelf.services.lifecycle.open_hours import OpenHours
from modelshelf.services.lifecycle.pull import missing_bytes
from modelshelf.services.lifecycle.rate_limit import Throttle
from modelshelf.services.space.reservations import Admission, Reservation
from modelshelf.services.space.tiers import TierService
from modelshelf.store import fs, locks
from modelshelf.store.layout import Base, Repo
from modelshelf.store.probe import is_folder, is_link, is_there, real_path
from modelshelf.store.repos import inspect, materialize, quarantine, scan, snapshot, trees

_log = logging.getLogger(__name__)
_NOT_MENDED = frozenset(
    {Fault.UNREADABLE_FILE, Fault.UNREADABLE_FOLDER, Fault.INCOMPLETE, Fault.LOST_LINKS, Fault.NO_MODEL}
)
"""Faults that another command or a person fixes."""


@dataclass(frozen=True, slots=True)
class _Case:
    """A registered model with something wrong."""

    row: ModelRow
    commit_hash: CommitHash
    tier: Tier
    tier_id: str
    base: Base
    files: tuple[FileEntry, ...]
    findings: tuple[Finding, ...]

    @property
    def repo(self) -> Repo:
        """The repository's folder."""
        return self.base.repo(self.row.hf_path)

    @property
    def digests(self) -> set[str]:
        """The digests of the findings."""
        return {finding.digest for finding in self.findings if finding.digest}

    @property
    def affected(self) -> list[FileEntry]:
        """The model's files with one of these digests."""
        return [file for file in self.files if file.digest in self.digests]

    def needs(self) -> list[BlobNeed]:
        """Return the digests of the findings, largest first."""
        needs = {file.digest: BlobNeed(file.digest, file.size_bytes, file.path) for file in self.affected}
        return sorted(needs.values(), key=lambda need: (-need.size_bytes, need.digest))

    def source(self, digest: Digest) -> Path | None:
        """Return the repository's file with a digest's bytes, by name and size alone."""
        return materialize.source_of(self.base, self.repo, self.commit_hash, self.files, digest)


@dataclass(frozen=True, slots=True)
class Repairer:
    """Repairs registered models, and sets aside other damage."""

    registry: Registry
    library: Library
    tiers: TierService
    admission: Admission
    copies: LocalCopies
    hub: Hub
    peers: Sequence[Hub]
    """LAN hubs; see `download.Fetcher`."""
    clock: Clock
    throttle: Throttle
    hours: OpenHours
    streams: int

    def repair(
        self, findings: Sequence[Finding], running: Running, on_change: Callable[[Sequence[Finding]], None]
    ) -> None:
        """Repair what can be repaired, model by model; what can't be says why.

        Args:
            findings: What is wrong.
            running: The job.
            on_change: Called with all findings whenever some of them have changed.

        Raises:
            Cancelled: The work was stopped.

        **Crash:** what was set aside is missing then, and the next run resumes parts that arrived.
        """
        state = list(findings)
        groups: dict[tuple[str, str, str], list[int]] = {}
        for i, finding in enumerate(state):
            groups.setdefault((finding.base, finding.repo_id, finding.model_name), []).append(i)
        for indexes in groups.values():
            running.progress.check()
            for i, finding in zip(indexes, self._mend([state[i] for i in indexes], running), strict=True):
                state[i] = finding
            on_change(state)

    def _mend(self, findings: Sequence[Finding], running: Running) -> list[Finding]:
        """Return the findings of one model, or of unregistered repositories, after the repair."""
        findings = [self._set_aside(finding) if finding.kind in DAMAGE else finding for finding in findings]
        case = self._case(findings)
        if case is None:
            return findings
        trouble = ""
        try:
            self.tiers.open_to_write(case.tier)
            self._bring(case, running)
        except (ShelfError, OSError) as err:
            trouble = _reason(err)
        try:
            with locks.wait_lock(case.base.path, case.base.repo_lock(case.row.hf_path), self.clock):
                self._lay_out(case, running.progress)
        except (ShelfError, OSError) as err:
            trouble = trouble or _reason(err)
        return [_judged(case, finding, trouble) for finding in findings]

    def _case(self, findings: Sequence[Finding]) -> _Case | None:
        """Return the model of some findings, if it is still there."""
        first = findings[0]
        row = self.registry.model(first.model_name) if first.model_name else None
        if row is None or row.commit_hash is None or self.library.base_of(row) != first.base:
            return None
        tier = self.tiers.settings.resolve(row.cache_location, row.cache_path)
        return _Case(
            row=row,
            commit_hash=row.commit_hash,
            tier=tier,
            tier_id=self.tiers.open(tier),
            base=Base(Path(tier.base)),
            files=tuple(self.library.files(row)),
            findings=tuple(findings),
        )

    def _set_aside(self, finding: Finding) -> Finding:
        """Move damaged bytes into quarantine, after reading them once more under their locks."""
        base, path = Base(Path(finding.base)), Path(finding.path)
        try:
            parsed = parse_repo_folder(path.relative_to(base.hub).parts[0])
            repo_type, repo_id = parsed or ("model", RepoId(finding.repo_id))
            digest = Digest(finding.digest)
            with (
                locks.wait_lock(base.path, base.part_lock(digest), self.clock, locks.BLOB_WAIT_S),
                locks.wait_lock(base.path, base.hub_lock(repo_id, digest, repo_type), self.clock, locks.BLOB_WAIT_S),
            ):
                target = quarantine.set_aside(base, path, digest)
        except (ShelfError, OSError) as err:
            return replace(finding, trouble=_reason(err))
        if target is None:
            return finding
        _log.warning("blob_quarantined", extra={"digest": finding.digest, "path": str(target)})
        return replace(finding, quarantined=str(target))

    def _bring(self, case: _Case, running: Running) -> None:
        """Bring the bytes that a model lacks.

        Raises:
            OutOfSpace: They don't fit.
            Unavailable, NotFound, Denied, Corrupt: Neither another tier nor the hub has them.
        """
        needs = [need for need in case.needs() if case.source(need.digest) is None]
        if not needs:
            return
        plan = PullPlan(case.row.hf_path, case.commit_hash, case.files, tuple(needs), ())
        more_bytes = snapshot.second_bytes(case.affected) if self._holds_real_files(case) else 0
        size = partial(missing_bytes, case.base, plan, more_bytes)
        with self.admission.reserve(case.tier, case.tier_id, size) as reservation:
            running.reservations.append(reservation)
            running.progress.phase(REPAIRING, plan.fetch_bytes)
            for need in needs:
                running.progress.check()
                self._clear(case, need)
            rest = tuple(need for need in needs if not self._copied(case, need, running, reservation))
            if rest:
                self._fetch(case, replace(plan, fetch=rest), running, reservation)
        stamps = {need.digest: scan.stamp(case.repo.blob(need.digest)) for need in needs}
        self.registry.verified.add(case.tier_id, stamps)

    def _clear(self, case: _Case, need: BlobNeed) -> None:
        """Delete a link in the blob's place that leads nowhere or out of the base."""
        blob = case.repo.blob(need.digest)
        with locks.wait_lock(
            case.base.path, case.base.hub_lock(case.row.hf_path, need.digest), self.clock, locks.BLOB_WAIT_S
        ):
            if is_link(blob) and case.source(need.digest) is None:
                fs.remove_file(case.base.path, blob)

    def _copied(self, case: _Case, need: BlobNeed, running: Running, reservation: Reservation) -> bool:
        """Return whether a blob was copied from elsewhere on this machine, verified on the way."""
        bring = self.copies.bring
        return any(
            bring(case.base, case.row.hf_path, need, source, running.progress, reservation)
            for source in self._holders(need)
        )

    def _holders(self, need: BlobNeed) -> Iterator[Path]:
        """Yield the files with a digest's name and size in any repository of any online tier."""
        seen: set[Path] = set()
        for base in self.tiers.online_bases():
            root = real_path(base.hub)
            for path in self._names(base, need.digest):
                real = snapshot.real_file(path, root)
                if real is not None and real not in seen and real.stat().st_size == need.size_bytes:
                    seen.add(real)
                    yield real

    def _names(self, base: Base, digest: Digest) -> Iterator[Path]:
        """Yield the paths that may hold a digest's bytes in a base: blobs, and files of registered snapshots."""
        for _, _, repo in scan.repos(base):
            yield repo.blob(digest)
        for row in self.registry.models():
            if row.commit_hash is not None and self.library.base_of(row) == str(base.path):
                snapshot_folder = base.repo(row.hf_path).snapshot(row.commit_hash)
                same = [file.path for file in self.library.files(row) if file.digest == digest]
                yield from (path for name in same if not is_link(path := snapshot_folder / name))

    def _fetch(self, case: _Case, plan: PullPlan, running: Running, reservation: Reservation) -> None:
        Fetcher(
            hub=self.hub,
            peers=self.peers,
            base=case.base,
            plan=plan,
            progress=running.progress,
            clock=self.clock,
            streams=self.streams,
            throttle=self.throttle,
            hours=self.hours,
            on_written=reservation.wrote,
        ).run()
        for need in plan.fetch:  # another program may have brought it, unverified
            if quarantine.is_damaged(case.repo.blob(need.digest), need.digest):
                raise Corrupt(f"{need.path} arrived damaged.", digest=need.digest)

    def _lay_out(self, case: _Case, progress: Progress) -> None:
        """Restore links, refs and the list of files, and mark the model complete if it is.

        The caller holds the repository's lock.
        """
        repo, row = case.repo, case.row
        if self._case(case.findings) is None:
            raise Conflict(f"{row.model_name} was moved or removed meanwhile.", model_name=row.model_name)
        files = [file for file in case.affected if case.source(file.digest) is not None]
        symlinks = not self._holds_real_files(case)
        materialize.lay_out(case.base, repo, case.commit_hash, files, progress, symlinks=symlinks)
        kinds = {finding.kind for finding in case.findings}
        if Fault.DANGLING_REF in kinds and is_folder(repo.snapshot(case.commit_hash)):
            snapshot.set_refs(repo, {row.revision: case.commit_hash}, overwrite=True)
        self._renew_tree(case, set_aside=bool(kinds & {Fault.UNREADABLE_TREE, Fault.BROKEN_TREE}))
        if row.complete and not scan.missing_files(repo, case.commit_hash, case.files):
            self.registry.set_signature(row.id, scan.signature(repo, case.commit_hash))

    def _holds_real_files(self, case: _Case) -> bool:
        """Return whether the bytes belong in the snapshot itself: without links, or in a snapshot laid out so."""
        folder = case.repo.snapshot(case.commit_hash)
        held = any(finding.quarantined and folder in Path(finding.path).parents for finding in case.findings)
        return held or not self.tiers.links(case.base) or inspect.has_real_files(case.repo, case.commit_hash)

    def _renew_tree(self, case: _Case, *, set_aside: bool) -> None:
        tree, manifest = case.repo.tree(case.commit_hash), self.registry.files(case.row.hf_path, case.commit_hash)
        if may_be_short(manifest, case.row.allow_patterns) or (is_there(tree) and not set_aside):
            return
        if is_there(tree):
            fs.set_aside(case.base.path, tree, case.base.quarantine)
        trees.write(case.repo, case.commit_hash, manifest)


def _judged(case: _Case, finding: Finding, trouble: str) -> Finding:
    """Return a finding with the result of its repair."""
    if finding.trouble or finding.kind in _NOT_MENDED:
        return finding
    if _is_mended(case, finding):
        return replace(finding, repaired=True)
    return replace(finding, trouble=trouble, commit_hash=case.commit_hash if trouble else finding.commit_hash)


def _is_mended(case: _Case, finding: Finding) -> bool:
    if finding.kind is Fault.DANGLING_REF:
        found = scan.refs(case.repo).get(case.row.revision)
        return found == case.commit_hash and is_folder(case.repo.snapshot(case.commit_hash))
    if finding.kind in (Fault.UNREADABLE_TREE, Fault.BROKEN_TREE):
        return bool(trees.read(case.repo, case.commit_hash))
    same = [file for file in case.files if file.digest == finding.digest]
    return bool(same) and all(materialize.is_right(case.base, case.repo, case.commit_hash, file) for file in same)


def _reason(err: ShelfError | OSError) -> str:
    """Return why something could not be done, in a sentence."""
    if isinstance(err, OutOfSpace):
        return f"{err.detail} Quarantined files count too; to delete them: shelf gc --quarantine"
    return (
        err.detail if isinstance(err, ShelfError) else f"{err.strerror or err}: {err.filename or ''}".rstrip(": ") + "."
    )
