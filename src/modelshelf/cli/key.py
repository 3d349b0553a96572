"""shelf key."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from modelshelf.cli import complete, output, render
from modelshelf.cli.errors import at_the_edge
from modelshelf.cli.options import AsJson
from modelshelf.errors import BadInput
from modelshelf.units import format_age

if TYPE_CHECKING:
    from modelshelf.domain.keys import ApiKey, Scope
    from modelshelf.services.shelf import Shelf

_VERBS = ("add", "ls", "revoke")


def key(
    verb: Annotated[
        str,
        typer.Argument(
            metavar="add|ls|revoke", help="What to do.", autocompletion=complete.one_of("add", "ls", "revoke")
        ),
    ] = "ls",
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help="Whom or what the key is for.", autocompletion=complete.key_names),
    ] = None,
    scope: Annotated[
        list[str],
        typer.Option(
            metavar="read|infer|manage",
            autocompletion=complete.one_of("read", "infer", "manage"),
            help="What a new key is for: read (look, download), infer (ask models), manage (everything).",
        ),
    ] = ["read", "infer"],  # noqa: B006 - typer copies it
    as_json: AsJson = False,
) -> None:
    """Make, list and revoke the server's keys.

    A server that listens beyond this machine asks for one. A new key is printed once; only its digest is kept.

    Example: shelf key add laptop
    """
    from modelshelf.bootstrap.shelf import open_shelf
    from modelshelf.domain.keys import parse_scopes

    with at_the_edge(as_json=as_json):
        if verb not in _VERBS or (verb == "ls") != (name is None):
            raise BadInput(
                "shelf key needs a verb and a name.", hint="shelf key add NAME, shelf key revoke NAME, shelf key ls"
            )
        scopes = parse_scopes(scope)
        with open_shelf(read_only=verb == "ls", begins=verb == "add") as shelf:
            if name is None:
                _list(list(shelf.services.registry.keys.all().values()), as_json=as_json)
            elif verb == "add":
                _add(shelf, name, scopes, as_json=as_json)
            else:
                _revoke(shelf, name, as_json=as_json)


def _add(shelf: Shelf, name: str, scopes: frozenset[Scope], *, as_json: bool) -> None:
    """Make a key and print it: alone on stdout, for a script to take."""
    from modelshelf.services.access.keys import add_key

    made = add_key(shelf.services.registry.keys, name, scopes)
    if as_json:
        output.as_json({"name": name, "scopes": sorted(scopes), "key": made})
    else:
        output.line(made)
        output.note(f"The key {name} is for: {', '.join(sorted(scopes))}. It can't be shown again.")


def _revoke(shelf: Shelf, name: str, *, as_json: bool) -> None:
    from modelshelf.services.access.keys import revoke_key

    revoke_key(shelf.services.registry.keys, name)
    if as_json:
        output.as_json({"revoked": name})
    else:
        output.note(f"Revoked the key {name}. A server that runs refuses it within 2 seconds.")


def _list(keys: Sequence[ApiKey], *, as_json: bool) -> None:
    """Print keys."""
    from modelshelf.schemas.keys import KeyJson

    if as_json:
        output.as_json([KeyJson.of(one) for one in keys])
    elif not keys:
        output.note("No keys. To make one: shelf key add NAME")
    else:
        now_s = render.now_s()
        rows = [
            [one.name, ", ".join(sorted(one.scopes)), _age(one.created_at, now_s), _age(one.last_used_at, now_s)]
            for one in keys
        ]
        output.table(["KEY", "FOR", "MADE", "LAST USE"], rows)


def _age(then_s: float | None, now_s: float) -> str:
    return "never" if then_s is None else format_age(then_s, now_s)
