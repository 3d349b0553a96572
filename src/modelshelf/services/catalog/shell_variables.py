"""What a shell sets for other programs to find a model, and how it restores what it had."""

from __future__ import annotations

import json
from collections.abc import Mapping

from modelshelf.domain.models import Model
from modelshelf.domain.outside import maybe, object_of, parse_json, text_of
from modelshelf.errors import BadInput

BEFORE = "SHELF_ENV_BEFORE"
"""The variable that stores the others' earlier values, as a JSON object; null: not set."""
_HOME = "HF_HOME"
_STRONGER = ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "TRANSFORMERS_CACHE")
"""Variables that override HF_HOME."""
_PATH = "SHELF_MODEL_PATH"
_PRIMARY = "PRIMARY_CACHE_PATH"
_NAMES = (_HOME, *_STRONGER, _PRIMARY, _PATH)
_MOST_CHARS = 100_000


def to_find(model: Model, environ: Mapping[str, str]) -> dict[str, str | None]:
    """Return the variables with which any Hugging Face program finds a model; None: unset it.

    Source: huggingface_hub `constants.py`; transformers 5 reads the same.

    Args:
        model: The model.
        environ: The shell's environment.
    """
    return {_HOME: model.base, **dict.fromkeys(name for name in _STRONGER if name in environ), _PATH: model.path}


def with_way_back(
    variables: Mapping[str, str | None], environ: Mapping[str, str], primary: str | None = None
) -> dict[str, str | None]:
    """Return variables, plus the one that stores what they were.

    Args:
        variables: What a shell is to set.
        environ: Its environment; values stored by an earlier call stay.
        primary: The primary base, if the variables would change it.
    """
    changed = dict(variables) | ({} if primary is None else {_PRIMARY: primary})
    before = {name: environ.get(name) for name in changed} | _before(environ)
    return changed | {BEFORE: json.dumps(before)}


def back(environ: Mapping[str, str]) -> dict[str, str | None]:
    """Return the variables that restore a shell; empty if nothing was changed.

    Raises:
        BadInput: Somebody changed the stored values.
    """
    before = _before(environ)
    return before | {BEFORE: None} if before else {}


def _before(environ: Mapping[str, str]) -> dict[str, str | None]:
    kept = environ.get(BEFORE)
    if not kept:
        return {}
    try:
        values = object_of(parse_json(kept))
        return {
            name: maybe(values[name], lambda value: text_of(value, _MOST_CHARS)) for name in _NAMES if name in values
        }
    except BadInput as err:
        raise BadInput(f"{BEFORE} isn't what shelf env wrote: {err.detail}", hint=f"unset {BEFORE}") from err
