"""Where a chat template that is missing comes from."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest

from modelshelf.domain.chat_template import where_to_get
from modelshelf.domain.model_config import ModelConfig
from modelshelf.domain.model_facts import Found, judge
from modelshelf.domain.models import ModelRow
from modelshelf.domain.patterns import FilePattern

BLANK: dict[str, Any] = dict.fromkeys((one.name for one in fields(ModelRow)), None)
ROW = ModelRow(**(BLANK | {"hf_path": "org/m"}))


@pytest.mark.parametrize(
    ("patterns", "manifest", "says"),
    [
        (
            ("*.json", "!o*"),
            ["chat_template.jinja"],
            "--include '*.json' --exclude 'o*' --include chat_template.jinja.",
        ),
        (
            ("*.safetensors",),
            ["tokenizer_config.json", "a"],
            "--include '*.safetensors' --include tokenizer_config.json.",
        ),
        (("*.json",), ["config.json"], "take a model that was made for them"),
        ((), ["chat_template.jinja"], "take a model that was made for them"),
    ],
    ids=["its file", "an older one", "none", "all files"],
)
def test_it_names_the_file_that_was_left_out(patterns: tuple[str, ...], manifest: list[str], says: str) -> None:
    """The command takes what the model has and the file beside it; where no file has it, another model does."""
    row = replace(ROW, allow_patterns=tuple(map(FilePattern, patterns)))

    assert says in where_to_get(row, manifest)
    assert "/v1/completions goes on with a text all the same." in where_to_get(row, manifest)


@pytest.mark.parametrize(
    ("file", "has_code", "lacks"),
    [("", False, True), ("", True, False), (None, False, False), ("chat_template.jinja", False, False)],
)
def test_a_template_is_missed_only_where_nothing_else_could_do(file: str | None, has_code: bool, lacks: bool) -> None:
    """Code of the model's own may put a conversation, and what isn't known isn't missed."""
    facts = judge(Found((), config=ModelConfig(has_code=has_code), chat_template=file))

    assert facts.lacks_template is lacks
