"""Scanning every base and reading every row, for reconcile. Nothing is changed, and no fault ends the scan."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from modelshelf.domain.jobs import UNFINISHED
from modelshelf.domain.models import FileEntry, ModelRow
from modelshelf.domain.names import CommitHash, RefName, RepoId
from modelshelf.domain.reconcile_input import BaseSeen, RowSeen, Seen, SidecarSeen, Unregistered
from modelshelf.domain.sidecars import Sidecar
from modelshelf.domain.tiers import CUSTOM
from modelshelf.errors import BadInput
from modelshelf.registry.registry import Registry
from modelshelf.services.catalog.look import Look
from modelshelf.services.lifecycle.model_sidecar import sidecar_of
from modelshelf.services.space.delete_old_copy import leaving
from modelshelf.services.space.tiers import TierService
from modelshelf.store.adopt import inventory
from modelshelf.store.layout import Base
from modelshelf.store.probe import is_folder
from modelshelf.store.repos import recorded, scan, trees
from modelshelf.store.repos.recorded import Recorded
from modelshelf.store.tiers import governor, marker
from modelshelf.store.tiers.seen import SeenBase


def observe(registry: Registry, tiers: TierService, more: Sequence[str] = (), look: Look | None = None) -> Seen:
    """Return what the registry says and what is on the disks.

    Args:
        registry: The registry.
        tiers: The tiers of this process.
        more: Further bases to scan.
        look: What was read of the library already.

    Raises:
        BadInput: One of `more` isn't a base.
    """
    found = _Scan(registry, tiers, look or Look(registry))
    found.find_bases(further_bases(tiers, more))
    return found.seen()


def further_bases(tiers: TierService, more: Sequence[str]) -> tuple[str, ...]:
    """Return the bases at these paths.

    Raises:
        BadInput: One of them isn't a base.
    """
    configured = {tier.base for tier in tiers.configured()}
    others = {path: tiers.settings.resolve(CUSTOM, path).base for path in more if path not in configured}
    for path, base in others.items():
        if not is_folder(Path(base)):
            raise BadInput(f"{path} isn't a folder.", hint="Name a base, the folder in which hub is.", cache_path=path)
    return tuple(others.get(path, path) for path in more)


@dataclass(frozen=True, slots=True)
class _ScannedBase:
    """A base with what doesn't change about it."""

    seen: SeenBase
    location: str
    tier_id: str
    offline: str
    writable: bool
    missing: dict[tuple[object, ...], tuple[tuple[FileEntry, ...], int]] = field(default_factory=dict)
    """How many files of a model are missing here, with the files that were counted."""

    @property
    def base(self) -> Base:
        """The base itself."""
        return self.seen.base


class _Scan:
    """One scan."""

    def __init__(self, registry: Registry, tiers: TierService, look: Look) -> None:
        self._registry = registry
        self._tiers = tiers
        self._look = look
        self._known = tiers.known.load() | registry.tier_ids()
        self._places: dict[str, _ScannedBase] = {}
        self._alias: dict[str, str] = {}
        """From another path of the same folder to the path seen first."""
        self._rows = look.rows
        self._sidecars: dict[str, list[Sidecar]] = {}
        self._jobs = {job.model_id: job.id for job in registry.jobs(state=UNFINISHED)}

    def find_bases(self, more: Iterable[str]) -> None:
        """Scan every base known from settings, rows, the list of known bases, and moves' sources."""
        locations: dict[str, str] = {tier.base: tier.location for tier in self._tiers.configured()}
        rows = [row.cache_path for row in self._rows if row.cache_location == CUSTOM]
        todo: list[str] = [*locations, *more, *rows, *sorted(self._known)]
        for called in todo:
            path = called if called in locations else self._custom_base(called)
            if not path or path in self._places or path in self._alias:
                continue
            place = self._place(path, locations.get(path, CUSTOM))
            same = self._same_folder(place)
            if same is not None:
                self._alias[path] = same
                continue
            self._places[path] = place
            self._sidecars[path] = [] if place.offline else place.seen.sidecars
            todo += [sidecar.arriving_from for sidecar in self._sidecars[path] if sidecar.arriving_from]

    def _custom_base(self, path: str) -> str:
        """Return the custom base that a path means in this process; empty if it can't be one."""
        try:
            return self._tiers.settings.resolve(CUSTOM, path).base
        except BadInput:
            return ""

    def seen(self) -> Seen:
        """Return everything that was scanned."""
        online = [place for place in self._places.values() if not place.offline]
        rows = tuple(self._row(row) for row in self._rows)
        return Seen(
            bases=tuple(self._base(place) for place in self._places.values()),
            rows=rows,
            leaving=frozenset(leaving(self._registry, self._tiers.settings)),
            snapshots=tuple(found for place in online for found in _whole_snapshots(place.seen, rows)),
        )

    def _place(self, path: str, location: str) -> _ScannedBase:
        base = Base(Path(path))
        tier_id = marker.read_id(base) or ""
        offline = marker.why_offline(base, self._known.get(path))
        offline = offline or governor.why_not_ours(base, self._registry.id, self._registry.url)
        if not offline and not tier_id:
            offline = f"{path} has no marker: it was never used, or is not mounted."
        seen, tier_id = self._look.base(base), tier_id or self._known.get(path, "")
        return _ScannedBase(seen, location, tier_id, offline, marker.is_writable(base))

    def _same_folder(self, place: _ScannedBase) -> str | None:
        """Return the earlier base that is the same folder under another path (a link, a bind mount)."""
        if place.offline:
            return None
        for path, other in self._places.items():
            if not other.offline and scan.is_same(other.base.path, place.base.path):
                return path
        return None

    def _base(self, place: _ScannedBase) -> BaseSeen:
        path = str(place.base.path)
        about = {row.hf_path for row in self._rows} | {c.hf_path for found in self._sidecars.values() for c in found}
        refs: dict[RepoId, Mapping[RefName, CommitHash]] = {}
        if not place.offline:
            refs = {repo_id: place.seen.names_of(repo_id).refs for repo_id in sorted(about)}
        found = tuple(SidecarSeen(path, sidecar, self._whole_on(sidecar, path)) for sidecar in self._sidecars[path])
        return BaseSeen(path, place.location, place.tier_id, place.offline, place.writable, found, refs)

    def _row(self, row: ModelRow) -> RowSeen:
        base, why = self._resolve(row)
        listed = tuple(self._look.manifest(row))
        manifest = listed or self._manifest(row, base)
        sidecar = sidecar_of(row, row.commit_hash, manifest) if row.commit_hash and manifest else None
        missing = 0
        if sidecar is not None and base in self._places:
            missing = self._missing(self._places[base], sidecar, row.signature)
        whole_on = self._whole_on(sidecar, base, row.signature) if sidecar is not None else ()
        return RowSeen(row, base, why, sidecar, bool(listed), whole_on, missing, self._jobs.get(row.id))

    def _resolve(self, row: ModelRow) -> tuple[str, str]:
        try:
            path = self._tiers.settings.resolve(row.cache_location, row.cache_path).base
        except BadInput as err:
            return "", err.detail
        return self._alias.get(path, path), ""

    def _manifest(self, row: ModelRow, base: str) -> tuple[FileEntry, ...]:
        """Return a model's files that the registry lacks, from a sidecar or a tree list; never guessed."""
        for found in self._sidecars.values():
            for sidecar in found:
                if (sidecar.hf_path, sidecar.commit_hash) == (row.hf_path, row.commit_hash) and sidecar.files:
                    return sidecar.files
        place = self._places.get(base)
        return trees.read(place.base.repo(row.hf_path), row.commit_hash) if place and row.commit_hash else ()

    def _whole_on(self, sidecar: Sidecar, own: str, signature: str = "") -> tuple[str, ...]:
        """Return the online bases that hold all of a sidecar's files; only its own one if that does."""
        if own in self._places and self._holds(self._places[own], sidecar, signature):
            return (own,)
        return tuple(path for path, place in self._places.items() if path != own and self._holds(place, sidecar))

    def _holds(self, place: _ScannedBase, sidecar: Sidecar, signature: str = "") -> bool:
        if place.offline or not sidecar.selected:
            return False
        has_folder = place.seen.names_of(sidecar.hf_path).has_snapshot(sidecar.commit_hash)
        return has_folder and not self._missing(place, sidecar, signature)

    def _missing(self, place: _ScannedBase, sidecar: Sidecar, signature: str) -> int:
        """Return how many files of a sidecar's model are missing in a base; a file that was counted isn't again."""
        key = (sidecar.hf_path, sidecar.commit_hash, sidecar.allow_patterns)
        known = place.missing.get(key)
        if known is None or known[0] != sidecar.files:
            model = Recorded(sidecar.commit_hash, tuple(sidecar.selected), signature)
            known = sidecar.files, len(recorded.missing_files(place.seen.names_of(sidecar.hf_path), model))
            place.missing[key] = known
        return known[1]


def _whole_snapshots(seen_base: SeenBase, rows: Iterable[RowSeen]) -> Iterator[Unregistered]:
    """Yield the whole snapshots of a base: those of registered models, and those that adopt would take.

    A repository whose snapshots are all registered and whole isn't walked again.
    """
    path, known = str(seen_base.base.path), dict[RepoId, set[CommitHash]]()
    for seen in rows:
        row = seen.row
        if seen.base == path and path in seen.whole_on and row.commit_hash is not None:
            known.setdefault(row.hf_path, set()).add(row.commit_hash)
            yield Unregistered(path, row.hf_path, row.commit_hash, row.size_bytes)
    for found in inventory.models_of(seen_base.base, known, seen_base):
        if not found.trouble and found.commit not in known.get(found.repo, ()):
            yield Unregistered(path, found.repo, found.commit, found.size_bytes)
