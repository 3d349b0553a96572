"""Pulling a model: resolve, plan, reserve, fetch, lay out, and only then mark it complete."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from modelshelf.domain.jobs import DOWNLOADING
from modelshelf.domain.made_up_commits import check_real
from modelshelf.domain.models import FileEntry, ModelRow, may_be_short, select_files
from modelshelf.domain.names import COMMIT_HASH, CommitHash, Digest, RepoId
from modelshelf.domain.patterns import in_words
from modelshelf.domain.plans import MOST_RUN_SEGMENTS, BlobNeed, PullPlan, beside_bytes, plan_pull
from modelshelf.domain.ports import Clock, Hub, Progress
from modelshelf.domain.references import is_projector, quantisation_of
from modelshelf.domain.tiers import Tier
from modelshelf.domain.weight_files import GGUF, groups_of, include_pattern
from modelshelf.errors import BadInput, NotFound, Unavailable
from modelshelf.registry.registry import Registry
from modelshelf.services.catalog.facts import weight_format_of
from modelshelf.services.jobs.progress import Counter
from modelshelf.services.jobs.running import Running
from modelshelf.services.lifecycle.download import Fetcher
from modelshelf.services.lifecycle.local_copies import LocalCopies
from modelshelf.services.lifecycle.model_sidecar import sidecar_of
from modelshelf.services.lifecycle.open_hours import OpenHours
from modelshelf.services.lifecycle.rate_limit import Throttle
from modelshelf.services.space.make_room import RoomMaker
from modelshelf.services.space.reservations import Reservation
from modelshelf.services.space.tiers import TierService
from modelshelf.store import fs, locks, ownership
from modelshelf.store.blobs.partial import file_agrees, written_bytes
from modelshelf.store.layout import Base
from modelshelf.store.repos import delete, scan, snapshot
from modelshelf.store.repos.materialize import lay_out, list_commit
from modelshelf.store.tiers import sidecars
from modelshelf.units import many

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Puller:
    """Pulls registered models.

    **Crash:** every step finds what the one before it left: parts, blobs, links. No model is marked complete before
    all of it is.
    """

    registry: Registry
    tiers: TierService
    room: RoomMaker
    copies: LocalCopies
    hub: Hub
    peers: Sequence[Hub]
    """LAN hubs; see `download.Fetcher`."""
    clock: Clock
    throttle: Throttle
    hours: OpenHours
    streams: int
    most_segments: int = MOST_RUN_SEGMENTS
    """See `download.Fetcher`."""

    def run(self, running: Running) -> None:
        """Run a pull job; see `pull`.

        Raises:
            NotFound: Its model was removed.
        """
        row = self.registry.model(running.job.model_name)
        if row is None or row.id != running.job.model_id:
            raise NotFound(f"{running.job.model_name} was removed.", model_name=running.job.model_name)
        self.pull(row, running.progress, running.reservations.append)

    def pull(self, row: ModelRow, progress: Progress, on_reserved: Callable[[Reservation], None]) -> None:
        """Bring a model's files to its tier.

        Args:
            row: The model.
            progress: Told how far the pull is.
            on_reserved: Called with the reservation, to keep it alive.

        Raises:
            BadInput: Its patterns match no file.
            NotFound: The hub doesn't have it.
            OutOfSpace: It doesn't fit; nothing was fetched.
            Unavailable: The hub isn't reachable, the tier is offline, or downloads may not run now.
            Denied: The tier can't be written.
            Corrupt: Bytes with the wrong digest arrived twice.
        """
        self._open(row)
        progress.phase("resolving")
        with _naming_what_is_gone(row):
            row, commit_hash, manifest = self._manifest(row)
            base = self.bring(row, commit_hash, select(manifest, row.allow_patterns), progress, on_reserved)
        progress.phase("linking")
        with locks.wait_lock(base.path, base.repo_lock(row.hf_path), self.clock):
            self.lay_out(base, row, commit_hash, manifest)
            now = self.registry.model(row.model_name)
            if now is None or (now.id, now.commit_hash) != (row.id, commit_hash):
                raise NotFound(f"{row.model_name} was removed or updated while it was being pulled.")
            sidecars.write(base, sidecar_of(row, commit_hash, manifest))
            written = weight_format_of(base, row.hf_path, commit_hash, select_files(manifest, row.allow_patterns))
            self.registry.set_complete(row.id, scan.signature(base.repo(row.hf_path), commit_hash), written)

    def bring(
        self,
        row: ModelRow,
        commit_hash: CommitHash,
        files: Sequence[FileEntry],
        progress: Progress,
        on_reserved: Callable[[Reservation], None],
    ) -> Base:
        """Bring a commit's blobs to a model's tier, verified; return the base. Raises as `pull` does.

        Args:
            row: The model.
            commit_hash: The commit.
            files: The selected files.
            progress: Told how far the work is.
            on_reserved: Called with the reservation.
        """
        tier, tier_id = self._open(row)
        self.tiers.check_storable(tier, row.hf_path, files, row.model_name, row.revision)
        base = Base(self.tiers.path(tier))
        repo = base.repo(row.hf_path)
        delete.check_no_links(repo, commit_hash)
        plan = self.plan(base, row.hf_path, commit_hash, files)
        self._set_aside_damage(base, tier_id, plan, progress)
        plan = self.plan(base, row.hf_path, commit_hash, files)
        if plan.fetch:
            copies = self.copies.of(base, plan)
            if len(copies) < len(plan.fetch):
                self.hours.check()
            need = partial(missing_bytes, base, plan, self.tiers.second_bytes(base, files))
            with self.room.reserve(tier, tier_id, need, model_id=row.id) as reservation:
                on_reserved(reservation)
                progress.phase(DOWNLOADING, plan.total_bytes)
                progress.skip(plan.total_bytes - plan.fetch_bytes)
                progress.files({need.path: need.size_bytes for need in plan.fetch})
                rest = self._copy(base, plan, copies, progress, reservation)
                if rest:
                    self._fetcher(base, replace(plan, fetch=rest), progress, reservation).run()
        stamps = {need.digest: scan.stamp(repo.blob(need.digest)) for need in plan.fetch}
        self.registry.verified.add(tier_id, stamps)
        return base

    def _copy(
        self, base: Base, plan: PullPlan, copies: Mapping[Digest, Path], progress: Progress, reservation: Reservation
    ) -> tuple[BlobNeed, ...]:
        """Copy what other tiers hold; return what is left to be fetched."""
        rest: list[BlobNeed] = []
        for need in plan.fetch:
            source = copies.get(need.digest)
            if source is not None:
                progress.note(f"Copies {need.path} from {source.parent}.")
            of_file = progress.of(need.path)
            if source is None or not self.copies.bring(base, plan.repo_id, need, source, of_file, reservation):
                rest.append(need)
        progress.note("")
        return tuple(rest)

    def plan(self, base: Base, repo_id: RepoId, commit_hash: CommitHash, files: Sequence[FileEntry]) -> PullPlan:
        """Return what to fetch for the files of a commit; what is there by name and size isn't."""
        there = self._held(base, repo_id, commit_hash, files)
        return plan_pull(repo_id, commit_hash, files, snapshot.sizes(there))

    def _held(
        self, base: Base, repo_id: RepoId, commit_hash: CommitHash, files: Sequence[FileEntry]
    ) -> dict[Digest, Path]:
        return snapshot.held(base, base.repo(repo_id), commit_hash, files, symlinks=self.tiers.links(base))

    def _open(self, row: ModelRow) -> tuple[Tier, str]:
        tier = self.tiers.settings.resolve(row.cache_location, row.cache_path)
        tier_id = self.tiers.open_to_write(tier)
        ownership.check_changeable(Base(self.tiers.path(tier)), row.hf_path)
        return tier, tier_id

    def _manifest(self, row: ModelRow) -> tuple[ModelRow, CommitHash, list[FileEntry]]:
        """Return a model, its commit and all files of it; the first call asks the hub and pins the answer.

        Raises:
            BadInput: Its patterns match no file.
            NotFound: The hub doesn't have it.
            Unavailable: The hub isn't reachable.
        """
        commit_hash = row.commit_hash
        files = self.registry.files(row.hf_path, commit_hash) if commit_hash else []
        if commit_hash is None or not files:
            if commit_hash is None:
                resolved = self.hub.resolve(row.hf_path, row.revision)
                row, commit_hash = replace(row, hf_path=resolved.repo_id), resolved.commit_hash
            check_real(row.hf_path, commit_hash)
            files = self.hub.list_files(row.hf_path, commit_hash)
            select(files, row.allow_patterns)
            self.registry.set_manifest(row, commit_hash, files)
        return row, commit_hash, files

    def _fetcher(self, base: Base, plan: PullPlan, progress: Progress, reservation: Reservation) -> Fetcher:
        return Fetcher(
            hub=self.hub,
            peers=self.peers,
            base=base,
            plan=plan,
            progress=progress,
            clock=self.clock,
            streams=self.streams,
            throttle=self.throttle,
            hours=self.hours,
            on_written=reservation.wrote,
            most_segments=self.most_segments,
        )

    def _set_aside_damage(self, base: Base, tier_id: str, plan: PullPlan, progress: Progress) -> None:
        """Quarantine blobs that other tools left with the wrong size or bytes; Hugging Face checks neither.

        A blob that was verified here and not written since isn't read again.
        """
        held = self._held(base, plan.repo_id, plan.commit_hash, plan.files)
        for need in plan.suspect:
            self._quarantine(base, held[need.digest], need.digest, "size")
        fetch = {need.digest for need in plan.fetch}
        checked = self.registry.verified.of_tier(tier_id)
        foreign = {
            file.digest: file.size_bytes
            for file in plan.files
            if file.digest not in fetch and checked.get(file.digest) != scan.stamp(held[file.digest])
        }
        progress.phase("verifying", sum(foreign.values()))
        good: dict[Digest, str] = {}
        for digest, size_bytes in foreign.items():
            progress.check()
            stamp = scan.stamp(held[digest])
            if file_agrees(held[digest], digest):
                good[digest] = stamp
            else:
                self._quarantine(base, held[digest], digest, "content")
            progress.advance(size_bytes)
        self.registry.verified.add(tier_id, good)

    def _quarantine(self, base: Base, path: Path, digest: Digest, what: str) -> None:
        target = fs.set_aside(base.path, path, base.quarantine)
        _log.warning("blob_quarantined", extra={"digest": digest, "wrong": what, "path": str(target)})

    def lay_out(self, base: Base, row: ModelRow, commit_hash: CommitHash, manifest: Sequence[FileEntry]) -> None:
        """Lay out the snapshot from blobs that are there, and set the model's ref to it; the hub isn't asked.

        The caller holds the repository's lock and writes the row afterwards: bytes, list, links, ref, row.

        Args:
            base: The model's base.
            row: The model.
            commit_hash: The commit.
            manifest: All files of the commit.

        Raises:
            Unavailable: Files were deleted in the meantime.
        """
        repo, files = base.repo(row.hf_path), select_files(manifest, row.allow_patterns)
        delete.check_no_links(repo, commit_hash)
        self._check_all_there(row, self.plan(base, row.hf_path, commit_hash, files).fetch)
        if not may_be_short(manifest, row.allow_patterns):
            list_commit(repo, commit_hash, manifest)
        lay_out(base, repo, commit_hash, files, Counter(), symlinks=self.tiers.links(base))
        self._check_all_there(row, scan.missing_files(repo, commit_hash, files))
        ownership.give_repo_to_group(base, row.hf_path)
        if not COMMIT_HASH.fullmatch(row.revision):
            snapshot.set_refs(repo, {row.revision: commit_hash}, overwrite=True)

    def _check_all_there(self, row: ModelRow, missing: Sequence[BlobNeed | FileEntry]) -> None:
        if missing:
            raise Unavailable(
                f"{many(len(missing), 'file')} of {row.model_name} vanished while its snapshot was made"
                f" (first: {missing[0].path}).",
                hint="Another program deletes files in this folder; the pull runs again.",
            )


@contextlib.contextmanager
def _naming_what_is_gone(row: ModelRow) -> Iterator[None]:
    """Add to the error for a commit that the hub no longer has which revision it was, and what replaces it."""
    try:
        yield
    except NotFound as err:
        if row.commit_hash is None or err.fields.get("revision") != row.commit_hash:
            raise
        is_pinned = COMMIT_HASH.fullmatch(row.revision)
        other = f"shelf add NAME {row.hf_path}" if is_pinned else f"shelf update {row.model_name}"
        raise NotFound(
            f"The hub no longer has commit {row.commit_hash} of {row.hf_path}, to which {row.model_name} is pinned"
            f"{'' if is_pinned else f' (revision {row.revision})'}.",
            hint=f"Take a newer one: {other}",
            **err.fields,
        ) from err


def select(files: list[FileEntry], allow_patterns: tuple[str, ...]) -> list[FileEntry]:
    """Return the files that the patterns match.

    Raises:
        BadInput: None does, or several models are of the one quantisation that they select.
    """
    selected = select_files(files, allow_patterns)
    quantisation = quantisation_of(allow_patterns)
    if files and (not selected or (quantisation and all(is_projector(file.path) for file in selected))):
        likely = [file for file in files if not quantisation or file.path.endswith(".gguf")]
        names = ", ".join(file.path for file in likely[:8])
        wanted = f"is a GGUF of {quantisation}" if quantisation else in_words(allow_patterns)
        raise BadInput(
            f"No file {wanted}.",
            hint=f"The repository has {names}{' …' if len(likely) > 8 else ''}"
            if names
            else "The repository has no GGUF. To take all its files, leave out the colon and what is behind it.",
            allow_patterns=list(allow_patterns),
        )
    ggufs = [group for group in groups_of(selected) if group.format == GGUF] if quantisation else []
    if len(ggufs) > 1:
        raise BadInput(
            f"{len(ggufs)} models are GGUF of {quantisation}: {', '.join(group.label for group in ggufs)}.",
            hint="Take one: " + " or ".join(f"--include '{include_pattern(group, files)}'" for group in ggufs),
            allow_patterns=list(allow_patterns),
        )
    return selected


def missing_bytes(base: Base, plan: PullPlan, more_bytes: int = 0) -> int:
    """Return how many bytes a pull still has to write at most: its blobs less finished parts, and what is beside them.

    Args:
        base: The base.
        plan: What to fetch.
        more_bytes: Bytes that a snapshot without links stores twice; see `store.repos.snapshot.second_bytes`.
    """
    return more_bytes + beside_bytes(plan.files) + unfetched_bytes(base, plan.fetch) if plan.fetch else 0


def unfetched_bytes(base: Base, needs: Iterable[BlobNeed]) -> int:
    """Return how many bytes of blobs still have to arrive: their sizes less finished parts."""
    return sum(need.size_bytes - min(need.size_bytes, written_bytes(base.part(need.digest))) for need in needs)
