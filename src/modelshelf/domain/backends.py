"""Backends: which kinds of programs answer for models, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from modelshelf.domain.engine_kinds import TALKS, Endpoint, EngineKind
from modelshelf.domain.weight_files import GGUF, PYTORCH, SAFETENSORS


@dataclass(frozen=True, slots=True)
class Sleep:
    """How engines of a backend give the memory of their device back, and keep their process."""

    argument: str
    """What a person adds to a model's engine so that it can; without it, it can't."""
    environment: Mapping[str, str]
    """The variables that it needs for this."""
    sleep_path: str
    """What puts it to sleep, as POST."""
    wake_path: str
    """What wakes it, as POST."""
    asleep_path: str
    """What says `{"is_sleeping": true}` as long as it sleeps."""


@dataclass(frozen=True, slots=True)
class Backend:
    """A kind of program that answers for models."""

    name: str
    formats: frozenset[str]
    """The formats of weights that it takes, as `ModelFacts.formats` names them; none: whatever a person says."""
    loads: str
    """Its name in `ModelFacts.runs_with`."""
    endpoints: Mapping[EngineKind, frozenset[Endpoint]]
    """What it answers, by what the model is for; a kind that isn't here isn't served."""
    needs_template: frozenset[Endpoint] = frozenset()
    """What of that it answers only for a model with a chat template; without one it fails."""
    command: tuple[tuple[str, ...], ...] = ()
    """What follows the program, in groups. A group in which a value is empty is left out; see `LaunchValues`."""
    by_kind: Mapping[EngineKind, tuple[str, ...]] = field(default_factory=dict)
    """What follows that, by what the model is for."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """The variables that it needs beside those of every child."""
    ready_path: str = "/health"
    """What answers with 200 once the model is loaded."""
    chooses_port: bool = True
    """Whether it takes port 0 and says in its output which one it got."""
    upstream_model: str = "{model}"
    """What the field `model` of a request to it must say."""
    ignores: frozenset[str] = frozenset()
    """Fields of a request that it ignores in silence though they change what the answer means."""
    names_tools: bool = True
    """Whether it obeys a `tool_choice` that names the one function to call, rather than take it for `auto`."""
    samples_with: Mapping[str, str] = field(default_factory=dict)
    """Fields without which it takes the likeliest token, whatever a request says of temperature, top_p or seed."""
    slots: int = 1
    """How many requests it answers side by side."""
    own_bytes: int = 0
    """What it holds in memory beside weights and cache: its program, its buffers."""
    needs: str = ""
    """How to get it."""
    hardware: str = ""
    """What it needs of the machine: `gpu`, `apple`, or nothing."""
    arguments: frozenset[str] = frozenset()
    """The options that a person may add for a model."""
    joins_values: bool = True
    """Whether it takes `--name=value`; if not, each of its options has a value, which follows as a word of its own."""
    trust_argument: str = ""
    """What lets it run code of the model's; empty: it never runs any."""
    by_wish_alone: bool = False
    """Whether it serves only the models that name it."""
    sleep: Sleep | None = None
    """How its engines sleep; None: they can't."""


_WRITES = frozenset({Endpoint.CHAT, Endpoint.COMPLETIONS})
_WHOLE_TEXTS = ("--batch-size", "{context}", "--ubatch-size", "{context}")
"""llama.cpp reads a text that it doesn't write in one batch, or refuses it."""
_OPENAIS = frozenset("audio function_call functions modalities prediction web_search_options".split())
"""Fields of OpenAI's own models, which change an answer there."""
_LLAMA = Backend(
    name="llama",
    formats=frozenset({GGUF}),
    loads="llama.cpp",
    endpoints={
        EngineKind.GENERATE: _WRITES | {Endpoint.RESPONSES, Endpoint.TOKENIZE},
        EngineKind.EMBED: frozenset({Endpoint.EMBEDDINGS, Endpoint.TOKENIZE}),
        EngineKind.RERANK: frozenset({Endpoint.RERANK, Endpoint.TOKENIZE}),
    },
    command=(
        ("--model", "{model}"),
        ("--alias", "{name}"),
        ("--host", "127.0.0.1", "--port", "{port}"),
        ("--ctx-size", "{context}"),
        ("--parallel", "{slots}", "--kv-unified"),
        ("--mmproj", "{mmproj}"),
        ("--lora", "{adapter}"),
    ),
    by_kind={
        EngineKind.EMBED: ("--embedding", *_WHOLE_TEXTS),
        EngineKind.RERANK: ("--reranking", *_WHOLE_TEXTS),
    },
    environment={"LLAMA_API_KEY": "{key}"},
    upstream_model="{name}",
    ignores=_OPENAIS | {"best_of", "dimensions", "echo", "suffix"},
    names_tools=False,
    slots=4,
    own_bytes=150_000_000,
    needs="pipx install --force '.[llama]' in modelshelf's clone",
    arguments=frozenset({"--n-gpu-layers", "--threads", "--batch-size", "--ubatch-size", "--main-gpu"}),
    joins_values=False,
)
"""Source: `llama-server --help`; our worker around xllamacpp takes the same words."""
_TRANSFORMERS = Backend(
    name="transformers",
    formats=frozenset({SAFETENSORS, PYTORCH}),
    loads="transformers",
    endpoints={EngineKind.GENERATE: _WRITES | {Endpoint.RESPONSES}},
    needs_template=TALKS,
    command=(("serve", "{model}"), ("--host", "127.0.0.1", "--port", "{port}"), ("--log-level", "info")),
    ignores=_OPENAIS
    | frozenset(
        "background best_of echo logprobs max_tool_calls n presence_penalty previous_response_id response_format text"
        " tool_choice top_logprobs".split()
    ),
    samples_with={"generation_config": '{"do_sample": true, "max_new_tokens": 1024}'},
    own_bytes=500_000_000,
    trust_argument="--trust-remote-code",
    needs="pipx install --force '.[transformers]' in modelshelf's clone",
    arguments=frozenset(
        {"--device", "--dtype", "--attn-implementation", "--continuous-batching", "--compile", "--quantization"}
    ),
)
"""Source: `transformers serve --help`, and the fields named `UNUSED_…` in its `cli/serving/`.

It samples only where the model's generation_config.json says so, or a request's; 1,024 is its own limit of tokens.
It has no key. uvicorn says its port at the level `info`.
"""
_EMBEDDINGS = Backend(
    name="embeddings",
    formats=frozenset({SAFETENSORS, PYTORCH}),
    loads="transformers",
    endpoints={
        EngineKind.EMBED: frozenset({Endpoint.EMBEDDINGS}),
        EngineKind.RERANK: frozenset({Endpoint.RERANK}),
    },
    command=(("--model", "{model}"), ("--alias", "{name}"), ("--host", "127.0.0.1", "--port", "{port}")),
    by_kind={EngineKind.RERANK: ("--reranking",)},
    environment={"EMBEDDINGS_API_KEY": "{key}"},
    upstream_model="{name}",
    slots=4,
    own_bytes=500_000_000,
    trust_argument="--trust-remote-code",
    needs="pipx install --force '.[transformers]' in modelshelf's clone",
)
"""Our own worker around transformers."""
_VLLM = Backend(
    name="vllm",
    formats=frozenset({SAFETENSORS, PYTORCH}),
    loads="vLLM",
    endpoints={
        EngineKind.GENERATE: _WRITES | {Endpoint.RESPONSES, Endpoint.TOKENIZE},
        EngineKind.EMBED: frozenset({Endpoint.EMBEDDINGS, Endpoint.TOKENIZE}),
        EngineKind.RERANK: frozenset({Endpoint.RERANK, Endpoint.TOKENIZE}),
    },
    needs_template=TALKS,
    command=(
        ("serve", "{model}"),
        ("--served-model-name", "{base}"),
        ("--host", "127.0.0.1", "--port", "{port}"),
        ("--max-model-len", "{context}"),
        ("--enable-lora", "--lora-modules", "{name}={adapter}"),
    ),
    by_kind={EngineKind.EMBED: ("--runner", "pooling"), EngineKind.RERANK: ("--runner", "pooling")},
    environment={"VLLM_API_KEY": "{key}", "VLLM_NO_USAGE_STATS": "1"},
    chooses_port=False,
    upstream_model="{name}",
    slots=64,
    own_bytes=2_000_000_000,
    trust_argument="--trust-remote-code",
    needs="Install vLLM in an environment of its own, and name its command with VLLM_COMMAND.",
    hardware="gpu",
    arguments=frozenset(
        "--dtype --gpu-memory-utilization --tensor-parallel-size --quantization --max-num-seqs --enforce-eager"
        " --kv-cache-dtype --tool-call-parser --enable-auto-tool-choice --reasoning-parser --enable-sleep-mode".split()
    ),
    sleep=Sleep(
        "--enable-sleep-mode",
        MappingProxyType({"VLLM_SERVER_DEV_MODE": "1"}),
        sleep_path="/sleep?level=1",
        wake_path="/wake_up",
        asleep_path="/is_sleeping",
    ),
)
"""Source: `vllm serve --help` of 0.11, its page of environment variables, and of sleep mode
(https://docs.vllm.ai/en/latest/features/sleep_mode/): at level 1 the weights go to the machine's memory. Its routes are
those of a developer mode, which aren't to be exposed, so a person says for which model. Not tested here.
"""
_MLX = Backend(
    name="mlx",
    formats=frozenset({SAFETENSORS}),
    loads="mlx",
    endpoints={EngineKind.GENERATE: _WRITES},
    command=(("--model", "{model}"), ("--host", "127.0.0.1", "--port", "{port}"), ("--adapter-path", "{adapter}")),
    chooses_port=False,
    ignores=frozenset({"response_format", "tool_choice", "n", "adapters", "draft_model"}),
    trust_argument="--trust-remote-code",
    needs="pip install mlx-lm",
    hardware="apple",
    arguments=frozenset({"--max-tokens", "--prompt-cache-size"}),
)
"""Source: `mlx_lm/SERVER.md` of mlx-lm 0.31. Not tested here.

`adapters` and `draft_model` aren't ignored: they would load any folder of this machine.
"""
_EVERY_KIND: Mapping[EngineKind, frozenset[Endpoint]] = {kind: frozenset(Endpoint) for kind in EngineKind}
_URL = Backend(
    "url",
    frozenset(),
    "",
    _EVERY_KIND,
    ready_path="/v1/models",
    upstream_model="{name}",
    slots=16,
    by_wish_alone=True,
)
"""Any server that speaks OpenAI's protocol; nothing is started for it."""
BACKENDS = {backend.name: backend for backend in (_VLLM, _MLX, _LLAMA, _TRANSFORMERS, _EMBEDDINGS, _URL)}
"""All backends by name, in order of preference."""
