"""shelf view."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from modelshelf.cli import complete, output
from modelshelf.cli.errors import at_the_edge
from modelshelf.cli.options import AsJson, DryRun
from modelshelf.domain.jobs import JobKind
from modelshelf.errors import BadInput

if TYPE_CHECKING:
    from modelshelf.domain.views import ViewStatus
    from modelshelf.schemas.views import ViewJson
    from modelshelf.services.services import Services
    from modelshelf.services.views.views import Views

_MOST_REFUSED = 5
_USAGE = "shelf view add KIND [ROOT] NAME… (or --all), shelf view rm KIND [ROOT], shelf view sync, shelf view ls"


def view(
    verb: Annotated[
        str,
        typer.Argument(
            metavar="add|rm|ls|sync",
            help="What to do.",
            autocompletion=complete.one_of("add", "rm", "ls", "sync"),
        ),
    ] = "ls",
    kind: Annotated[
        str | None,
        typer.Argument(
            metavar="KIND",
            help="Whose folder it is: lmstudio, ollama, hf and others.",
            autocompletion=complete.view_kinds,
        ),
    ] = None,
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="ROOT|NAME",
            help="The folder, with a slash in it, then models. Default: where the program looks",
            autocompletion=complete.model_names,
        ),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="All models, now and later.")] = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Let other programs find the models.

    A view puts links into the folder that a program reads. They follow every move, and no byte is copied. What shelf
    didn't make in such a folder is never touched.

    Kinds: folder, lmstudio, ollama, jan, llama-server, llama-swap, textgen, gpt4all, comfyui, a1111, forge,
    invokeai, hf, cache_dir.

    Example: shelf view add lmstudio --all
    """
    from modelshelf.bootstrap.shelf import open_shelf

    with at_the_edge(as_json=as_json):
        names = list(words or ())
        root = names.pop(0) if names and _is_path(names[0]) else None
        check_words(verb, kind, names, every=every)
        if dry_run and verb != "add":
            raise BadInput("--dry-run is for shelf view add.", hint="shelf view ls shows what the views are.")
        with open_shelf(read_only=verb == "ls" or dry_run, begins=verb == "add") as shelf:
            if dry_run:
                found = _plan(shelf.services.views, kind, root, names)
            elif verb == "sync":
                found = _sync(shelf.services, kind, root)
            else:
                found = _do(shelf.services.views, verb, kind, root, names, every=every)
        _show(verb, found, as_json=as_json)


def _is_path(word: str) -> bool:
    return "/" in word or word.startswith(("~", "."))


def check_words(verb: str, kind: str | None, names: Sequence[str], *, every: bool) -> None:
    """Raise BadInput unless the words fit each other."""
    from modelshelf.domain.view_kinds import kind_of

    if verb not in ("add", "rm", "ls", "sync") or (verb in ("add", "rm") and kind is None):
        raise BadInput("shelf view needs a verb and a kind.", hint=_USAGE)
    if verb != "ls" and kind is not None:
        kind_of(kind)  # an unknown kind is told before the words that are missing behind it
    if verb == "ls" and kind is not None:
        raise BadInput("shelf view ls lists all views.", hint=_USAGE)
    if verb == "add" and bool(names) == every:
        raise BadInput("Name models, or say --all.", hint=_USAGE)
    if verb != "add" and (every or (verb == "sync" and names)):
        raise BadInput(f"shelf view {verb} takes no models.", hint=_USAGE)


def _plan(views: Views, kind: str | None, root: str | None, names: Sequence[str]) -> list[ViewStatus]:
    from modelshelf.domain.names import ModelName
    from modelshelf.domain.view_kinds import kind_of
    from modelshelf.services.views.place import view_root

    wanted = kind_of(kind or "")
    return [views.plan(wanted, view_root(wanted, root), [ModelName(name) for name in names] or None)]


def _do(
    views: Views, verb: str, kind: str | None, root: str | None, names: Sequence[str], *, every: bool
) -> list[ViewStatus]:
    from modelshelf.domain.names import ModelName
    from modelshelf.domain.view_kinds import kind_of
    from modelshelf.services.views.place import view_root

    if verb == "ls":
        return views.all()
    wanted, chosen = kind_of(kind or ""), [ModelName(name) for name in names]
    place = view_root(wanted, root, verb)
    if verb == "add":
        return [views.add(wanted, place, None if every else chosen)]
    return [views.remove(wanted, place, chosen)]


def _sync(services: Services, kind: str | None, root: str | None) -> list[ViewStatus]:
    from modelshelf.cli.bars import job_progress
    from modelshelf.domain.view_kinds import kind_of
    from modelshelf.services.views.place import view_root

    wanted = None if kind is None else kind_of(kind)
    place = None if wanted is None or root is None else view_root(wanted, root)
    with job_progress("views", JobKind.VIEW_SYNC) as show:
        return services.view_syncer.sync(wanted, place, show)


def _show(verb: str, found: Sequence[ViewStatus], *, as_json: bool) -> None:
    from modelshelf.schemas.views import ViewJson

    views = [ViewJson.of(status) for status in found]
    if as_json:
        output.as_json(views if verb in ("ls", "sync") else views[0])
        return
    if not views:
        output.note("No views. To make one: shelf view add lmstudio --all")
    elif verb == "rm" and not views[0].models:
        output.answer(f"Removed the view {views[0].kind} {views[0].root}.")
    else:
        rows = [[one.kind, one.root, _models(one), str(one.entries), one.state] for one in views]
        output.table(["KIND", "FOLDER", "MODELS", "LINKS", "STATE"], rows)
    for one in views:
        for text in [one.detail] * bool(one.detail) + _refused(one):
            output.note(text)
        for path in one.blocked:
            output.note(f"{one.root}/{path} is another program's: it stays.")


def _refused(view: ViewJson) -> list[str]:
    said = [f"{it.model_name} isn't in it. {it.why}" for it in view.refused[:_MOST_REFUSED]]
    left = len(view.refused) - len(said)
    return [*said, f"and {left} more, which it can't read either."] if left else said


def _models(view: ViewJson) -> str:
    return "all" if view.models is None else ", ".join(view.models)
