"""Registering: check everything that can be checked before anything is changed, then write the row."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

from modelshelf.domain.jobs import Job, JobKind
from modelshelf.domain.model_names import chosen_name, free_name
from modelshelf.domain.models import FileEntry, ModelRow, Registration
from modelshelf.domain.names import CommitHash, RefName, RepoId
from modelshelf.domain.patterns import patterns_of
from modelshelf.domain.plans import AddPlan, PullPlan, plan_pull
from modelshelf.domain.ports import Hub
from modelshelf.domain.references import Reference
from modelshelf.domain.tiers import Tier
from modelshelf.errors import BadInput, Conflict, NotFound, Unavailable
from modelshelf.registry.registry import Registry
from modelshelf.services.lifecycle.local_copies import LocalCopies
from modelshelf.services.lifecycle.pull import missing_bytes, select, unfetched_bytes
from modelshelf.services.space.make_room import RoomMaker
from modelshelf.services.space.tiers import TierService, destination
from modelshelf.store import ownership
from modelshelf.store.layout import Base
from modelshelf.store.repos import scan, snapshot, trees

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Registrar:
    """Adds models to the library."""

    registry: Registry
    tiers: TierService
    room: RoomMaker
    copies: LocalCopies
    hub: Hub

    def plan(self, wanted: Registration) -> AddPlan:
        """Return what registering a model would do, after every check that is possible; nothing is changed.

        Without the hub it is what the tier has of it, if that is whole; else the plan has no commit.

        Raises:
            BadInput: A name, a path or a pattern is invalid.
            Conflict: The name is taken; or only pinned or used models keep room from being made.
            NotFound, Denied: The hub doesn't have the repository, or not for this token.
            OutOfSpace: It doesn't fit on its tier.
            Unavailable: The tier is offline.
        """
        tier = self.tiers.settings.chosen(wanted.cache_location, wanted.cache_path)
        self.registry.check_name(wanted)
        self._check_base(wanted, tier)
        base = Base(self.tiers.path(tier))
        try:
            repo_id, commit_hash, manifest = self._pinned(wanted) or self._from_hub(wanted)
        except Unavailable as err:
            wanted = replace(wanted, hf_path=self._known_spelling(base, wanted.hf_path))
            found = self._from_disk(base, wanted)
            if found is None:
                _log.warning("hub_unreachable", extra={"detail": err.detail})
                self.tiers.check_writable(tier)
                return AddPlan(wanted, tier, None, (), 0, 0, 0, None)
            repo_id, (commit_hash, manifest) = wanted.hf_path, found
        wanted = replace(wanted, hf_path=repo_id)
        selected = select(manifest, wanted.allow_patterns)
        ownership.check_changeable(base, wanted.hf_path)
        pull = self._plan_pull(base, wanted.hf_path, commit_hash, selected)
        tier_id = self.tiers.check_writable(tier)
        need_bytes = missing_bytes(base, pull, self.tiers.second_bytes(base, selected))
        self.tiers.check_storable(tier, wanted.hf_path, selected, wanted.model_name, wanted.revision)
        makes_room = self.room.check(tier, tier_id, need_bytes)
        elsewhere = self.copies.of(base, pull)
        fetch_bytes = unfetched_bytes(base, [need for need in pull.fetch if need.digest not in elsewhere])
        copy_bytes = unfetched_bytes(base, pull.fetch) - fetch_bytes
        sizes_bytes = (pull.total_bytes, fetch_bytes, copy_bytes)
        return AddPlan(wanted, tier, commit_hash, tuple(manifest), *sizes_bytes, makes_room)

    def register(self, wanted: Registration) -> AddPlan:
        """Add a model, pinned to the commit that its revision means now; return what its pull will do.

        Without the hub the model is added too, and its pull finds the commit later. The same
        registration a second time changes nothing. Raises as `plan` does.
        """
        plan = self.plan(wanted)
        wanted = plan.wanted
        self.tiers.open_to_write(plan.tier)
        files = select(list(plan.manifest), wanted.allow_patterns) if plan.manifest else []
        # Only now is it known what the file system of a new tier can do.
        self.tiers.check_storable(plan.tier, wanted.hf_path, files, wanted.model_name, wanted.revision)
        there = self.registry.model(wanted.model_name)
        row = there or self.registry.add_model(wanted, self.tiers.settings.stored_path(plan.tier.base))
        if plan.commit_hash is not None and row.commit_hash is None:
            self.registry.set_manifest(row, plan.commit_hash, plan.manifest)
        _log.info("registered", extra={"model_name": row.model_name, "size_bytes": plan.size_bytes})
        return plan

    def with_name(self, wanted: Registration, behind: str) -> Registration:
        """Return an unnamed registration with the name that adopt would give it.

        Args:
            wanted: The registration; its name is ignored.
            behind: What tells the model from others of its repository, such as a quantisation.

        Raises:
            Conflict: The same model is registered on another tier.
        """
        rows = self.registry.models(any_case=wanted.hf_path)
        same = next((row for row in rows if _asks_the_same(row, wanted)), None)
        if same is None:
            return replace(wanted, model_name=free_name(wanted.hf_path, self.registry.names(), behind=behind))
        tier = self.tiers.settings.chosen(wanted.cache_location, wanted.cache_path)
        if self.tiers.settings.resolve(same.cache_location, same.cache_path).base != tier.base:
            move = f"shelf move {same.model_name} {wanted.cache_path or wanted.cache_location}"
            raise Conflict(
                f"{same.hf_path} is registered as {same.model_name}, on {same.cache_location}.",
                hint=f"{move}; to have it twice, give the copy a name: shelf add NAME ORG/MODEL",
                model_name=same.model_name,
                hf_path=same.hf_path,
            )
        return replace(wanted, model_name=same.model_name)

    def _pinned(self, wanted: Registration) -> tuple[RepoId, CommitHash, list[FileEntry]] | None:
        """Return the repository, commit and files that an existing model of this name is pinned to."""
        there = self.registry.model(wanted.model_name)
        if there is None or there.commit_hash is None:
            return None
        manifest = self.registry.files(there.hf_path, there.commit_hash)
        return (there.hf_path, there.commit_hash, manifest) if manifest else None

    def _from_hub(self, wanted: Registration) -> tuple[RepoId, CommitHash, list[FileEntry]]:
        found = self.hub.resolve(wanted.hf_path, wanted.revision)
        return found.repo_id, found.commit_hash, self.hub.list_files(found.repo_id, found.commit_hash)

    def _from_disk(self, base: Base, wanted: Registration) -> tuple[CommitHash, list[FileEntry]] | None:
        """Return the commit and files of what a base has under a revision, if every file that is wanted is there."""
        repo = base.repo(wanted.hf_path)
        commit_hash = scan.refs(repo).get(wanted.revision)
        if commit_hash is None:
            return None
        manifest = list(trees.read(repo, commit_hash))
        wants = select(manifest, wanted.allow_patterns) if manifest else []
        if not wants or self._plan_pull(base, wanted.hf_path, commit_hash, wants).fetch:
            return None
        return commit_hash, manifest

    def _known_spelling(self, base: Base, hf_path: RepoId) -> RepoId:
        """Return a repository's id as it is already spelled here; letter case doesn't tell two repositories apart."""
        registered = [row.hf_path for row in self.registry.models(any_case=hf_path)]
        cached = [repo_id for kind, repo_id, _ in scan.repos(base) if kind == "model"]
        return next((known for known in (*registered, *cached) if known.lower() == hf_path.lower()), hf_path)

    def _check_base(self, wanted: Registration, tier: Tier) -> None:
        """Raise if the name belongs to a model on another custom base."""
        there = self.registry.model(wanted.model_name)
        if there is not None and self.tiers.settings.resolve(there.cache_location, there.cache_path).base != tier.base:
            raise Conflict(
                f"The name {there.model_name} is taken by {there.hf_path} in {there.cache_path}.",
                hint=f"Choose another name, or move that model: shelf move {there.model_name} {tier.base}",
                model_name=there.model_name,
                hf_path=there.hf_path,
            )

    def _plan_pull(self, base: Base, repo_id: RepoId, commit_hash: CommitHash, files: Sequence[FileEntry]) -> PullPlan:
        repo, symlinks = base.repo(repo_id), self.tiers.links(base)
        held = snapshot.held(base, repo, commit_hash, files, symlinks=symlinks)
        return plan_pull(repo_id, commit_hash, files, snapshot.sizes(held))

    def enqueue_pull(self, model_name: str) -> Job:
        """Return the job that pulls a model: the unfinished one, or a new one.

        Raises:
            NotFound: There is no such model.
        """
        return self.registry.enqueue(JobKind.PULL, self._again(model_name))

    def _again(self, model_name: str) -> ModelRow:
        row = self.registry.model(model_name)
        if row is None:
            raise NotFound(f"There is no model {model_name}.", hint="shelf ls lists them.", model_name=model_name)
        return row


def _asks_the_same(row: ModelRow, wanted: Registration) -> bool:
    """Return whether a model of the same repository is registered as it is wanted."""
    return (row.revision, row.allow_patterns) == (wanted.revision, wanted.allow_patterns)


def registration(
    name: str,
    reference: Reference,
    to: str = "primary",
    *,
    revision: str | None = None,
    allow_patterns: tuple[str, ...] = (),
) -> Registration:
    """Return what `shelf add NAME REFERENCE --to primary|secondary|PATH` asks for.

    Args:
        name: Its name; empty for the default, see `Registrar.with_name`.
        reference: The repository, with what else was typed about it.
        to: The tier.
        revision: The revision; None: the reference's, or `main`.
        allow_patterns: Patterns for files beyond those of the reference.

    Raises:
        BadInput: `to` is neither a tier nor a path; or two revisions are named.
    """
    if revision and reference.revision and revision != reference.revision:
        raise BadInput(
            f"The address names the revision {reference.revision}, and --revision {revision}.", hint="Give one of them."
        )
    patterns = patterns_of((*reference.patterns, *allow_patterns))
    model_name = chosen_name(name) if name else free_name(reference.repo_id, (), behind=reference.quantisation)
    follows = RefName(revision or reference.revision or "main")
    return Registration(model_name, reference.repo_id, *destination(to), follows, patterns)
