"""Asking an engine one question, to see that it answers."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from modelshelf.domain.engine_kinds import Endpoint, EngineKind
from modelshelf.domain.serving import Served
from modelshelf.errors import BadInput, EngineFailed

_TIMEOUT_S = 600.0
_TOKENS = 40


def ask(served: Served, kind: EngineKind, question: str, *, talks: bool = True) -> str:
    """Return what a model says; of one that makes embeddings, how many numbers it makes of the question.

    Args:
        served: Where it answers.
        kind: What it is for.
        question: What it is asked.
        talks: Whether it takes a conversation; else it goes on with the question as a text.

    Raises:
        BadInput: It ranks texts, so that one text alone says nothing.
        EngineFailed: It doesn't answer, or refuses.
    """
    if kind is EngineKind.EMBED:
        said = _post(served, Endpoint.EMBEDDINGS, {"input": question})
        return f"an embedding of {len(said['data'][0]['embedding'])} numbers"
    if kind is EngineKind.RERANK:
        raise BadInput(f"{served.model_name} ranks texts: there is no question that it answers alone.")
    limits = {"max_tokens": _TOKENS, "temperature": 0}
    if not talks:
        said = _post(served, Endpoint.COMPLETIONS, {"prompt": question, **limits})
        return str(said["choices"][0]["text"]).strip()
    asked = {"messages": [{"role": "user", "content": question}], **limits}
    said = _post(served, Endpoint.CHAT, asked)
    return str(said["choices"][0]["message"]["content"]).strip()


def _post(served: Served, endpoint: Endpoint, body: Mapping[str, object]) -> Any:
    at = urlsplit(served.url)
    connection = http.client.HTTPConnection(at.hostname or "", at.port, timeout=_TIMEOUT_S)
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {served.key}"}
    try:
        sent = json.dumps({"model": served.upstream_model, **body})
        connection.request("POST", f"{at.path}/v1/{endpoint}", sent, headers)
        answer = connection.getresponse()
        text = answer.read().decode(errors="replace")
        if answer.status != http.HTTPStatus.OK:
            raise EngineFailed(f"{served.backend} answers with {answer.status}: {text[:500]}")
        return json.loads(text)
    except (OSError, http.client.HTTPException) as err:
        raise EngineFailed(f"{served.backend} doesn't answer: {err}") from err
    finally:
        connection.close()
