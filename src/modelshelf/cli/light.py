"""Typer without pydantic for arguments that are plain text, and with aliases from other programs.

Typer converts every argument through pydantic, even a text and one that wasn't given. Importing pydantic takes as long
as everything else that `shelf path` does. If a later Typer works another way, it is left as it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any

from typer._click.exceptions import BadParameter, MissingParameter, NoArgsIsHelpError, NoSuchOption, UsageError
from typer.core import TyperCommand, TyperGroup

from modelshelf.cli.errors import report
from modelshelf.cli.habits import check_completion, in_our_words, too_many, unknown, unknown_option
from modelshelf.errors import BadInput, ShelfError
from modelshelf.units import LARGEST_INT

EVERYWHERE = ("no_color", "no_truncate", "quiet")
"""The options of `shelf` that every command takes."""


@dataclass(frozen=True, slots=True)
class _AsGiven:
    """Passes texts and missing arguments unchanged, and asks Typer about the rest."""

    build: Callable[[], Any]
    """Makes Typer's converter."""

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        """Return an argument as the command gets it."""
        if value is None:
            return () if param.multiple or param.nargs == -1 else None
        if type(value) in (str, int) and param.type_descriptor.annotation is type(value):  # typed, or a default
            return value
        if param.type_descriptor.annotation == list[str] and all(isinstance(one, str) for one in value):
            return list(value)
        coerced = self.build().coerce(value, param=param, ctx=ctx)
        if isinstance(coerced, int) and not -LARGEST_INT <= coerced <= LARGEST_INT:
            raise BadParameter(f"{value:.80} is too large a number.", ctx=ctx, param=param)
        return coerced


class LightCommand(TyperCommand):
    """A command."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return its parameters, and hidden those of the group that every command takes."""
        own = super().get_params(ctx)
        taken = {word for parameter in own for word in parameter.opts}
        return [_lighten(parameter) for parameter in (*own, *_of_every_command(ctx, taken))]

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Return the unparsed rest of a command line; an invalid one is an error like any other."""
        given = list(args)
        takes_any, ctx.allow_extra_args = ctx.allow_extra_args, True
        try:
            left = super().parse_args(ctx, args)
        except UsageError as err:
            raise SystemExit(report(_misuse(err, ctx, given), as_json="--json" in given)) from err
        if left and not takes_any and not ctx.resilient_parsing:
            raise SystemExit(report(too_many(left, _typed(ctx), _usage(ctx)), as_json="--json" in given))
        return left


class LightGroup(TyperGroup):
    """A command of commands, listed in groups."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Return the rest of a command line after the group's own options."""
        ours = in_our_words(args)
        try:
            check_completion(ours)
            return super().parse_args(ctx, ours)
        except BadInput as err:
            raise SystemExit(report(err, as_json="--json" in args)) from err
        except NoArgsIsHelpError:
            raise
        except UsageError as err:
            raise SystemExit(report(_misuse(err, ctx, ours), as_json="--json" in args)) from err

    def invoke(self, ctx: Any) -> Any:
        """Run the command that the words name; without one, say so and end."""
        try:
            return super().invoke(ctx)
        except UsageError as err:
            raise SystemExit(report(_misuse(err, ctx, ()), as_json=False)) from err

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Return the command for the first word; for an unknown word, print a suggestion and end."""
        args = in_our_words(args)  # what follows an option of the group
        is_word = not args[0].startswith("-") and not ctx.resilient_parsing
        if is_word and self.get_command(ctx, args[0]) is None:
            listed = [name for name, command in self.commands.items() if not command.hidden]
            raise SystemExit(report(unknown(args[0], listed), as_json="--json" in args))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the list of commands, one section per group."""
        shown: list[Any] = [command for command in self.commands.values() if not command.hidden]
        width = max(len(command.name) for command in shown)
        for group in dict.fromkeys(command.rich_help_panel for command in shown):
            rows = [(c.name.ljust(width), c.get_short_help_str(80)) for c in shown if c.rich_help_panel == group]
            with formatter.section(group):
                formatter.write_dl(rows)

    def get_params(self, ctx: Any) -> list[Any]:
        """Return its parameters."""
        return [_lighten(parameter) for parameter in super().get_params(ctx)]


def _misuse(err: UsageError, ctx: Any, given: Sequence[str]) -> ShelfError:
    """Return the error for a command line that can't be understood."""
    if isinstance(err, NoSuchOption):
        return unknown_option(err.option_name, _typed(ctx), err.possibilities or ())
    detail = err.format_message().split(", unable to parse")[0].replace("Value error, ", "")  # pydantic says it twice
    arguments = [one for one in ctx.command.params if one.param_type_name == "argument"]
    is_after_several = isinstance(err, MissingParameter) and err.param and err.param.nargs == -1
    if is_after_several and any(not word.startswith("-") for word in given):
        detail = f"Missing argument '{arguments[-1].metavar}'."  # of NAME... TIER, the only word is taken for the TIER
    return BadInput(detail, hint=_usage(ctx))


def _typed(ctx: Any) -> str:
    """Return what to type for a command."""
    return f"shelf {ctx.info_name}" if ctx.parent else "shelf"


def _usage(ctx: Any) -> str:
    """Return how a command is called, as a hint."""
    command = _typed(ctx)
    pieces = [re.sub(r"^\{(.*)\}|^\[(\[.*\])\]", r"\1\2", piece) for piece in ctx.command.collect_usage_pieces(ctx)]
    return f"{command} {' '.join(pieces)} ({command} --help says more.)"


def _of_every_command(ctx: Any, taken: set[str]) -> Iterator[Any]:
    """Yield the options of a command's group that may also follow the command.

    Args:
        ctx: The command's context; one that passes options to another program gets none.
        taken: What the command itself understands.
    """
    if ctx.parent is None or ctx.ignore_unknown_options:
        return
    for parameter in ctx.parent.command.params:
        if parameter.name in EVERYWHERE and taken.isdisjoint(parameter.opts):
            unlisted = copy(parameter)
            unlisted.hidden, unlisted.expose_value = True, False
            yield unlisted


def _lighten(parameter: Any) -> Any:
    build = getattr(parameter, "get_runtime_param", None)
    if build is not None and "get_runtime_param" not in vars(parameter):
        parameter.get_runtime_param = lambda: _AsGiven(build)
    return parameter
