"""Which model a person meant by a name that no model has.

>>> known = {"qwen-3b": "Qwen/Qwen2.5-3B-Instruct", "smol": "org/SmolLM2"}
>>> [names_meant(asked, known) for asked in ("quen-3b", "qwen2.5:3b", "org/smollm2", "llama", "s")]
[['qwen-3b'], ['qwen-3b'], ['smol'], [], []]
"""

from __future__ import annotations

import string
from collections.abc import Mapping
from difflib import get_close_matches
from heapq import nlargest

_MOST = 3
_COMPARED = 500
"""Of more names only those that have most pairs of letters in common with what was asked are compared with it."""
_DROPPED = bytes(set(range(128)) - set(f"{string.ascii_lowercase}{string.digits} ".encode()))


def names_meant(asked: str, repo_ids: Mapping[str, str]) -> list[str]:
    """Return at most three names that are close to one, the likeliest first.

    An Ollama name (`qwen2.5:3b`) or a repository leads to the model with the same letters and digits in its name
    or its repository.

    Args:
        asked: The name that no model has.
        repo_ids: The repository of each model, by the model's name.
    """
    wanted = _bare(asked) if len(asked) > 1 else b""  # one letter is in nearly every name
    inside = [name for name, repo_id in repo_ids.items() if wanted and wanted in _bare(f"{name} {repo_id}")]
    return (inside or get_close_matches(asked, _nearest(asked, list(repo_ids))))[:_MOST]


def _nearest(asked: str, names: list[str]) -> list[str]:
    """Return the names to compare, in their order: all, or those with the most pairs of adjacent letters of `asked`."""
    if len(names) <= _COMPARED:
        return names
    pairs = sorted({asked[i : i + 2] for i in range(len(asked) - 1)})
    shared = [*map(sum, zip(*([pair in name for name in names] for pair in pairs), strict=True))]
    chosen = nlargest(_COMPARED, range(len(shared)), key=shared.__getitem__)
    return [names[number] for number in sorted(chosen)]


def _bare(text: str) -> bytes:
    return text.lower().encode("ascii", "ignore").translate(None, _DROPPED)
