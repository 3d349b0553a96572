"""Forgetting a base: the library no longer knows it, and every byte on it stays."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from modelshelf.domain.jobs import RUNNING
from modelshelf.domain.models import ModelRow
from modelshelf.domain.names import BasePath
from modelshelf.domain.tiers import Tiers
from modelshelf.errors import BadInput, Conflict
from modelshelf.registry.fast_read import library_id
from modelshelf.registry.registry import Registry
from modelshelf.store.known_bases import KnownBases, KnownLibraries
from modelshelf.store.layout import Base
from modelshelf.store.tiers import governor, marker
from modelshelf.units import many


def base_at(text: str) -> Base:
    """Return the base that a person names, relative to the working directory.

    Raises:
        BadInput: It can't be a base.
    """
    return Base(Path(BasePath(os.path.abspath(os.path.expanduser(text)))))  # noqa: PTH100, PTH111 - links in it stay


@dataclass(frozen=True, slots=True)
class ForgetPlan:
    """What forgetting a base does."""

    cache_path: str
    models: tuple[str, ...]
    """The models that stop being registered."""
    stays_bytes: int
    """The bytes of their files, which stay."""
    gives_away: bool
    """Whether the marker then names no registry, so that another library may take the base."""


@dataclass(frozen=True, slots=True)
class Forgetter:
    """Forgets bases."""

    tiers: Tiers
    known: KnownBases
    libraries: KnownLibraries
    registry: Registry | None
    """The registry in use; None if it isn't reachable or doesn't exist."""
    url: str
    """Where it is, or would be."""

    def __enter__(self) -> Forgetter:
        """Return itself."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Close the registry."""
        if self.registry is not None:
            self.registry.close()

    def plan(self, base: Base, *, models: bool) -> ForgetPlan:
        """Return what forgetting a base would do; nothing is changed.

        If another tier is at that path now, only the earlier one is forgotten: models stay registered.

        Args:
            base: The base.
            models: Whether its models are forgotten too.

        Raises:
            BadInput: Nobody here knows that base.
            Conflict: Models of it are registered, a job works on one, or it belongs to another library.
        """
        path, named = str(base.path), governor.read(base)
        ids = self._ids()
        is_same_tier = marker.read_id(base) in (None, ids.get(path)) or path not in ids
        rows = self._rows(path) if is_same_tier else []
        if path not in ids and path not in self.libraries.load() and not rows and named is None:
            raise BadInput(f"{path} isn't a known base.", hint="shelf status lists them.", cache_path=path)
        if self.registry is not None:
            governor.check_ours(base, self.registry.id, self.registry.url)
        elif named is not None and not self._is_lost(base, named):
            governor.check_ours(base, "", self.url)
        self._check_free(path, rows, models=models)
        names = tuple(row.model_name for row in rows)
        return ForgetPlan(path, names, sum(row.size_bytes for row in rows), named is not None and is_same_tier)

    def forget(self, base: Base, *, models: bool) -> ForgetPlan:
        """Forget a base; return what was done. Raises as `plan` does.

        **Crash:** the marker is changed last; the same command again finishes.
        """
        plan = self.plan(base, models=models)
        if self.registry is not None:
            for row in self._rows(plan.cache_path):
                if row.model_name in plan.models:
                    self.registry.delete_model(row.id)
            self.registry.bases.forget(plan.cache_path)
        self.known.forget(base)
        self.libraries.forget(base)
        named = governor.read(base)
        if plan.gives_away and named is not None:
            governor.release(base, named.id)
        return plan

    def _ids(self) -> Mapping[str, str]:
        return self.known.load() | (self.registry.tier_ids() if self.registry is not None else {})

    def _is_lost(self, base: Base, named: governor.Governor) -> bool:
        """Return whether the registry that a marker names isn't there any more; a server's can't be asked here."""
        file = named.file(base)
        return file is not None and library_id(file) != named.id

    def _rows(self, path: str) -> list[ModelRow]:
        rows = self.registry.models() if self.registry is not None else []
        return [row for row in rows if self._base_of(row) == path]

    def _base_of(self, row: ModelRow) -> str:
        try:
            return self.tiers.resolve(row.cache_location, row.cache_path).base
        except BadInput:
            return row.cache_path

    def _check_free(self, path: str, rows: list[ModelRow], *, models: bool) -> None:
        busy = [row for row in rows if row.job_state == RUNNING]
        if busy:
            raise Conflict(
                f"Job {busy[0].job_id} is working on {busy[0].model_name} in {path}.",
                hint=f"Wait for it, or end it: shelf cancel {busy[0].job_id}",
                cache_path=path,
            )
        if rows and not models:
            names = ", ".join(row.model_name for row in rows)
            raise Conflict(
                f"{path} has {many(len(rows), 'registered model')}: {names}.",
                hint=f"Move them first; or forget them too, and leave their files: shelf forget {path} --models",
                cache_path=path,
                models=[row.model_name for row in rows],
            )
