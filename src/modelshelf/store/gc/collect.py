"""Removing garbage: scan, plan, and delete what a second check finds again.

Files in use are never deleted. A name is deleted only if all of this holds at that moment: nothing touched it within
the minimum age (by mtime and ctime, which a rename sets), no process has it open, we hold its blob's lock, no link of
any snapshot leads to it, and no registered model, sidecar or job needs it. The plan is a proposal; the second check is
made under the locks, for each repository just before its names are deleted.

**Crash:** sidecars go before blobs, refs before what they name, links before payloads, folders last; the next run
finds what a killed one leaves.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Set
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path

from modelshelf.domain.freed import Freed
from modelshelf.domain.gc import MIN_AGE_S, GcItem, GcPlan, Needs, digest_of
from modelshelf.domain.names import RepoId
from modelshelf.domain.ports import Clock, Progress
from modelshelf.errors import ShelfError
from modelshelf.store import fs
from modelshelf.store.blobs import shared_store
from modelshelf.store.gc import open_files, own_garbage, repo_garbage
from modelshelf.store.gc.repo_garbage import BaseState, RepoGarbage, Walked
from modelshelf.store.layout import Base, Repo
from modelshelf.store.locks import remove_unused, try_lock
from modelshelf.store.probe import is_link, is_there
from modelshelf.store.repos import scan
from modelshelf.store.tiers.seen import SeenBase

_LOCKS_AT_ONCE = 200
"""Each lock is an open file, and a process has about 1,000."""
_OF_REPO = ("partial", "ref", "listing", "blob", "folder")


@dataclass(slots=True)
class Collected:
    """The result of an execution."""

    removed: list[GcItem] = field(default_factory=list)
    freed: Freed = field(default_factory=Freed)
    """Measured name by name."""
    left: list[str] = field(default_factory=list)
    """What could not be deleted, in sentences, without what the second check didn't find again."""


def plan_gc(
    base: Base,
    needs: Needs,
    now_s: float,
    min_age_s: float = MIN_AGE_S,
    *,
    quarantine: bool = False,
    seen: SeenBase | None = None,
) -> GcPlan:
    """Return the garbage in a base.

    Args:
        base: The base.
        needs: What the registry needs in it.
        now_s: The time, in seconds since 1970.
        min_age_s: Files touched within this time count as in use.
        quarantine: Include the quarantine, which is otherwise only measured.
        seen: What was seen of the base already.
    """
    why_not = _why_not(base)
    if why_not:
        return GcPlan(str(base.path), min_age_s, (), (why_not,))
    seen = seen or SeenBase(base)
    look, sidecars = _look(seen, needs, now_s, min_age_s)
    in_repos = list(_in_repos(look, seen))
    items = [*sidecars, *(item for found in in_repos for item in found.items)]
    blobs = {Path(item.path) for item in items if item.kind == "blob"}
    items += repo_garbage.in_store(look, {path for path in blobs if is_link(path)})
    items += own_garbage.in_own(look)
    aside = own_garbage.quarantined(look)
    store = shared_store.why_unknown(base)
    return GcPlan(
        base=str(base.path),
        min_age_s=min_age_s,
        items=tuple(_with_age(look, item) for item in items + (aside if quarantine else [])),
        notes=tuple(note for found in in_repos for note in found.notes) + ((store,) if store else ()),
        quarantine_bytes=0 if quarantine else sum(item.size_bytes for item in aside),
        recent_bytes=sum(found.recent_bytes for found in in_repos),
    )


def _in_repos(look: BaseState, seen: SeenBase) -> Iterator[RepoGarbage]:
    """Yield what is garbage in the repositories; those of which models need everything are not walked for it."""
    needed = {found[2] for found in seen.repos if repo_garbage.is_all_needed(look, *found, seen.listing)}
    walked = [repo_garbage.walk(*found) for found in seen.repos if found[2] not in needed]
    if not walked:
        return
    links = set(repo_garbage.links_of_strange(look.base))
    links.update(*(repo.links for repo in walked), *(repo_garbage.links_of(repo, seen.listing) for repo in needed))
    look = replace(look, links=links)
    yield from (repo_garbage.in_repo(look, repo) for repo in walked)


def _with_age(look: BaseState, item: GcItem) -> GcItem:
    try:
        return replace(item, age_s=look.age_s(Path(item.path).lstat()))
    except OSError:  # it was deleted meanwhile
        return item


def execute(
    base: Base, plan: GcPlan, needs: Callable[[RepoId | None], Needs], clock: Clock, progress: Progress
) -> Collected:
    """Delete what a plan names and a second check finds again; return what that freed, measured.

    Args:
        base: The base of the plan.
        plan: What to delete.
        needs: Returns what the registry needs now, of one repository or of all.
        clock: The time, for ages.
        progress: Told how far the work is.

    Raises:
        Cancelled: The work was stopped; the next run finds what is left.
    """
    progress.phase("collecting", plan.free_bytes)
    work = _Work(base, plan, needs, clock, progress)
    if not _why_not(base):
        work.run()
    return work.done


def _why_not(base: Base) -> str:
    folder = next((folder for folder in (base.hub, base.own) if is_link(folder)), None)
    return f"{folder} is a link: nothing is deleted through it." if folder else ""


def _look(seen: SeenBase, needs: Needs, now_s: float, min_age_s: float) -> tuple[BaseState, list[GcItem]]:
    """Return a base's state without the links of its repositories, and the sidecars that go."""
    known = not shared_store.why_unknown(seen.base)
    look = BaseState(seen.base, needs, now_s, min_age_s, open_files.opened(), known)
    sidecars = own_garbage.stale_sidecars(look, seen.sidecars)
    needs = own_garbage.with_sidecars(seen, needs, {item.path for item in sidecars})
    return replace(look, needs=needs, others_pull=own_garbage.others_pull(look)), sidecars


@dataclass(slots=True)
class _Work:
    """One execution of a plan."""

    base: Base
    plan: GcPlan
    needs: Callable[[RepoId | None], Needs]
    clock: Clock
    progress: Progress
    done: Collected = field(default_factory=Collected)
    links: Set[str] = frozenset()
    """The targets of all snapshots' links at the start."""
    sidecars: Needs = field(default_factory=Needs)
    """What the sidecars that stay need."""
    others_pull: bool = False

    def run(self) -> None:
        """Delete in the order that leaves no dangling reference."""
        look, sidecars = self._look(None)
        self.others_pull = look.others_pull
        self._delete_all(self._again("sidecar", sidecars))
        self.sidecars = own_garbage.with_sidecars(SeenBase(self.base), Needs(), frozenset())
        repos = {found[2].path: found for found in scan.repos(self.base)}
        links = (repo_garbage.walk(*found).links for found in repos.values())
        self.links = repo_garbage.links_of_strange(self.base).union(*links)
        for path, items in groupby(self._of_repos(repos.keys()), key=lambda pair: pair[0]):
            self._repo(*repos[path], [item for _, item in items])
        self._store()
        self._own()
        if any(item.kind == "quarantine" for item in self.plan.items):
            look, _ = self._look(None)
            self._delete_all(self._again("quarantine", own_garbage.quarantined(look)))

    def _look(self, repo_id: RepoId | None) -> tuple[BaseState, list[GcItem]]:
        return _look(SeenBase(self.base), self.needs(repo_id), self.clock.now(), self.plan.min_age_s)

    def _again(self, kind: str, found: Iterable[GcItem]) -> list[GcItem]:
        """Return the plan's items that were found again, in the plan's order."""
        paths = {item.path for item in found if item.kind == kind}
        return [item for item in self.plan.items if item.kind == kind and item.path in paths]

    def _of_repos(self, folders: Set[Path]) -> Iterator[tuple[Path, GcItem]]:
        for item in self.plan.items:
            if item.kind in _OF_REPO:
                path = Path(item.path)
                folder = next((folder for folder in (path, *path.parents) if folder in folders), None)
                if folder is not None:
                    yield folder, item

    def _repo(self, repo_type: str, repo_id: RepoId, repo: Repo, items: list[GcItem]) -> None:
        """Delete the garbage of one repository.

        **Concurrency:** huggingface_hub holds a blob's lock while it downloads and links it. So
        while we hold the lock, a blob found unlinked stays unlinked until deleted; a blob whose lock is taken is left.
        """
        empty = {i.path for i in self._look_into(repo_type, repo_id, repo).items if i.kind == "folder"}
        files = [item for item in items if item.kind != "folder"]
        for start in range(0, len(files), _LOCKS_AT_ONCE):
            batch = files[start : start + _LOCKS_AT_ONCE]
            with contextlib.ExitStack() as held:
                free = [item for item in batch if held.enter_context(self._lock(repo_type, repo_id, item))]
                found = {(i.kind, i.path) for i in self._look_into(repo_type, repo_id, repo).items}
                self._delete_all(item for item in free if (item.kind, item.path) in found)
        if empty and not self._look_into(repo_type, repo_id, repo).in_flight:
            self._delete_all(item for item in items if item.kind == "folder" and item.path in empty)

    def _look_into(self, repo_type: str, repo_id: RepoId, repo: Repo) -> RepoGarbage:
        walked: Walked = repo_garbage.walk(repo_type, repo_id, repo)
        needs = self.needs(repo_id)
        wanted = {repo_id: {*needs.digests.get(repo_id, ()), *self.sidecars.digests.get(repo_id, ())}}
        registered = repo_id in needs.digests or repo_id in self.sidecars.digests
        look = BaseState(
            base=self.base,
            needs=replace(needs, digests=wanted if registered else {}),
            now_s=self.clock.now(),
            min_age_s=self.plan.min_age_s,
            opened=open_files.opened(),
            store_is_known=not shared_store.why_unknown(self.base),
            links=self.links | walked.links,
            others_pull=self.others_pull,
        )
        return repo_garbage.in_repo(look, walked)

    def _lock(self, repo_type: str, repo_id: RepoId, item: GcItem) -> contextlib.AbstractContextManager[bool]:
        digest = digest_of(Path(item.path).name)
        if item.kind not in ("blob", "partial") or digest is None:
            return contextlib.nullcontext(enter_result=True)
        return try_lock(self.base.path, self.base.hub_lock(repo_id, digest, repo_type))

    def _store(self) -> None:
        """Sweep the payloads without links, by huggingface_hub's own rules and under its locks."""
        wanted = [item for item in self.plan.items if item.kind == "shared"]
        if wanted:
            look, _ = self._look(None)
            self._delete_all(self._again("shared", repo_garbage.in_store(look, set())))

    def _own(self) -> None:
        """Delete parts, each under its blob's part lock, then temporary files and locks."""
        parts = [item for item in self.plan.items if item.kind == "part"]
        for start in range(0, len(parts), _LOCKS_AT_ONCE):
            batch = parts[start : start + _LOCKS_AT_ONCE]
            digests = {digest for item in batch if (digest := digest_of(Path(item.path).name))}
            with contextlib.ExitStack() as held:
                free = {d for d in digests if held.enter_context(try_lock(self.base.path, self.base.part_lock(d)))}
                look, _ = self._look(None)
                again = self._again("part", own_garbage.in_own(look))
                self._delete_all(item for item in again if item in batch and digest_of(Path(item.path).name) in free)
            for digest in sorted(free):
                if not is_there(self.base.part(digest)):
                    self.done.freed += remove_unused(self.base.path, self.base.part_lock(digest))
        look, _ = self._look(None)
        found = list(own_garbage.in_own(look))
        for kind in ("partial", "folder", "lock"):
            self._delete_all(self._again(kind, found))

    def _delete_all(self, items: Iterable[GcItem]) -> None:
        for item in items:
            self.progress.check()
            try:
                freed = self._delete(item)
            except ShelfError as err:
                self.done.left.append(err.detail)
                continue
            self.progress.advance(item.size_bytes)
            if freed is not None:
                self.done.removed.append(item)
                self.done.freed += freed

    def _delete(self, item: GcItem) -> Freed | None:
        """Delete one name; return what that freed, or None if it is still there."""
        path = Path(item.path)
        if item.kind == "folder":
            freed = fs.remove_empty_folder(self.base.path, path)
        elif item.kind == "lock":
            freed = remove_unused(self.base.path, path)
        elif item.kind == "shared":
            freed = shared_store.sweep(self.base, path)
        elif item.kind == "quarantine":
            freed = fs.remove_tree(self.base.path, path)
        else:
            freed = fs.remove_file(self.base.path, path)
        return None if is_there(path) else freed
