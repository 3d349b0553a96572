"""shelf config."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from modelshelf.cli import complete, output
from modelshelf.cli.errors import at_the_edge
from modelshelf.cli.options import AsJson, DryRun
from modelshelf.errors import BadInput, NotFound, ShelfError

if TYPE_CHECKING:
    from modelshelf.domain.setting_changes import Wanted
    from modelshelf.schemas.setting_changes import SettingsFileJson, SettingsPlanJson
    from modelshelf.services.shelf import Shelf

_USAGE = "shelf config [ls], shelf config get NAME, shelf config set NAME=VALUE…, shelf config unset NAME…"


def config(
    verb: Annotated[
        str,
        typer.Argument(
            metavar="ls|get|set|unset",
            help="What to do.",
            autocompletion=complete.one_of("ls", "get", "set", "unset"),
        ),
    ] = "ls",
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME[=VALUE]",
            help="The settings, such as PROMOTE=never.",
            autocompletion=complete.settings,
        ),
    ] = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Show and change the settings file.

    A change is validated as a whole; comments and order stay, and the file before the last change is kept beside
    it. With --dry-run it says what each change would cause. A running server takes most changes from its next start on.

    Example: shelf config set PRIMARY_CACHE_LIMIT_GB=80
    """
    from modelshelf.bootstrap.change_settings import settings_writer
    from modelshelf.schemas.setting_changes import SettingsFileJson, SettingsPlanJson

    with at_the_edge(as_json=as_json), contextlib.ExitStack() as held:
        names = list(words or ())
        _check(verb, names)
        shelf = _library(held) if verb in ("set", "unset") else None
        writer = settings_writer(shelf)
        if verb in ("ls", "get"):
            found = SettingsFileJson.of(writer.path, writer.written_at(), writer.now(), writer.secrets())
            _show(found, as_json=as_json) if verb == "ls" else _get(found, names, as_json=as_json)
            return
        plan = writer.plan(_wanted(verb, names))
        written = writer.write(plan) if plan.changes and not dry_run else None
        done = SettingsPlanJson.of(plan, written)
        if as_json:
            output.as_json(done)
        else:
            _tell(done)


def _check(verb: str, names: Sequence[str]) -> None:
    if verb not in ("ls", "get", "set", "unset") or bool(names) == (verb == "ls"):
        raise BadInput("shelf config needs a verb and names.", hint=_USAGE)
    if verb == "set" and not all("=" in name for name in names):
        meant = "=".join(names) if len(names) == 2 and "=" not in names[0] else "PROMOTE=never"
        raise BadInput("shelf config set needs NAME=VALUE.", hint=f"shelf config set {shlex.quote(meant)}")


def _library(held: contextlib.ExitStack) -> Shelf | None:
    """Return the library, which says what a change would cause; None if it can't be opened: a change may mend that."""
    from modelshelf.bootstrap.shelf import open_shelf

    try:
        return held.enter_context(open_shelf(read_only=True))
    except ShelfError as err:
        output.note(f"note: the library can't be opened, so nobody knows what the change would cause. {err.detail}")
        return None


def _wanted(verb: str, names: Sequence[str]) -> Wanted:
    from modelshelf.domain.setting_changes import parse_wanted

    pairs = (name.partition("=") for name in names)
    return parse_wanted({name: "" if verb == "unset" else text for name, _, text in pairs})


def _get(found: SettingsFileJson, names: Sequence[str], *, as_json: bool) -> None:
    """Print what settings are: their texts alone, for a script to take."""
    known = {one.name: one for one in found.settings}
    wanted = [name.upper() for name in names]
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise NotFound(f"{unknown[0]!r:.80} isn't a setting that is shown here.", hint="shelf config lists them.")
    if as_json:
        output.as_json([known[name] for name in wanted])
        return
    for name in wanted:
        output.line(known[name].text)


def _show(found: SettingsFileJson, *, as_json: bool) -> None:
    if as_json:
        output.as_json(found)
        return
    output.note(f"{found.file}{'' if found.written_at else ' (not written yet)'}")
    rows = [
        [one.name, one.text or "–", one.origin if one.text else f"default: {one.default}"] for one in found.settings
    ]
    rows += [[name, "set" if is_set else "–", "never shown"] for name, is_set in found.secrets.items()]
    output.table(["SETTING", "VALUE", "FROM"], rows)


def _tell(done: SettingsPlanJson) -> None:
    """Print a plan, or what was written."""
    if not done.changes:
        output.note("Nothing changes: all is as it was.")
        return
    for one in done.changes:
        output.answer(f"{one.name}: {one.before or 'not set'} → {one.after or 'not set'}")
        for effect in one.effects:
            output.answer(f"  {effect}")
    if not done.written:
        return
    output.note(f"Wrote {done.file}" + (f"; the old file is {done.backup}." if done.backup else "."))
    if any(one.needs_restart for one in done.changes):
        output.note("A running server takes it from its next start on: systemctl --user restart modelshelf")
