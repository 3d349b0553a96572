"""Adapters and the base models that they need, which may be on another tier."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from modelshelf.domain.adapters import Kin, Need, Placement, need_of, preferred
from modelshelf.domain.models import Model, ModelRow, State
from modelshelf.domain.names import RefName, RepoId
from modelshelf.domain.tiers import Tier
from modelshelf.domain.weight_files import GGUF, GGUF_ADAPTER, format_of
from modelshelf.errors import BadInput, NotFound
from modelshelf.services.catalog.models import Library
from modelshelf.store.headers import Headers
from modelshelf.store.layout import Base
from modelshelf.store.repos import adapter, scan

ByBase = Mapping[str, Sequence[ModelRow]]
"""Adapters by name, by the lower-case id of the repository that they need."""


@dataclass(frozen=True, slots=True)
class Adapters:
    """Finds the base models of adapters, and the adapters of a base model."""

    library: Library

    def base_of(self, model: Model) -> Model | None:
        """Return an adapter's registered base model, on any tier; None for a model that isn't an adapter.

        Raises:
            BadInput: The adapter doesn't name its base model.
            NotFound: Its base model isn't registered.
            Unavailable, Conflict: It can't be loaded; see `Library.ready`.
        """
        assert model.path is not None
        repo_id = self._says(model.row, Base(Path(model.base)), Path(model.path))
        if repo_id is None:
            return None
        found = [self.library.model(row.model_name) for row in self._bases(model.row, repo_id)]
        if not found:
            raise NotFound(
                f"{model.row.model_name} is an adapter of {repo_id}, which isn't registered.",
                hint=f"shelf add NAME {repo_id}",
                model_name=model.row.model_name,
                hf_path=repo_id,
            )
        whole = (base for base in found if base.state in (State.READY, State.MOVING))
        return next(whole, None) or self.library.ready(found[0].row.model_name)

    def check_named(self, model: Model, base: Model) -> None:
        """Do nothing where a program that follows an adapter's own file loads the base model that was found for it.

        Such a program looks its name up in the base's folder, where `main` says which commit it is.

        Raises:
            BadInput: It would load another one, or none.
        """
        assert model.path is not None
        said = self._says(model.row, Base(Path(model.base)), Path(model.path))
        name, row = model.row.model_name, base.row
        if said != row.hf_path:
            raise BadInput(
                f"{name} names its base model {said}, and {row.model_name} is {row.hf_path}.",
                hint="An engine that takes an adapter beside its base model serves it: vllm, or llama with GGUF files.",
            )
        if scan.refs(Base(Path(base.base)).repo(row.hf_path)).get(RefName("main")) != row.commit_hash:
            raise BadInput(
                f"{name} names its base model without a commit, and {row.model_name} isn't what main is of {said}.",
                hint=f"shelf update {row.model_name}, or register main of it: shelf add NAME {said}",
            )

    def needing(self, row: ModelRow, known: ByBase | None = None, gone: Collection[int] = ()) -> Sequence[str]:
        """Return the registered adapters that would lose their base model with this model, by name.

        Args:
            row: The model.
            known: What `by_base_model` returned just now; None: look.
            gone: Ids of models that are removed before it.
        """
        found = self._of(row, self.by_base_model() if known is None else known)
        needing = [one for one in found if one.id not in gone]
        alike = self.library.reader.models(any_case=row.hf_path) if needing else ()
        stays = any(one.id not in (row.id, *gone) for one in alike)
        return () if stays else [one.model_name for one in needing]

    def kin(self, row: ModelRow) -> Kin:
        """Return what a model is to others; what can't be read is nothing."""
        repo_id = self._needed(row)
        bases = () if repo_id is None else tuple(base.model_name for base in self._bases(row, repo_id))
        return Kin(repo_id, bases, tuple(one.model_name for one in self._of(row, self.by_base_model())))

    def needs(self, tier: Tier) -> dict[Placement, Need]:
        """Return which placements of a tier adapters need, that are on it or on a faster one."""
        by_base = self.by_base_model()
        if not by_base:
            return {}
        found: dict[Placement, list[ModelRow]] = {}
        for row in self.library.reader.models(cache_location=tier.location):
            if row.commit_hash is not None and (needing := self._of(row, by_base)):
                found.setdefault((row.hf_path, row.commit_hash), []).extend(needing)
        needs = ((place, need_of(needing, tier.location)) for place, needing in found.items())
        return {place: need for place, need in needs if need is not None}

    def by_base_model(self) -> ByBase:
        """Return the registered adapters that can be read, by name, by the lower-case id of what they need."""
        found: dict[str, list[ModelRow]] = {}
        for row in self.library.reader.adapters():
            if (needed := self._needed(row)) is not None:
                found.setdefault(needed.lower(), []).append(row)
        return found

    def _of(self, row: ModelRow, by_base: ByBase) -> list[ModelRow]:
        """Return a model's adapters: those of its repository and, if it is a GGUF, those of what that was made from."""
        found = list(by_base.get(row.hf_path.lower(), ()))
        if row.format == GGUF and any(one.format == GGUF_ADAPTER for each in by_base.values() for one in each):
            made_from = (one for repo_id in self._made_from(row) for one in by_base.get(repo_id, ()))
            found += [one for one in made_from if one.format == GGUF_ADAPTER]
        return found

    def _bases(self, row: ModelRow, repo_id: RepoId) -> Sequence[ModelRow]:
        """Return the registered models that an adapter can be laid on, by name."""
        named = self.library.reader.models(any_case=repo_id)
        if row.format != GGUF_ADAPTER:
            return named
        ggufs = [one for one in self.library.reader.models() if one.format == GGUF]
        return preferred(named, [one for one in ggufs if repo_id.lower() in self._made_from(one)], GGUF)

    def _made_from(self, row: ModelRow) -> list[str]:
        """Return the lower-case ids of what a model's README says that it was made from."""
        if row.commit_hash is None:
            return []
        base = Base(Path(self.library.base_of(row)))
        try:
            card = Headers(base, base.repo(row.hf_path).snapshot(row.commit_hash)).card("README.md")
        except (BadInput, OSError):
            return []
        return [repo_id.lower() for repo_id in card.base_models]

    def _needed(self, row: ModelRow) -> RepoId | None:
        if row.commit_hash is None:
            return None
        base = Base(Path(self.library.base_of(row)))
        try:
            return self._says(row, base, base.repo(row.hf_path).snapshot(row.commit_hash))
        except (BadInput, OSError):
            return None

    def _says(self, row: ModelRow, base: Base, snapshot: Path) -> RepoId | None:
        """Return the repository of the base model that a model's files name; None if it isn't an adapter.

        Raises:
            BadInput: It is one and can't be read, or names none.
        """
        if row.format != GGUF_ADAPTER:
            return adapter.base_repo(base, snapshot)
        name = next(file.path for file in self.library.files(row) if format_of(file.path) == GGUF)
        try:
            said = Headers(base, snapshot).gguf(name).base_repo or adapter.base_repo(base, snapshot)
        except OSError as err:
            raise BadInput(f"{snapshot / name} can't be read: {err.strerror}.", path=str(snapshot / name)) from err
        if said is None:
            raise BadInput(
                f"{row.model_name} is an adapter, and {name} doesn't name the repository of its base model.",
                hint="Give both files to llama-server: -m BASE --lora ADAPTER (shelf path says where they are).",
            )
        return RepoId(said)
