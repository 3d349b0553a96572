"""Which registered model a person means: by its name, its repository in any case, or either with `:QUANT`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from modelshelf.domain.models import ModelRow
from modelshelf.domain.references import parse_reference
from modelshelf.errors import BadInput

_USUAL_TAG = ":latest"
"""What clients of Ollama put behind a name."""
_SCHEMES = ("https://", "http://", "hf://", "hf.co/", "huggingface.co/")


def without_address(asked: str) -> str:
    """Return what is asked for without the hub's address before it and the tag that means nothing behind it.

    >>> [without_address(asked) for asked in ("hf.co/org/model:Q4_1", "smol:latest", "hf://org/model", "smol")]
    ['org/model:Q4_1', 'smol', 'org/model', 'smol']
    """
    name = asked.removesuffix(_USUAL_TAG)
    if not name.lower().startswith(_SCHEMES):
        return name
    try:
        reference = parse_reference(name)
    except BadInput:
        return name
    return f"{reference.repo_id}:{reference.quantisation}" if reference.quantisation else reference.repo_id


def model_meant(asked: str, rows: Sequence[ModelRow], quantisation_of: Callable[[ModelRow], str]) -> ModelRow | None:
    """Return the model that a name means; None for none.

    Args:
        asked: A model's name, or its repository, in any case; behind either may stand `:QUANT`.
        rows: The models that may be meant.
        quantisation_of: Returns the quantisation that is served of a model.

    Raises:
        BadInput: It means more than one.
    """
    wanted = asked.lower()
    for row in rows:
        if row.model_name == asked:
            return row
    name, _, quantisation = asked.rpartition(":")
    same = _once(row for row in rows if wanted in (row.model_name.lower(), row.hf_path.lower()))
    of_name = _once(row for row in rows if name.lower() in (row.model_name.lower(), row.hf_path.lower()))
    found = same or [row for row in of_name if quantisation_of(row) == quantisation.upper()]
    if len(found) > 1:
        names = ", ".join(row.model_name for row in found)
        raise BadInput(f"{asked} may be any of {names}.", hint="Ask for one of them.", param="model")
    return found[0] if found else None


def _once(rows: Iterable[ModelRow]) -> list[ModelRow]:
    return list({row.id: row for row in rows}.values())
