"""shelf adopt."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from modelshelf.cli import complete, output
from modelshelf.cli.adopt_all import adopt_all
from modelshelf.cli.bars import job_progress
from modelshelf.cli.errors import at_the_edge
from modelshelf.cli.options import AsJson, DryRun
from modelshelf.domain.jobs import JobKind
from modelshelf.units import format_size

if TYPE_CHECKING:
    from modelshelf.domain.adopt import AdoptRequest
    from modelshelf.services.shelf import Shelf

_KINDS = {
    "stray": "outside hub/",
    "local_dir": "local_dir",
    "lm_studio": "LM Studio",
    "ollama": "Ollama",
    "git": "git clone",
    "modelscope": "ModelScope",
    "sentence_transformers": "sentence-transformers",
    "webui": "text-generation-webui",
    "comfyui": "ComfyUI",
    "torch_hub": "torch hub",
    "jan": "Jan",
    "gpt4all": "GPT4All",
    "llama_cpp": "llama.cpp",
    "web_ui": "A1111, Forge",
    "invokeai": "InvokeAI",
}


def adopt(
    path: Annotated[
        str | None, typer.Argument(metavar="PATH", help="The folder. Default: HF_HOME, else ~/.cache/huggingface")
    ] = None,
    leave: Annotated[bool, typer.Option("--leave", help="Register the models where they are.")] = False,
    move: Annotated[bool, typer.Option("--move", help="Move the models into a tier.")] = False,
    link: Annotated[
        bool, typer.Option("--link", help="Move, and replace the old folder by a link to the tier.")
    ] = False,
    unlink: Annotated[bool, typer.Option("--unlink", help="Undo --link.")] = False,
    to: Annotated[
        str, typer.Option(metavar="primary|secondary|PATH", help="The tier.", autocompletion=complete.tiers)
    ] = "primary",
    merge: Annotated[bool, typer.Option("--merge", help="Merge duplicate copies of a model.")] = False,
    copies: Annotated[bool, typer.Option("--copy", help="Copy files of other programs that can't be linked.")] = False,
    repo: Annotated[str, typer.Option(metavar="ORG/NAME", help="The repository of a local_dir download.")] = "",
    every: Annotated[bool, typer.Option("--all", help="Look at every place where programs keep models.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing.")] = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Take in models that other tools downloaded.

    Without --leave, --move or --link the command only shows what each of them would do. With --all it shows every
    program's models in one plan, asks, and ends with one copy: links stand where the programs look.

    Example: shelf adopt ~/.cache/huggingface --leave
    """
    from modelshelf.bootstrap.shelf import open_shelf
    from modelshelf.domain.adopt import AdoptRequest, adopt_mode_of
    from modelshelf.errors import BadInput
    from modelshelf.schemas.adopt import AdoptPlanJson

    with at_the_edge(as_json=as_json):
        modes = [w for w, on in (("leave", leave), ("move", move), ("link", link), ("unlink", unlink)) if on]
        if len(modes) > 1:
            raise BadInput(f"--{modes[0]} and --{modes[1]} exclude each other.", hint="Choose one.")
        if every:
            if path is not None or modes or merge or copies or repo:
                raise BadInput("--all goes with --to, --yes, --dry-run and --json alone.", hint="shelf adopt --all")
            adopt_all(to, yes=yes, dry_run=dry_run, as_json=as_json)
            return
        with open_shelf(read_only=dry_run or not modes, begins=not unlink) as shelf:
            default = shelf.services.adopter.planner.default_folder
            folder = default() if path is None else os.path.abspath(Path(path).expanduser())  # noqa: PTH100
            if unlink:
                _unlink(shelf, folder, dry_run=dry_run, as_json=as_json)
                return
            mode = adopt_mode_of(modes[0] if modes else "leave")
            wanted = AdoptRequest(folder, mode, to, merge, copies, repo)
            if not modes:
                _show(shelf, wanted, as_json=as_json)
            elif dry_run:
                view = asdict(AdoptPlanJson.of(shelf.services.adopter.planner.plan(wanted)))
                output.as_json(view) if as_json else _print_plan(view)
            else:
                carry_out(shelf, wanted, as_json=as_json)


def _unlink(shelf: Shelf, folder: str, *, dry_run: bool, as_json: bool) -> None:
    if dry_run:
        backup = str(shelf.services.adopter.plan_unlink(folder))
        text = f"{folder} would be a folder again, with the contents of {backup}."
        output.as_json({"path": folder, "backup": backup}) if as_json else output.answer(text)
        return
    target = os.path.realpath(folder)
    back = str(shelf.services.adopter.unlink(folder))
    if as_json:
        output.as_json({"path": back})
        return
    output.answer(f"{back} is a folder again.")
    if target != back:
        output.note(f"What --link moved along stays in {target}: models, data sets, unfinished downloads, the token.")


def carry_out(shelf: Shelf, wanted: AdoptRequest, *, as_json: bool) -> None:
    """Adopt, and print what was done."""
    with job_progress("adopt", JobKind.ADOPT) as show:
        options = {"merge": wanted.merge, "copy": wanted.copy}
        done = shelf.adopt(wanted.path, wanted.mode, wanted.to, **options, repo_id=wanted.repo_id, progress=show)
    if as_json:
        output.as_json(done)
    else:
        _print_done(done)


def _show(shelf: Shelf, wanted: AdoptRequest, *, as_json: bool) -> None:
    """Show what was found and what each mode would do with it."""
    from modelshelf.errors import ShelfError
    from modelshelf.schemas.adopt import AdoptPlanJson

    views: dict[str, dict[str, Any]] = {}
    for mode in ("leave", "move", "link"):
        try:
            views[mode] = asdict(AdoptPlanJson.of(shelf.services.adopter.planner.plan(wanted.with_mode(mode))))
        except ShelfError as err:
            if mode == "leave":
                raise
            views[mode] = {"error": err.to_dict()}
    if as_json:
        output.as_json(views)
        return
    _print_things(views["leave"], views["move"].get("models", views["leave"]["models"]))
    for mode, view in views.items():
        output.answer("")
        output.answer(f"shelf adopt {views['leave']['path']} --{mode}")
        output.answer(f"  {_in_short(view)}")


def _in_short(view: Mapping[str, Any]) -> str:
    if "error" in view:
        return f"not possible: {view['error']['detail']}"
    counts: dict[str, int] = {}
    for model in view["models"]:
        counts[model["action"]] = counts.get(model["action"], 0) + 1
    words = {
        "register": "registered in place",
        "move": f"moved to {view['cache_path']}",
        "bring": f"linked into {view['cache_path']}",
        "merge": "merged with a copy",
        "none": "registered already",
        "stay": "left alone",
        "along": "moved along, not registered",
    }
    parts = [f"{count} {words[action]}" for action, count in sorted(counts.items())]
    backup = f"; the old folder becomes {view['backup']}, and a link takes its place" if view["backup"] else ""
    return (", ".join(parts) or "no models") + backup


def _print_things(view: Mapping[str, Any], named: Sequence[Mapping[str, Any]]) -> None:
    rows = [
        [
            model["model_name"] or "–",
            model["hf_path"],
            model["commit_hash"][:12],
            format_size(model["size_bytes"]),
            _KINDS.get(model["kind"], "hub/"),
        ]
        for model in named
    ]
    if rows:
        output.table(["NAME", "REPO", "COMMIT", "SIZE", "FOUND IN"], rows, frozenset({3}))
    for other in view["others"]:
        output.answer(f"{other['kind']}: {other['path']} ({format_size(other['size_bytes'])})")
    for model in view["models"]:
        if model["action"] in ("stay", "along"):
            output.note(_left_alone(model))
    for note in view["notes"]:
        output.note(note)


def _would(model: Mapping[str, Any]) -> str:
    return "move along" if model["action"] == "along" else str(model["action"])


def _print_plan(view: Mapping[str, Any]) -> None:
    rows = [
        [
            m["model_name"] or "–",
            m["hf_path"],
            format_size(m["size_bytes"]),
            _would(m),
            m["detail"],
        ]
        for m in view["models"]
    ]
    if rows:
        output.table(["NAME", "REPO", "SIZE", "WOULD", "WHY"], rows, frozenset({2}), frozenset({4}))
    for other in view["others"]:
        size = format_size(other["size_bytes"])
        output.answer(f"{other['action']}: {other['kind']} {other['path']} ({size}): {other['detail']}")
    if view["need_bytes"]:
        output.answer(f"Would add {format_size(view['need_bytes'])} to {view['cache_path']}.")
    if view["backup"]:
        output.answer(
            f"The old folder would become {view['backup']}, and {view['path']} a link to {view['cache_path']}."
        )
    for note in view["notes"]:
        output.note(note)


def _print_done(done: Mapping[str, Any]) -> None:
    for model in done.get("models", ()):
        _print_model(model, done)
    for text in done.get("left", ()):
        output.note(f"left: {text}")
    for other in done.get("stayed", ()):
        if other["action"] != "move" or not done["backup"]:
            where = other["path"]
            if done["backup"]:
                where = done["backup"] + where.removeprefix(done["path"])
            output.note(f"{other['kind']}: {where} ({format_size(other['size_bytes'])}): {other['detail']}")
    if done["backup"]:
        output.answer(f"{done['path']} is a link now; the rest of the old folder is in {done['backup']}.")
        output.note(f"Undo the link: shelf adopt --unlink {done['path']}")
    for note in done.get("notes", ()):
        output.note(note)


def _print_model(model: Mapping[str, Any], done: Mapping[str, Any]) -> None:
    name = model["model_name"]
    if name in done["moved"]:
        output.answer(f"{name}: moved to {done['cache_path']} ({format_size(model['size_bytes'])})")
    elif name in done["registered"]:
        output.answer(f"{name}: registered ({format_size(model['size_bytes'])})")
    elif model["action"] == "merge":
        output.answer(f"{name}: merged; deleted the copy in {model['from_path']}")
    elif model["action"] == "none":
        output.answer(f"{name}: {model['detail']}")
    elif model["action"] in ("stay", "along"):
        output.note(_left_alone(model))


def _left_alone(model: Mapping[str, Any]) -> str:
    at = f" at {model['commit_hash'][:12]}" if model["commit_hash"] else ""
    along = " It moves along all the same." if model["action"] == "along" else ""
    return f"not registered: {model['hf_path'] or model['from_path']}{at}: {model['detail']}{along}"
