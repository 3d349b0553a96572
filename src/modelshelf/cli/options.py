"""Arguments and options that several commands share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from modelshelf.cli import complete, meant, terminal

if TYPE_CHECKING:
    from modelshelf.domain.engine_wishes import EngineChange


def model_argument(what: str, metavar: str = "NAME") -> Any:
    """Return the argument of a command that takes one model."""
    return typer.Argument(metavar=metavar, help=what, autocompletion=complete.model_names, callback=meant.one)


def _models_argument() -> Any:
    return typer.Argument(
        metavar="NAME", help="The models.", autocompletion=complete.model_names, callback=meant.several
    )


Name = Annotated[str, model_argument("The model's name.")]
Names = Annotated[list[str] | None, _models_argument()]
SomeNames = Annotated[list[str], _models_argument()]
TierOption = Annotated[
    str | None,
    typer.Option(
        "--tier", metavar="primary|secondary|PATH", help="Only this tier. Default: all", autocompletion=complete.tiers
    ),
]


def _wish(parameter: typer.CallbackParam, value: bool) -> None:
    """Record an option that every command takes."""
    if value:
        setattr(terminal.WISHES, str(parameter.name), True)


NoColor = Annotated[
    bool, typer.Option("--no-color", callback=_wish, help="Print no colours; NO_COLOR=1 says the same.")
]
NoTruncate = Annotated[bool, typer.Option("--no-truncate", callback=_wish, help="Shorten nothing to fit the terminal.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", callback=_wish, help="Show no progress.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Show the progress of each file, too.")]
Now = Annotated[bool, typer.Option("--now", help="Download at once, whatever SHELF_DOWNLOAD_HOURS says.")]
Detach = Annotated[
    bool, typer.Option("--detach", help="Leave the download to a running server, or to a process of its own.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing: do what the other options say.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would happen; change nothing.")]

ChosenEngine = Annotated[
    str | None,
    typer.Option(
        metavar="ENGINE",
        help="What serves it: see shelf engines. auto: whichever can.",
        autocompletion=complete.engines,
    ),
]
EngineArguments = Annotated[
    list[str] | None, typer.Option(metavar="NAME=VALUE", help="Start that engine with this; repeat for more.")
]
TrustRemoteCode = Annotated[
    bool | None,
    typer.Option("--trust-remote-code/--no-remote-code", help="Let code in its files run, if ALLOW_REMOTE_CODE=1."),
]
AllowPickle = Annotated[
    bool | None,
    typer.Option("--allow-pickle/--no-pickle", help="Let weights be loaded that are pickles: they can run code."),
]


def engine_change(
    engine: str | None, arguments: Sequence[str] | None, trust_remote_code: bool | None, allow_pickle: bool | None
) -> EngineChange:
    """Return what these options change of a model's engine."""
    from modelshelf.domain.engine_wishes import EngineChange

    given = None if arguments is None else tuple(arguments)
    return EngineChange(engine, given, trust_remote_code, allow_pickle)
