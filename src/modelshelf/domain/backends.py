"""Backends: which kinds of programs answer for models, as data, and which of them serves a model."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from modelshelf.domain.serving import Endpoint, EngineKind
from modelshelf.domain.weight_files import GGUF, PYTORCH, SAFETENSORS
from modelshelf.errors import BadInput

if TYPE_CHECKING:
    from modelshelf.domain.model_facts import ModelFacts

_VALUE = re.compile(r"[\w.,:+-]*", re.ASCII)
"""The value of an argument: no path, and no repository whose code an engine would run."""


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
    trust_argument: str = ""
    """What lets it run code of the model's; empty: it never runs any."""
    by_wish_alone: bool = False
    """Whether it serves only the models that name it."""


@dataclass(frozen=True, slots=True)
class LaunchValues:
    """What a command is filled with."""

    model: str
    """The snapshot folder, or the file."""
    name: str
    """The library's name for it."""
    port: int
    """0: the child chooses one."""
    key: str = field(repr=False)
    context: int = 0
    """Tokens; 0 where that isn't known."""
    slots: int = 1
    mmproj: str = ""
    """The file that reads images; empty without one."""
    adapter: str = ""
    """The file or folder of a LoRA adapter on top of `model`; empty without one."""

    def fill(self, template: str) -> str:
        """Return a word of a command, or a value of a variable, with these values in it; empty for an unknown one."""
        context = str(self.context) if self.context else ""
        known = {
            "model": self.model,
            "name": self.name,
            "base": f"{self.name}-base" if self.adapter else self.name,
            "port": str(self.port),
            "key": self.key,
            "context": context,
            "slots": str(self.slots),
            "mmproj": self.mmproj,
            "adapter": self.adapter,
        }
        return re.sub(r"\{(\w+)\}", lambda word: known[word[1]], template)


_WRITES = frozenset({Endpoint.CHAT, Endpoint.COMPLETIONS})
_WHOLE_TEXTS = ("--batch-size", "{context}", "--ubatch-size", "{context}")
"""llama.cpp reads a text that it doesn't write in one batch, or refuses it."""
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
    slots=4,
    own_bytes=150_000_000,
    needs="pip install 'modelshelf[llama]'",
    arguments=frozenset({"--n-gpu-layers", "--threads", "--batch-size", "--ubatch-size", "--main-gpu"}),
)
"""Source: `llama-server --help`; our worker around xllamacpp takes the same words."""
_TRANSFORMERS = Backend(
    name="transformers",
    formats=frozenset({SAFETENSORS, PYTORCH}),
    loads="transformers",
    endpoints={EngineKind.GENERATE: _WRITES | {Endpoint.RESPONSES}},
    command=(("serve", "{model}"), ("--host", "127.0.0.1", "--port", "{port}"), ("--log-level", "info")),
    ignores=frozenset(
        "audio function_call functions logprobs modalities n prediction presence_penalty response_format tool_choice"
        " top_logprobs web_search_options".split()
    ),
    own_bytes=500_000_000,
    trust_argument="--trust-remote-code",
    needs="pip install 'modelshelf[transformers]'",
    arguments=frozenset(
        {"--device", "--dtype", "--attn-implementation", "--continuous-batching", "--compile", "--quantization"}
    ),
)
"""Source: `transformers serve --help`, and `UNUSED_CHAT_COMPLETION_FIELDS` of its `cli/serving/chat_completion.py`.

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
    needs="pip install 'modelshelf[transformers]'",
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
        " --kv-cache-dtype --tool-call-parser --enable-auto-tool-choice --reasoning-parser".split()
    ),
)
"""Source: `vllm serve --help` of 0.11, and its page of environment variables. Not tested here."""
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


@dataclass(frozen=True, slots=True)
class FoundBackend:
    """A backend as it was found on this machine, or why it wasn't."""

    name: str
    program: tuple[str, ...] = ()
    """What its command begins with; empty where it isn't there."""
    version: str = ""
    """Empty where it doesn't say without being started."""
    where: str = ""
    """The folder or file; empty where it isn't there."""
    why_not: str = ""
    """Why it can't be used here, in a sentence; empty where it can."""
    device: str = ""
    """Whose memory its models take: `gpu`, or empty for the machine's own."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a backend can serve a model here."""

    backend: Backend
    found: FoundBackend
    why_not: str
    """In a sentence; empty where it can."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The backend that serves a model."""

    backend: Backend
    found: FoundBackend
    why: str
    """In a sentence."""


def verdicts(facts: ModelFacts, found: Sequence[FoundBackend]) -> list[Verdict]:
    """Return whether each backend that was looked for serves a model, in order of preference."""
    order = list(BACKENDS)
    known = sorted(found, key=lambda one: order.index(one.name))
    return [Verdict(BACKENDS[one.name], one, _why_not(BACKENDS[one.name], one, facts)) for one in known]


def choose_backend(facts: ModelFacts, found: Sequence[FoundBackend], wish: str = "") -> Choice:
    """Return the backend that serves a model, and why.

    Args:
        facts: What the model is.
        found: What is on this machine.
        wish: The name of the one that a person wants; empty for none in particular.

    Raises:
        BadInput: None can; says what to install.
    """
    if wish and wish not in BACKENDS:
        raise BadInput(f"There is no engine {wish}.", hint=f"There are {', '.join(BACKENDS)}.")
    judged = [one for one in verdicts(facts, found) if not wish or one.backend.name == wish]
    for one in judged:
        if not one.why_not and (wish or not one.backend.by_wish_alone):
            return Choice(one.backend, one.found, _why(one, facts, judged, wish))
    raise BadInput(_why_none(facts, judged, wish), hint=_what_to_install(facts, wish))


def _why_not(backend: Backend, found: FoundBackend, facts: ModelFacts) -> str:
    """Return why a backend doesn't serve a model here; empty where it does."""
    if why := _why_never(backend, facts):
        return why
    return found.why_not or ("" if found.program or backend.name == "url" else "It isn't installed.")


def _why_never(backend: Backend, facts: ModelFacts) -> str:
    """Return why a backend serves a model nowhere."""
    if not backend.formats:
        return ""
    takes = sorted(backend.formats)
    if backend.formats.isdisjoint(facts.formats):
        return f"It takes {' and '.join(takes)}, not {_formats(facts)}."
    if facts.runs_with and backend.loads not in facts.runs_with:
        return f"Models like this one run with {' or '.join(facts.runs_with)}."
    if facts.kind not in backend.endpoints:
        return f"It doesn't serve models that {_FOR[facts.kind]}."
    return ""


_FOR = {EngineKind.GENERATE: "write text", EngineKind.EMBED: "make embeddings", EngineKind.RERANK: "rank texts"}


def _formats(facts: ModelFacts) -> str:
    return " and ".join(facts.formats) or "files of no known format"


def _why(chosen: Verdict, facts: ModelFacts, judged: Sequence[Verdict], wish: str) -> str:
    """Return why a backend was chosen, and what keeps from use those that are here and would be taken first."""
    if wish:
        return "The model names it."
    takes = [kind for kind in facts.formats if kind in chosen.backend.formats]
    better = (one for one in judged[: judged.index(chosen)] if one.found.program and not _why_never(one.backend, facts))
    others = [f"{one.backend.name} would be taken first, but: {one.why_not}" for one in better]
    return " ".join([f"It serves {' and '.join(takes)} and is installed.", *others])


def _why_none(facts: ModelFacts, judged: Sequence[Verdict], wish: str) -> str:
    if wish:
        return f"{wish} can't serve it: {next((one.why_not for one in judged), 'It was not looked for.')}"
    what = "pipelines of diffusers" if "diffusers" in facts.runs_with else _formats(facts)
    kind = "" if facts.kind is EngineKind.GENERATE else f" for models that {_FOR[facts.kind]}"
    return f"Nothing that is installed here serves {what}{kind}."


def _what_to_install(facts: ModelFacts, wish: str) -> str:
    """Return how to get what would serve a model; what needs a machine of its kind comes last."""
    able = [one for one in BACKENDS.values() if one.needs and not _why_never(one, facts)]
    usual = sorted(able, key=lambda one: bool(one.hardware))
    return next((one.needs for one in usual if not wish or one.name == wish), "")


def command_of(
    program: Sequence[str],
    backend: Backend,
    kind: EngineKind,
    values: LaunchValues,
    arguments: Sequence[str] = (),
) -> list[str]:
    """Return the command that starts an engine.

    Args:
        program: What it begins with; see `FoundBackend.program`.
        backend: The backend.
        kind: What the model is for.
        values: What the command is filled with.
        arguments: What a person wants beside; checked by `check_arguments`.

    Raises:
        BadInput: An argument isn't allowed.
    """
    check_arguments(backend, arguments)
    words = list(program)
    for group in backend.command:
        if all(values.fill(name) for name in re.findall(r"\{\w+\}", " ".join(group))):
            words += [values.fill(word) for word in group]
    return [*words, *map(values.fill, backend.by_kind.get(kind, ())), *arguments]


def check_arguments(backend: Backend, arguments: Sequence[str]) -> None:
    """Do nothing where a backend takes each of these words: `--name` or `--name=value`.

    Raises:
        BadInput: It doesn't; names those that it takes.
    """
    for word in arguments:
        name, _, value = word.partition("=")
        if name not in backend.arguments:
            allowed = ", ".join(sorted(backend.arguments)) or "none"
            raise BadInput(
                f"{word} isn't an argument that {backend.name} may be started with.",
                hint=f"Allowed are {allowed}; write a value as --name=value.",
            )
        if not _VALUE.fullmatch(value):
            raise BadInput(
                f"{word!r:.200} has a value that no engine is started with.",
                hint="Letters, digits and . _ , : + - are.",
            )
