"""What a shell sets for other programs to find a model, and how it restores what it had."""

from __future__ import annotations

import json
from collections.abc import Mapping

from modelshelf.domain.models import Model
from modelshelf.domain.outside import maybe, object_of, parse_json, sequence_of, text_of
from modelshelf.errors import BadInput

BEFORE = "SHELF_ENV_BEFORE"
"""The variable that stores of each other one what it was and what it became, as a JSON object; null: not set."""
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
        environ: Its environment; what an earlier call stored stays, unless the user set the variable since.
        primary: The primary base, if the variables would change it.
    """
    changed = dict(variables) | ({} if primary is None else {_PRIMARY: primary})
    was = {name: environ.get(name) for name in changed} | _before(environ)
    became = {name: changed.get(name, environ.get(name)) for name in was}
    return changed | {BEFORE: json.dumps({name: [was[name], became[name]] for name in was})}


def back(environ: Mapping[str, str]) -> dict[str, str | None]:
    """Return the variables that restore a shell; empty if nothing was changed.

    What the user set since is left as it is.

    Raises:
        BadInput: Somebody changed the stored values.
    """
    return _before(environ) | {BEFORE: None} if environ.get(BEFORE) else {}


def _before(environ: Mapping[str, str]) -> dict[str, str | None]:
    """Return what the variables were that are as an earlier call set them."""
    stored = environ.get(BEFORE)
    if not stored:
        return {}
    try:
        values = object_of(parse_json(stored))
        pairs = {name: _pair(values[name]) for name in _NAMES if name in values}
    except BadInput as err:
        raise BadInput(f"{BEFORE} isn't what shelf env wrote: {err.detail}", hint=f"unset {BEFORE}") from err
    return {name: was for name, (was, became) in pairs.items() if became == environ.get(name)}


def _pair(value: object) -> tuple[str | None, str | None]:
    """Return what a variable was and what it became."""
    was, became = (maybe(one, lambda text: text_of(text, _MOST_CHARS)) for one in sequence_of(value, 2))
    return was, became
