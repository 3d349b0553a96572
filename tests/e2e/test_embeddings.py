"""Models that make embeddings or rank texts, in safetensors, through our worker around transformers."""

from __future__ import annotations

import asyncio
import base64
import math
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from modelshelf.bootstrap.engines import make_starter
from modelshelf.domain.ports import RunningEngine
from modelshelf.services.serving.start import Starter
from tests.fakes.hub import FakeHub
from tests.world import Home

pytestmark = pytest.mark.model
WORDS = ["[PAD]", "[UNK]", "cats", "dogs", "purr", "bark", "and"]
SIZES = {
    "vocab_size": len(WORDS),
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "max_position_embeddings": 16,
}


def write_model(folder: Path, *, ranks: bool) -> dict[str, bytes]:
    """Return the files of a tiny BERT with weights that were drawn once."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertForSequenceClassification, BertModel, PreTrainedTokenizerFast

    torch.manual_seed(1)
    words = Tokenizer(models.WordLevel({word: at for at, word in enumerate(WORDS)}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    made = PreTrainedTokenizerFast(tokenizer_object=words, pad_token="[PAD]", unk_token="[UNK]", model_max_length=16)
    config = BertConfig(**SIZES, num_labels=1)
    model = BertForSequenceClassification(config) if ranks else BertModel(config)
    model.save_pretrained(folder)
    made.save_pretrained(folder)
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}


@pytest.fixture
def serve(home: Home, hub: FakeHub, tmp_path: Path) -> Callable[..., Any]:
    """Register a tiny model and return what its engine answers to some requests."""

    def serve_model(requests: list[tuple[str, dict[str, Any]]], extra: dict[str, bytes], *, ranks: bool) -> Any:
        hub.add_repo("org/bert", write_model(tmp_path / "made", ranks=ranks) | extra)
        with home.open() as shelf:
            shelf.register("bert", "org/bert")
            return asyncio.run(_answers(make_starter(shelf.services, home.settings()), requests))

    return serve_model


async def _answers(starter: Starter, requests: list[tuple[str, dict[str, Any]]]) -> list[httpx2.Response]:
    wanted = starter.look("bert")
    assert wanted.backend == "embeddings"
    engine: RunningEngine = await starter.start(wanted, lambda _: None)
    headers = {"Authorization": f"Bearer {engine.served.key}"}
    try:
        async with httpx2.AsyncClient(base_url=engine.served.url, headers=headers, timeout=120) as client:
            answers = [await client.post(f"/v1/{path}", json=body) for path, body in requests]
            answers.append(await client.get("/v1/models", headers={"Authorization": "Bearer guessed"}))
    finally:
        await engine.stop()
    return answers


def test_texts_become_vectors(serve: Callable[..., Any]) -> None:
    """Each text becomes a vector of length 1, whatever stands beside it in its batch, as floats or base64."""
    modules = (
        b'[{"type": "sentence_transformers.models.Transformer"}, {"type": "sentence_transformers.models.Normalize"}]'
    )
    texts = ["cats purr", "dogs bark and bark and bark"]
    requests = [
        ("embeddings", {"input": texts}),
        ("embeddings", {"input": texts[0], "encoding_format": "base64"}),
        ("embeddings", {"input": []}),
    ]

    many, one, none, refused = serve(requests, {"modules.json": modules}, ranks=False)

    vectors = [entry["embedding"] for entry in many.json()["data"]]
    packed = base64.b64decode(one.json()["data"][0]["embedding"])
    assert [len(vector) for vector in vectors] == [16, 16]
    assert [math.hypot(*vector) for vector in vectors] == pytest.approx([1, 1])
    assert struct.unpack("<16f", packed) == pytest.approx(vectors[0], abs=1e-5)
    assert (many.json()["model"], many.json()["usage"]["prompt_tokens"]) == ("bert", 8)
    assert (none.status_code, refused.status_code) == (400, 401)


def test_documents_are_ranked(serve: Callable[..., Any]) -> None:
    """Documents come back with a score from 0 to 1, the best first, at most as many as were asked for."""
    asked = {"query": "cats", "documents": ["dogs bark", "cats purr", "and"], "top_n": 2}

    ranked, _ = serve([("rerank", asked)], {}, ranks=True)

    scores = [entry["relevance_score"] for entry in ranked.json()["results"]]
    assert len(scores) == 2
    assert sorted(scores, reverse=True) == scores
    assert all(0 < score < 1 for score in scores)
