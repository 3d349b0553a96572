"""Which of the backends that were found here serves a model, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from modelshelf.domain.backends import BACKENDS, Backend
from modelshelf.domain.engine_kinds import Endpoint, EngineKind
from modelshelf.domain.weight_files import in_part
from modelshelf.errors import BadInput

if TYPE_CHECKING:
    from modelshelf.domain.model_facts import ModelFacts


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
    if wish != "url":
        check_parts(facts)
    judged = [one for one in verdicts(facts, found) if not wish or one.backend.name == wish]
    for one in judged:
        if not one.why_not and (wish or not one.backend.by_wish_alone):
            return Choice(one.backend, one.found, _why(one, facts, judged, wish))
    raise BadInput(_why_none(facts, judged, wish), hint=_what_to_install(facts, wish))


def check_parts(facts: ModelFacts) -> None:
    """Do nothing where all parts of a model's weights are among its files.

    Raises:
        BadInput: Some aren't, because they were left out, or because a client of the mirror didn't fetch them.
    """
    if facts.missing_parts:
        raise BadInput(
            f"{in_part(facts.missing_parts)} No program loads it so.",
            hint="shelf add NAME ORG/MODEL takes a whole repository, and fetches only what isn't here.",
        )


def endpoints_of(backend: Backend, kind: EngineKind, *, lacks_template: bool) -> frozenset[Endpoint]:
    """Return what may be asked of a model.

    Args:
        backend: What serves it.
        kind: What it is for.
        lacks_template: Whether it is known that it has no chat template.
    """
    answers = backend.endpoints[kind]
    return answers - backend.needs_template if lacks_template else answers


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


def not_answered(model_name: str, kind: EngineKind, backend: str, endpoint: Endpoint) -> BadInput:
    """Return the error for what a model's engine doesn't answer, which says what does.

    >>> err = not_answered("smol", EngineKind.GENERATE, "llama", Endpoint.EMBEDDINGS)
    >>> print(err.detail)
    smol writes text: it doesn't answer embeddings.
    >>> print(err.hint)
    Ask a model that makes embeddings: POST /api/show tells what each does.
    >>> print(not_answered("smol", EngineKind.GENERATE, "transformers", Endpoint.TOKENIZE).hint)
    It is answered by vllm and llama.

    Args:
        model_name: The model.
        kind: What it is for.
        backend: What would run it.
        endpoint: What it was asked.
    """
    ours = [one for one in BACKENDS.values() if one.formats]
    if able := [one.name for one in ours if endpoint in one.endpoints.get(kind, ())]:
        detail = f"{model_name} doesn't answer {endpoint.value}: {backend} runs it."
        return BadInput(detail, hint=f"It is answered by {' and '.join(able)}.", model_name=model_name)
    does = [_DOES[one] for one in EngineKind if any(endpoint in each.endpoints.get(one, ()) for each in ours)]
    return BadInput(
        f"{model_name} {_DOES[kind]}: it doesn't answer {endpoint.value}.",
        hint=f"Ask a model that {' or '.join(does)}: POST /api/show tells what each does.",
        model_name=model_name,
    )


_DOES = {EngineKind.GENERATE: "writes text", EngineKind.EMBED: "makes embeddings", EngineKind.RERANK: "ranks texts"}
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
