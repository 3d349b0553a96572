"""shelf show."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from modelshelf.cli import output, render, several
from modelshelf.cli.errors import at_the_edge
from modelshelf.cli.options import AsJson, SomeNames
from modelshelf.domain.engine_choice import EngineChoice
from modelshelf.domain.jobs import Moved
from modelshelf.domain.models import FileEntry, Mirrored, Model
from modelshelf.domain.references import selected
from modelshelf.units import format_age, format_count, format_size

if TYPE_CHECKING:
    from modelshelf.domain.adapters import Kin
    from modelshelf.domain.model_facts import ModelFacts

UNKNOWN = "unknown"
_MOST_TAGS = 5


def show(names: SomeNames, as_json: AsJson = False) -> None:
    """Show what models are, what runs them and where they lie."""
    from modelshelf.bootstrap.read_only import open_library
    from modelshelf.services.catalog.adapters import Adapters
    from modelshelf.services.catalog.facts import facts_of

    with at_the_edge(as_json=as_json):
        library, shown = open_library(), []
        for number, found in enumerate([library.model(name) for name in dict.fromkeys(names)]):
            files, moves = library.files(found.row), library.moves(found.row)
            facts, kin = facts_of(found, files), Adapters(library).kin(found.row)
            if as_json:
                from modelshelf.schemas.models import ModelWithFilesJson

                shown.append(ModelWithFilesJson.with_files(found, files, moves, facts, kin))
                continue
            if number:
                output.line("")
            _show(found, files, moves, facts, kin)
        several.end(shown, 0, as_json=as_json)


def _show(found: Model, files: Sequence[FileEntry], moves: Sequence[Moved], facts: ModelFacts, kin: Kin) -> None:
    """Print one model with its files and its last moves."""
    now_s = render.now_s()
    lines = [*_registered(found, now_s), *_what_it_is(facts, files), *_related(kin)]
    for moved in moves:
        what = f"to {moved.cache_location}" if moved.cache_location else "its files were deleted"
        lines.append(("moved", f"{format_age(moved.at, now_s)} {what}. {moved.cause}".rstrip()))
    width = max(len(name) for name, _ in lines) + 2
    for name, value in lines:
        output.fact(f"{name}:", value, width, "dim")
    if files:
        output.line("")
        rows = [[file.path, format_size(file.size_bytes), file.digest] for file in files]
        output.table(["FILE", "SIZE", "DIGEST"], rows, frozenset({1}))


def _registered(found: Model, now_s: float) -> list[tuple[str, str]]:
    """Return what the library knows about a model."""
    row = found.row
    return [
        ("name", row.model_name),
        ("repo", f"{row.hf_path} ({row.revision})"),
        ("commit", row.commit_hash or "not known yet"),
        ("tier", f"{row.cache_location} ({found.base})"),
        ("folder", found.path or "none yet"),
        ("state", found.state.value + (f": {found.detail}" if found.detail else "")),
        ("size", f"{format_size(row.size_bytes)} ({row.size_bytes} bytes)" if row.commit_hash else "not known yet"),
        ("include", ", ".join(selected(row.allow_patterns)) or "all files"),
        ("pinned", (f"yes: {row.pin_reason}" if row.pin_reason else "yes") if row.pinned else "no"),
        *_mirrored(row.mirrored),
        *_engine(row.engine),
        ("used", _used(found, now_s)),
    ]


def _used(found: Model, now_s: float) -> str:
    row, last = found.row, render.last_use(found, now_s)
    if last.endswith("(other)"):
        return f"{last.removesuffix(' (other)')}, by another program, which read its files; {row.uses}× through shelf"
    return f"{row.uses}×, {last}" if row.uses else "never"


def _mirrored(how: Mirrored) -> Iterator[tuple[str, str]]:
    """Yield that no person registered a model, where that is so."""
    if how:
        with_what = ", for callers with their own token" if how is Mirrored.GATED else ""
        yield "mirrored", f"yes: a client of /hf asked for it{with_what}; it leaves before other models"


def _engine(choice: EngineChoice) -> Iterator[tuple[str, str]]:
    """Yield what a person chose for a model's engine, where somebody did."""
    if choice.engine:
        yield "engine", " ".join((choice.engine, *choice.arguments))
    allowed = [("code in its files", choice.trust_remote_code), ("weights that are pickles", choice.allow_pickle)]
    if trusted := " and ".join(what for what, is_allowed in allowed if is_allowed):
        yield "trusted", trusted


def _what_it_is(facts: ModelFacts, files: Sequence[FileEntry]) -> list[tuple[str, str]]:
    """Return what a model's files say about it."""
    context = f"{facts.context_length} tokens" if facts.context_length else UNKNOWN
    lines = [
        ("architecture", facts.architecture or UNKNOWN),
        ("parameters", _parameters(facts)),
        ("context", context),
        ("quantisation", _quantisation(facts, files)),
        ("format", ", ".join(facts.formats) or UNKNOWN),
        ("license", facts.license or UNKNOWN),
        ("chat template", _chat_template(facts)),
        ("runs with", ", ".join(facts.runs_with) or UNKNOWN),
        ("memory", _memory(facts)),
    ]
    if facts.needs_code:
        lines.append(
            ("code", "its files bring Python code; it needs --trust-remote-code and ALLOW_REMOTE_CODE=1 to run")
        )
    if facts.is_pickle:
        lines.append(("pickle", "its weights can run code when they are loaded; they need --allow-pickle"))
    if facts.base_models:
        lines.append(("made from", ", ".join(facts.base_models)))
    if facts.tags:
        lines.append(("tags", ", ".join(facts.tags[:_MOST_TAGS]) + (" …" if len(facts.tags) > _MOST_TAGS else "")))
    return [*lines, *(("unread", why) for why in facts.unread)]


def _related(kin: Kin) -> Iterator[tuple[str, str]]:
    """Yield which model it is an adapter of, and which are adapters of it."""
    if kin.adapter_of:
        there = (
            f"here as {' and '.join(kin.bases)}" if kin.bases else f"not registered: shelf add NAME {kin.adapter_of}"
        )
        yield "adapter of", f"{kin.adapter_of} ({there})"
    if kin.base_of:
        yield "base of", ", ".join(kin.base_of)


def _parameters(facts: ModelFacts) -> str:
    if facts.parameters is None:
        return UNKNOWN
    each = f", {facts.experts_per_token} for each token" if facts.experts_per_token else ""
    return format_count(facts.parameters) + (f" ({facts.experts} experts{each})" if facts.experts else "")


def _quantisation(facts: ModelFacts, files: Sequence[FileEntry]) -> str:
    """Return the quantisation that the numbers are about, and the others in the model."""
    from modelshelf.domain.model_facts import quantisations

    labels = [group.label for group in quantisations(files)]
    others = [label for label in labels if label != facts.quantisation] if len(labels) > 1 else []
    return (facts.quantisation or UNKNOWN) + (f" (there are {', '.join(others)} too)" if others else "")


def _chat_template(facts: ModelFacts) -> str:
    if facts.chat_template is None:
        return UNKNOWN
    return f"yes, in {facts.chat_template_file}" if facts.chat_template else "no"


def _memory(facts: ModelFacts) -> str:
    memory = facts.memory()
    if memory is None:
        return UNKNOWN
    weights, cache = format_size(memory.weights_bytes), format_size(memory.kv_cache_bytes)
    if not memory.kv_cache_bytes:
        return f"{weights} for the weights; it keeps no cache"
    return f"{format_size(memory.total_bytes)}: weights {weights}, KV cache {cache} for {memory.context} tokens"
