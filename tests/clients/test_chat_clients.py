"""Clients from PyPI against the door, with a key, before the tests' own engine."""

from __future__ import annotations

import json
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
NAMES = ("smol", "nope")
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
LITELLM = """
import litellm
litellm.suppress_debug_info = True
hi = [{{"role": "user", "content": "hi"}}]
ours = {{"api_base": {url!r} + "/v1", "api_key": {key!r}}}
whole = litellm.completion("openai/smol", hi, max_tokens=4, **ours)
print(whole.model, whole.usage.completion_tokens, len(whole.choices[0].message.content) > 0)
parts = list(litellm.completion("openai/org/smol", hi, max_tokens=4, stream=True, **ours))
print({{part.model for part in parts}}, sum(bool(part.choices[0].delta.content) for part in parts))
print(len(litellm.embedding("openai/reader", input=["a", "b"], **ours).data))
whole = litellm.completion("anthropic/smol", hi, max_tokens=4, api_base={url!r}, api_key={key!r})
print(whole.usage.completion_tokens, len(whole.choices[0].message.content) > 0)
for name in ("ollama", "ollama_chat"):
    parts = litellm.completion(f"{{name}}/smol", hi, max_tokens=4, stream=True, api_base={url!r}, api_key={key!r})
    print(name, len("".join(part.choices[0].delta.content or "" for part in parts)) > 0)
try:
    litellm.completion("openai/nope", hi, **ours)
except litellm.NotFoundError as err:
    print(err.status_code)
"""
SAYS = {
    OPENAI: ["['reader', 'smol']", "smol 4 True", "{'org/smol'} 4", "1", "model_not_found", "authentication_error"],
    ANTHROPIC: ["smol 4 True", "True 4", "True", "not_found_error"],
    LITELLM: ["smol 4 True", "{'org/smol'} 4", "2", "4 True", "ollama True", "ollama_chat True", "404"],
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


@pytest.mark.parametrize("code", SAYS, ids=["openai", "anthropic", "litellm", "ollama"])
def test_a_package_works_unchanged(url: str, tmp_path: Path, code: str) -> None:
    """The package lists, asks, streams, embeds or counts, and takes errors for what they are."""
    client = Client("litellm" if code == LITELLM else "chat", tmp_path)
    done = client.python(code.format(url=url, key=KEY), LITELLM_LOCAL_MODEL_COST_MAP="True")

    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.splitlines() == SAYS[code]


def test_llm_asks_through_its_openai_models(url: str, tmp_path: Path) -> None:
    """With three lines of its configuration llm lists, asks, streams, talks on, and tells what is wrong."""
    client, mine = Client("llm", tmp_path), {"LLM_USER_PATH": str(tmp_path / "llm")}
    models = [
        {"model_id": name, "model_name": name, "api_base": f"{url}/v1", "api_key_name": "shelf"} for name in NAMES
    ]
    (tmp_path / "llm").mkdir()
    (tmp_path / "llm" / "extra-openai-models.yaml").write_text(json.dumps(models))

    def llm(*words: str) -> str:
        done = client.run("llm", *words, **mine)
        return done.stdout.strip() or done.stderr.strip()

    llm("keys", "set", "shelf", "--value", KEY)
    listed, answer = llm("models"), llm("-m", "smol", "hi", "-o", "max_tokens", "3")

    assert "OpenAI Chat: smol" in listed
    assert answer == "word0 word1 word2"
    assert llm("-m", "smol", "hi", "--no-stream", "-o", "max_tokens", "2") == "word0 word1"
    assert llm("-c", "and on", "-o", "max_tokens", "1") == "word0"
    assert "There is no model nope" in llm("-m", "nope", "hi")
