"""Looking at what is to be adopted, and deciding what becomes of it; nothing that was found is changed."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from modelshelf.domain.adopt import AdoptMode, AdoptPlan, AdoptRequest, Order, Registered, plan_adopt, with_need
from modelshelf.domain.adopt_inventory import FoundModel, Inventory
from modelshelf.domain.jobs import QUEUED, UNFINISHED, JobKind
from modelshelf.domain.known_places import HUGGING_FACE, KnownPlace
from modelshelf.domain.names import BasePath, RepoId
from modelshelf.domain.tiers import CUSTOM, Tier
from modelshelf.errors import BadInput, NotFound
from modelshelf.registry.registry import Registry
from modelshelf.services.adopt import needs
from modelshelf.services.adopt.folder import ELSEWHERE, LOOSE, check_open, folder_of, has_models, nothing_in
from modelshelf.services.adopt.import_models import ModelImporter
from modelshelf.services.adopt.link_old_path import Linker
from modelshelf.services.adopt.other_programs import OtherPrograms
from modelshelf.services.catalog.look import Look
from modelshelf.services.catalog.models import Library
from modelshelf.services.space.tiers import TierService, destination
from modelshelf.store.adopt import inventory
from modelshelf.store.layout import Base
from modelshelf.store.probe import is_folder, is_link, is_there
from modelshelf.store.repos import scan
from modelshelf.store.tiers import sidecars


@dataclass(frozen=True, slots=True)
class AdoptPlanner:
    """Decides what adopting does."""

    registry: Registry
    library: Library
    tiers: TierService
    importer: ModelImporter
    linker: Linker
    others: OtherPrograms
    places: Callable[[], Sequence[KnownPlace]]
    """Where programs of this machine keep models."""

    def default_folder(self) -> str:
        """Return the folder that is meant where none is named.

        It is the one that Hugging Face's programs use, or if that is a tier, `~/.cache/huggingface`.
        """
        tiers, folders = {tier.base for tier in self.tiers.all()}, self._of_hugging_face()
        return next((path for path in folders if path not in tiers and is_there(Path(path))), folders[-1])

    def _of_hugging_face(self) -> list[str]:
        return [place.path for place in self.places() if place.program == HUGGING_FACE]

    def plan(self, wanted: AdoptRequest, found: Inventory | None = None) -> AdoptPlan:
        """Return what adopting does, after every check that is possible; nothing that was found is changed.

        Args:
            wanted: What is wanted.
            found: What `look` has just seen.

        Raises:
            BadInput: The path is invalid, or not allowed with this mode.
            NotFound: There is no such folder, or nothing in it.
            OutOfSpace: It doesn't fit on the tier.
            Conflict, Denied, Unavailable: A tier is offline, read-only or another library's, or the old path can't
                become a link.
        """
        found = found or self.look(wanted)
        self.tiers.check_ours(Base(Path(found.path)))
        order = self.order(wanted, found)
        plan = self.decide(found, order)
        notes = [f"Also there: {other} (shelf adopt {other})" for other in self._elsewhere(Path(found.path))]
        backup = ""
        if order.mode is AdoptMode.LINK and not self.is_of_others(found):
            self.linker.check(order)
            backup = str(self.linker.backup_path(Path(order.base)))
        need_bytes = needs.size_bytes(plan)
        self.importer.check_fits(plan, need_bytes)
        return with_need(plan, need_bytes, backup, notes)

    def sketch(self, wanted: AdoptRequest, found: Inventory) -> AdoptPlan:
        """Return what adopting does with what `look` has just seen, whether it fits or not."""
        return self.decide(found, self.order(wanted, found))

    def is_foreign(self, path: str) -> bool:
        """Return whether a folder is another program's, and not a base or a cache_dir."""
        return not inventory.is_base(Path(path))

    def look(self, wanted: AdoptRequest) -> Inventory:
        """Return everything in a folder.

        Raises:
            BadInput, NotFound: See `plan`.
        """
        path = folder_of(wanted.path)
        if wanted.repo_id:
            RepoId(wanted.repo_id)
        if not is_folder(path):
            check_open(path, Inventory(str(path)))
            if is_there(path):
                raise BadInput(f"{path} is a file.", hint=LOOSE, path=str(path))
            others = " or ".join(f"shelf adopt {other}" for other in self._elsewhere(path)) or "shelf adopt PATH"
            raise NotFound(f"There is no folder {path}.", hint=others, path=str(path))
        if is_link(path):
            if wanted.mode is AdoptMode.LINK and not self.linker.is_linked(path):
                hint = f"Adopt that: shelf adopt {path.resolve()} --link"
                raise BadInput(f"{path} is a link to {path.readlink()} already.", hint=hint, path=str(path))
            path = path.resolve()
        found = inventory.find(path, wanted.repo_id)
        check_open(path, found)
        if not (found.models or found.things or is_there(Base(path).marker) or self.others.stands_in(path)):
            raise nothing_in(path)
        return found

    def is_of_others(self, found: Inventory) -> bool:
        """Return whether a folder is another program's, also once links stand in for all of its files."""
        there = bool(found.models) or self.others.stands_in(Path(found.path))
        return there and all(model.kind.is_foreign for model in found.models)

    def decide(self, found: Inventory, order: Order) -> AdoptPlan:
        """Return what adopting what was found does."""
        names = [name for tier in self.tiers.all() for name in sidecars.names(Base(Path(tier.base)))]
        models = [m for m in found.models if not (m.kind.is_foreign and self.others.is_linked(m))]
        recognised = tuple(self._recognise(m, order) if m.kind.is_foreign else m for m in models)
        return plan_adopt(replace(found, models=recognised), order, self._rows(recognised, order), names)

    def _rows(self, found: Sequence[FoundModel], order: Order) -> list[Registered]:
        """Return what is registered; with their files those in other bases of which a copy was found."""
        look, commits = Look(self.registry), {(model.repo_id, model.commit_hash) for model in found}
        rows = []
        for row in self.registry.models():
            base, is_moving = self.library.base_of(row), row.job_kind == JobKind.MOVE and row.job_state == QUEUED
            is_busy = row.job_state in UNFINISHED and not is_moving
            has_copy = base != order.base and (row.hf_path, row.commit_hash) in commits
            paths = frozenset(file.path for file in look.files(row)) if has_copy else frozenset[str]()
            said = row.model_name, row.hf_path, row.commit_hash, base, row.complete, is_busy, paths
            rows.append(Registered(*said))
        return rows

    def _recognise(self, found: FoundModel, order: Order) -> FoundModel:
        found = self.others.recognise(found)
        if order.mode is AdoptMode.LINK and not found.trouble:
            return replace(found, trouble=self.others.why_kept(found, order.target))
        return found

    def order(self, wanted: AdoptRequest, found: Inventory) -> Order:
        """Return from which tier to which a folder's models go.

        Raises:
            BadInput: One of the two is inside the other.
        """
        source = self._source(Path(found.path), is_foreign=self.is_of_others(found))
        target = source
        if wanted.mode is not AdoptMode.LEAVE:
            target = self.tiers.settings.resolve(*destination(wanted.to))
        one, other = Path(source.base).resolve(), Path(target.base).resolve()
        if one != other and (one in other.parents or other in one.parents):
            raise BadInput(
                f"{source.base} and {target.base} overlap (one contains the other): files would be counted twice.",
                hint="Use a folder beside it: --to PATH",
                cache_path=target.base,
            )
        return Order(wanted.mode, source.base, source.location, target.base, target.location, wanted.merge)

    def _source(self, path: Path, *, is_foreign: bool) -> Tier:
        """Return the tier that a folder is, or will be."""
        for tier in self.tiers.all():
            if scan.is_same(Path(tier.base), path):
                return tier
        return Tier(CUSTOM, BasePath(str(path)), None) if is_foreign else self.tiers.settings.resolve(CUSTOM, str(path))

    def tier(self, location: str, base: str) -> Tier:
        """Return a tier by its location and base."""
        return self.tiers.settings.resolve(location, base if location == CUSTOM else None)

    def _elsewhere(self, path: Path) -> list[str]:
        """Return the other folders, Hugging Face's and the defaults of programs, that hold something."""
        tiers = {Path(tier.base).resolve() for tier in self.tiers.all()}
        defaults = {str(Path(text).expanduser()): text for text in ELSEWHERE}
        named = {folder: shlex.quote(folder) for folder in self._of_hugging_face()} | defaults
        places = [(text, Path(path)) for path, text in named.items()]
        known = [(text, place) for text, place in places if is_folder(place) and not is_link(place)]
        return [text for text, place in known if place.resolve() not in tiers | {path.resolve()} and has_models(place)]
