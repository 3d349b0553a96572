"""shelf chat: one question, a text from a pipe, and a conversation on a terminal, with the server of the library."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from modelshelf.errors import EngineFailed
from modelshelf.services.jobs.process import this_process
from modelshelf.services.shelf import Shelf
from tests.fakes.hub import FakeHub
from tests.fakes.upstream import NAME, OneEngine, Upstream, upstream
from tests.serving import serving
from tests.terminal import Terminal
from tests.world import Home

CHAT = (sys.executable, "-m", "modelshelf", "chat", "smol")


@pytest.fixture
def engine() -> Iterator[Upstream]:
    """The engine's server."""
    with upstream() as made:
        yield made


@pytest.fixture
def engines(engine: Upstream) -> OneEngine:
    """The pool, whose engine is ready."""
    made = OneEngine(engine.url)
    made.ready.set()
    return made


@pytest.fixture(autouse=True)
def running(shelf: Shelf, hub: FakeHub, engines: OneEngine) -> Iterator[None]:
    """A server over a library that has `smol`, and that the registry knows."""
    hub.add_repo("org/smol", {"config.json": b"{}"})
    shelf.register("smol", "org/smol")
    with serving(shelf, engines=engines) as started:
        shelf.services.registry.servers.beat(this_process(), f"http://0.0.0.0:{started.port}")
        yield


def said(engine: Upstream) -> list[tuple[str, str]]:
    """Return what the model was told at last."""
    return [(message["role"], message["content"]) for message in engine.bodies[-1]["messages"]]


def test_one_question_gets_the_answer_alone(home: Home, engine: Upstream) -> None:
    """The answer is on stdout and nothing is beside it; the words make one question."""
    done = home.run("chat", "smol", "tell", "me", "--system", "Be brief.").checked()

    assert (done.out, done.err) == ("onetwo\n", "")
    assert said(engine) == [("system", "Be brief."), ("user", "tell me")]
    assert (engine.bodies[-1]["model"], engine.bodies[-1]["stream"]) == (NAME, True)


def test_a_piped_text_follows_the_question(home: Home, engine: Upstream) -> None:
    """What comes in through a pipe is read to its end and asked behind the question."""
    piped = subprocess.run(
        [*CHAT, "sum this up"], cwd=home.work, env=home.environ(), input=b"Z\xc3\xbcrich \xff\n", capture_output=True
    )

    assert (piped.stdout, piped.stderr) == (b"onetwo\n", b"")
    assert said(engine) == [("user", "sum this up\n\nZürich �")]


def test_without_a_question_nothing_is_asked(home: Home, engine: Upstream) -> None:
    """An empty pipe and no question is an error that says what to do."""
    done = home.run("chat", "smol")

    assert (done.code, engine.bodies) == (2, [])
    assert "Ask it behind the name, or pipe it in." in done.err


def test_an_unknown_model_is_named(home: Home) -> None:
    """The error is the server's, with the names that come near."""
    done = home.run("chat", "smoll", "hi")

    assert (done.code, done.out) == (4, "")
    assert "Did you mean smol?" in done.err


def test_an_engine_that_fails_is_an_error(home: Home, engines: OneEngine) -> None:
    """The last lines of the engine are told, and the exit code says that it may go later."""
    engines.error = EngineFailed("smol didn't start.", tail=("out of tune",))
    done = home.run("chat", "smol", "hi")

    assert (done.code, done.out) == (7, "")
    assert "smol didn't start.\nout of tune" in done.err


def test_an_answer_that_breaks_off_is_an_error(home: Home) -> None:
    """What came is printed, and then why no more comes."""
    done = home.run("chat", "smol", "die")

    assert (done.code, done.out) == (7, "one\n")
    assert "broke off its answer" in done.err


def test_a_conversation_remembers(home: Home, engine: Upstream) -> None:
    """What was said is sent along until /clear; /system is told beforehand; /help tells the commands, /bye leaves."""
    terminal = Terminal(home, *CHAT)
    terminal.wait_for(">>> ")
    terminal.type("/help\n")
    terminal.wait_for("forget what was said")
    terminal.type("first\n")
    terminal.wait_for("first token after")
    terminal.type("second\n")
    terminal.wait_for("onetwo")
    terminal.type("/system Be kind.\n/clear\n/nonsense\n")
    terminal.wait_for("There is no /nonsense")
    asked = len(engine.bodies)
    terminal.type('"""two\nlines"""\n')
    terminal.type("/bye\n")
    screen = terminal.finish()

    assert screen.code == 0
    assert [message["content"] for message in engine.bodies[1]["messages"]] == ["first", "onetwo", "second"]
    assert asked == 2
    assert said(engine) == [("system", "Be kind."), ("user", "two\nlines")]


def test_ctrl_c_ends_the_answer_alone(home: Home, engine: Upstream) -> None:
    """The engine hears that nobody wants more; the conversation goes on with what came, as often as it is pressed."""
    terminal = Terminal(home, *CHAT)
    terminal.wait_for(">>> ")
    for _ in range(2):
        terminal.type("hold\n")
        terminal.wait_for("oneonon")
        terminal.type("\x03")
        terminal.wait_for("(stopped)")
    assert engine.left.wait(30)
    terminal.type("more\n")
    terminal.wait_for("first token after")
    terminal.wait_for(">>> ")
    terminal.type("\x04")

    assert terminal.finish().code == 0
    assert [role for role, _ in said(engine)] == ["user", "assistant", "user", "assistant", "user"]


def test_a_wait_for_the_model_is_shown(home: Home, engines: OneEngine) -> None:
    """While the model loads, a line says so, and goes when the answer comes."""
    engines.ready.clear()
    terminal = Terminal(home, *CHAT, "hi")
    terminal.wait_for("loading smol (starting)")
    engines.ready.set()
    screen = terminal.finish()

    assert screen.code == 0
    assert "\r\x1b[2Kone\n" in screen.raw
    assert "onetwo\n" in screen.raw


def test_what_was_typed_is_found_in_the_next_conversation(home: Home, engine: Upstream) -> None:
    """The up arrow gives the lines of an earlier conversation, whose file is its user's alone."""
    for keys in ("tell me\n/bye\n", "\x1b[A\x1b[A\n"):
        terminal = Terminal(home, *CHAT)
        terminal.wait_for(">>> ")
        terminal.type(keys)
        terminal.wait_for("first token after")
        if keys.endswith("/bye\n"):
            terminal.finish()
    terminal.wait_for(">>> ")
    terminal.type("\x04")
    terminal.finish()
    history = home.root / "state" / "modelshelf" / "chat_history"

    assert said(engine) == [("user", "tell me")]
    assert history.read_text().splitlines()[:2] == ["tell me", "/bye"]
    assert history.stat().st_mode & 0o777 == 0o600


def test_a_named_key_opens_a_server_that_asks_for_one(
    home: Home, shelf: Shelf, engines: OneEngine, engine: Upstream
) -> None:
    """Without a key the error says how to make one and how to bring it; with it the model answers."""
    key = home.run("key", "add", "me").checked().out.strip()
    with serving(shelf, engines=engines, api_key="the server's") as keyed:
        shelf.services.registry.servers.beat(this_process(), f"http://127.0.0.1:{keyed.port}")
        refused = home.run("chat", "smol", "hi")
        done = home.run("chat", "smol", "hi", SHELF_API_KEY=key)

    assert (refused.code, refused.out) == (3, "")
    assert "asks for a key" in refused.err
    assert "shelf key add" in refused.err
    assert done.checked().out == "onetwo\n"
