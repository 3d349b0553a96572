"""One look at whether models can be removed and what that frees: for one model, or for all of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from modelshelf.domain.jobs import RUNNING
from modelshelf.domain.leases import Lease
from modelshelf.domain.models import ModelRow
from modelshelf.domain.names import RepoId
from modelshelf.domain.plans import RemovalPlan
from modelshelf.errors import Conflict, Denied, Unavailable
from modelshelf.registry.registry import Registry
from modelshelf.services.catalog.adapters import Adapters, ByBase
from modelshelf.services.catalog.leases import live
from modelshelf.services.catalog.models import Library, without_the_dead
from modelshelf.services.space.delete_old_copy import OldCopyDeleter
from modelshelf.services.space.lone_snapshot import lone_snapshot
from modelshelf.store.blobs import partial
from modelshelf.store.gc import open_files
from modelshelf.store.layout import Base
from modelshelf.store.probe import is_there
from modelshelf.store.repos import delete, scan
from modelshelf.store.tiers import governor, marker


class RemovalLook:
    """Answers for as many models as it is asked about; what concerns all of them is read once. Nothing is changed.

    Args:
        registry: The registry.
        library: The models as they are.
        old_copies: What tells who holds a repository in a base.
        adapters: The base models that adapters need.
        opened: What `open_files.opened` returned just now; None: look at every process for each model.
    """

    def __init__(
        self,
        registry: Registry,
        library: Library,
        old_copies: OldCopyDeleter,
        adapters: Adapters,
        opened: Set[tuple[int, int]] | None = None,
    ) -> None:
        self._registry, self._library, self._old_copies = registry, library, old_copies
        self._adapters, self._opened = adapters, opened
        self._places = library.places()
        self._bases: dict[str, _Base] = {}
        """Those that were looked at, by their paths."""
        self._changeable_bases: dict[str, Base] = {}
        """Those that were found to be ours and writable."""

    def check(self, row: ModelRow, *, delete_files: bool, gone: Collection[int] = ()) -> None:
        """Raise unless a model can be removed now; see `Remover.check`."""
        self._check_free(row)
        if delete_files:
            self._check_needed(row, gone)
            if row.commit_hash is not None:
                base = Base(Path(self._places.where(row)[0]))
                paths = scan.file_paths(base.repo(row.hf_path), row.commit_hash, self._library.files(row))
                self._check_unused(row, base, open_files.identities(paths))

    def plan(self, row: ModelRow, gone: Collection[int] = ()) -> RemovalPlan:
        """Return what removing a model with its files would delete.

        Args:
            row: The model.
            gone: Ids of models that are removed before it.

        Raises:
            Unavailable, Conflict, Denied: Its tier is offline, another library's or read-only.
        """
        base = self._changeable(row)
        if row.commit_hash is None:
            return nothing(row)
        keep = self._library.needed_paths(base, row.hf_path, row.commit_hash, gone={*gone, row.id})
        others = self._library.needed_digests(base, row.hf_path, row.commit_hash, gone=gone)
        files = self._library.files(row)
        return delete.plan_removal(base, row.hf_path, row.commit_hash, files, keep, others)

    def free_bytes(self, row: ModelRow, of_repo: Sequence[ModelRow]) -> int:
        """Return what removing a model with its files would free.

        Args:
            row: The model.
            of_repo: All models of its repository. One that is alone there, and as it was when it arrived, is measured
                by its blobs.

        Raises:
            Conflict, Unavailable, Denied: It can't be removed with its files now; as `check` and `plan` raise.
        """
        self._check_free(row)
        self._check_needed(row, ())
        base = self._changeable(row)
        repo = base.repo(row.hf_path)
        if not (is_there(repo.path) or self._at(base).has_parts):
            self._check_unused(row, base, frozenset())
            return 0
        if (alone := lone_snapshot(repo, [row], of_repo)) is not None:
            self._check_unused(row, base, alone.files)
            return alone.size_bytes
        self.check(row, delete_files=True)
        return self.plan(row).free_bytes

    def _check_free(self, row: ModelRow) -> None:
        if without_the_dead(row).job_state == RUNNING:
            raise Conflict(
                f"Job {row.job_id} is working on {row.model_name}.",
                hint=f"Wait for it, or end it: shelf cancel {row.job_id}",
                model_name=row.model_name,
                job_id=row.job_id,
            )
        if row.pinned:
            hint = f"shelf unpin {row.model_name}"
            raise Conflict(f"{row.model_name} is pinned.", hint=hint, model_name=row.model_name)
        # in whichever base: an engine may run from where the model was
        if leases := [lease for lease in self._leases if lease.model_id == row.id]:
            by_hand = [f"shelf lease --release {lease.id}" for lease in leases if not lease.owner]
            by_hand += [f"shelf unload {row.model_name}"] * any(lease.kind == "engine" for lease in leases)
            raise Conflict(
                f"{row.model_name} is used by {', '.join(sorted({lease.holder for lease in leases}))}.",
                hint=f"End them first ({'; '.join(by_hand)})" if by_hand else "End them first.",
                model_name=row.model_name,
                used_by=sorted({lease.holder for lease in leases}),
            )

    def _check_needed(self, row: ModelRow, gone: Collection[int]) -> None:
        if needing := self._adapters.needing(row, self._by_base_model, gone):
            raise Conflict(
                f"{row.model_name} is the base model of {', '.join(needing)}.",
                hint=f"Remove them first (shelf rm {needing[0]}), or leave the files: shelf rm without --files.",
                model_name=row.model_name,
                needed_by=needing,
            )

    def _check_unused(self, row: ModelRow, base: Base, files: Set[tuple[int, int]]) -> None:
        users = {*self._at(base).holders.get(row.hf_path, ())}
        if self._opened is None or not self._opened.isdisjoint(files):
            users.update(open_files.users_of_any(files))
        if users:
            raise Conflict(
                f"{row.model_name} is used by {', '.join(sorted(users))}.",
                hint="End them first, or leave the files: shelf rm without --files.",
                model_name=row.model_name,
                used_by=sorted(users),
            )

    def _changeable(self, row: ModelRow) -> Base:
        """Return a model's base, if something in it may be deleted."""
        path, why_offline = self._places.where(row)
        if why_offline:
            raise Unavailable(why_offline, hint="Mount its drive, or leave the files where they are.")
        if path not in self._changeable_bases:
            base = Base(Path(path))
            governor.check_ours(base, self._registry.id, self._registry.url)
            if not marker.is_writable(base):
                hint = "Mount it writable, or leave the files where they are."
                raise Denied(f"{base.path} is read-only here.", hint=hint, cache_path=str(base.path))
            self._changeable_bases[path] = base
        return self._changeable_bases[path]

    def _at(self, base: Base) -> _Base:
        path = str(base.path)
        if path not in self._bases:
            holders = self._old_copies.holders(base)
            self._bases[path] = _Base(holders, bool(partial.written(base)))
        return self._bases[path]

    @cached_property
    def _leases(self) -> list[Lease]:
        return live(self._registry)

    @cached_property
    def _by_base_model(self) -> ByBase:
        return self._adapters.by_base_model()


@dataclass(frozen=True, slots=True)
class _Base:
    """What is the same for all models of a base."""

    holders: Mapping[RepoId, Collection[str]]
    """Who holds a lease, in words, by the repository."""
    has_parts: bool
    """Whether there are parts of blobs that didn't arrive."""


def nothing(row: ModelRow) -> RemovalPlan:
    """Return the plan that deletes nothing of a model."""
    return RemovalPlan(row.hf_path, (), (), (), (), (), ())
