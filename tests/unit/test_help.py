"""What `shelf --help` and the help of each command print on a terminal of 80 columns."""

from __future__ import annotations

import re
from typing import Any

import pytest
import typer.main

from modelshelf.cli.main import make_app

COLUMNS = 80
ROOT: Any = typer.main.get_command(make_app())
COMMANDS: dict[str, Any] = {name: command for name, command in ROOT.commands.items() if not command.hidden}


def help_of(command: Any) -> list[str]:
    """Return the lines of a command's help."""
    context = command.make_context("shelf", [], resilient_parsing=True, terminal_width=COLUMNS)
    return list(command.get_help(context).splitlines())


def test_the_list_of_commands_has_one_whole_line_for_each() -> None:
    """Every command is in one group of `shelf --help`, on one line that ends with its sentence."""
    listed = [line.split(maxsplit=1) for line in help_of(ROOT) if re.match(r"  [a-z][a-z-]*  +\S", line)]

    assert sorted(name for name, _ in listed) == sorted(COMMANDS)
    assert [text for _, text in listed if not text.endswith(".")] == []


def test_the_list_of_commands_is_in_groups() -> None:
    """`shelf --help` lists the commands in groups."""
    headings = [line for line in help_of(ROOT) if line.endswith(":") and not line.startswith(" ")]

    assert headings == ["Options:", "Models:", "Disks:", "Upkeep:", "Server:"]


@pytest.mark.parametrize("name", ["shelf", *COMMANDS])
def test_every_line_of_help_fits(name: str) -> None:
    """No line of help is wider than the terminal or cut with an ellipsis."""
    lines = [line for line in help_of(COMMANDS.get(name, ROOT)) if not line.startswith("Usage:")]

    assert [line for line in lines if len(line) > COLUMNS or line.endswith("...")] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_every_argument_and_option_is_explained(name: str) -> None:
    """Every argument and option has a sentence in the help."""
    assert [parameter.name for parameter in COMMANDS[name].params if not parameter.help] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_an_example_is_a_line_of_its_own(name: str) -> None:
    """An example is one line that starts with its command and can be copied."""
    examples = [line.strip() for line in help_of(COMMANDS[name]) if line.strip().startswith("Example")]

    assert [line for line in examples if f"shelf {name}" not in line] == []
