"""shelf files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from modelshelf.cli import complete, output
from modelshelf.cli.errors import at_the_edge
from modelshelf.cli.options import AsJson
from modelshelf.units import format_size

if TYPE_CHECKING:
    from modelshelf.domain.choices import Choice, RepoFiles


def files(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="ORG/MODEL, ORG/MODEL@REVISION, an address, or a registered model's name.",
            autocompletion=complete.model_names,
        ),
    ],
    as_json: AsJson = False,
) -> None:
    """Show what a repository of the hub has, and what of it fits.

    Example: shelf files Qwen/Qwen3-8B-GGUF
    """
    from modelshelf.bootstrap.read_only import hub_endpoint
    from modelshelf.bootstrap.shelf import open_shelf
    from modelshelf.domain.names import RefName
    from modelshelf.domain.references import Reference, parse_reference

    with at_the_edge(as_json=as_json):
        with open_shelf(read_only=True) as shelf:
            row = None if "/" in model else shelf.services.registry.model(model)
            reference = Reference(row.hf_path, row.revision) if row else parse_reference(model, hub_endpoint())
            found = shelf.services.finder.files(reference.repo_id, reference.revision or RefName("main"))
            found = found.of(reference)
        if as_json:
            from modelshelf.schemas.finding import RepoFilesJson

            output.as_json(RepoFilesJson.of(found))
        else:
            _show(found)


def _show(found: RepoFiles) -> None:
    """Print the choices, and how to take one."""
    output.table(["FILES", "SIZE", "MEMORY", "DISK"], rows_of(found.choices), frozenset({1}), whole=frozenset({2}))
    if found.ggufs:
        from modelshelf.domain.choices import recommended

        best, why = recommended(found.ggufs)
        is_nowhere = best.fit is not None and best.fit.cache_location is None
        output.note(f"{best.group.label} is {why}.")
        output.note("What could go: shelf clean" if is_nowhere else f"To take it: shelf add {best.reference}")
    elif any(choice.reference for choice in found.choices):
        output.note(f"To take it all: shelf add {found.reference}")


def rows_of(choices: Sequence[Choice]) -> list[list[str]]:
    """Return the cells of a table of choices: label, size, and where each fits."""
    return [
        [
            _label(choice),
            format_size(choice.size_bytes),
            "" if choice.fit is None else "fits" if choice.fit.memory else "too large",
            "" if choice.fit is None else choice.fit.text,
        ]
        for choice in choices
    ]


def _label(choice: Choice) -> str:
    count = len(choice.group.files)
    return choice.label + (f" ({count} files)" if count > 1 else "")
