"""Looking at every base and every row at once, for reconcile. Nothing is changed, nothing stops at a fault."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from modelshelf.domain.jobs import UNFINISHED
from modelshelf.domain.models import FileEntry, ModelRow, select_files
from modelshelf.domain.names import CommitHash, RefName, RepoId
from modelshelf.domain.reconcile_input import BaseSeen, CardSeen, Found, RowSeen, Seen
from modelshelf.domain.sidecars import Card
from modelshelf.domain.tiers import CUSTOM
from modelshelf.errors import BadInput
from modelshelf.registry.registry import Registry
from modelshelf.services.lifecycle.pull import card_of
from modelshelf.services.space.delete_old_copy import leaving
from modelshelf.services.space.tiers import TierService
from modelshelf.store.adopt import inventory
from modelshelf.store.layout import Base
from modelshelf.store.probe import is_folder
from modelshelf.store.repos import scan, trees
from modelshelf.store.tiers import governor, sidecars
from modelshelf.store.tiers import marker as store_tier


def observe(registry: Registry, tiers: TierService, more: Sequence[str] = ()) -> Seen:
    """Return what the registry says and what lies on the disks.

    Args:
        registry: The registry.
        tiers: The tiers of this process.
        more: Further bases to look at.

    Raises:
        BadInput: One of `more` is no base.
    """
    look = _Look(registry, tiers)
    configured = {tier.base for tier in tiers.configured()}
    look.find_bases([path if path in configured else tiers.tiers.resolve(CUSTOM, path).base for path in more])
    return look.seen()


@dataclass(frozen=True, slots=True)
class _Place:
    """A base with what is fixed about it."""

    base: Base
    location: str
    tier_id: str
    offline: str
    writable: bool


class _Look:
    """One look."""

    def __init__(self, registry: Registry, tiers: TierService) -> None:
        self._registry = registry
        self._tiers = tiers
        self._known = tiers.known.load() | registry.tier_ids()
        self._places: dict[str, _Place] = {}
        self._alias: dict[str, str] = {}
        """A path that leads to the same folder as one before it, and that one."""
        self._rows = registry.models()
        self._cards: dict[str, list[Card]] = {}
        self._jobs = {job.model_id: job.id for job in registry.jobs(state=UNFINISHED)}

    def find_bases(self, more: Iterable[str]) -> None:
        """Look at every base that is known from anywhere: settings, rows, memory, and where moves came from."""
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
            self._cards[path] = [] if place.offline else sidecars.read_all(place.base)
            todo += [card.arriving_from for card in self._cards[path] if card.arriving_from]

    def _custom_base(self, path: str) -> str:
        """Return the custom base that a path means in this process; empty when it can be none."""
        try:
            return self._tiers.tiers.resolve(CUSTOM, path).base
        except BadInput:
            return ""

    def seen(self) -> Seen:
        """Return everything."""
        online = [place for place in self._places.values() if not place.offline]
        return Seen(
            bases=tuple(self._base(place) for place in self._places.values()),
            rows=tuple(self._row(row) for row in self._rows),
            leaving=frozenset(leaving(self._registry, self._tiers.tiers)),
            snapshots=tuple(found for place in online for found in _whole_snapshots(place.base)),
        )

    def _place(self, path: str, location: str) -> _Place:
        base = Base(Path(path))
        tier_id = store_tier.read_id(base) or ""
        offline = store_tier.why_offline(base, self._known.get(path))
        offline = offline or governor.why_not_ours(base, self._registry.id, self._registry.url)
        if not offline and not tier_id:
            offline = f"{path} has no marker: it was never used, or is not mounted."
        return _Place(base, location, tier_id or self._known.get(path, ""), offline, store_tier.is_writable(base))

    def _same_folder(self, place: _Place) -> str | None:
        """Return the base seen before that is this very folder under another path (a link, a bind mount)."""
        if place.offline:
            return None
        for path, other in self._places.items():
            if not other.offline and scan.is_same(other.base.path, place.base.path):
                return path
        return None

    def _base(self, place: _Place) -> BaseSeen:
        path = str(place.base.path)
        about = {row.hf_path for row in self._rows} | {c.hf_path for found in self._cards.values() for c in found}
        refs: dict[RepoId, Mapping[RefName, CommitHash]] = {}
        if not place.offline:
            refs = {repo_id: scan.refs(place.base.repo(repo_id)) for repo_id in sorted(about)}
        found = tuple(CardSeen(path, card, self._whole_on(card, path)) for card in self._cards[path])
        return BaseSeen(path, place.location, place.tier_id, place.offline, place.writable, found, refs)

    def _row(self, row: ModelRow) -> RowSeen:
        base, why = self._resolve(row)
        listed = tuple(self._registry.files(row.hf_path, row.commit_hash)) if row.commit_hash else ()
        manifest = listed or self._manifest(row, base)
        card = card_of(row, row.commit_hash, manifest) if row.commit_hash and manifest else None
        missing = 0
        if card is not None and base in self._places:
            repo = self._places[base].base.repo(row.hf_path)
            missing = len(scan.missing_files(repo, card.commit_hash, card.selected))
        whole_on = self._whole_on(card, base) if card is not None else ()
        return RowSeen(row, base, why, card, bool(listed), whole_on, missing, self._jobs.get(row.id))

    def _resolve(self, row: ModelRow) -> tuple[str, str]:
        try:
            path = self._tiers.tiers.resolve(row.cache_location, row.cache_path).base
        except BadInput as err:
            return "", err.detail
        return self._alias.get(path, path), ""

    def _manifest(self, row: ModelRow, base: str) -> tuple[FileEntry, ...]:
        """Return the files of a model that the registry does not know, from a card or a tree list; never guessed."""
        for found in self._cards.values():
            for card in found:
                if (card.hf_path, card.commit_hash) == (row.hf_path, row.commit_hash) and card.files:
                    return card.files
        place = self._places.get(base)
        return trees.read(place.base.repo(row.hf_path), row.commit_hash) if place and row.commit_hash else ()

    def _whole_on(self, card: Card, own: str) -> tuple[str, ...]:
        """Return the online bases that hold all of a card's files; only the own one where that does."""
        if own in self._places and _holds(self._places[own], card):
            return (own,)
        return tuple(path for path, place in self._places.items() if path != own and _holds(place, card))


def _holds(place: _Place, card: Card) -> bool:
    selected = select_files(card.files, card.allow_patterns)
    if place.offline or not selected:
        return False
    repo = place.base.repo(card.hf_path)
    return is_folder(repo.snapshot(card.commit_hash)) and not scan.missing_files(repo, card.commit_hash, selected)


def _whole_snapshots(base: Base) -> Iterator[Found]:
    """Yield what adopt would take of a base: the one judge of what is a model decides."""
    for found in inventory.models_of(base):
        if not found.trouble:
            yield Found(str(base.path), found.repo, found.commit, found.size_bytes)
