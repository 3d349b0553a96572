"""What OpenAI's protocol answers of itself: the list of models, and errors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from modelshelf.domain.models import ModelRow
from modelshelf.schemas.json_object import JsonObject


@dataclass(frozen=True)
class OpenAiModelJson(JsonObject):
    """A model, as OpenAI's clients read it."""

    id: str
    """What a request names in `model`."""
    created: int
    """When it was registered, in seconds since 1970."""
    owned_by: str
    """Whose repository it comes from."""
    object: str = "model"
    """Always `model`."""

    @classmethod
    def of(cls, row: ModelRow) -> Self:
        """Return it."""
        owner, slash, _ = row.hf_path.partition("/")
        return cls(row.model_name, int(row.created_at), owner if slash else "")


@dataclass(frozen=True)
class OpenAiModelsJson(JsonObject):
    """The models, as OpenAI's clients read them."""

    data: list[OpenAiModelJson]
    """The models that are whole, by name."""
    object: str = "list"
    """Always `list`."""


@dataclass(frozen=True)
class OpenAiFaultJson(JsonObject):
    """What is wrong, as OpenAI's clients read it."""

    message: str
    """What is wrong and what to do about it; of an engine that failed its last lines too."""
    type: str
    """What kind of error it is, such as `invalid_request_error`."""
    param: str | None
    """The field that is wrong; null where it is none."""
    code: str | int | None
    """The kind in one word, such as `model_not_found`."""


@dataclass(frozen=True)
class OpenAiErrorJson(JsonObject):
    """An error, as OpenAI's clients read it."""

    error: OpenAiFaultJson
    """What is wrong; an engine may add members of its own."""
