"""Adapters and the base models that they need, which may be on another tier."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from modelshelf.domain.models import Model, ModelRow, State
from modelshelf.domain.names import RefName, RepoId
from modelshelf.errors import BadInput, NotFound
from modelshelf.services.catalog.models import Library
from modelshelf.store.layout import Base
from modelshelf.store.repos import adapter, scan


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
        repo_id = adapter.base_repo(Base(Path(model.base)), Path(model.path))
        if repo_id is None:
            return None
        found = [self.library.model(row.model_name) for row in self.library.reader.models(any_case=repo_id)]
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
        said = adapter.base_repo(Base(Path(model.base)), Path(model.path))
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

    def needing(self, row: ModelRow, known: Mapping[str, Sequence[str]] | None = None) -> Sequence[str]:
        """Return the registered adapters that would lose their base model with this model, by name.

        Args:
            row: The model.
            known: What `by_base_model` returned just now; None: look.
        """
        needing = (self.by_base_model() if known is None else known).get(row.hf_path.lower(), ())
        is_alone = not needing or len(self.library.reader.models(any_case=row.hf_path)) <= 1
        return needing if is_alone else ()

    def by_base_model(self) -> dict[str, list[str]]:
        """Return the registered adapters that can be read, by name, by the lower-case id of what they need."""
        found: dict[str, list[str]] = {}
        for row in self.library.reader.adapters():
            if (needed := self._needed(row)) is not None:
                found.setdefault(needed.lower(), []).append(row.model_name)
        return found

    def _needed(self, row: ModelRow) -> RepoId | None:
        if row.commit_hash is None:
            return None
        base = Base(Path(self.library.base_of(row)))
        try:
            return adapter.base_repo(base, base.repo(row.hf_path).snapshot(row.commit_hash))
        except (BadInput, OSError):
            return None
