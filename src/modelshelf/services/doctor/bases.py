"""What the doctor finds in the bases: which there are, which can be used, and what they hold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from modelshelf.domain.doctor_bases import BaseFacts, Sized
from modelshelf.domain.names import BasePath, CommitHash, RepoId
from modelshelf.domain.repo_folders import parse_repo_folder
from modelshelf.domain.tiers import CUSTOM, Tier, Tiers
from modelshelf.domain.verify_report import Fault, Finding
from modelshelf.errors import ShelfError
from modelshelf.services.catalog.look import Look
from modelshelf.store import ownership
from modelshelf.store.adopt import strays
from modelshelf.store.known_bases import KnownBases
from modelshelf.store.layout import Base, CacheDir, Repo
from modelshelf.store.locks import bounded
from modelshelf.store.mounts import mount_at, mount_of
from modelshelf.store.probe import is_folder
from modelshelf.store.repos import inspect, scan
from modelshelf.store.repos.inspect import Wanted
from modelshelf.store.tiers import capabilities, checkup, governor, marker, meter

if TYPE_CHECKING:
    from modelshelf.domain.models import Model
    from modelshelf.services.shelf import Shelf


ANSWER_WITHIN_S = 5.0
"""How long a network mount may take to answer, in seconds."""


class Examination(Look):
    """What the doctor sees at one moment: the models as they are as well.

    Args:
        shelf: The library; None where it can't be opened.
    """

    def __init__(self, shelf: Shelf | None) -> None:
        super().__init__(shelf.services.registry if shelf is not None else None)
        self._shelf = shelf

    @cached_property
    def models(self) -> list[Model]:
        """The registered models as they are now; none where the library can't be opened."""
        return self._shelf.services.library.at(self.rows, self._signature) if self._shelf is not None else []

    def _signature(self, repo: Repo, commit_hash: CommitHash) -> str:
        return scan.signature(repo, commit_hash, self.base(Base(repo.root)).listing)


def hung_bases(paths: Iterable[str]) -> dict[str, str]:
    """Return the bases that don't answer, with what to say about each."""
    hung = {}
    for path in paths:
        try:
            bounded(Path(path).is_dir, Path(path), hang_s=ANSWER_WITHIN_S)
        except ShelfError as err:
            hung[path] = err.detail
    return hung


@dataclass(frozen=True, slots=True)
class Bases:
    """A library's bases, as far as the library can be opened."""

    tiers: Tiers
    known: KnownBases
    hung: Mapping[str, str]
    """Bases that don't answer, with what to say; they aren't touched."""
    shelf: Shelf | None
    """The library, if it can be opened."""
    url: str
    """The registry's address."""
    look: Examination
    """What was read already."""

    def afresh(self) -> Bases:
        """Return the same bases, of which nothing was read yet."""
        return replace(self, look=Examination(self.shelf))

    def all_tiers(self) -> list[Tier]:
        """Return the tiers of the settings, those of models, and every base that was ever used.

        A base of another library is left out, and one that is known by two paths is named once.
        """
        found: dict[str, Tier] = {tier.base: tier for tier in self.tiers.configured()}
        if self.shelf is not None:
            found |= {tier.base: tier for tier in self.shelf.services.tiers.all() if tier.base not in found}
        for path in sorted(self.known.load().keys() - found.keys() - self.hung.keys()):
            base = Base(Path(path))
            is_new = not any(scan.is_same(base.path, Path(other)) for other in found if other not in self.hung)
            is_anothers = governor.why_not_ours(base, *self._in_force())
            if is_new and not is_anothers and is_folder(base.path) and marker.read_id(base):
                found[path] = Tier(CUSTOM, BasePath(path), None)
        return list(found.values())

    def online(self) -> list[Base]:
        """Return the bases that can be used and read."""
        bases = (Base(Path(tier.base)) for tier in self.all_tiers() if not self.why_offline(tier)[0])
        return [base for base in bases if is_folder(base.path) and checkup.closed_folder(base) is None]

    def why_offline(self, tier: Tier) -> tuple[str, str]:
        """Return why a base can't be used, and what to do; two empty texts if it can."""
        if tier.base in self.hung:
            return self.hung[tier.base], ""
        base, known_id = Base(Path(tier.base)), self.known.load().get(tier.base)
        if self.shelf is not None:
            known_id = self.shelf.services.registry.tier_ids().get(tier.base) or known_id
        try:
            marker.check_online(base, known_id)
            governor.check_ours(base, *self._in_force())
        except ShelfError as err:
            return err.detail, err.hint
        return "", ""

    def _in_force(self) -> tuple[str, str]:
        """Return the id and the address of the registry in use; no id if it isn't open."""
        return (self.shelf.services.registry.id, self.shelf.services.registry.url) if self.shelf else ("", self.url)

    def facts(self, tier: Tier) -> BaseFacts:
        """Return the facts of one base."""
        base = Base(Path(tier.base))
        if tier.base in self.hung:
            return BaseFacts(tier, mount_at(base.path), exists=True, offline=self.hung[tier.base], hangs=True)
        exists, (offline, way_out), mount = is_folder(base.path), self.why_offline(tier), mount_of(base.path)
        closed = checkup.closed_folder(base)
        if closed is not None:
            return BaseFacts(tier, mount, exists, offline, closed=str(closed), mend=ownership.fix(base))
        if offline:
            return BaseFacts(tier, mount, exists, offline, mend=way_out)
        writable = marker.is_writable(base) and not mount.read_only
        facts = BaseFacts(tier, mount, exists, offline, marked=marker.read_id(base) is not None, writable=writable)
        if not exists:
            return facts
        seen, caches = self.look.base(base), (base.xet, base.old_transformers)
        foreign = ownership.foreign(base, seen.listing)  # first: it looks at everything, which the others then needn't
        beside = {path: Sized(str(path), checkup.tree_bytes(path)) for path in checkup.strays(base)}
        unfinished = tuple(path for path in beside if checkup.is_unfinished(path))
        return replace(
            facts,
            capabilities=capabilities.of(base),
            free_bytes=marker.free_bytes(base),
            free_entries=marker.free_entries(base),
            disk_bytes=checkup.disk_bytes(base),
            usage_bytes=meter.measure(base, listing=seen.listing).apparent_bytes,
            strays=tuple(stray for path, stray in beside.items() if path not in unfinished),
            busy=self._why_busy(base, [path for path in beside if path not in unfinished]),
            unfinished=tuple(beside[path] for path in unfinished),
            spare=tuple(Sized(str(path), checkup.tree_bytes(path)) for path in caches),
            foreign=foreign,
            mend=ownership.fix(base),
            closed_trees=tuple(map(str, checkup.closed_trees(base, seen))),
            faults=tuple(self._faults(base)),
        )

    def _why_busy(self, base: Base, found: Sequence[Path]) -> str:
        """Return why a model beside `hub` isn't taken in now; empty if all may be, or the library isn't open."""
        if self.shelf is None:
            return ""
        now, cache_dir = self.shelf.services.clock.now(), CacheDir(base.path)
        named = (parse_repo_folder(path.name) for path in found if path.parent == base.path)
        return next(filter(None, (strays.why_busy(cache_dir, name[1], now) for name in named if name)), "")

    def _faults(self, base: Base) -> list[Finding]:
        """Return what is wrong with the names in a base; of blobs only the sizes are compared."""
        found = inspect.look_at_hub(base)
        models = [model for model in self.look.models if model.base == str(base.path)]
        seen = self.look.base(base)
        ids = {(kind, repo_id): repo for kind, repo_id, repo in seen.repos}
        gone = {model.row.hf_path for model in models if ("model", model.row.hf_path) not in ids}
        ids |= {("model", repo_id): base.repo(repo_id) for repo_id in gone}
        ours: dict[tuple[str, RepoId], list[Model]] = {}
        for model in models:
            ours.setdefault(("model", model.row.hf_path), []).append(model)
        for key, repo in sorted(ids.items(), key=lambda item: item[0]):
            found += inspect.faults(base, key[1], seen.names(repo), self._wanted(ours.get(key, ())))
        return [
            fault for fault in found if fault.kind is not Fault.DANGLING_REF or not fault.model_name
        ]  # see of_registry

    def _wanted(self, models: Sequence[Model]) -> list[Wanted]:
        return [
            Wanted(
                row.model_name, row.revision, row.commit_hash, tuple(self.look.files(row)), row.complete, row.signature
            )
            for row in (model.row for model in models)
            if row.commit_hash is not None
        ]
