"""The doctor: collects facts, whatever is broken; `domain/doctor_*` says what they mean."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from modelshelf.domain.adopt import DEFAULT_PATH
from modelshelf.domain.doctor_bases import of_base
from modelshelf.domain.doctor_registry import Copies, RegistryFacts, of_copies, of_registry
from modelshelf.domain.doctor_report import Diagnosis, Report, Severity, of_strange, ordered
from modelshelf.domain.doctor_surroundings import (
    HubFacts,
    TokenFacts,
    of_engines,
    of_hub,
    of_settings,
    of_token,
    of_tools,
    of_unadopted,
    of_views,
)
from modelshelf.domain.job_params import GcParams
from modelshelf.domain.jobs import UNFINISHED
from modelshelf.domain.models import State
from modelshelf.domain.names import Digest, RepoId
from modelshelf.domain.reconcile import Action
from modelshelf.domain.tool_conflicts import conflicts
from modelshelf.domain.tool_environment import hf_home, is_offline, places, token_path
from modelshelf.errors import ShelfError
from modelshelf.services.doctor import fixes
from modelshelf.services.doctor.bases import ANSWER_WITHIN_S, Bases
from modelshelf.services.setup.tools import engines, installed
from modelshelf.services.setup.unadopted import unadopted
from modelshelf.services.space.delete_old_copy import leaving
from modelshelf.store.layout import Base
from modelshelf.store.locks import bounded
from modelshelf.store.repos import scan, snapshot
from modelshelf.store.same_place import is_same_place
from modelshelf.store.tiers import checkup, sidecars, strange
from modelshelf.units import many

if TYPE_CHECKING:
    from modelshelf.services.shelf import Shelf

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Doctor:
    """Finds out why something doesn't work."""

    bases: Bases
    environ: Mapping[str, str]
    """The variables of other tools; see `settings.tool_variables`."""
    problems: Sequence[Mapping[str, str]]
    """The settings that are wrong."""
    registry: RegistryFacts
    """Where the registry is, and why it can't be opened if it can't."""
    hub: HubFacts
    has_token: bool
    """Whether HF_TOKEN is set, here or in `.env`."""
    greet: Callable[[], bool | None]
    """Asks the hub; see `HubClient.greet`."""
    where: Mapping[str, str]
    """The settings file and the registry in use, in words."""

    def __enter__(self) -> Doctor:
        """Return itself."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Close the library."""
        if self.bases.shelf is not None:
            self.bases.shelf.close()

    def examine(self) -> Report:
        """Return all findings; nothing is changed, and no fault ends the examination."""
        return replace(self, bases=self.bases.afresh())._examine()

    def _examine(self) -> Report:
        found: list[Diagnosis] = []
        for topic, part in (
            ("settings", lambda: of_settings(self.problems, self.bases.tiers.primary)),
            ("base", self._bases),
            ("registry", self._registry),
            ("copies", self._copies),
            ("environment", lambda: conflicts(self.environ, self.bases.tiers.primary.base, is_same_place)),
            ("tool", self._tools),
            ("tool", self._unadopted),
            ("tool", self._views),
            ("token", lambda: of_token(self._token())),
            ("hub", self._hub),
            ("engine", lambda: of_engines(engines(), sys.executable)),
        ):
            found += _safely(topic, part)
        return Report(ordered(found))

    def fix(self) -> Report:
        """Fix what is safe to fix, and return the findings afterwards, with what was done."""
        fixed: list[str] = []
        failed: list[Diagnosis] = []
        for part in fixes.of(self.bases):
            try:
                fixed.extend(part())
            except Exception as err:  # noqa: BLE001 - what cannot be mended does not stand in the way of the rest
                failed.append(_broken("files", "Not everything could be fixed.", err))
        report = self.examine()
        return Report(ordered([*failed, *report.found]), tuple(fixed))

    def _bases(self) -> Iterator[Diagnosis]:
        for tier in self.bases.all_tiers():
            yield from _safely("base", lambda tier=tier: of_base(self.bases.facts(tier)))  # type: ignore[misc]
        for base in self.bases.online():
            seen = self.bases.look.base(base)
            yield from _safely("files", lambda seen=seen: of_strange([*map(str, strange.find(seen.base, seen))]))  # type: ignore[misc]

    # --- the registry and what it knows ---

    def _registry(self) -> Iterator[Diagnosis]:
        facts = self.registry
        if self.bases.shelf is not None:
            facts = self._ask_registry(self.bases.shelf)
            understood = {row.id for row in self.bases.look.rows}
            for row in self.bases.shelf.services.registry.strange_models(understood):
                yield Diagnosis(Severity.WARNING, "registry", f"The registry's {row} It is left out.", path=facts.path)
        lost = (
            []
            if facts.exists or facts.trouble
            else [sidecar for base in self.bases.online() for sidecar in sidecars.read_all(base)]
        )
        if lost:
            detail = f"The registry {facts.path} is gone; the sidecars of {many(len(lost), 'model')} hold what it knew."
            yield Diagnosis(Severity.ERROR, "registry", detail, "shelf doctor --fix", facts.path, fix="registry")
        else:
            yield from of_registry(facts)

    def _ask_registry(self, shelf: Shelf) -> RegistryFacts:
        steps = shelf.services.reconciler.plan(look=self.bases.look).steps
        leftovers: dict[str, int] = {}
        small = 0
        for _, plan in shelf.services.collector.plan(GcParams(), self.bases.look):
            for item in plan.items:
                small += item.kind in fixes.TIDY
                if item.kind not in fixes.TIDY:
                    leftovers[item.kind] = leftovers.get(item.kind, 0) + item.size_bytes
        return replace(
            self.registry,
            models=len(self.bases.look.rows),
            damaged=tuple(m.row.model_name for m in self.bases.look.models if m.state is State.DAMAGED),
            drifted=tuple((step.model_name, step.why) for step in steps if step.action is Action.SET_REF),
            unsettled=sum(step.action is not Action.SET_REF for step in steps),
            leftovers=leftovers,
            locks_and_folders=small,
        )

    def _copies(self) -> Iterator[Diagnosis]:
        """Compare the digests of each two bases, the faster one first, without copies that a job is about."""
        online = self.bases.online()
        held = [(base, self._digests(base)) for base in online] if len(online) > 1 else []
        owners = {(model.base, model.row.hf_path): model.row.model_name for model in self.bases.look.models}
        leaving, unsettled, found = self._leaving(), self._unsettled(owners), []
        for i, (base, digests) in enumerate(held):
            for other, theirs in held[i + 1 :]:
                if scan.is_same(base.path, other.path):
                    continue
                for repo_id in sorted({repo_id for repo_id, digest in theirs if (repo_id, digest) in digests}):
                    same = [n for key, n in theirs.items() if key[0] == repo_id and key in digests]
                    where = sorted((base, other), key=lambda b: (str(b.path), repo_id) not in owners)
                    spare = str(where[1].path)
                    if (spare, repo_id) in leaving or repo_id in unsettled:
                        continue
                    names = (str(where[0].path), spare, len(same), sum(same), owners.get((spare, repo_id), ""))
                    found.append(Copies(repo_id, *names))
        yield from of_copies(found)

    def _leaving(self) -> set[tuple[str, str]]:
        """Return the base and repository of each old copy that a job deletes once nobody uses it."""
        if self.bases.shelf is None:
            return set()
        repos: dict[str, str] = {model.row.model_name: model.row.hf_path for model in self.bases.look.models}
        waiting = leaving(self.bases.shelf.services.registry, self.bases.shelf.services.tiers.settings)
        return {(base, repos.get(model_name, "")) for base, model_name in waiting}

    def _unsettled(self, owners: Mapping[tuple[str, RepoId], str]) -> set[str]:
        """Return the repositories of models that a job works on, or that were one: neither of two copies is spare then.

        A sidecar whose model isn't registered there says so, as where the registry was lost.
        """
        lost: set[str] = {
            sidecar.hf_path
            for base in self.bases.online()
            for sidecar in self.bases.look.base(base).sidecars
            if (str(base.path), sidecar.hf_path) not in owners
        }
        if self.bases.shelf is None:
            return lost
        repos: dict[str, str] = {model.row.model_name: model.row.hf_path for model in self.bases.look.models}
        working = self.bases.shelf.services.registry.jobs(state=UNFINISHED)
        return lost | {repos[job.model_name] for job in working if job.model_name in repos}

    def _digests(self, base: Base) -> dict[tuple[RepoId, Digest], int]:
        """Return the blobs of models in a base with their sizes; without links, those of registered models."""
        found: dict[tuple[RepoId, Digest], int] = {}
        seen = self.bases.look.base(base)
        for kind, repo_id, repo in seen.repos:
            if kind == "model":
                with contextlib.suppress(PermissionError):  # told with the base
                    found |= {(repo_id, digest): size for digest, size in seen.names(repo).blobs.items()}
        for model in self.bases.look.models:
            row = model.row
            if model.base == str(base.path) and row.commit_hash is not None:
                files = [f for f in self.bases.look.files(row) if (row.hf_path, f.digest) not in found]
                there = snapshot.locate(base, base.repo(row.hf_path), row.commit_hash, files)
                found |= {(row.hf_path, file.digest): file.size_bytes for file in files if file.digest in there}
        return found

    # --- what is around ---

    def _tools(self) -> Iterator[Diagnosis]:
        tiers = self.bases.all_tiers()
        ours = {f"{tier.base}/hub" for tier in tiers}
        found = [
            (place, 0 if place.path in ours or not Path(place.path).is_absolute() else _bytes_at(Path(place.path)))
            for place in installed(places(self.environ))
        ]
        yield from of_tools(found, tiers)

    def _unadopted(self) -> Iterator[Diagnosis]:
        registered = [model.row.hf_path for model in self.bases.look.models]
        yield from of_unadopted(unadopted(Path(hf_home(self.environ)[0]), registered, DEFAULT_PATH))

    def _views(self) -> Iterator[Diagnosis]:
        shelf, models = self.bases.shelf, self.bases.look.models
        yield from of_views(shelf.services.views.all(models) if shelf is not None else ())

    def _token(self) -> TokenFacts:
        path = token_path(self.environ)
        bases = [base for base in self.bases.online() if str(base.path) != hf_home(self.environ)[0]]
        shared = [str(base.token) for base in bases if checkup.mode_of(base.token) is not None]
        mode = bounded(partial(checkup.mode_of, Path(path)), Path(path), hang_s=ANSWER_WITHIN_S)
        return TokenFacts(self.has_token, path, mode, mode is None or os.access(path, os.R_OK), tuple(shared))

    def _hub(self) -> Iterator[Diagnosis]:
        facts = replace(self.hub, offline_by=is_offline(self.environ))
        if not facts.offline_by:
            try:
                facts = replace(facts, refused=self.greet() is False)
            except ShelfError as err:
                facts = replace(facts, trouble=err.detail)
        yield from of_hub(facts)


def _bytes_at(path: Path) -> int:
    """Return the bytes below another tool's folder; 0 if it doesn't answer."""
    try:
        return bounded(partial(checkup.tree_bytes, path), path, hang_s=ANSWER_WITHIN_S)
    except ShelfError:
        return 0


def _safely(topic: str, part: Callable[[], Iterator[Diagnosis]]) -> list[Diagnosis]:
    """Return the findings of one part; if it fails, that is a finding and the others go on."""
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
