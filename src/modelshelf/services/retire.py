"""Deleting what a moved, updated or removed model left behind, once nobody uses it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from modelshelf.domain.jobs import Job
from modelshelf.domain.models import FileEntry
from modelshelf.domain.ports import Clock
from modelshelf.domain.tiers import CUSTOM, Tiers
from modelshelf.errors import BadInput, Unavailable
from modelshelf.registry.queries import Registry
from modelshelf.services.jobs import Running
from modelshelf.services.lease import holding
from modelshelf.services.library import Library
from modelshelf.store import cards, in_use, locks, ownership, removal, scan
from modelshelf.store import tier as store_tier
from modelshelf.store.fs import Freed
from modelshelf.store.layout import Base

RETIRE = "retire"
_LOOK_AGAIN_S = 5.0


@dataclass(frozen=True, slots=True)
class Retirer:
    """Deletes old copies. Copying is always allowed; deleting waits for leases and open files."""

    registry: Registry
    library: Library
    clock: Clock

    def run(self, running: Running) -> None:
        """Carry out a retire job; its result tells what that freed.

        Raises:
            Unavailable: Somebody uses the files, or their drive is away; the job waits.
        """
        params = json.loads(running.job.params)
        base = _base_here(self.library.tiers, params)
        if base is None:
            path = Path(params["cache_path"])
            raise Unavailable(store_tier.why_offline(Base(path), params["tier_id"]), retry_after_s=60)
        files = [FileEntry(str(path), int(size), str(digest)) for path, size, digest in params["files"]]
        freed = self.retire(base, params["hf_path"], params["commit_hash"], files)
        self.registry.update_job(running.job.id, {"result": json.dumps(asdict(freed))})

    def retire(
        self, base: Base, repo_id: str, commit_hash: str, files: list[FileEntry], *, but: int | None = None
    ) -> Freed:
        """Delete files of one commit in one base that no registered model there needs; returns what that freed.

        Args:
            base: The base.
            repo_id: The repository.
            commit_hash: The commit.
            files: What goes.
            but: The id of a model whose need does not count.

        Raises:
            Unavailable: Somebody uses them, or their drive is away; none of them was deleted.
        """
        self._check_there(base, repo_id)
        with locks.wait_lock(base.repo_lock(repo_id), self.clock):
            self._remove_stale_cards(base, repo_id)
            if not files:
                return Freed()
            users = self.users(base, repo_id, commit_hash, files)
            if users:
                raise Unavailable(
                    f"The old copy in {base.path} is used by {', '.join(users)}.",
                    hint="It is deleted when they end.",
                    retry_after_s=_LOOK_AGAIN_S,
                    used_by=users,
                )
            keep = self.library.needed_paths(base, repo_id, commit_hash, but=but)
            others = self.library.needed_digests(base, repo_id, commit_hash)
            return removal.execute(base, removal.plan_removal(base, repo_id, commit_hash, files, keep, others))

    def _check_there(self, base: Base, repo_id: str) -> None:
        """Do nothing when the tier that the old copy lies on can be written: this one, not another drive in its place.

        Raises:
            Unavailable: It cannot; the job waits.
        """
        known_id = self.library.known.load().get(str(base.path)) or self.registry.tier_ids().get(str(base.path))
        reason = store_tier.why_offline(base, known_id or "")
        if not reason and not store_tier.is_writable(base):
            reason = f"{base.path} is read-only here."
        if not reason and (why := ownership.why_not_changeable(base, base.repo(repo_id))):
            reason = f"{why} Repair it: {ownership.fix(base)}"
        if reason:
            raise Unavailable(reason, retry_after_s=60, cache_path=str(base.path))

    def _remove_stale_cards(self, base: Base, repo_id: str) -> None:
        """Delete the cards of models of this repository that resolve elsewhere by now, or are gone."""
        rows = {row.model_name: row for row in self.registry.models()}
        for card in cards.read_all(base):
            row = rows.get(card.model_name)
            if card.hf_path == repo_id and (row is None or self.library.base_of(row) != str(base.path)):
                cards.remove(base, card.model_name)

    def users(self, base: Base, repo_id: str, commit_hash: str, files: list[FileEntry]) -> list[str]:
        """Return who holds a lease on a placement or has one of its files open, in words."""
        held = holding(self.registry, self.library.tiers, str(base.path))
        leased = [lease.holder for lease in held if self._is_of(lease.model_id, repo_id)]
        return sorted({*leased, *in_use.users_of(scan.file_paths(base.repo(repo_id), commit_hash, files))})

    def _is_of(self, model_id: int, repo_id: str) -> bool:
        return any(row.id == model_id and row.hf_path == repo_id for row in self.registry.models())


def read_freed(job: Job) -> Freed:
    """Return what a retire job freed."""
    return Freed(**json.loads(job.result or "{}"))


def retire_params(
    tiers: Tiers, base: Base, repo_id: str, commit_hash: str | None, files: Iterable[FileEntry]
) -> dict[str, object]:
    """Return what a retire job needs, whichever process carries it out: another may call the base otherwise."""
    return {
        "cache_path": tiers.stored_path(str(base.path)),
        "tier_id": store_tier.read_id(base) or "",
        "hf_path": repo_id,
        "commit_hash": commit_hash,
        "files": [[file.path, file.size_bytes, file.digest] for file in files],
    }


def retiring(registry: Registry, tiers: Tiers) -> Iterator[tuple[str, str]]:
    """Yield base and model name of each old copy that waits to be deleted."""
    for job in registry.jobs(unfinished=True):
        if job.kind == RETIRE:
            params = json.loads(job.params)
            base = _base_here(tiers, params)
            yield str(base.path) if base else str(params["cache_path"]), job.model_name


def _base_here(tiers: Tiers, params: Mapping[str, Any]) -> Base | None:
    """Return what this process calls the base of an old copy, by the id of its tier; None where that is not here."""
    path, tier_id = str(params["cache_path"]), str(params.get("tier_id", ""))
    if not tier_id:
        return Base(Path(path))
    paths = [path, *(tier.base for tier in tiers.configured())]
    with contextlib.suppress(BadInput):
        paths.append(tiers.resolve(CUSTOM, path).base)
    found = (Base(Path(path)) for path in paths)
    return next((base for base in found if store_tier.read_id(base) == tier_id), None)
