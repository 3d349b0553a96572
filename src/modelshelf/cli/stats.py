"""shelf stats."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from modelshelf.cli import output, render
from modelshelf.cli.errors import at_the_edge
from modelshelf.cli.options import AsJson, model_argument
from modelshelf.units import format_age

if TYPE_CHECKING:
    from modelshelf.domain.uses import ModelStats

_HEADER = ["MODEL", "REQUESTS", "ERRORS", "TOKENS IN", "TOKENS OUT", "FIRST TOKEN", "95 %", "TOKENS/S", "LAST"]


def stats(
    name: Annotated[str | None, model_argument("Only this model.", "[NAME]")] = None,
    since: Annotated[
        str | None,
        typer.Option(metavar="7d|TIME", help="Only from then on. Default: all that USES_DAYS keeps"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Sum up the requests to each model.

    The first token is the median over streams, and the time within which 95 % of them had theirs, the wait for a
    model that wasn't loaded included.
    """
    from modelshelf.bootstrap.shelf import open_shelf
    from modelshelf.domain.uses import parse_since
    from modelshelf.schemas.uses import ModelStatsJson
    from modelshelf.services.serving.uses import stats_of

    with at_the_edge(as_json=as_json):
        from_s = None if since is None else parse_since(since, render.now_s())
        with open_shelf(read_only=True) as shelf:
            found = stats_of(shelf.services.registry, name, from_s)
        if as_json:
            output.as_json([ModelStatsJson.of(one, from_s) for one in found])
        elif not found and since is not None:
            output.note(f"No model was asked since {since}. All that is kept: shelf stats")
        elif not found:
            output.note("No model was asked: programs ask them at /v1 of a server (shelf serve).")
        else:
            _show(found, render.now_s())


def _show(found: Sequence[ModelStats], now_s: float) -> None:
    """Print a line for each model."""
    cells = [
        [
            one.model_name or "(none of the library)",
            str(one.requests),
            str(one.errors or ""),
            str(one.prompt_tokens),
            str(one.completion_tokens),
            _seconds(one.first_token_p50_s),
            _seconds(one.first_token_p95_s),
            "" if one.tokens_per_s is None else f"{one.tokens_per_s:.1f}",
            format_age(one.last_at, now_s),
        ]
        for one in found
    ]
    output.table(_HEADER, cells, frozenset(range(1, 8)), whole=frozenset({0}))


def _seconds(duration_s: float | None) -> str:
    return "" if duration_s is None else f"{duration_s:.2f} s"
