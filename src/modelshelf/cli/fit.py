"""shelf fit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from modelshelf.cli import output, several
from modelshelf.cli.errors import at_the_edge
from modelshelf.cli.options import AsJson, SomeNames
from modelshelf.units import format_size

if TYPE_CHECKING:
    from modelshelf.schemas.engines import FitJson


def fit(
    names: SomeNames,
    context: Annotated[
        int | None, typer.Option(metavar="TOKENS", min=1, help="The context length. Default: 8192, or the model's.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say whether each model fits the memory.

    The memory depends on the context length; the command prints the longest context that fits.

    Example: shelf fit smol --context 32768
    """
    from modelshelf.bootstrap.engines import memory_now
    from modelshelf.bootstrap.read_only import open_library
    from modelshelf.cli.engines import chosen_for
    from modelshelf.domain.fit import fit_of
    from modelshelf.schemas.engines import FitJson

    with at_the_edge(as_json=as_json):
        library = open_library()

        def fit_one(name: str) -> FitJson:
            facts, choice = chosen_for(library, name)
            view = FitJson.of(name, fit_of(facts, choice, memory_now(choice.found.device), context))
            if not as_json:
                _show(view)
            return view

        known = [library.row(name).model_name for name in dict.fromkeys(names)]
        several.end(*several.of_each(known, fit_one, as_json=as_json), as_json=as_json)


def _show(view: FitJson) -> None:
    where = "of the GPU's memory" if view.device else "of memory"
    if view.kv_cache_bytes is None:
        output.line(f"{view.model_name} takes about {format_size(view.needs_bytes)}: its files don't tell more.")
    else:
        cache = f"{format_size(view.kv_cache_bytes)} cache for {view.context} tokens"
        parts = (
            f"{format_size(view.weights_bytes or 0)} weights, {cache}, {format_size(view.engine_bytes)} {view.engine}"
        )
        output.line(f"{view.model_name} takes {format_size(view.needs_bytes)}: {parts}.")
    free = f"{format_size(view.free_bytes)} {where} is free, of {format_size(view.total_bytes)}"
    output.line(f"It {'fits' if view.fits else 'does not fit'}: {free}.")
    if view.trained_context and (view.context or 0) > view.trained_context:
        output.line(f"But it was trained for {view.trained_context} tokens at most.")
    elif view.largest_context:
        output.line(f"The longest context that fits has {view.largest_context} tokens.")
