"""What a person wants of engines: which program, which of them for a model, with which arguments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from urllib.parse import urlsplit

from modelshelf.domain.backends import BACKENDS
from modelshelf.domain.engine_choice import EngineChoice
from modelshelf.domain.launch_command import check_arguments
from modelshelf.domain.names import ModelName
from modelshelf.errors import BadInput

_URL = "url"
AUTO = "auto"
"""In the place of an engine's name: whichever serves the model."""


@dataclass(frozen=True, slots=True)
class EngineWish:
    """What a person wants of the engine of one model."""

    engine: str = ""
    """The name of its backend; empty: whichever serves it."""
    arguments: tuple[str, ...] = ()
    """What its command has beside."""
    url: str = ""
    """The root address of another server, without `/v1` and without a slash at the end."""
    upstream_model: str = ""
    """What that server calls the model."""

    @property
    def text(self) -> str:
        """The whole wish in one line."""
        return " ".join(filter(None, (self.engine, self.url, self.upstream_model, *self.arguments)))


@dataclass(frozen=True, slots=True)
class EngineChange:
    """What is to be another in a model's `EngineChoice`; None stays as it is."""

    engine: str | None = None
    """The name of a backend; `auto`: whichever serves it."""
    arguments: tuple[str, ...] | None = None
    """`name` or `name=value`, with or without hyphens in front; another engine begins with none."""
    trust_remote_code: bool | None = None
    allow_pickle: bool | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing is to be another."""
        return self == EngineChange()

    def applied(self, choice: EngineChoice) -> EngineChoice:
        """Return a choice with these changes.

        >>> EngineChange("llama", ("threads=3",)).applied(EngineChoice("vllm", ("--enforce-eager",)))
        EngineChoice(engine='llama', arguments=('--threads=3',), trust_remote_code=False, allow_pickle=False)

        Raises:
            BadInput: There is no such engine, or it doesn't take an argument.
        """
        if self.engine is not None:
            choice = replace(choice, engine="" if self.engine == AUTO else self.engine, arguments=())
        if self.arguments is not None:
            choice = replace(choice, arguments=tuple(f"--{word.lstrip('-')}" for word in self.arguments))
        if self.trust_remote_code is not None:
            choice = replace(choice, trust_remote_code=self.trust_remote_code)
        if self.allow_pickle is not None:
            choice = replace(choice, allow_pickle=self.allow_pickle)
        _check(choice)
        return choice


def _check(choice: EngineChoice) -> None:
    """Raise BadInput unless an engine takes what was chosen."""
    engines = [name for name in BACKENDS if name != _URL]
    if choice.engine == _URL:
        raise BadInput("The address of another server stands in the settings.", hint="SHELF_ENGINES=NAME=url ADDRESS")
    if choice.engine and choice.engine not in engines:
        raise BadInput(f"There is no engine {choice.engine}.", hint=f"There are {', '.join(engines)}, and {AUTO}.")
    if choice.arguments and not choice.engine:
        raise BadInput("Arguments are for one engine.", hint=f"Name it too: {', '.join(engines)}.")
    if choice.engine:
        check_arguments(BACKENDS[choice.engine], choice.arguments)


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """The settings of engines."""

    llama_server: str = ""
    """LLAMA_SERVER: a `llama-server`, with words of its own if need be; empty: what is installed."""
    vllm_command: str = ""
    """VLLM_COMMAND: `vllm`, or what starts it in a container; empty: what is on PATH."""
    allow_remote_code: bool = False
    """ALLOW_REMOTE_CODE: whether code in the files of models may run that are trusted with it."""
    wishes: Mapping[str, EngineWish] = field(default_factory=lambda: MappingProxyType({}))
    """SHELF_ENGINES: by the names of models."""

    def wish_for(self, model_name: str, choice: EngineChoice) -> EngineWish:
        """Return what is wanted for a model: what was chosen for it goes before what the settings say of its name."""
        if choice.engine:
            return EngineWish(choice.engine, choice.arguments)
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
