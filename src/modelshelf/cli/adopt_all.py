"""shelf adopt --all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from modelshelf.cli import output
from modelshelf.cli.ask import ask, is_answered, yes_or_no
from modelshelf.cli.bars import job_progress
from modelshelf.domain.jobs import JobKind
from modelshelf.units import format_size


def adopt_all(to: str, *, yes: bool, dry_run: bool, as_json: bool) -> None:
    """Show what is at the known places, ask, and take it in."""
    from modelshelf.bootstrap.shelf import open_shelf
    from modelshelf.schemas.adopt import AdoptAllPlanJson

    with open_shelf(read_only=True) as shelf:
        view = asdict(AdoptAllPlanJson.of(shelf.services.everything.plan(to)))
    asks = is_answered() and not (yes or as_json or dry_run)
    if not as_json:
        print_plan(view)
    if dry_run or not (yes or asks) or not _anything(view):
        if as_json:
            output.as_json(view)
        elif _anything(view) and not dry_run:
            output.note("Nothing was changed. To take it all in: shelf adopt --all --yes")
        return
    if asks and not ask("Take it all in?", "no", yes_or_no):
        output.note("Nothing was changed.")
        return
    with open_shelf() as shelf, job_progress("adopt", JobKind.ADOPT) as show:
        done = shelf.adopt_all(to, progress=show)
    output.as_json(done) if as_json else _print_done(done)


def _anything(view: Mapping[str, Any]) -> bool:
    from modelshelf.domain.adopt import NOT_TAKEN

    return any(model["action"] not in NOT_TAKEN for place in view["places"] for model in place["models"])


def print_plan(view: Mapping[str, Any]) -> None:
    """Print the plan: a line for each place, then each model that stays, and what no reader understands."""
    if not view["places"]:
        output.note("No program keeps models here that aren't in the library.")
        return
    rows = [
        [
            place["program"],
            place["path"],
            str(len(place["models"])),
            format_size(place["size_bytes"]),
            format_size(place["saved_bytes"]),
            _goes(place),
        ]
        for place in view["places"]
    ]
    output.table(["PROGRAM", "FOLDER", "MODELS", "SIZE", "SAVES", "GOES TO"], rows, frozenset({2, 3, 4}))
    output.answer(f"{format_size(view['size_bytes'])} in all; one copy saves {format_size(view['saved_bytes'])}.")
    for place in view["places"]:
        _print_rest(place)


def _goes(place: Mapping[str, Any]) -> str:
    if place["trouble"]:
        return "stays"
    if place["mode"] == "leave":
        return "registered where it is"
    from modelshelf.domain.adopt import NOT_TAKEN

    counts: dict[str, int] = {}
    for model in place["models"]:
        stays = "is in the library" if model["action"] == "none" else "stays"
        word = model["cache_location"] or (stays if model["action"] in NOT_TAKEN else "the same copy")
        counts[word] = counts.get(word, 0) + 1
    return ", ".join(f"{count} {word}" for word, count in counts.items()) or "stays"


def _print_rest(place: Mapping[str, Any]) -> None:
    if place["trouble"]:
        output.note(f"{place['path']}: {place['trouble']}")
    for model in place["models"]:
        if model["action"] == "stay":
            name = model["hf_path"] or model["from_path"]
            output.note(f"stays: {name} ({format_size(model['size_bytes'])}): {model['detail']}")
    for other in place["others"]:
        output.note(f"stays: {other['path']} ({format_size(other['size_bytes'])}): {other['why']}")


def _print_done(done: Mapping[str, Any]) -> None:
    for place in done["places"]:
        names = [*place["registered"], *place["moved"]]
        output.answer(f"{place['path']}: {', '.join(names) or 'no new model'}")
        for text in (*place["notes"], *(f"left: {left}" for left in place["left"])):
            output.note(text)
    for place in done["failed"]:
        output.note(f"left: {place['path']}: {place['detail']}")
