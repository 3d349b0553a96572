"""The folders that other programs read, and adding or removing one as a plan. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from modelshelf.domain.view_kinds import ViewKind
from modelshelf.domain.views import USUAL_ROOTS, ViewState, ViewStatus
from modelshelf.errors import ShelfError
from modelshelf.server.web.sheet import Part, Sheet, Step
from modelshelf.units import many

_SHOWN = 12
PROGRAMS: Mapping[ViewKind, str] = {
    ViewKind.LMSTUDIO: "LM Studio",
    ViewKind.OLLAMA: "Ollama",
    ViewKind.JAN: "Jan",
    ViewKind.GPT4ALL: "GPT4All",
    ViewKind.LLAMA_SERVER: "llama-server",
    ViewKind.LLAMA_SWAP: "llama-swap",
    ViewKind.TEXTGEN: "text-generation-webui",
    ViewKind.COMFYUI: "ComfyUI",
    ViewKind.A1111: "AUTOMATIC1111",
    ViewKind.FORGE: "Forge",
    ViewKind.INVOKEAI: "InvokeAI",
    ViewKind.HF: "Hugging Face programs",
    ViewKind.CACHE_DIR: "Code with cache_dir",
    ViewKind.FOLDER: "Any program",
}
_NAMES = {**PROGRAMS, ViewKind.ADOPTED: "A folder that was adopted"}
"""Nobody adds a view in the place of a program's own files but `shelf adopt --link`."""
_STATES = {
    ViewState.TRUE: ("done", "", "as it should be"),
    ViewState.STALE: ("warn", "warn-t", "not as it should be"),
    ViewState.BLOCKED: ("warn", "warn-t", "partly blocked"),
    ViewState.AWAY: ("offline", "mute", "its folder isn’t there"),
    ViewState.FOREIGN: ("info", "mute", "leads to another library"),
    ViewState.FAILED: ("failed", "bad-t", "failed"),
}


def name_of(kind: ViewKind) -> str:
    """Return the program that a kind of view is for."""
    return _NAMES[kind]


@dataclass(frozen=True, slots=True)
class ViewRow:
    """A view in the list."""

    icon: str
    css: str
    program: str
    root: str
    about: str
    """What is in it, and whether that is right."""
    detail: str
    """What to do; empty if all is well."""
    refused: Sequence[tuple[str, str]]
    """Models that its program can't read, and why."""
    blocked: Sequence[str]
    remove: str
    """The address of the question; empty if the settings keep it, or adopt made it."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A program that can get a view."""

    kind: str
    name: str
    root: str
    """Where it looks; empty if a person has to say."""


def choices() -> list[Choice]:
    """Return the programs that can get a view, those with a usual folder first."""
    return [Choice(kind, name, USUAL_ROOTS.get(kind, "")) for kind, name in PROGRAMS.items()]


def view_row(status: ViewStatus) -> ViewRow:
    """Return a view as a row."""
    view = status.view
    icon, css, said = _STATES[status.state]
    held = "all models" if view.models is None else many(len(view.models), "model")
    links = many(len(view.made), "link")
    kept = ", kept by VIEWS in the settings" if view.by_settings else ""
    unlink = f"To give the program its files back: shelf adopt --unlink {view.root}"
    stays = view.by_settings or view.kind is ViewKind.ADOPTED
    return ViewRow(
        icon,
        css,
        _NAMES[view.kind],
        str(view.root),
        f"{held} · {links} · {said}{kept}",
        status.told or (unlink if view.kind is ViewKind.ADOPTED else ""),
        list(status.refused.items()),
        status.blocked,
        "" if stays else f"/views/remove?{urlencode({'kind': view.kind, 'root': view.root})}",
    )


def add_sheet(kind: ViewKind, root: str, model: str, plan: ViewStatus | ShelfError) -> Sheet:
    """Return the plan of a new view.

    Args:
        kind: Whose layout it has.
        root: Its folder.
        model: The one model that it gets; empty: all.
        plan: What it would hold, or why it can't be made.
    """
    title = f"Add a view for {_NAMES[kind]}"
    has_place = root or kind in USUAL_ROOTS
    command = f"shelf view add {kind} {root} {model or '--all'}".replace("  ", " ") if has_place else ""
    if isinstance(plan, ShelfError):
        return Sheet(title, "/views/add", "/tools", trouble=plan.detail, hint=plan.hint, command=command)
    held = sorted({str(made.model_name) for made in plan.view.made.values() if made.model_name is not None})
    parts = [Part(f"In {plan.view.root}", _steps("tools", [(name, "") for name in held]))] if held else []
    if plan.refused:
        parts.append(Part(f"What {_NAMES[kind]} can’t read", _steps("info", list(plan.refused.items()))))
    notes = [f"{path} is another program’s: it stays." for path in plan.blocked[:_SHOWN]]
    later = "" if model else " Models that come later get theirs too."
    trouble = "" if held else f"{_NAMES[kind]} can read none of the models yet."
    return Sheet(
        title,
        "/views/add",
        "/tools",
        button=f"Link {many(len(held), 'model')}" if held else "Add the view",
        hidden=[("kind", kind), ("root", root), ("model", model)],
        parts=parts,
        notes=notes,
        summary=f"{many(len(plan.view.made), 'link')}; no byte is copied.{later}",
        command=command,
        trouble=trouble,
        hint="They get their links as soon as it can." if trouble else "",
    )


def _steps(icon: str, models: Sequence[tuple[str, str]]) -> list[Step]:
    more = [Step(icon, f"{len(models) - _SHOWN:,} more", "", "", "")] if len(models) > _SHOWN else []
    return [*(Step(icon, "", name, "", "", why) for name, why in models[:_SHOWN]), *more]


def remove_sheet(status: ViewStatus) -> Sheet:
    """Return the question whether a view is removed."""
    view = status.view
    return Sheet(
        f"Remove the view for {_NAMES[view.kind]}?",
        "/views/remove",
        "/tools",
        button=f"Remove {many(len(view.made), 'link')}",
        button_css="bad",
        hidden=[("kind", view.kind), ("root", view.root)],
        notes=[f"In {view.root}. Every model stays, and so does what other programs put there."],
        command=f"shelf view rm {view.kind} {view.root}",
        is_question=True,
    )
