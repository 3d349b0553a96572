"""Real engines with the demo's models: safetensors through transformers serve, GGUF through llama.cpp."""

from __future__ import annotations

import asyncio
import json

import httpx2
import pytest

from modelshelf.bootstrap.engines import make_starter
from modelshelf.domain.engine_kinds import Endpoint
from tests.e2e.test_real_model import DENSE, GGUF
from tests.world import Home

pytestmark = pytest.mark.model


@pytest.mark.parametrize(("repo_id", "backend"), [(DENSE, "transformers"), (GGUF, "llama")], ids=["dense", "gguf"])
def test_a_model_of_each_format_answers_and_streams(model_home: Home, repo_id: str, backend: str) -> None:
    """The engine that is chosen for a model answers it, streams the same answer in pieces, and ends without a rest."""
    asked = {"messages": [{"role": "user", "content": "What is 2+2?"}], "max_tokens": 20, "temperature": 0}

    async def story() -> tuple[str, str]:
        engine = await starter.start(wanted, lambda _: None)
        url, served = f"{engine.served.url}/v1/{Endpoint.CHAT}", engine.served
        try:
            async with httpx2.AsyncClient(headers={"Authorization": f"Bearer {served.key}"}, timeout=240) as client:
                whole = await client.post(url, json=asked | {"model": served.upstream_model})
                stream = await client.post(url, json=asked | {"model": served.upstream_model, "stream": True})
        finally:
            await engine.stop()
        assert await engine.died() == "It was stopped."
        return whole.json()["choices"][0]["message"]["content"], stream.text

    with model_home.open() as shelf:
        shelf.register("smol", repo_id)
        starter = make_starter(shelf.services, model_home.settings())
        wanted = starter.look("smol")
        whole, stream = asyncio.run(story())

    assert wanted.backend == backend
    events = [json.loads(line[6:]) for line in stream.splitlines() if line.startswith("data: {")]
    pieces = [choice["delta"].get("content") or "" for event in events for choice in event["choices"]]
    assert "4" in whole
    assert "".join(pieces).strip() == whole.strip()
    assert len(pieces) > 5
