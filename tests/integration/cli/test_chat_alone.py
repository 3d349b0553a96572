"""shelf chat without a server: it runs an engine of its own, which is gone when it ends."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from modelshelf.domain.uses import UseFilter
from tests.fakes.hub import FakeHub
from tests.headers import gguf
from tests.terminal import Terminal
from tests.world import Home, wait_until

PROGRAM = Path(__file__).parents[2] / "fakes" / "engine_program.py"
HEADER = {"general.architecture": "llama", "llama.block_count": 2, "llama.context_length": 1024}
CHAT = (sys.executable, "-m", "modelshelf", "chat", "smol")


@pytest.fixture
def engine(home: Home, hub: FakeHub) -> Callable[[str], None]:
    """What sets the words of the program that answers for `smol`."""
    hub.add_repo("org/smol", {"smol-Q4_K_M.gguf": gguf(HEADER)})
    home.run("add", "smol", "org/smol").checked()

    def set_words(words: str) -> None:
        home.extra["LLAMA_SERVER"] = shlex.join([sys.executable, "-P", str(PROGRAM), *shlex.split(words)])

    set_words("")
    return set_words


def engines_of(home: Home) -> list[str]:
    """Return the engines that run, by the files that say so."""
    return [entry.name for entry in (home.root / "state").rglob("engines/*") if entry.suffix == ".json"]


def test_one_question_needs_no_server(home: Home, engine: Callable[[str], None]) -> None:
    """The answer is printed, and the engine is gone."""
    engine("--tokens 3")
    done = home.run("chat", "smol", "hi").checked()

    assert len(done.out.split()) >= 1
    assert (done.err, engines_of(home)) == ("", [])


def test_its_questions_are_in_the_ledger(home: Home, engine: Callable[[str], None]) -> None:
    """A question without a server is a row with its tokens and times, counts as a use, and shows in `shelf stats`."""
    engine("--tokens 4")
    home.run("chat", "smol", "a secret").checked()

    with home.open() as shelf:
        [use] = [row for row in shelf.services.registry.uses(UseFilter()) if row.status is not None]
        uses = shelf.model("smol").row.uses
    assert (use.model_name, use.kind, use.status, use.engine) == ("smol", "chat/completions", 200, "llama")
    assert (use.prompt_tokens, use.completion_tokens, use.cache_location) == (3, 4, "primary")
    assert use.first_token_s is not None
    assert 0 < use.first_token_s <= use.duration_s
    assert uses >= 1
    assert home.run("stats", "smol").checked().out.splitlines()[1].split()[:4] == ["smol", "1", "3", "4"]


def test_a_question_that_fails_is_in_the_ledger_too(home: Home, engine: Callable[[str], None]) -> None:
    """An engine that dies while it answers is a row with its error."""
    engine("--crash streaming")
    done = home.run("chat", "smol", "hi")

    assert done.code == 7
    with home.open() as shelf:
        [use] = [row for row in shelf.services.registry.uses(UseFilter()) if row.status is not None]
    assert (use.status, use.error) == (503, "unavailable")


def test_an_engine_that_does_not_start_is_an_error(home: Home, engine: Callable[[str], None]) -> None:
    """The error has the engine's last words."""
    engine("--crash starting")
    done = home.run("chat", "smol", "hi")

    assert (done.code, done.out) == (7, "")
    assert "smol didn't start" in done.err


def test_ctrl_c_while_it_loads_leaves_nothing(home: Home, engine: Callable[[str], None]) -> None:
    """The engine that starts is ended with the command."""
    engine("--hang starting")
    terminal = Terminal(home, *CHAT, "hi")
    terminal.wait_for("loading smol")
    wait_until(lambda: engines_of(home), "the engine")
    terminal.type("\x03")

    assert terminal.finish().code == 130
    assert engines_of(home) == []
