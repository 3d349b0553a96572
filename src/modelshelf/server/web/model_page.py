"""A model's own page. Pure."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from modelshelf.domain.model_facts import ModelFacts
from modelshelf.domain.references import selected
from modelshelf.domain.serving import EngineStatus
from modelshelf.domain.uses import Recorded
from modelshelf.domain.views import View
from modelshelf.schemas.models import ModelWithFilesJson, MovedJson
from modelshelf.server.web import words
from modelshelf.server.web.charts import UsesChart, uses_chart
from modelshelf.server.web.states import Shown
from modelshelf.server.web.tools_page import name_of
from modelshelf.units import format_count, many

_CONTEXTS = (4096, 8192, 16384, 32768, 65536, 131072)
_END = 96.0
USES_DAYS = 30
"""So far back goes the chart of uses: the ledger keeps loads so long."""
_TALKERS = ("llama.cpp", "transformers", "vLLM")


@dataclass(frozen=True, slots=True)
class Fact:
    """A fact with a line below it."""

    name: str
    value: str
    small: str


@dataclass(frozen=True, slots=True)
class Memory:
    """What a context takes."""

    context: str
    total: str
    weights: float
    cache: float
    """Widths in per cent."""


@dataclass(frozen=True, slots=True)
class Moved:
    """A move of its history."""

    css: str
    what: str
    why: str
    at: str
    exact: str


@dataclass(frozen=True, slots=True)
class Way:
    """How another program uses the model."""

    key: str
    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Used:
    """A use of the model."""

    at: str
    exact: str
    kind: str
    by: str
    tokens: str
    speed: str
    css: str


@dataclass(frozen=True, slots=True)
class ModelPage:
    """A model's page."""

    model: ModelWithFilesJson
    state: Shown
    css: str
    tier: str
    commit: str
    licence: str
    facts: Sequence[Fact]
    memory: Sequence[Memory]
    files: Sequence[tuple[str, str, str]]
    """Path, size and digest of each."""
    patterns: Sequence[str]
    """What selects them; empty for all."""
    moves: Sequence[Moved]
    ways: Sequence[Way]
    engine: EngineStatus | None
    uses: Sequence[Used]
    chart: UsesChart | None
    talks: bool
    """Whether it can be talked to."""
    views: Sequence[str]
    """The programs whose folders have it."""


def model_page(
    model: ModelWithFilesJson,
    facts: ModelFacts,
    state: Shown,
    engine: EngineStatus | None,
    uses: Sequence[Recorded],
    address: str,
    now_s: float,
    used_at: float | None,
    by_day: Mapping[int, int],
    views: Sequence[View],
    *,
    asks_key: bool,
) -> ModelPage:
    """Return a model's page.

    Args:
        model: The model, as the API shows it.
        facts: What it is by its files.
        state: Its state.
        engine: Its engine; None if it isn't in memory.
        uses: Its last uses, newest first.
        address: The server's address, `http://HOST:PORT`.
        now_s: Seconds since 1970.
        used_at: When it was last used, likewise.
        by_day: How often it was used on each day since 1970.
        views: The folders of other programs that have it.
        asks_key: Whether the server asks programs for a key.
    """
    return ModelPage(
        model=model,
        state=state,
        css=words.tier_class(model.cache_location),
        tier=words.tier_said(model.cache_location, model.cache_path),
        commit=(model.commit_hash or "")[:7],
        licence=model.facts.license or "",
        facts=_facts(model, now_s, used_at),
        memory=_memory(facts),
        files=[(file.path, words.size(file.size_bytes), file.digest) for file in model.files],
        patterns=selected(model.allow_patterns),
        moves=[_moved(one, now_s) for one in model.moves],
        ways=_ways(model, address, asks_key=asks_key),
        engine=engine,
        uses=[_used(one, now_s) for one in uses],
        chart=uses_chart(by_day, now_s, USES_DAYS),
        talks=model.state == "ready" and any(runner in _TALKERS for runner in model.facts.runs_with),
        views=[f"{name_of(view.kind)}: {view.root}" for view in views],
    )


def _facts(model: ModelWithFilesJson, now_s: float, used_at: float | None) -> list[Fact]:
    files, facts = model.files, model.facts
    form = " ".join(part for part in (model.format or ", ".join(facts.formats), model.quantisation) if part)
    parts = [f"{format_count(facts.parameters)} parameters"] if facts.parameters else []
    parts += [f"{facts.experts_per_token} of {facts.experts} experts"] if facts.experts_per_token else []
    never = "never used" if used_at is None else "never through shelf"
    uses = many(model.uses, "use") if model.uses else never
    runs = ", ".join(facts.runs_with) if facts.runs_with else "no known program"
    context = f"{facts.context_length:,} tokens of context" if facts.context_length else "context unknown"
    return [
        Fact("Size", words.size(model.size_bytes), f"{many(len(files), 'file')}, {model.size_bytes:,} bytes"),
        Fact("Format", form or "unknown", ", ".join(parts) or "parameters unknown"),
        Fact("Last use", words.used(used_at, model.last_used_by, now_s), uses),
        Fact("Runs with", runs, context),
    ]


def _memory(facts: ModelFacts) -> list[Memory]:
    """Return what some contexts take; nothing where the weights or the shape of the cache aren't known."""
    most = facts.context_length or _CONTEXTS[1]
    found = [memory for context in _CONTEXTS if context <= most and (memory := facts.memory(context)) is not None]
    if not found:
        return []
    scale = _END / found[-1].total_bytes
    return [
        Memory(
            f"{one.context // 1024}k",
            words.size(one.total_bytes),
            round(one.weights_bytes * scale, 2),
            round(one.kv_cache_bytes * scale, 2),
        )
        for one in found
    ]


def _moved(one: MovedJson, now_s: float) -> Moved:
    location = one.cache_location
    at = datetime.fromisoformat(one.at).timestamp()
    return Moved(
        css=words.tier_class(location) if location else "",
        what=f"Moved to {location}" if location else "Deleted to make room",
        why=one.reason or "A person asked for it.",
        at=words.ago(at, now_s),
        exact=words.exact(at),
    )


def _used(one: Recorded, now_s: float) -> Used:
    tokens = "–" if one.completion_tokens is None else f"{one.prompt_tokens or 0:,} → {one.completion_tokens:,}"
    speed = "–" if one.tokens_per_s is None else f"{one.tokens_per_s:.1f}{words.NBSP}tok/s"
    by = one.key_name or one.engine or "–"
    failed = bool(one.error)
    kind = f"{one.kind}: {one.error}" if failed else one.kind
    return Used(words.ago(one.at, now_s), words.exact(one.at), kind, by, tokens, speed, "bad-t" if failed else "")


def _ways(model: ModelWithFilesJson, address: str, *, asks_key: bool) -> list[Way]:
    name, path, base = model.model_name, model.path or "", model.cache_path
    said = json.dumps({"model": name, "messages": [{"role": "user", "content": "Hi"}]})
    imports, key = ("import os\n\n", "os.environ['SHELF_API_KEY']") if asks_key else ("", "'none'")
    header = ' -H "Authorization: Bearer $SHELF_API_KEY" \\\n' if asks_key else ""
    openai = (
        f"{imports}from openai import OpenAI\n\nclient = OpenAI(base_url={address + '/v1'!r}, api_key={key})\n"
        f"answer = client.chat.completions.create(\n    model={name!r},"
        " messages=[{'role': 'user', 'content': 'Hi'}],\n)\n"
        "print(answer.choices[0].message.content)"
    )
    curl = (
        f"curl \\\n {address}/v1/chat/completions \\\n{header}"
        f" -H 'Content-Type: application/json' \\\n -d {shlex.quote(said)}"
    )
    docker = f"docker run --rm -e HF_HUB_OFFLINE=1 \\\n -v {shlex.quote(base)}:/root/.cache/huggingface:ro IMAGE"
    return [
        Way("curl", "curl", curl),
        Way("python", "Python", openai),
        Way(
            "shell",
            "Shell",
            f'eval "$(shelf env {shlex.quote(name)})"  # HF_HOME and its kin\nshelf run {shlex.quote(name)} -- COMMAND',
        ),
        Way("docker", "Docker", docker),
        Way("path", "Path", path or "not known until it is downloaded"),
    ]
