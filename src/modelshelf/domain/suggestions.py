"""Which model a person meant by a name that no model has.

>>> known = {"qwen-3b": "Qwen/Qwen2.5-3B-Instruct", "smol": "org/SmolLM2"}
>>> [names_meant(asked, known) for asked in ("quen-3b", "qwen2.5:3b", "org/smollm2", "llama")]
[['qwen-3b'], ['qwen-3b'], ['smol'], []]
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches

_MOST = 3


def names_meant(asked: str, repo_ids: Mapping[str, str]) -> list[str]:
    """Return at most three names that are close to one, the likeliest first.

    An Ollama name (`qwen2.5:3b`) or a repository leads to the model with the same letters and digits in its name
    or its repository.

    Args:
        asked: The name that no model has.
        repo_ids: The repository of each model, by the model's name.
    """
    wanted = _bare(asked)
    inside = [name for name, repo_id in repo_ids.items() if wanted and wanted in _bare(f"{name} {repo_id}")]
    return (inside or get_close_matches(asked, repo_ids))[:_MOST]


def _bare(text: str) -> str:
    return re.sub(r"[^a-z0-9 ]", "", text.lower())
