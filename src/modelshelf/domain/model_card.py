"""The front matter of a README.md about a model: YAML between two lines of three dashes.

Only the few keys that are shown are parsed; some cards have megabytes of benchmark results.

Source: https://huggingface.co/docs/hub/model-cards#model-card-metadata.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

MOST_BYTES = 2**20
"""How much of a README.md is read."""
_MOST_CHARS = 2**14
_MOST_TAGS = 50
_KEY = re.compile(r"([A-Za-z_]+):")
_WANTED = frozenset({"license", "license_name", "base_model", "tags"})


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What a model's README says about it."""

    license: str | None = None
    base_models: tuple[str, ...] = ()
    """The repositories that it was made from."""
    tags: tuple[str, ...] = ()


def wanted_yaml(text: str) -> str:
    """Return the lines of a README's front matter with the wanted keys; empty without front matter.

    >>> wanted_yaml("---\\nlicense: mit\\nmodel-index:\\n- name: x\\ntags:\\n- chat\\n---\\n# Hello")
    'license: mit\\ntags:\\n- chat'
    """
    lines = text.lstrip("\ufeff").splitlines()
    if not lines or lines[0].rstrip() != "---":
        return ""
    kept, is_wanted = [], False
    for line in lines[1:]:
        if line.rstrip() == "---":
            break
        key = _KEY.match(line)
        if line[:1] not in (" ", "-", "#", ""):
            is_wanted = key is not None and key[1] in _WANTED
        if is_wanted:
            kept.append(line)
    wanted = "\n".join(kept)
    return wanted if len(wanted) <= _MOST_CHARS else ""


def card_of(said: Mapping[str, object]) -> ModelCard:
    """Return the card in YAML, every scalar of which is a text.

    >>> card_of({"license": "other", "license_name": "gemma", "base_model": "org/base"})
    ModelCard(license='gemma', base_models=('org/base',), tags=())
    """
    names = [*_texts(said.get("license_name")), *_texts(said.get("license"))]
    is_named = "other" in _texts(said.get("license"))
    licenses = names if is_named else _texts(said.get("license"))
    return ModelCard(licenses[0] if licenses else None, _texts(said.get("base_model")), _texts(said.get("tags")))


def _texts(value: object) -> tuple[str, ...]:
    """Return the short texts in a value: itself, or its elements."""
    values = value if isinstance(value, list) else [value]
    return tuple(text for text in values[:_MOST_TAGS] if isinstance(text, str) and 0 < len(text) <= 200)
