"""What Anthropic's protocol answers of itself: counts of tokens, and errors."""

from __future__ import annotations

from dataclasses import dataclass

from modelshelf.schemas.json_object import JsonObject


@dataclass(frozen=True)
class TokenCountJson(JsonObject):
    """How long a conversation is."""

    input_tokens: int
    """The tokens of its texts."""


@dataclass(frozen=True)
class AnthropicFaultJson(JsonObject):
    """What is wrong, as Anthropic's clients read it."""

    type: str
    """What kind of error it is, such as `invalid_request_error`."""
    message: str
    """What is wrong and what to do about it; of an engine that failed its last lines too."""


@dataclass(frozen=True)
class AnthropicErrorJson(JsonObject):
    """An error, as Anthropic's clients read it."""

    error: AnthropicFaultJson
    """What is wrong."""
    type: str = "error"
    """Always `error`."""
