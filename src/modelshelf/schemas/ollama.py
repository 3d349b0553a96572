"""What Ollama's protocol answers of itself: its version, and errors."""

from __future__ import annotations

from dataclasses import dataclass

from modelshelf.schemas.json_object import JsonObject


@dataclass(frozen=True)
class OllamaVersionJson(JsonObject):
    """The version of Ollama whose protocol is spoken here."""

    version: str
    """It."""


@dataclass(frozen=True)
class OllamaErrorJson(JsonObject):
    """An error, as Ollama's clients read it."""

    error: str
    """What is wrong and what to do about it; of an engine that failed its last lines too."""
