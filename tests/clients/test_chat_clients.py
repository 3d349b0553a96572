"""The packages of OpenAI, Anthropic and Ollama against the door, with a key, before the tests' own engine."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.conftest import KEY, Client
from tests.fakes.hub import FakeHub
from tests.headers import gguf
from tests.world import Home

PROGRAM = Path(__file__).parents[1] / "fakes" / "engine_program.py"
HEADER = {"general.architecture": "llama", "llama.block_count": 2, "llama.context_length": 1024}
OPENAI = """
import openai
client = openai.OpenAI(base_url={url!r} + "/v1", api_key={key!r})
hi = [{{"role": "user", "content": "hi"}}]
print([model.id for model in client.models.list()])
whole = client.chat.completions.create(model="smol", messages=hi, max_tokens=4)
print(whole.model, whole.usage.completion_tokens, len(whole.choices[0].message.content) > 0)
parts = list(client.chat.completions.create(model="org/smol", messages=hi, max_tokens=4, stream=True))
print({{part.model for part in parts}}, sum(bool(part.choices and part.choices[0].delta.content) for part in parts))
print(client.embeddings.create(model="reader", input=["a", "b"], encoding_format="float").data[1].index)
try:
    client.chat.completions.create(model="nope", messages=hi)
except openai.NotFoundError as err:
    print(err.code)
try:
    openai.OpenAI(base_url={url!r} + "/v1", api_key="wrong").models.list()
except openai.AuthenticationError as err:
    print(err.type)
"""
ANTHROPIC = """
import anthropic
client = anthropic.Anthropic(base_url={url!r}, api_key={key!r})
hi = [{{"role": "user", "content": "hi"}}]
whole = client.messages.create(model="smol", max_tokens=4, messages=hi)
print(whole.model, whole.usage.output_tokens, len(whole.content[0].text) > 0)
with client.messages.stream(model="smol", max_tokens=4, messages=hi) as stream:
    print(len("".join(stream.text_stream)) > 0, stream.get_final_message().usage.output_tokens)
print(client.messages.count_tokens(model="smol", messages=hi).input_tokens > 0)
try:
    client.messages.create(model="nope", max_tokens=4, messages=hi)
except anthropic.NotFoundError as err:
    print(err.body["error"]["type"])
"""
OLLAMA = """
import ollama
client = ollama.Client(host={url!r}, headers={{"Authorization": "Bearer " + {key!r}}})
hi = [{{"role": "user", "content": "hi"}}]
print(sorted(model.model for model in client.list().models))
whole = client.chat(model="smol", messages=hi, options={{"num_predict": 4}})
print(whole.model, whole.eval_count, len(whole.message.content) > 0)
parts = list(client.generate(model="smol:latest", prompt="hi", options={{"num_predict": 4}}, stream=True))
print(parts[-1].done, parts[-1].eval_count, len("".join(part.response for part in parts)) > 0)
print(len(client.embed(model="reader", input=["a", "b"]).embeddings))
print("smol" in [model.model for model in client.ps().models], client.show("smol").details.format)
try:
    client.chat(model="nope", messages=hi)
except ollama.ResponseError as err:
    print(err.status_code)
"""
SAYS = {
    OPENAI: ["['reader', 'smol']", "smol 4 True", "{'org/smol'} 4", "1", "model_not_found", "authentication_error"],
    ANTHROPIC: ["smol 4 True", "True 4", "True", "not_found_error"],
    OLLAMA: ["['reader', 'smol']", "smol 4 True", "True 4 True", "2", "True gguf", "404"],
}


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server with a key, over a library with a model that generates and one that embeds."""
    with FakeHub() as hub:
        command = shlex.join([sys.executable, "-P", str(PROGRAM)])
        home = Home(tmp_path_factory.mktemp("chat") / "user", hub.url, {"LLAMA_SERVER": command})
        hub.add_repo("org/smol", {"smol-Q4_K_M.gguf": gguf(HEADER)})
        hub.add_repo("org/reader", {"reader.gguf": gguf(HEADER | {"llama.pooling_type": 1})})
        for name in ("smol", "reader"):
            home.run("add", name, f"org/{name}").checked()
        with home.serve(SHELF_API_KEY=KEY) as server:
            yield server.url


@pytest.mark.parametrize("code", SAYS, ids=["openai", "anthropic", "ollama"])
def test_a_package_works_unchanged(url: str, tmp_path: Path, code: str) -> None:
    """The package lists, asks, streams, embeds or counts, and takes errors for what they are."""
    done = Client("chat", tmp_path).python(code.format(url=url, key=KEY))

    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.splitlines() == SAYS[code]
