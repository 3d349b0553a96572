"""The bodies and probes of programs that people use: Open WebUI, and editors such as Continue, Cursor and Zed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.fakes.upstream import NAME, OneEngine, Upstream
from tests.integration.server.gateway.test_openai import CHAT, ask, events
from tests.serving import Serving

HELLO = [{"role": "user", "content": "hi"}]
TITLE = '### Task:\nGenerate a concise, 3-5 word title.\n### Output:\nJSON format: { "title": "your title" }'
OPEN_WEBUI_CHAT = {
    "stream": True,
    "stream_options": {"include_usage": True},
    "messages": HELLO,
    "params": {},
    "features": {"web_search": False},
    "session_id": "s",
    "chat_id": "c",
    "background_tasks": {"title_generation": True},
}
OPEN_WEBUI_TITLE = {
    "messages": [{"role": "user", "content": TITLE}],
    "stream": False,
    "max_completion_tokens": 1000,
    "metadata": {"task": "title_generation", "chat_id": "c"},
}
CURSOR = {"messages": HELLO, "stream": True, "temperature": 0, "user": "u", "max_completion_tokens": 64, "tools": []}
ZED = {
    "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}],
    "stream": True,
    "max_completion_tokens": 64,
    "stop": [],
    "temperature": 1.0,
    "parallel_tool_calls": False,
    "prompt_cache_key": "k",
}


def test_open_webui_finds_the_models(door: Serving) -> None:
    """As an OpenAI connection it lists the models, as an Ollama connection it asks for tags, version and what runs."""
    listed = door.ask("GET", "/v1/models").json
    tags, running = door.ask("GET", "/api/tags").json, door.ask("GET", "/api/ps").json

    assert (listed["object"], [model["id"] for model in listed["data"]]) == ("list", ["smol"])
    assert [model["model"] for model in tags["models"]] == ["smol"]
    assert {"name", "model", "modified_at", "size", "digest", "details"} <= tags["models"][0].keys()
    assert [model["name"] for model in running["models"]] == ["smol"]
    assert door.ask("GET", "/api/version").json.keys() == {"version"}


@pytest.mark.parametrize("path", ["/api/chat/completions", "/v1/api/tags", "/api/v1/models"])
def test_a_probe_for_another_server_is_a_404(door: Serving, engine: Upstream, path: str) -> None:
    """What only another server has is a 404 in JSON, which a probe takes for no."""
    reply = door.ask("GET" if path.endswith(("tags", "models")) else "POST", path, b"{}")

    assert (reply.status, isinstance(reply.json, dict), engine.bodies) == (404, True, [])


@pytest.mark.parametrize(
    "body", [OPEN_WEBUI_CHAT, OPEN_WEBUI_TITLE, CURSOR, ZED], ids=["open-webui", "a title", "cursor", "zed"]
)
def test_a_conversation_of_a_program_reaches_the_engine_as_it_is(
    door: Serving, engine: Upstream, body: dict[str, Any]
) -> None:
    """Nothing is lost or refused; the model's name becomes the engine's, and an empty list of stops none."""
    reply = ask(door, {"model": "smol", **body})

    assert reply.status == 200
    assert engine.bodies == [{"model": NAME, **body, **({"stop": None} if body.get("stop") == [] else {})}]
    if body["stream"]:
        assert events(reply)[-1] == "data: [DONE]"


def test_an_editor_completes_before_a_suffix_or_is_told_that_it_cannot(
    door: Serving, engines: OneEngine, engine: Upstream
) -> None:
    """A suffix reaches an engine that minds it; for one that doesn't it is a 400, and an empty one asks for nothing."""
    body = {
        "model": "smol",
        "prompt": "def f(",
        "max_tokens": 8,
        "temperature": 0.01,
        "stop": ["\n\n"],
        "stream": False,
    }
    minded = ask(door, body | {"suffix": "return x"}, "/v1/completions")
    engines.ignores = frozenset({"suffix"})

    refused = ask(door, body | {"suffix": "return x"}, "/v1/completions")
    empty = ask(door, body | {"suffix": ""}, "/v1/completions")

    assert (minded.status, engine.bodies[0]["suffix"]) == (200, "return x")
    assert (refused.status, refused.json["error"]["param"]) == (400, "suffix")
    assert (empty.status, len(engine.bodies)) == (200, 2)


def test_a_template_of_fill_in_the_middle_is_a_prompt(door: Serving, engine: Upstream) -> None:
    """Continue writes a model's own marks into the prompt, which reaches the engine letter by letter."""
    prompt = "<fim_prefix>def f(\n<fim_suffix>return x<fim_middle>"

    assert ask(door, {"model": "smol", "prompt": prompt, "stream": False}, "/v1/completions").status == 200
    assert engine.bodies[0]["prompt"] == prompt


@pytest.mark.parametrize(
    "more", [{"suffix": "return x"}, {"raw": True}, {"template": "{{ .Prompt }}"}, {"context": [1, 2]}], ids=str
)
def test_what_changes_a_text_and_cannot_be_said_is_refused(door: Serving, engine: Upstream, more: Any) -> None:
    """`/api/generate` refuses what an engine wouldn't be told; the same fields without a value pass."""
    body = {"model": "smol", "prompt": "def f(", "stream": False}
    [name] = more

    refused = ask(door, body | more, "/api/generate")
    passed = ask(door, body | {name: type(more[name])()}, "/api/generate")

    assert (refused.status, passed.status, len(engine.bodies)) == (400, 200, 1)
    assert name in json.loads(refused.body)["error"]


def test_an_unknown_field_reaches_the_engine(door: Serving, engine: Upstream) -> None:
    """The door has no list of fields: what it doesn't know is the engine's to judge."""
    ask(door, {"model": "smol", "messages": HELLO, "frobnicate": [1]}, CHAT)

    assert engine.bodies[0]["frobnicate"] == [1]
