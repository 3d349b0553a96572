"""What bash gets when a person presses Tab, asked as bash asks."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelshelf.domain.keys import Scope
from modelshelf.domain.models import Registration
from modelshelf.domain.names import ModelName, RepoId
from modelshelf.services.access.keys import add_key
from tests.canary import picture
from tests.fakes.hub import FakeHub
from tests.world import Home, Result

HEAVY = ("sqlalchemy", "pydantic", "huggingface_hub", "fastapi", "rich", "urllib3")
COMPLETE = f"""
import sys
from modelshelf.cli.main import main
sys.argv[0] = "shelf"
try:
    main()
finally:
    assert not (heavy := sys.modules.keys() & set({HEAVY!r})), heavy
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """Three models, one of them on a drive, and two jobs, of which one has ended."""
    with FakeHub() as hub:
        home = Home(tmp_path_factory.mktemp("completion") / "user", hub.url)
        with home.open() as shelf:
            registry = shelf.services.registry
            for name, tier, base in (("qwen", "primary", home.primary), ("quark", "secondary", home.secondary)):
                registry.add_model(Registration(ModelName(name), RepoId("org/name"), tier), str(base))
            registry.bases.remember("a" * 32, "custom", str(home.custom))
            registry.add_job("verify", "quark", {})
            add_key(registry.keys, "laptop", frozenset(Scope))
            registry.finish_job(registry.add_job("gc", "", {}).id, "done")
        yield home


def tab(home: Home, *words: str, **variables: str) -> Result:
    """Return what bash gets for the last of these words."""
    asked = {"_SHELF_COMPLETE": "complete_bash", "COMP_WORDS": " ".join(words), "COMP_CWORD": str(len(words) - 1)}
    return home.start_program(sys.executable, "-c", COMPLETE, **(asked | variables)).finish()


@pytest.mark.parametrize(
    ("words", "proposed"),
    [
        (["shelf", "unp"], ["unpin"]),
        (["shelf", "path", "qu"], ["quark"]),
        (["shelf", "path", "q"], ["quark", "qwen"]),
        (["shelf", "update", "qwen", "qua"], ["quark"]),
        (["shelf", "env", "qw"], ["qwen"]),
        (["shelf", "move", "q"], ["quark", "qwen"]),
        (["shelf", "move", "qwen", "sec"], ["secondary"]),
        (["shelf", "add", "x", "org/name", "--to", "p"], ["primary"]),
        (["shelf", "gc", "--tier", ""], ["primary", "secondary", "{custom}"]),
        (["shelf", "forget", "{custom}"], ["{custom}"]),
        (["shelf", "cancel", ""], ["1"]),
        (["shelf", "adopt", "/"], []),
        (["shelf", "ls", "--so"], ["--sort"]),
        (["shelf", "path", "absent"], []),
        (["shelf", "jobs", "re"], ["resume", "retry"]),
        (["shelf", "jobs", ""], ["pause", "resume", "cancel", "retry", "first", "last", "1"]),
        (["shelf", "view", "a"], ["add"]),
        (["shelf", "view", "add", "lla"], ["llama-server", "llama-swap"]),
        (["shelf", "config", "un"], ["unset"]),
        (["shelf", "config", "get", "PROM"], ["PROMOTE"]),
        (["shelf", "key", ""], ["add", "ls", "revoke"]),
        (["shelf", "key", "revoke", "la"], ["laptop"]),
        (["shelf", "key", "add", "la"], []),
        (["shelf", "key", "add", "x", "--scope", "m"], ["manage"]),
        (["shelf", "ls", "--sort", "s"], ["size"]),
        (["shelf", "add", "x", "--engine", "a"], ["auto"]),
    ],
    ids=lambda words: " ".join(words[1:]) or None,
)
def test_a_word_is_completed(library: Home, words: list[str], proposed: list[str]) -> None:
    """Models, tiers, bases, jobs and options are completed; where nothing is proposed, the shell completes a path."""
    done = tab(library, *(word.format(custom=library.custom) for word in words))

    assert (done.code, done.err) == (0, "")
    assert done.out.split() == [word.format(custom=library.custom) for word in proposed]


def test_completing_writes_nothing_and_says_nothing(home: Home) -> None:
    """Completion writes and prints nothing without a library, beside a second one, or with bad settings or registry."""
    before = picture(home.root)
    for variables in (
        {},
        {"PRIMARY_CACHE_PATH": ""},
        {"SHELF_PORT": "no number"},
        {"DATABASE_URL": "sqlite:////dev/null/registry.db"},
        {"DATABASE_URL": "postgresql://127.0.0.1:9/x"},
        {"PRIMARY_CACHE_PATH": "/proc/1/nothing"},
    ):
        done = tab(home, "shelf", "path", "q", **variables)
        assert (done.code, done.out.strip(), done.err) == (0, "", ""), variables

    assert picture(home.root) == before


def test_completion_can_be_installed(home: Home) -> None:
    """Completion is installed for the user's shell, and the answer says where."""
    home.root.joinpath("home/.bashrc").touch()
    said = home.start_program("bash", "-c", "shelf --install-completion; exit $?", SHELL="/bin/bash").finish()

    assert said.code == 0, said.err
    assert "bash completion installed in" in said.out
    written = Path(home.root / "home/.bash_completions/shelf.sh").read_text()
    assert "_SHELF_COMPLETE=complete_bash" in written


@pytest.mark.parametrize("option", ["--install-completion", "--show-completion"])
def test_completion_is_for_the_shell_in_which_it_is_typed(library: Home, option: str) -> None:
    """A shell's name behind the option, which would be ignored, is refused before anything is written."""
    before = picture(library.root)

    refused = library.run(option, "zsh")

    assert (refused.code, refused.out) == (2, "")
    assert refused.err.splitlines() == [
        f"error: {option} is for the shell in which it is typed: it doesn't take zsh.",
        f"hint: Type {option} alone in the shell that is to complete: bash, zsh or fish.",
    ]
    assert picture(library.root) == before
