"""Commands that people know from other programs, and what `shelf` answers."""

from __future__ import annotations

import pytest
import typer.main

from modelshelf.cli.habits import _MEANINGS, ALIASES, DELETING, in_our_words, unknown
from modelshelf.cli.main import make_app

COMMANDS = [
    name for name, command in vars(typer.main.get_command(make_app()))["commands"].items() if not command.hidden
]


@pytest.mark.parametrize("word", ALIASES)
def test_a_word_of_others_stands_for_a_command_that_there_is(word: str) -> None:
    """An alias leads to a listed command, and no command has its name."""
    (ours,) = in_our_words([word])

    assert ours in [*COMMANDS, "--version"]
    assert word not in COMMANDS


def test_help_is_a_word_too() -> None:
    """`shelf help` and `shelf help COMMAND` mean --help, also for aliases."""
    assert in_our_words(["help"]) == ["--help"]
    assert in_our_words(["help", "list"]) == ["ls", "--help"]


def test_json_before_the_command_is_json_behind_it() -> None:
    """Options for all commands stand before them in docker: what a program after `run` is given stays its own."""
    assert in_our_words(["--json", "list"]) == ["ls", "--json"]
    assert in_our_words(["--json", "run", "m", "ls"]) == ["run", "--json", "m", "ls"]
    assert in_our_words(["--json"]) == ["--json"]


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("upgrade", "Did you mean shelf update?"),
        ("Where", "Did you mean shelf path?"),
        ("space", "Did you mean shelf tiers?"),
        ("instal", "Did you mean shelf add?"),
        ("tirs", "Did you mean shelf tiers?"),
        ("lists", "Did you mean shelf ls?"),
        ("banana", "shelf --help lists the commands."),
        ("remov", "shelf --help lists the commands."),
        ("deletee", "shelf --help lists the commands."),
        ("prunes", "shelf --help lists the commands."),
        ("forgets", "shelf --help lists the commands."),
    ],
)
def test_an_unknown_word_is_answered_by_what_it_means(word: str, said: str) -> None:
    """An unknown word gets the command it means, else one spelled nearly the same; never a command that deletes."""
    err = unknown(word, COMMANDS)

    assert (err.detail, err.hint) == (f"There is no command {word}.", said)


@pytest.mark.parametrize("word", ["login", "log", "cp", "push", "kill", "cache"])
def test_what_has_no_command_here_says_what_to_type_instead(word: str) -> None:
    """A habit without a counterpart gets the reason and what to type instead."""
    err = unknown(word, COMMANDS)

    assert err.detail.endswith(".")
    assert "shelf " in err.hint or "hf " in err.hint


def test_every_meaning_is_of_a_command_that_there_is() -> None:
    """Every suggestion is a command that exists and doesn't delete."""
    assert set(_MEANINGS) <= set(COMMANDS) - DELETING
