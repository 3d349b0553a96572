"""What a person wants of engines: which program, which of them for a model, with which arguments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from urllib.parse import urlsplit

from modelshelf.domain.backends import BACKENDS, check_arguments
from modelshelf.domain.names import ModelName
from modelshelf.errors import BadInput

_URL = "url"


@dataclass(frozen=True, slots=True)
class EngineWish:
    """What a person wants of the engine of one model."""

    engine: str = ""
    """The name of its backend; empty: whichever serves it."""
    arguments: tuple[str, ...] = ()
    """What its command has beside."""
    url: str = ""
    """Of another's server: its root, without `/v1` and without a slash at the end."""
    upstream_model: str = ""
    """What that server calls the model."""

    @property
    def text(self) -> str:
        """It, in one line."""
        return " ".join(filter(None, (self.engine, self.url, self.upstream_model, *self.arguments)))


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """The settings of engines."""

    llama_server: str = ""
    """LLAMA_SERVER: a `llama-server`, with words of its own if need be; empty: what is installed."""
    vllm_command: str = ""
    """VLLM_COMMAND: `vllm`, or what starts it in a container; empty: what is on PATH."""
    wishes: Mapping[str, EngineWish] = field(default_factory=lambda: MappingProxyType({}))
    """SHELF_ENGINES: by the names of models."""

    def wish_for(self, model_name: str) -> EngineWish:
        """Return what is wanted for a model; nothing in particular where nobody said."""
        return self.wishes.get(model_name, EngineWish())


def parse_wishes(text: str) -> dict[str, EngineWish]:
    """Return what is wanted for which models.

    >>> wishes = parse_wishes("a=transformers --dtype=float32; b=url http://127.0.0.1:11434/v1 smollm2")
    >>> wishes["a"].arguments, wishes["b"].url, wishes["b"].upstream_model
    (('--dtype=float32',), 'http://127.0.0.1:11434', 'smollm2')

    Args:
        text: `NAME=ENGINE ARGUMENT…` or `NAME=url ADDRESS NAME-THERE`, with semicolons between them.

    Raises:
        BadInput: It isn't that, or an engine doesn't take an argument.
    """
    wishes: dict[str, EngineWish] = {}
    for item in filter(None, (item.strip() for item in text.split(";"))):
        name, separator, wanted = item.partition("=")
        words = wanted.split()
        if not separator or not words:
            raise BadInput(f"{item!r} isn't NAME=ENGINE.", hint="Such as smol=transformers --dtype=float32")
        wishes[ModelName(name.strip())] = _wish(words[0], tuple(words[1:]))
    return wishes


def _wish(engine: str, arguments: tuple[str, ...]) -> EngineWish:
    if engine not in BACKENDS:
        raise BadInput(f"There is no engine {engine}.", hint=f"There are {', '.join(BACKENDS)}.")
    if engine != _URL:
        check_arguments(BACKENDS[engine], arguments)
        return EngineWish(engine, arguments)
    address = arguments[0] if arguments else ""
    at = urlsplit(address)
    if at.scheme not in ("http", "https") or not at.hostname or len(arguments) > 2:
        hint = "Such as smol=url http://127.0.0.1:11434/v1 smollm2"
        raise BadInput(f"{' '.join(arguments)!r} isn't an address and perhaps a name.", hint=hint)
    root = address.rstrip("/").removesuffix("/v1").rstrip("/")
    return EngineWish(engine, (), root, arguments[1] if len(arguments) > 1 else "")
