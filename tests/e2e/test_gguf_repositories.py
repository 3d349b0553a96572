"""llama.cpp with repositories that have more than one GGUF file: parts of one model, and an adapter on its base."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx2
import pytest
from demo.build_models import find_gguf

from tests.e2e import gguf_files
from tests.fakes.hub import FakeHub
from tests.world import Home, Server

pytestmark = pytest.mark.model
ONE_THREAD = ("--engine", "llama", "--engine-arg", "threads=1")
"""Two spin where others have the cores."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A library with a whole GGUF, the same one in three parts beside a smaller one, and a LoRA adapter."""
    folder = tmp_path_factory.mktemp("gguf")
    parts = gguf_files.split(folder, "smol-Q4_1", tensors=100)
    adapter = gguf_files.adapter(folder / "adapter.gguf")
    config = json.dumps({"peft_type": "LORA", "base_model_name_or_path": "org/whole"}).encode()
    with FakeHub() as hub:
        hub.add_repo("org/whole", {"smol-Q4_1.gguf": find_gguf()})
        hub.add_repo("org/split", {part.name: part for part in parts} | {"smol-Q2_K.gguf": adapter})
        hub.add_repo("org/adapter", {"adapter.gguf": adapter, "adapter_config.json": config})
        made = Home(folder / "user", hub.url)
        made.run("add", "whole", "org/whole", *ONE_THREAD).checked()
        made.run("add", "split", "org/split", "--include", "*.gguf", *ONE_THREAD).checked()
        made.run("add", "adapter", "org/adapter", *ONE_THREAD).checked()
        yield made


@pytest.fixture(scope="module")
def server(home: Home) -> Iterator[Server]:
    """A server over it."""
    with home.serve(LOAD_WAIT_S="300", MAX_LOADED="1") as running:
        yield running


def answer(server: Server, model: str) -> str:
    """Return what a model says, which is always the same."""
    messages = [{"role": "user", "content": "Tell me of the sea."}]
    body = {"model": model, "messages": messages, "max_tokens": 24, "temperature": 0}
    told = httpx2.post(f"{server.url}/v1/chat/completions", json=body, timeout=300, trust_env=False)
    assert told.status_code == 200, told.text
    return str(told.json()["choices"][0]["message"]["content"])


def test_a_split_model_answers_from_cold_as_the_whole_file_does(server: Server) -> None:
    """The first of three parts is given to llama.cpp, which finds the others, and says what the one file says."""
    asked = answer(server, "org/split:Q4_1")

    [status] = [one for one in server.get("/api/engines") if one["model_name"] == "split"]
    assert (status["engine"], status["state"]) == ("llama", "ready")
    assert asked == answer(server, "whole")


def test_the_estimate_counts_all_parts(home: Home) -> None:
    """`shelf fit` counts the weights of all parts of the quantisation that is served, and of no other."""
    whole, parts = (home.run("fit", name, "--json").checked().json for name in ("whole", "split"))

    assert parts["needs_bytes"] == pytest.approx(whole["needs_bytes"], rel=0.01)
    assert parts["weights_bytes"] == pytest.approx(find_gguf().stat().st_size, rel=0.01)


def test_an_adapter_changes_what_its_base_says(server: Server) -> None:
    """A LoRA adapter in a GGUF is laid on its base model; the base alone still says what it said."""
    before, changed = answer(server, "whole"), answer(server, "adapter")

    assert changed != before
    assert answer(server, "whole") == before
