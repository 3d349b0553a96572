"""Placing: move, pin, unpin, rename, lease."""

from __future__ import annotations

from typing import Annotated

import typer

from modelshelf.cli import output
from modelshelf.cli.change import print_evictions
from modelshelf.cli.errors import at_the_edge
from modelshelf.cli.options import AsJson, Name
from modelshelf.units import format_size, parse_duration


def move(
    name: Name,
    to: Annotated[str, typer.Argument(metavar="primary|secondary|PATH", help="Where it goes.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be done.")] = False,
    keep_source: Annotated[bool, typer.Option("--keep-source", help="Leave the old copy where it is.")] = False,
    as_json: AsJson = False,
) -> None:
    """Move a model to another tier; it can be loaded all the time."""
    from modelshelf.bootstrap.shelf import open_shelf
    from modelshelf.schemas.views import model_view, move_view
    from modelshelf.services.lifecycle.register import destination

    with at_the_edge(as_json=as_json), open_shelf(read_only=dry_run) as shelf:
        location, path = destination(to)
        if dry_run:
            plan = move_view(shelf.mover.plan(name, location, path, keep_source=keep_source))
            if as_json:
                output.as_json(plan)
            else:
                output.move_plan(plan)
            return
        kept = shelf.mover.why_kept(name)
        print_evictions(shelf.mover.who_leaves(name, location, path), location)
        with output.job_progress(name) as show:
            model = shelf.move(name, location, path, keep_source=keep_source, on_tick=show)
        about = ("delete_old_copy", name)
        deletion = next((job for job in shelf.registry.jobs() if (job.kind, job.model_name) == about), None)
        if as_json:
            output.as_json(model_view(model))
            return
        output.answer(f"{name}: {model.state.value}, {format_size(model.row.size_bytes)} in {model.path}")
        if kept:
            output.note(kept)
        if deletion is not None and deletion.state == "failed":
            output.note(f"The old copy stays: {deletion.detail}")
        elif deletion is not None and deletion.state != "done":
            output.note(f"{deletion.detail} It goes when that ends.")


def pin(
    name: Name,
    reason: Annotated[str, typer.Option(help="Why, for whoever asks.")] = "",
    as_json: AsJson = False,
) -> None:
    """Never evict a model to make room."""
    _set_pin(name, pinned=True, reason=reason, as_json=as_json)


def unpin(name: Name, as_json: AsJson = False) -> None:
    """Let a model be evicted again."""
    _set_pin(name, pinned=False, reason="", as_json=as_json)


def _set_pin(name: str, *, pinned: bool, reason: str, as_json: bool) -> None:
    from modelshelf.bootstrap.shelf import open_shelf
    from modelshelf.schemas.views import model_view

    with at_the_edge(as_json=as_json), open_shelf() as shelf:
        model = shelf.set_pin(name, pinned=pinned, reason=reason)
        if as_json:
            output.as_json(model_view(model))
        else:
            output.answer(f"{name} is {'pinned' if pinned else 'not pinned'}.")


def rename(name: Name, new_name: Annotated[str, typer.Argument(metavar="NEW_NAME")], as_json: AsJson = False) -> None:
    """Give a model another name; nothing on the disk moves."""
    from modelshelf.bootstrap.shelf import open_shelf
    from modelshelf.schemas.views import model_view

    with at_the_edge(as_json=as_json), open_shelf() as shelf:
        model = shelf.rename(name, new_name)
        if as_json:
            output.as_json(model_view(model))
        else:
            output.answer(f"{name} is {new_name} now.")


def lease(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="The model to hold; none: list leases.")] = None,
    ttl: Annotated[
        float, typer.Option(parser=parse_duration, metavar="DURATION", help="For how long, such as 90s, 30m, 2h.")
    ] = "1h",  # type: ignore[assignment]  # typer parses the default as well
    release: Annotated[int | None, typer.Option(metavar="LEASE", help="Give a lease back.")] = None,
    as_json: AsJson = False,
) -> None:
    """Hold a model for a time, so that nothing of it is deleted under a program; without a name list the leases."""
    from modelshelf.bootstrap.shelf import open_shelf
    from modelshelf.schemas.views import lease_view

    with at_the_edge(as_json=as_json), open_shelf() as shelf:
        if release is not None:
            shelf.leaser.release(release)
            output.as_json({"released": release}) if as_json else output.note(f"Lease {release} is given back.")
            return
        held = shelf.leaser.live() if name is None else [shelf.leaser.hold(name, ttl, "a person (shelf lease)")]
        if as_json:
            output.as_json([lease_view(lease) for lease in held])
        else:
            output.leases(held)
