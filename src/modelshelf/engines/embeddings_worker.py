"""A server for models that make embeddings or rank texts, around transformers, which serves neither.

It pools as the files of sentence-transformers beside the model say, else by the mean. It runs in a process of its own:
nothing else imports it.

Source: `sentence_transformers/models/{Pooling,Normalize}.py` and `cross_encoder/CrossEncoder.py` for what the files
mean; OpenAI's reference of `/v1/embeddings`, and Jina's of `/v1/rerank`.
"""

from __future__ import annotations

import argparse
import base64
import json
import secrets
import struct
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import torch
import uvicorn
from fastapi import FastAPI, HTTPException, Request
from pydantic import BaseModel, Field
from transformers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer

_BATCH = 32
_MOST_TEXTS = 2048
"""Source: OpenAI's bound of one request."""


class Embeddings(BaseModel):
    """A request for embeddings."""

    input: str | list[str]
    encoding_format: str = "float"
    dimensions: int | None = Field(default=None, gt=0)


class Rerank(BaseModel):
    """A request to rank documents."""

    query: str
    documents: list[str] = Field(max_length=_MOST_TEXTS)
    top_n: int | None = Field(default=None, gt=0)


@dataclass
class Reader:
    """A model that reads texts; one batch at a time."""

    tokenizer: Any
    model: Any
    pool: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    """Makes one vector of a text's hidden states, by the mask of its tokens."""
    mutex: Lock

    def embed(self, texts: Sequence[str]) -> tuple[list[list[float]], int]:
        """Return the vector of each text, and how many tokens they had together."""
        vectors: list[list[float]] = []
        tokens = 0
        for at in range(0, len(texts), _BATCH):
            batch = self._tokens(list(texts[at : at + _BATCH]))
            tokens += int(batch["attention_mask"].sum())
            with self.mutex, torch.inference_mode():
                hidden = self.model(**batch).last_hidden_state
            vectors += self.pool(hidden, batch["attention_mask"]).float().tolist()
        return vectors, tokens

    def rank(self, query: str, documents: Sequence[str]) -> list[float]:
        """Return how well each document answers a query, from 0 to 1."""
        scores: list[float] = []
        for at in range(0, len(documents), _BATCH):
            some = list(documents[at : at + _BATCH])
            batch = self._tokens([query] * len(some), some)
            with self.mutex, torch.inference_mode():
                logits = self.model(**batch).logits.float()
            # One label is a score; of several, the last one says yes.
            scores += torch.sigmoid(logits[:, 0] if logits.shape[1] == 1 else logits[:, -1] - logits[:, 0]).tolist()
        return scores

    def _tokens(self, *texts: list[str]) -> Any:
        made = self.tokenizer(*texts, padding=True, truncation=True, return_tensors="pt")
        return made.to(self.model.device)


def load(folder: Path, *, ranks: bool, trust_remote_code: bool = False) -> Reader:
    """Load a model from its snapshot, offline.

    Args:
        folder: The snapshot.
        ranks: Whether it is to rank texts, not to embed them.
        trust_remote_code: Whether code in its files may run.
    """
    kind = AutoModelForSequenceClassification if ranks else AutoModel
    device = "cuda" if torch.cuda.is_available() else "cpu"
    how = {"local_files_only": True, "trust_remote_code": trust_remote_code}
    model = kind.from_pretrained(folder, **how).eval().to(device)
    tokenizer = AutoTokenizer.from_pretrained(folder, **how)
    most = _read(folder / "sentence_bert_config.json").get("max_seq_length")
    positions = getattr(model.config, "max_position_embeddings", None)
    tokenizer.model_max_length = min(most or tokenizer.model_max_length, positions or tokenizer.model_max_length)
    return Reader(tokenizer, model, pooling(folder), Lock())


def pooling(folder: Path) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """Return how the vector of a text is made, by the files of sentence-transformers."""
    modules = _read(folder / "modules.json", [])
    normalises = any(str(module.get("type", "")).endswith("Normalize") for module in modules)
    said = _read(folder / "1_Pooling" / "config.json")

    def pool(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        if said.get("pooling_mode_cls_token"):
            vectors = hidden[:, 0]
        elif said.get("pooling_mode_lasttoken"):
            last = (mask * torch.arange(1, mask.shape[1] + 1, device=mask.device)).argmax(1)
            vectors = hidden[torch.arange(len(hidden), device=mask.device), last]
        else:
            weights = mask.unsqueeze(-1).to(hidden.dtype)
            vectors = (hidden * weights).sum(1) / weights.sum(1).clamp(min=1e-9)
        return torch.nn.functional.normalize(vectors, dim=1) if normalises else vectors

    return pool


def _read(path: Path, default: Any = None) -> Any:
    """Return what a JSON file of the snapshot says; the default where it isn't there."""
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        return {} if default is None else default


def create_app(reader: Reader, name: str, key: str) -> FastAPI:
    """Return the server's routes.

    Args:
        reader: The model.
        name: What it is called in answers.
        key: What a request must bring; empty for none.
    """
    app = FastAPI(openapi_url=None)

    def check(request: Request) -> None:
        if key and not secrets.compare_digest(request.headers.get("authorization", ""), f"Bearer {key}"):
            raise HTTPException(401, "Invalid key.")

    @app.get("/health")
    def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/v1/models")
    def models(request: Request) -> dict[str, Any]:
        check(request)
        return {"object": "list", "data": [{"id": name, "object": "model"}]}

    @app.post("/v1/embeddings")
    def embeddings(asked: Embeddings, request: Request) -> dict[str, Any]:
        check(request)
        texts = [asked.input] if isinstance(asked.input, str) else asked.input
        if not 0 < len(texts) <= _MOST_TEXTS:
            raise HTTPException(400, f"input must have 1 to {_MOST_TEXTS} texts.")
        vectors, tokens = reader.embed(texts)
        shown = [_shown(vector[: asked.dimensions], asked.encoding_format) for vector in vectors]
        data = [{"object": "embedding", "index": at, "embedding": vector} for at, vector in enumerate(shown)]
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        return {"object": "list", "model": name, "data": data, "usage": usage}

    @app.post("/v1/rerank")
    def rerank(asked: Rerank, request: Request) -> dict[str, Any]:
        check(request)
        scored = sorted(enumerate(reader.rank(asked.query, asked.documents)), key=lambda one: -one[1])
        results = [{"index": at, "relevance_score": score} for at, score in scored[: asked.top_n]]
        return {"object": "list", "model": name, "results": results}

    return app


def _shown(vector: list[float], encoding: str) -> list[float] | str:
    """Return a vector as it was asked for; the package openai asks for base64 of 32-bit floats."""
    if encoding == "base64":
        return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
    return vector


def main(environ: Mapping[str, str]) -> int:
    """Serve until SIGTERM; returns the exit code."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--model", required=True, type=Path)
    parser.add_argument("--alias", default="")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--reranking", action="store_true")
    parser.add_argument("--trust-remote-code", action="store_true")
    said = parser.parse_args()
    reader = load(said.model, ranks=said.reranking, trust_remote_code=said.trust_remote_code)
    app = create_app(reader, said.alias, environ.get("EMBEDDINGS_API_KEY", ""))
    uvicorn.run(app, host=said.host, port=said.port, access_log=False)
    return 0


if __name__ == "__main__":
    import os

    sys.exit(main(os.environ))  # noqa: TID251 - a program of its own, which is told its key so
