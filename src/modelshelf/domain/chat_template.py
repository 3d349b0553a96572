"""What a conversation needs of a model: the template that says how it is put, and where that comes from."""

from __future__ import annotations

import shlex
from collections.abc import Iterable

from modelshelf.domain.models import ModelRow
from modelshelf.domain.patterns import EXCLUDES

TEMPLATE_FILES = ("chat_template.jinja", "chat_template.json")
"""Files that are a template and nothing else; older models have theirs in tokenizer_config.json."""


def where_to_get(row: ModelRow, manifest: Iterable[str]) -> str:
    """Return what to do about a model without a chat template, in a sentence or two.

    Args:
        row: The model.
        manifest: The paths of all files of its commit, chosen or not.
    """
    has = set(manifest)
    file = next((name for name in (*TEMPLATE_FILES, "tokenizer_config.json") if name in has), "")
    text = "/v1/completions goes on with a text all the same."
    if not row.allow_patterns or not file:
        return f"{text} For conversations take a model that was made for them, often called -Instruct or -it."
    words = [*map(_option, row.allow_patterns), f"--include {file}"]
    return f"{file} of its repository isn't among its files: shelf add NAME {row.hf_path} {' '.join(words)}. {text}"


def _option(pattern: str) -> str:
    """Return the option of `shelf add` that a pattern came from."""
    if pattern.startswith(EXCLUDES):
        return f"--exclude {shlex.quote(pattern.removeprefix(EXCLUDES))}"
    return f"--include {shlex.quote(pattern)}"
