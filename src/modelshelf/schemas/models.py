"""Models as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from modelshelf.domain.models import State
from modelshelf.domain.users import User
from modelshelf.schemas.facts import FactsJson
from modelshelf.schemas.json_object import JsonObject, time_or_none
from modelshelf.units import rfc3339

if TYPE_CHECKING:
    from modelshelf.domain.adapters import Kin
    from modelshelf.domain.eviction import EvictionPlan
    from modelshelf.domain.jobs import Moved
    from modelshelf.domain.model_facts import ModelFacts
    from modelshelf.domain.models import FileEntry, Model


@dataclass(frozen=True)
class ModelJson(JsonObject):
    """A model with its state now."""

    model_name: str
    """Your name for it."""
    hf_path: str
    """Its repository, `org/name`."""
    revision: str
    """The branch, tag or commit that it follows."""
    commit_hash: str | None
    """Its commit; null before the hub was first reached."""
    cache_location: str
    """Its tier: `primary`, `secondary` or `custom`."""
    cache_path: str
    """The base of its tier."""
    path: str | None
    """The folder of its snapshot, present or future; null until the commit is known."""
    state: State
    """Its state by disk and registry; only a model that is `ready` or `moving` can be loaded."""
    detail: str
    """Why, in a sentence; empty if there is nothing to say."""
    size_bytes: int
    """The total size of its files; 0 until the commit is known."""
    format: str
    """How its weights are written: `GGUF`, `safetensors`, `MLX` …; empty if unknown."""
    quantisation: str
    """`Q4_K_M`, `BF16`, `4-bit` …; empty if unknown."""
    allow_patterns: Sequence[str]
    """Shell patterns of its files; empty for all."""
    pinned: bool
    """Whether it is protected from eviction."""
    pin_reason: str
    """The reason that a person gave."""
    mirrored: bool
    """Whether a client's request brought it, and no person: it is evicted first."""
    engine: str
    """The engine that a person chose for it; empty: whichever serves it."""
    engine_args: Sequence[str]
    """What that engine is started with beside."""
    trust_remote_code: bool
    """Whether code in its files may run, where ALLOW_REMOTE_CODE lets it."""
    allow_pickle: bool
    """Whether its weights may be loaded if they are Python pickles, which can run code."""
    created_at: str
    """When it was registered."""
    last_used_at: str | None
    """When it was last used; null for never."""
    last_used_by: User
    """Who used it then: `shelf`, or `another program`, which read its files; empty for never."""
    uses: int
    """How often it was used through shelf."""
    job_id: int | None
    """Its newest job; null without one."""

    @classmethod
    def of(cls, model: Model, **more: object) -> Self:
        """Return the object for a model.

        Args:
            model: The model.
            more: Further fields of a subclass.
        """
        row = model.row
        return cls.like(
            row,
            cache_path=model.base,
            path=model.path,
            state=model.state,
            detail=model.detail,
            created_at=rfc3339(row.created_at),
            last_used_at=time_or_none(row.last_used_at),
            mirrored=bool(row.mirrored),
            engine=row.engine.engine,
            engine_args=row.engine.arguments,
            trust_remote_code=row.engine.trust_remote_code,
            allow_pickle=row.engine.allow_pickle,
            **more,
        )


@dataclass(frozen=True)
class UnregisteredRepoJson(JsonObject):
    """A repository on a tier that no model is registered for."""

    hf_path: str
    """Its id, `org/name`."""
    cache_location: str
    """Its tier: `primary`, `secondary` or `custom`."""
    cache_path: str
    """The base of its tier."""
    size_bytes: int
    """The bytes in its folder."""


@dataclass(frozen=True)
class LibraryJson(JsonObject):
    """The models, and unregistered repositories beside them."""

    models: Sequence[ModelJson]
    """The registered models."""
    size_bytes: int
    """Their total size."""
    unregistered: Sequence[UnregisteredRepoJson]
    """The unregistered repositories."""
    unregistered_bytes: int
    """Their total size."""


@dataclass(frozen=True)
class FileJson(JsonObject):
    """A file of a model."""

    path: str
    """Its path in the repository."""
    size_bytes: int
    """Its size."""
    digest: str
    """The name of its blob: 64 hex of sha256, or 40 hex of git's sha1 for a small file."""


@dataclass(frozen=True)
class MovedJson(JsonObject):
    """A finished move of a model, or the deletion of its files to make room."""

    job_id: int
    """The job that did it."""
    at: str
    """When it ended."""
    cache_location: str | None
    """The tier that the model went to; null if its files were deleted."""
    reason: str
    """Why, in a sentence; empty if a person asked for it."""
    parent_id: int | None
    """The job that caused it; null without one, or if it was deleted with its model."""

    @classmethod
    def of(cls, moved: Moved) -> MovedJson:
        """Return the object for a move."""
        cause, to = moved.cause, moved.cache_location or None
        return cls.like(moved, at=rfc3339(moved.at), cache_location=to, reason=cause.reason, parent_id=cause.parent_id)


@dataclass(frozen=True)
class ModelWithFilesJson(ModelJson):
    """A model with its files, its last moves and its facts."""

    files: Sequence[FileJson]
    """Its files, in the order of their paths."""
    moves: Sequence[MovedJson]
    """Its last moves and evictions, newest first."""
    facts: FactsJson
    """What it is by its files."""
    adapter_of: str | None
    """The repository of the base model that it changes; null if it isn't an adapter."""
    bases: Sequence[str]
    """The registered models that an adapter can be loaded with."""
    base_of: Sequence[str]
    """The registered adapters whose base model it is."""

    @classmethod
    def with_files(
        cls, model: Model, files: Sequence[FileEntry], moves: Sequence[Moved], facts: ModelFacts, kin: Kin
    ) -> Self:
        """Return the object for a model with its files, last moves, facts, and what it is to other models."""
        return cls.of(
            model,
            files=[FileJson.like(file) for file in files],
            moves=[*map(MovedJson.of, moves)],
            facts=FactsJson.of(facts),
            adapter_of=kin.adapter_of,
            bases=kin.bases,
            base_of=kin.base_of,
        )


@dataclass(frozen=True)
class EvictedJson(JsonObject):
    """A model that is evicted to make room."""

    model_name: str
    """Its name."""
    free_bytes: int
    """Bytes that its tier gains; 0 for one that leaves with the one before it, because both have one snapshot."""
    needed_by: Sequence[str] = ()
    """The adapters that stay on its tier, or on a faster one, and have it as their base model."""

    @classmethod
    def each(cls, plan: EvictionPlan | None) -> list[EvictedJson]:
        """Return the objects for the models that leave, coldest first; empty if everything fits already."""
        found = []
        leaving = set(plan.model_names) if plan is not None else set()
        for victim in plan.victims if plan is not None else ():
            needed_by = [name for name in victim.needed_by if name not in leaving]
            found += [cls(victim.model_name, victim.free_bytes, needed_by), *(cls(name, 0) for name in victim.twins)]
        return found


@dataclass(frozen=True)
class NewModelJson(ModelJson):
    """A model that was just registered, and the models that are evicted for it."""

    makes_room: Sequence[EvictedJson]
    """The models that are evicted from its tier, coldest first."""
