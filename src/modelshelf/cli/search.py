"""shelf search."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from modelshelf.cli import output
from modelshelf.cli.errors import at_the_edge
from modelshelf.cli.options import AsJson
from modelshelf.units import format_count

if TYPE_CHECKING:
    from modelshelf.domain.candidates import Candidate


def search(
    text: Annotated[list[str], typer.Argument(metavar="TEXT", help="Words of a model's name.")],
    limit: Annotated[int, typer.Option(min=1, max=100, help="How many to list.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Search the hub for models, most downloaded first.

    Example: shelf search qwen3 gguf
    """
    from modelshelf.bootstrap.hub import open_hub

    with at_the_edge(as_json=as_json):
        words = " ".join(text)
        found = open_hub().search(words, limit)
        if as_json:
            from modelshelf.schemas.finding import CandidateJson

            output.as_json([CandidateJson.of(candidate) for candidate in found])
        elif not found:
            output.note(f"The hub has no model called {words}.")
        else:
            _show(found)


def _show(found: Sequence[Candidate]) -> None:
    """Print the candidates, each with its whole id, so that it can be copied."""
    rows = [[candidate.repo_id, _about(candidate)] for candidate in found]
    output.table(["REPO", "ABOUT"], rows, sentences=frozenset({1}), whole=frozenset({0}))
    output.note("What one of them has, and what fits: shelf files ORG/MODEL")


def _about(candidate: Candidate) -> str:
    """Return what the hub says about a candidate."""
    said = [
        f"{format_count(candidate.parameters)} parameters" if candidate.parameters else "",
        *candidate.formats,
        f"{format_count(candidate.downloads)} downloads" if candidate.downloads is not None else "",
        f"{format_count(candidate.likes)} likes" if candidate.likes is not None else "",
        candidate.updated_at[:10] if candidate.updated_at else "",
        "gated" if candidate.is_gated else "",
    ]
    return ", ".join(filter(None, said))
