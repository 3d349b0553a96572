"""Default names for models.

>>> free_name("Qwen/Qwen3-8B-GGUF", ()), free_name("Qwen/Qwen3-8B-GGUF", {"qwen3-8b-gguf"})
('qwen3-8b-gguf', 'qwen-qwen3-8b-gguf')
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Container

from modelshelf.domain.names import ModelName, with_number
from modelshelf.domain.tiers import CUSTOM, PRIMARY, SECONDARY
from modelshelf.errors import BadInput

_OTHER_MEANINGS = frozenset({PRIMARY, SECONDARY, CUSTOM})
"""Words that stand for a tier where a command takes both: `shelf move NAME TIER`."""


def chosen_name(text: object) -> ModelName:
    """Return the name that a person gives a model.

    Raises:
        BadInput: It isn't a name, or is the word for a tier.
    """
    name = ModelName(text)
    if name.lower() in _OTHER_MEANINGS:
        hint = f"Choose another one, such as {name}-model."
        raise BadInput(f"{name} is the word for a tier, so no model can be called so.", hint=hint, model_name=name)
    return name


def free_name(repo_id: str, taken: Container[str], *, called: str = "", behind: str = "") -> ModelName:
    """Return a free name: the repository's, then with its organisation, then with a number.

    Args:
        repo_id: The repository.
        taken: The names of other models.
        called: Another program's name for the model, instead of the repository's.
        behind: What tells it from others of its repository: a commit, a quantisation.
    """
    organisation, _, plain = repo_id.rpartition("/")
    base = "-".join(filter(None, (called or plain, behind)))
    long = _clean(f"{organisation}-{base}")
    numbered = (with_number(long, number) for number in itertools.count(2))
    names = itertools.chain((_clean(base), long), numbered)
    return next(name for name in names if name not in taken and name not in _OTHER_MEANINGS)


def _clean(text: str) -> ModelName:
    """Return a text in a form that can name a model.

    >>> _clean("Qwen2.5-3B-Instruct"), _clean("_x y")
    ('qwen2.5-3b-instruct', 'x-y')
    """
    return ModelName(re.sub(r"[^a-z0-9._:+-]", "-", text.lower()).strip("._:+-")[:110] or "model")
