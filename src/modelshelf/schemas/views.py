"""Views as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from modelshelf.schemas.json_object import JsonObject

if TYPE_CHECKING:
    from modelshelf.domain.views import ViewStatus


@dataclass(frozen=True)
class RefusedJson(JsonObject):
    """A model that a view's program can't read."""

    model_name: str
    """The model's name."""
    why: str
    """Why not, in a sentence."""


@dataclass(frozen=True)
class ViewJson(JsonObject):
    """A folder that another program reads, with links to models."""

    kind: str
    """Whose layout it has: `folder`, `lmstudio`, `ollama`, `jan`, `llama-server`, `llama-swap`, `textgen`,
    `gpt4all`, `comfyui`, `a1111`, `forge`, `invokeai`, `hf`, `cache_dir`."""
    root: str
    """The folder."""
    models: list[str] | None
    """The chosen models; null: all, now and later."""
    state: str
    """`true`, `stale`, `blocked`, `away`, `foreign` or `failed`."""
    detail: str
    """Why it isn't true, in a sentence; empty if it is."""
    entries: int
    """How many links and small files of ours are in it."""
    refused: list[RefusedJson]
    """Chosen models that its program can't read."""
    blocked: list[str]
    """Paths in it at which somebody else's file is, which stays."""

    @classmethod
    def of(cls, status: ViewStatus) -> ViewJson:
        """Return a view."""
        view = status.view
        return cls(
            kind=view.kind.value,
            root=view.root,
            models=None if view.models is None else list(view.models),
            state=status.state.value,
            detail=status.told,
            entries=len(view.made),
            refused=[RefusedJson(name, why) for name, why in status.refused.items()],
            blocked=list(status.blocked),
        )
