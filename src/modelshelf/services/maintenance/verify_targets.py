"""What a verification covers: the online bases, the findings by names alone, and the bytes to be read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from modelshelf.domain.models import Model, State
from modelshelf.domain.names import RepoId
from modelshelf.domain.tiers import Tier
from modelshelf.domain.verify_report import Fault, Finding
from modelshelf.errors import ShelfError, Unavailable
from modelshelf.services.catalog.models import Library
from modelshelf.services.space.tiers import TierService
from modelshelf.store.layout import Base
from modelshelf.store.probe import is_folder
from modelshelf.store.repos import inspect, scan
from modelshelf.store.repos.inspect import Wanted
from modelshelf.store.repos.verify import Target


@dataclass(slots=True)
class Survey:
    """What was found by names alone."""

    findings: list[Finding] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)
    tier_ids: dict[str, str] = field(default_factory=dict)
    """The scanned bases, path to tier id."""
    offline: list[str] = field(default_factory=list)
    """The bases that are offline."""


@dataclass(frozen=True, slots=True)
class Surveyor:
    """Scans models, or everything."""

    library: Library
    tiers: TierService

    def survey(self, model_names: Sequence[str]) -> Survey:
        """Return what to verify.

        Args:
            model_names: The models; without one every repository of every tier, registered or not.

        Raises:
            NotFound: There is no such model.
            Unavailable: The tier of a named model is offline.
        """
        survey = Survey()
        models = [self.library.model(name) for name in model_names] if model_names else self.library.models()
        if model_names:
            survey.findings += [finding for model in models for finding in _unfinished(model)]
        for tier in self.tiers.all():
            here = [model for model in models if model.base == tier.base]
            if here or not model_names:
                self._look_at_tier(survey, tier, here, whole=not model_names)
        return survey

    def _look_at_tier(self, survey: Survey, tier: Tier, models: Sequence[Model], *, whole: bool) -> None:
        base = Base(Path(tier.base))
        if not self.tiers.why_offline(tier) and not is_folder(base.path):
            return  # it was never used
        try:
            survey.tier_ids[tier.base] = self.tiers.open(tier)
        except ShelfError:
            survey.offline.append(tier.base)
            return
        wanted = self._wanted(models)
        repos = {(kind, repo_id): repo for kind, repo_id, repo in scan.repos(base)} if whole else {}
        repos |= {("model", repo_id): base.repo(repo_id) for repo_id in wanted}
        if whole:
            survey.findings += inspect.look_at_hub(base)
        for (kind, repo_id), repo in sorted(repos.items(), key=lambda item: item[0]):
            ours = wanted.get(repo_id, []) if kind == "model" else []
            sight = inspect.look(base, repo_id, repo, ours, whole=whole)
            survey.findings += sight.findings
            survey.targets += sight.targets

    def _wanted(self, models: Sequence[Model]) -> dict[RepoId, list[Wanted]]:
        """Return what registered models need, by repository."""
        found: dict[RepoId, list[Wanted]] = {}
        for model in models:
            row = model.row
            if row.commit_hash is not None:
                files = tuple(self.library.files(row))
                wanted = Wanted(row.model_name, row.revision, row.commit_hash, files, row.complete)
                found.setdefault(row.hf_path, []).append(wanted)
        return found


def _unfinished(model: Model) -> list[Finding]:
    """Return a finding that a model was never whole, if so.

    Raises:
        Unavailable: Its tier is offline.
    """
    row = model.row
    if model.state is State.OFFLINE:
        raise Unavailable(model.detail, hint="Mount its drive.", retry_after_s=60, model_name=row.model_name)
    if row.complete:
        return []
    path = model.path or model.base
    return [Finding(Fault.INCOMPLETE, model.base, path, repo_id=row.hf_path, model_name=row.model_name)]
