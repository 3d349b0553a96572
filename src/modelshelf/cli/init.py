"""shelf init."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from modelshelf.cli import output
from modelshelf.cli.ask import ask, yes_or_no
from modelshelf.cli.errors import at_the_edge
from modelshelf.cli.options import AsJson, DryRun
from modelshelf.units import format_size

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from modelshelf.domain.setup import Disk, Setup, TierChoice
    from modelshelf.schemas.setup import SetupJson
    from modelshelf.services.setup.init import FirstSetup

T = TypeVar("T")
Flag = Annotated[str | None, typer.Option(metavar="GB", help="Its limit in GB, or none.")]


def init(
    primary: Annotated[str | None, typer.Option(metavar="PATH", help="The folder on the fast disk.")] = None,
    primary_limit_gb: Flag = None,
    secondary: Annotated[
        str | None, typer.Option(metavar="PATH", help="The folder on the large disk, or none.")
    ] = None,
    secondary_limit_gb: Flag = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing: accept every proposal.")] = False,
    here: Annotated[bool, typer.Option("--here", help="Write ./.env, for this folder only.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file; keep a backup.")] = False,
    no_speed: Annotated[bool, typer.Option("--no-speed", help="Skip measuring the disks.")] = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Set up the library: choose the disks, write .env.

    Example without questions: shelf init --yes
    """
    from modelshelf.bootstrap.doctor_and_setup import first_setup
    from modelshelf.schemas.setup import SetupJson

    with at_the_edge(as_json=as_json):
        given = (primary, primary_limit_gb, secondary, secondary_limit_gb)
        asks = not yes and primary is None and sys.stdin.isatty()
        _check_flags(primary, asks=asks, yes=yes)
        setup = first_setup(here=here)
        if not dry_run:
            setup.check_free(force=force)
        disks = setup.disks(measured=not (no_speed or dry_run))
        if not as_json:
            _show_disks(disks)
        wanted = _Questions(setup, disks, asks=asks, proposes=yes or asks).tiers(*given)
        text = setup.plan(wanted)
        if not as_json:
            _show_plan(setup, wanted, text)
        may = not dry_run and (not asks or ask("Write it?", "yes", yes_or_no))
        written = setup.write(text, force=force) if may else None
        outcome = SetupJson.of(setup.surroundings(wanted), disks, wanted, text, written)
        if as_json:
            output.as_json(outcome)
        else:
            _show_written(outcome)
            if outcome.written and outcome.usual_models:
                _offer_to_adopt(outcome, asks=asks)
            if outcome.written:
                output.note("Next: shelf tiers, then shelf add NAME ORG/MODEL")


def _show_plan(setup: FirstSetup, wanted: Setup, text: str) -> None:
    output.answer(f"\n# {setup.env_file}\n{text.rstrip()}")
    if elsewhere := setup.tools_elsewhere(wanted):
        output.note(elsewhere)


def _offer_to_adopt(outcome: SetupJson, *, asks: bool) -> None:
    """Say what other programs have, and adopt it in place if a person wants that."""
    from modelshelf.bootstrap.shelf import open_shelf
    from modelshelf.cli.adopt import carry_out
    from modelshelf.domain.adopt import AdoptRequest, adopt_mode_of
    from modelshelf.domain.unadopted import Unadopted

    found = Unadopted(outcome.usual_path, outcome.usual_models, outcome.usual_bytes, is_default=False)
    how = "--leave" if outcome.usual_path == outcome.primary.base else "--leave (or --move, or --link)"
    later = f"To add them to the library: {found.command} {how}"
    if not asks:
        output.note(f"{found.where}. {later}")
        return
    output.note(f"{found.where}.")
    if ask("Add them to the library now, where they are?", "yes", yes_or_no):
        with open_shelf() as shelf:
            carry_out(shelf, AdoptRequest(outcome.usual_path, adopt_mode_of("leave")), as_json=False)
    else:
        output.note(later)


def _check_flags(primary: str | None, *, asks: bool, yes: bool) -> None:
    from modelshelf.domain.setup import FLAGS
    from modelshelf.errors import BadInput

    if not asks and not yes and primary is None:
        raise BadInput(
            "shelf init can't ask questions: the input isn't a terminal.",
            hint=f"To accept every proposal: shelf init --yes. To choose: shelf init {FLAGS}",
        )


class _Questions:
    """Asks for what no flag gives; without a terminal the proposal is the answer."""

    def __init__(self, setup: FirstSetup, disks: list[Disk], *, asks: bool, proposes: bool) -> None:
        self._setup = setup
        self._disks = disks
        self._asks = asks
        self._proposes = proposes

    def tiers(
        self, primary: str | None, primary_gb: str | None, secondary: str | None, secondary_gb: str | None
    ) -> Setup:
        """Return the tiers to set up."""
        from modelshelf.domain.setup import Setup, propose

        proposed = propose(self._disks) if primary is None or (self._proposes and self._disks) else None
        first = proposed.primary.base if proposed else ""
        second = proposed.secondary.base if proposed and proposed.secondary and self._proposes else "none"
        fast = self._base("The folder on the fast disk", primary, first)
        assert fast is not None
        if second == fast:
            second = "none"
        chosen = self._choice("primary", fast, primary_gb)
        large = self._base("The folder on the large disk (none: no secondary)", secondary, second, optional=True)
        return Setup(chosen, self._choice("secondary", large, secondary_gb) if large else None)

    def _choice(self, tier: str, base: str, given: str | None) -> TierChoice:
        from modelshelf.domain.setup import TierChoice, parse_limit

        def parse(text: str) -> float | None:
            return self._setup.check_limit(base, parse_limit(text))

        proposed = self._setup.limit_for(self._disks, base)
        question = f"The limit of the {tier} in GB (none: no limit)"
        return TierChoice(base, self._answer(question, given, "none" if proposed is None else str(proposed), parse))

    def _base(self, question: str, given: str | None, proposed: str, *, optional: bool = False) -> str | None:
        def parse(text: str) -> str | None:
            from modelshelf.domain.names import BasePath
            from modelshelf.errors import BadInput
            from modelshelf.store.probe import is_file

            if optional and text.strip().lower() in ("", "none"):
                return None
            base = BasePath(str(Path.cwd() / Path(text.strip()).expanduser()))
            if is_file(Path(base)):
                raise BadInput(f"{base} is a file.", hint="Name a folder.")
            return base

        return self._answer(question, given, proposed, parse)

    def _answer(self, question: str, given: str | None, proposed: str, parse: Callable[[str], T]) -> T:
        if given is None and self._asks:
            return ask(question, proposed, parse)
        return parse(proposed if given is None else given)


def _show_disks(found: Sequence[Disk]) -> None:
    """Print the disks that may hold models."""
    rows = []
    for disk in found:
        speed = disk.speed
        rates = [f"{format_size(n)}/s" for n in (speed.write_bytes_per_s, speed.read_bytes_per_s)] if speed else []
        marks = [word for word, holds in (("network", disk.is_network), ("vanishes", disk.vanishes)) if holds]
        sizes = [format_size(disk.size_bytes), format_size(disk.free_bytes)]
        rows.append([disk.point, disk.kind, *sizes, *(rates or ["?", "?"]), ", ".join(marks)])
    output.table(["DISK", "KIND", "SIZE", "FREE", "WRITES", "READS", ""], rows, frozenset({2, 3, 4, 5}))


def _show_written(outcome: SetupJson) -> None:
    """Print what was written."""
    if not outcome.written:
        output.note("Nothing was written.")
        return
    output.note(f"Wrote {outcome.path}" + (f"; the old file is {outcome.backup}" if outcome.backup else ""))
    if outcome.environment_wins:
        output.note(f"The environment sets these too, and overrides the file: {', '.join(outcome.environment_wins)}")
