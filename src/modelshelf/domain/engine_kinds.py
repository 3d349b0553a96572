"""What an engine is for, and what a client may ask of it."""

from __future__ import annotations

import enum


class Endpoint(enum.StrEnum):
    """What a client may ask of a model, by its path below `/v1`."""

    CHAT = "chat/completions"
    COMPLETIONS = "completions"
    EMBEDDINGS = "embeddings"
    RESPONSES = "responses"
    RERANK = "rerank"
    TOKENIZE = "tokenize"


TALKS = frozenset({Endpoint.CHAT, Endpoint.RESPONSES})
"""What takes a conversation."""


class EngineKind(enum.StrEnum):
    """What an engine is for; each kind has slots of its own."""

    GENERATE = "generate"
    EMBED = "embed"
    RERANK = "rerank"
