"""The doctor: collects what is so, whatever is broken; `domain.doctor` says what that means; does what is safe."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from modelshelf.domain import doctor
from modelshelf.domain.doctor import BaseFacts, Copies, HubFacts, RegistryFacts, Sized, TokenFacts
from modelshelf.domain.doctor_report import Diagnosis, Report, Severity, of_strange, ordered
from modelshelf.domain.models import State
from modelshelf.domain.names import BasePath, Digest, RepoId
from modelshelf.domain.reconcile import Action
from modelshelf.domain.tiers import CUSTOM, Tier, Tiers
from modelshelf.domain.tool_environment import conflicts, hf_home, is_offline, places, token_path
from modelshelf.domain.verify_report import Fault, Finding
from modelshelf.errors import ShelfError
from modelshelf.services.jobs.progress import Counter
from modelshelf.services.setup.tools import engines, installed
from modelshelf.services.space.delete_old_copy import leaving
from modelshelf.store import ownership
from modelshelf.store.gc import collect
from modelshelf.store.known_bases import KnownBases
from modelshelf.store.layout import Base
from modelshelf.store.locks import bounded
from modelshelf.store.mounts import mount_at, mount_of
from modelshelf.store.probe import is_folder
from modelshelf.store.repos import inspect, scan, snapshot
from modelshelf.store.repos.inspect import Wanted
from modelshelf.store.tiers import capabilities, checkup, governor, meter, sidecars, strange
from modelshelf.store.tiers import marker as store_tier

if TYPE_CHECKING:
    from modelshelf.domain.models import Model
    from modelshelf.services.shelf import Shelf

_log = logging.getLogger(__name__)
_TIDY = frozenset({"lock", "folder"})
"""What of gc's plan is mended without asking: nothing of it holds a byte of a model."""
HANG_S = 5.0
"""How long a network mount may take to answer, in seconds."""


@dataclass(frozen=True, slots=True)
class Doctor:
    """Says why something does not work."""

    tiers: Tiers
    known: KnownBases
    environ: Mapping[str, str]
    """The variables of other tools; see `settings.tool_variables`."""
    problems: Sequence[Mapping[str, str]]
    """The settings that are wrong."""
    registry: RegistryFacts
    """Where the registry is, and why it cannot be opened where it cannot."""
    hub: HubFacts
    has_token: bool
    """Whether HF_TOKEN is set, here or in `.env`."""
    greet: Callable[[], bool | None]
    """Asks the hub; see `HubClient.greet`."""
    shelf: Shelf | None
    """The library, where it can be opened without making anything."""
    where: Mapping[str, str]
    """The settings file and the registry in force, in words."""
    hung: Mapping[str, str]
    """The bases that do not answer, and what is said of each; they are not touched."""

    def __enter__(self) -> Doctor:
        """Return itself."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Close the library."""
        if self.shelf is not None:
            self.shelf.close()

    def examine(self) -> Report:
        """Return everything that was found; nothing is changed, and nothing stops at a fault."""
        found: list[Diagnosis] = []
        for topic, part in (
            ("settings", lambda: doctor.of_settings(self.problems, self.tiers.primary)),
            ("base", self._bases),
            ("registry", self._registry),
            ("copies", self._copies),
            ("environment", lambda: conflicts(self.environ, self.tiers.primary.base)),
            ("tool", self._tools),
            ("token", lambda: doctor.of_token(self._token())),
            ("hub", self._hub),
            ("engine", lambda: doctor.of_engines(engines(), sys.executable)),
        ):
            found += _safely(topic, part)
        return Report(ordered(found))

    def fix(self) -> Report:
        """Mend what is safe to mend, and return what was found then, with what was done."""
        parts: list[Callable[[], Iterable[str]]] = [self._open_trees]
        if self.shelf is not None:
            mends = (self._bring_back, self._put_refs_back, self._tidy)
            parts += [partial(mend, self.shelf) for mend in mends]
        fixed: list[str] = []
        failed: list[Diagnosis] = []
        for part in parts:
            try:
                fixed.extend(part())
            except Exception as err:  # noqa: BLE001 - what cannot be mended does not stand in the way of the rest
                failed.append(_broken("files", "Not everything could be fixed.", err))
        report = self.examine()
        return Report(ordered([*failed, *report.found]), tuple(fixed))

    def _open_trees(self) -> Iterator[str]:
        for base in self._online():
            yield from (f"{path}: others can read it now." for path in checkup.open_trees(base))

    def _bring_back(self, shelf: Shelf) -> Iterator[str]:
        """Fill a registry that knows nothing from the sidecars."""
        if not shelf.services.registry.models():
            for step in shelf.services.reconciler.reconcile(only={Action.ADD}).done:
                yield f"{step.model_name}: registered again, from its sidecar in {step.base}."

    def _put_refs_back(self, shelf: Shelf) -> Iterator[str]:
        for step in shelf.services.reconciler.reconcile(only={Action.SET_REF}).done:
            yield f"{step.model_name}: its ref in {step.base} names its commit again."

    def _tidy(self, shelf: Shelf) -> Iterator[str]:
        """Delete stale locks and empty folders through gc, which looks again under the locks."""
        for tier, plan in shelf.services.collector.plan():
            base = Base(Path(tier.base))
            if not store_tier.is_writable(base):
                continue
            small = replace(plan, items=tuple(item for item in plan.items if item.kind in _TIDY))
            done = collect.execute(
                base, small, partial(shelf.services.collector.needs, base), shelf.services.clock, Counter()
            )
            yield from (f"{item.path}: deleted, {item.why}." for item in done.removed)

    # --- bases ---

    def _all_tiers(self) -> list[Tier]:
        """Return the tiers of the settings, those of models, and every base that was ever used.

        A base of another library is left to it, and one that is known by two paths is named once.
        """
        found: dict[str, Tier] = {tier.base: tier for tier in self.tiers.configured()}
        if self.shelf is not None:
            found |= {tier.base: tier for tier in self.shelf.services.tiers.all() if tier.base not in found}
        for path in sorted(self.known.load().keys() - found.keys() - self.hung.keys()):
            base = Base(Path(path))
            is_new = not any(scan.is_same(base.path, Path(other)) for other in found if other not in self.hung)
            is_anothers = governor.why_not_ours(base, *self._registry_in_force())
            if is_new and not is_anothers and is_folder(base.path) and store_tier.read_id(base):
                found[path] = Tier(CUSTOM, BasePath(path), None)
        return list(found.values())

    def _online(self) -> list[Base]:
        bases = (Base(Path(tier.base)) for tier in self._all_tiers() if not self._why_offline(tier)[0])
        return [base for base in bases if is_folder(base.path) and checkup.closed_folder(base) is None]

    def _why_offline(self, tier: Tier) -> tuple[str, str]:
        """Return why a base cannot be used, and what to do; two empty texts when it can."""
        if tier.base in self.hung:
            return self.hung[tier.base], ""
        base, known_id = Base(Path(tier.base)), self.known.load().get(tier.base)
        if self.shelf is not None:
            known_id = self.shelf.services.registry.tier_ids().get(tier.base) or known_id
        try:
            store_tier.check_online(base, known_id)
            governor.check_ours(base, *self._registry_in_force())
        except ShelfError as err:
            return err.detail, err.hint
        return "", ""

    def _registry_in_force(self) -> tuple[str, str]:
        """Return its id and address; no id where it is not open."""
        return (
            (self.shelf.services.registry.id, self.shelf.services.registry.url)
            if self.shelf
            else ("", self.where["registry"])
        )

    def _bases(self) -> Iterator[Diagnosis]:
        for tier in self._all_tiers():
            yield from _safely("base", lambda tier=tier: doctor.of_base(self._base(tier)))  # type: ignore[misc]
        for base in self._online():
            yield from _safely("files", lambda base=base: of_strange([*map(str, strange.find(base))]))  # type: ignore[misc]

    def _base(self, tier: Tier) -> BaseFacts:
        base = Base(Path(tier.base))
        if tier.base in self.hung:
            return BaseFacts(tier, mount_at(base.path), exists=True, offline=self.hung[tier.base], hangs=True)
        exists, (offline, way_out), mount = is_folder(base.path), self._why_offline(tier), mount_of(base.path)
        closed = checkup.closed_folder(base)
        if closed is not None:
            return BaseFacts(tier, mount, exists, offline, closed=str(closed), mend=ownership.fix(base))
        if offline:
            return BaseFacts(tier, mount, exists, offline, mend=way_out)
        facts = BaseFacts(tier, mount, exists, offline, marked=store_tier.read_id(base) is not None)
        if not exists:
            return facts
        caches = (base.xet, base.old_transformers)
        strays = {path: Sized(str(path), checkup.tree_bytes(path)) for path in checkup.strays(base)}
        unfinished = tuple(path for path in strays if checkup.is_unfinished(path))
        return replace(
            facts,
            writable=store_tier.is_writable(base) and not mount.read_only,
            capabilities=capabilities.of(base),
            free_bytes=store_tier.free_bytes(base),
            free_entries=store_tier.free_entries(base),
            disk_bytes=checkup.disk_bytes(base),
            usage_bytes=meter.measure(base).apparent_bytes,
            strays=tuple(stray for path, stray in strays.items() if path not in unfinished),
            unfinished=tuple(strays[path] for path in unfinished),
            spare=tuple(Sized(str(path), checkup.tree_bytes(path)) for path in caches),
            foreign=ownership.foreign(base),
            mend=ownership.fix(base),
            closed_trees=tuple(map(str, checkup.closed_trees(base))),
            faults=tuple(self._faults(base)),
        )

    def _faults(self, base: Base) -> list[Finding]:
        """Return what is wrong with the names in a base; of bytes only the sizes are looked at."""
        found = inspect.look_at_hub(base)
        models = [model for model in self._models() if model.base == str(base.path)]
        ids = {("model", model.row.hf_path): base.repo(model.row.hf_path) for model in models}
        ids |= {(kind, repo_id): repo for kind, repo_id, repo in scan.repos(base)}
        for (kind, repo_id), repo in sorted(ids.items(), key=lambda item: item[0]):
            ours = [model for model in models if kind == "model" and model.row.hf_path == repo_id]
            found += inspect.look(base, repo_id, repo, self._wanted(ours), whole=True).findings
        return [
            fault for fault in found if fault.kind is not Fault.DANGLING_REF or not fault.model_name
        ]  # see of_registry

    def _models(self) -> list[Model]:
        return self.shelf.models() if self.shelf is not None else []

    def _wanted(self, models: Sequence[Model]) -> list[Wanted]:
        assert self.shelf is not None or not models
        return [
            Wanted(
                row.model_name,
                row.revision,
                row.commit_hash,
                tuple(self.shelf.services.library.files(row)),
                row.complete,
            )
            for row in (model.row for model in models)
            if self.shelf is not None and row.commit_hash is not None
        ]

    # --- the registry and what it knows ---

    def _registry(self) -> Iterator[Diagnosis]:
        facts = self.registry
        if self.shelf is not None:
            facts = self._ask_registry(self.shelf)
            for row in self.shelf.services.registry.strange_models():
                yield Diagnosis(Severity.WARNING, "registry", f"The registry's {row} It is left out.", path=facts.path)
        lost = (
            []
            if facts.exists or facts.trouble
            else [sidecar for base in self._online() for sidecar in sidecars.read_all(base)]
        )
        if lost:
            detail = f"The registry {facts.path} is gone; the sidecars of {len(lost)} models hold what it knew."
            yield Diagnosis(Severity.ERROR, "registry", detail, "shelf doctor --fix", facts.path, fix="registry")
        else:
            yield from doctor.of_registry(facts)

    def _ask_registry(self, shelf: Shelf) -> RegistryFacts:
        steps = shelf.services.reconciler.plan().steps
        leftovers: dict[str, int] = {}
        small = 0
        for _, plan in shelf.services.collector.plan():
            for item in plan.items:
                small += item.kind in _TIDY
                if item.kind not in _TIDY:
                    leftovers[item.kind] = leftovers.get(item.kind, 0) + item.size_bytes
        return replace(
            self.registry,
            models=len(shelf.services.registry.models()),
            damaged=tuple(m.row.model_name for m in self._models() if m.state is State.DAMAGED),
            drifted=tuple((step.model_name, step.why) for step in steps if step.action is Action.SET_REF),
            unsettled=sum(step.action is not Action.SET_REF for step in steps),
            leftovers=leftovers,
            locks_and_folders=small,
        )

    def _copies(self) -> Iterator[Diagnosis]:
        """Compare the digests of the bases in pairs, the faster one first; what waits to be deleted is no news."""
        held = [(base, self._digests(base)) for base in self._online()]
        owners = {(model.base, model.row.hf_path): model.row.model_name for model in self._models()}
        leaving, found = self._leaving(), []
        for i, (base, digests) in enumerate(held):
            for other, theirs in held[i + 1 :]:
                if scan.is_same(base.path, other.path):
                    continue
                for repo_id in sorted({repo_id for repo_id, digest in theirs if (repo_id, digest) in digests}):
                    same = [n for key, n in theirs.items() if key[0] == repo_id and key in digests]
                    where = sorted((base, other), key=lambda b: (str(b.path), repo_id) not in owners)
                    spare = str(where[1].path)
                    if (spare, repo_id) in leaving:
                        continue
                    names = (str(where[0].path), spare, len(same), sum(same), owners.get((spare, repo_id), ""))
                    found.append(Copies(repo_id, *names))
        yield from doctor.of_copies(found)

    def _leaving(self) -> set[tuple[str, str]]:
        """Return base and repository of each old copy that a job deletes once nobody uses it."""
        if self.shelf is None:
            return set()
        repos: dict[str, str] = {model.row.model_name: model.row.hf_path for model in self._models()}
        waiting = leaving(self.shelf.services.registry, self.shelf.services.tiers.tiers)
        return {(base, repos.get(model_name, "")) for base, model_name in waiting}

    def _digests(self, base: Base) -> dict[tuple[RepoId, Digest], int]:
        """Return the blobs of models in a base with their sizes; where there are no links, of registered models."""
        found: dict[tuple[RepoId, Digest], int] = {}
        for kind, repo_id, repo in scan.repos(base):
            if kind == "model":
                with contextlib.suppress(PermissionError):  # told with the base
                    found |= {(repo_id, digest): size for digest, size in scan.blob_sizes(repo).items()}
        for model in self._models():
            row = model.row
            if self.shelf is not None and model.base == str(base.path) and row.commit_hash is not None:
                files = self.shelf.services.library.files(row)
                there = snapshot.locate(base, base.repo(row.hf_path), row.commit_hash, files)
                found |= {(row.hf_path, file.digest): file.size_bytes for file in files if file.digest in there}
        return found

    # --- what is around ---

    def _tools(self) -> Iterator[Diagnosis]:
        tiers = self._all_tiers()
        ours = {f"{tier.base}/hub" for tier in tiers}
        found = [
            (place, 0 if place.path in ours or not Path(place.path).is_absolute() else _bytes_at(Path(place.path)))
            for place in installed(places(self.environ))
        ]
        yield from doctor.of_tools(found, tiers)

    def _token(self) -> TokenFacts:
        path = token_path(self.environ)
        bases = [base for base in self._online() if str(base.path) != hf_home(self.environ)[0]]
        shared = [str(base.token) for base in bases if checkup.mode_of(base.token) is not None]
        mode = bounded(partial(checkup.mode_of, Path(path)), Path(path), hang_s=HANG_S)
        return TokenFacts(self.has_token, path, mode, mode is None or os.access(path, os.R_OK), tuple(shared))

    def _hub(self) -> Iterator[Diagnosis]:
        facts = replace(self.hub, offline_by=is_offline(self.environ))
        if not facts.offline_by:
            try:
                facts = replace(facts, refused=self.greet() is False)
            except ShelfError as err:
                facts = replace(facts, trouble=err.detail)
        yield from doctor.of_hub(facts)


def hung_bases(paths: Iterable[str]) -> dict[str, str]:
    """Return the bases that do not answer, and what is to be said of each."""
    hung = {}
    for path in paths:
        try:
            bounded(Path(path).is_dir, Path(path), hang_s=HANG_S)
        except ShelfError as err:
            hung[path] = err.detail
    return hung


def _bytes_at(path: Path) -> int:
    """Return what lies below a folder of another tool; 0 where that hangs."""
    try:
        return bounded(partial(checkup.tree_bytes, path), path, hang_s=HANG_S)
    except ShelfError:
        return 0


def _safely(topic: str, part: Callable[[], Iterator[Diagnosis]]) -> list[Diagnosis]:
    """Return what a part of the examination says; a part that breaks says so, and the others go on."""
    found: list[Diagnosis] = []
    try:
        for diagnosis in part():
            found.append(diagnosis)  # noqa: PERF402 - what came before a fault is kept
    except Exception as err:  # noqa: BLE001 - the doctor is asked when things are broken, in ways nobody thought of
        found.append(_broken(topic, "This could not be examined.", err))
    return found


def _broken(topic: str, what: str, err: Exception) -> Diagnosis:
    _log.debug("doctor_broke", extra={"topic": topic}, exc_info=err)
    if isinstance(err, ShelfError):
        return Diagnosis(Severity.ERROR, topic, f"{what} {err.detail}", err.hint)
    return Diagnosis(Severity.ERROR, topic, f"{what} {type(err).__name__}: {err}")
