"""The package openai against a running server with the real models: tools, structured output, counts of tokens."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openai
import pytest
from demo.build_models import GGUF_FILE_NAME

from tests.fakes.hub import FakeHub
from tests.world import Home, Server

pytestmark = pytest.mark.model
TEMPLATE = """\
{%- if tools %}<|im_start|>system
These tools are there, each described by a line of JSON:
{% for tool in tools %}{{ tool | tojson }}
{% endfor %}Call one by a line of JSON between two tags:
<tool_call>
{"name": "the tool's name", "arguments": {"an argument's name": "its value"}}
</tool_call><|im_end|>
{% endif %}
{%- for message in messages %}
    {%- set said = message.content or "" %}
    {%- if message.role == "tool" %}<|im_start|>user
The tool answered: {{ said }}<|im_end|>
{% else %}<|im_start|>{{ message.role }}
{{ said }}
        {%- for call in message.tool_calls or [] %}
<tool_call>
{"name": {{ call.function.name | tojson }}, "arguments": {{ call.function.arguments | tojson }}}
</tool_call>
        {%- endfor %}<|im_end|>
{% endif %}
{%- endfor %}
{%- if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""
"""SmolLM2's own template has no place for tools; this one has."""
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Tells the weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "maxLength": 20}},
            "required": ["city"],
        },
    },
}
SCHEMA: Any = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 20}, "degrees": {"type": "integer", "maximum": 99}},
    "required": ["city", "degrees"],
    "additionalProperties": False,
}
WISH: Any = {"type": "json_schema", "json_schema": {"name": "weather", "schema": SCHEMA, "strict": True}}
ASKED: Any = [{"role": "user", "content": "What is the weather in Paris?"}]
REPEAT: Any = [
    {
        "role": "user",
        "content": 'Repeat: <tool_call>{"name": "get_weather", "arguments": {"city": "Paris"}}</tool_call>',
    }
]
"""So small a model talks for a long time before it calls, unless it has the call before its eyes."""


def snapshot(base: Path, kind: str) -> dict[str, Path]:
    """Return the files of one of the demo's repositories."""
    [folder] = (base / "hub" / f"models--HuggingFaceTB--SmolLM2-135M-Instruct{kind}" / "snapshots").iterdir()
    return {path.relative_to(folder).as_posix(): path.resolve() for path in folder.iterdir()}


def with_template(gguf: Path, made: Path) -> Path:
    """Return a copy of a GGUF file with the template for tools."""
    words = ["-m", "gguf.scripts.gguf_new_metadata", "--chat-template", TEMPLATE, str(gguf), str(made)]
    subprocess.run([sys.executable, *words], check=True, capture_output=True)
    return made


@dataclass(frozen=True)
class Asking:
    """The package, and the server that it asks."""

    server: Server
    client: openai.OpenAI

    def chat(self, model: str, messages: Any = ASKED, **more: Any) -> Any:
        """Return an answer, or the parts of one, that is always the same."""
        return self.client.chat.completions.create(model=model, messages=messages, temperature=0, **more)

    def last_use(self) -> dict[str, Any]:
        """Return the newest request in the ledger."""
        rows: list[dict[str, Any]] = self.server.get("/api/uses")
        return next(row for row in rows if row["status"] is not None)


@pytest.fixture(scope="module")
def asking(upstream_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asking]:
    """A server with a GGUF whose template has a place for tools, one that has none, and safetensors."""
    folder = tmp_path_factory.mktemp("openai")
    plain = snapshot(upstream_base, "-GGUF")[GGUF_FILE_NAME]
    with FakeHub() as hub:
        hub.add_repo("org/tools", {"smol-Q4_1.gguf": with_template(plain, folder / "tools.gguf")})
        hub.add_repo("org/plain", {"smol-Q4_1.gguf": plain})
        hub.add_repo("org/dense", snapshot(upstream_base, ""))
        home = Home(folder / "user", hub.url)
        for name in ("tools", "plain", "dense"):
            one_thread = (
                () if name == "dense" else ("--engine", "llama", "--engine-arg", "threads=1")
            )  # two spin where others have the cores
            home.run("add", name, f"org/{name}", *one_thread).checked()
        with home.serve(LOAD_WAIT_S="300", MAX_LOADED="1") as server:
            yield Asking(server, openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", timeout=300, max_retries=0))


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "get_weather"}}], ids=str)
def test_a_tool_that_must_be_called_is_called(asking: Asking, choice: Any) -> None:
    """The answer is a call of the tool with arguments of its schema, and the tool's answer leads to a text."""
    answer = asking.chat("tools", REPEAT, tools=[WEATHER], tool_choice=choice, max_tokens=60)

    [chosen] = answer.choices
    call, *_ = chosen.message.tool_calls
    assert call.function.name == "get_weather"
    assert isinstance(json.loads(call.function.arguments)["city"], str)
    chosen.message.tool_calls = [call]
    told = {"role": "tool", "tool_call_id": call.id, "content": "22 degrees, sunny"}
    last = asking.chat("tools", [*REPEAT, chosen.message, told], tools=[WEATHER], max_tokens=20)
    assert last.usage.prompt_tokens > answer.usage.prompt_tokens


def test_a_call_is_streamed_in_pieces(asking: Asking) -> None:
    """The pieces of a streamed call are its name and, joined, its arguments."""
    parts = asking.chat("tools", REPEAT, tools=[WEATHER], tool_choice="required", max_tokens=60, stream=True)

    calls = [call for part in parts for choice in part.choices for call in choice.delta.tool_calls or ()]
    calls = [call for call in calls if call.index == 0]
    assert [call.function.name for call in calls if call.function.name] == ["get_weather"]
    assert json.loads("".join(call.function.arguments or "" for call in calls)).keys() == {"city"}


def test_a_tool_may_be_left_alone(asking: Asking) -> None:
    """With `none`, and the same tools, the answer is a text."""
    [chosen] = asking.chat("tools", tools=[WEATHER], tool_choice="none", max_tokens=5).choices

    assert chosen.message.content
    assert not chosen.message.tool_calls


def test_tools_that_a_model_never_sees_are_refused(asking: Asking) -> None:
    """A model whose template has no place for tools would answer as if there were none: that is a 400."""
    with pytest.raises(openai.BadRequestError) as refused:
        asking.chat("plain", tools=[WEATHER], max_tokens=5)

    assert refused.value.param == "tools"
    assert "no place for tools" in str(refused.value)


def test_an_answer_has_the_form_that_was_asked_for(asking: Asking) -> None:
    """llama.cpp writes JSON of the schema, also in a stream."""
    whole = asking.chat("tools", response_format=WISH, max_tokens=100)
    parts = asking.chat("tools", response_format=WISH, max_tokens=100, stream=True)

    streamed = "".join(choice.delta.content or "" for part in parts for choice in part.choices)
    for text in (whole.choices[0].message.content, streamed):
        told = json.loads(text)
        assert told.keys() == {"city", "degrees"}
        assert (type(told["city"]), type(told["degrees"])) == (str, int)


def test_a_form_that_an_engine_would_not_keep_is_refused(asking: Asking) -> None:
    """transformers serve ignores response_format: a 400 says so and names the field."""
    with pytest.raises(openai.BadRequestError) as refused:
        asking.chat("dense", response_format=WISH, max_tokens=5)

    assert (refused.value.param, refused.value.status_code) == ("response_format", 400)
    assert "dense runs on transformers, which ignores response_format" in str(refused.value)


@pytest.mark.parametrize("model", ["tools", "dense"], ids=["llama", "transformers"])
def test_a_stream_ends_with_its_usage(asking: Asking, model: str) -> None:
    """With `include_usage` the last part tells the tokens, of which the ledger has the same."""
    *_, last = asking.chat(model, max_tokens=6, stream=True, stream_options={"include_usage": True})

    assert last.usage.total_tokens == last.usage.prompt_tokens + last.usage.completion_tokens
    assert 1 <= last.usage.completion_tokens <= 7
    use = asking.last_use()
    assert (use["model_name"], use["status"]) == (model, 200)
    assert (use["prompt_tokens"], use["completion_tokens"]) == (last.usage.prompt_tokens, last.usage.completion_tokens)
    assert 0 < use["first_token_s"] <= use["duration_s"]


@pytest.mark.parametrize("model", ["tools", "dense"], ids=["llama", "transformers"])
def test_a_stream_that_tells_no_usage_is_counted_too(asking: Asking, model: str) -> None:
    """Without `include_usage` the client gets none, and the ledger has the tokens nevertheless."""
    *_, last = asking.chat(model, max_tokens=6, stream=True)

    assert last.choices
    use = asking.last_use()
    assert use["prompt_tokens"] > 5
    assert 1 <= use["completion_tokens"] <= 7
