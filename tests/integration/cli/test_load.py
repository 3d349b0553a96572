"""`shelf load` through an engine."""

from __future__ import annotations

import shlex
import signal
import sys
from pathlib import Path

from tests.fakes.hub import FakeHub
from tests.headers import gguf
from tests.world import DEADLINE_S, Home, wait_until

PROGRAM = Path(__file__).parents[2] / "fakes" / "engine_program.py"


def llama_server(*words: str) -> dict[str, str]:
    """Return the setting that names the tests' own engine."""
    return {"LLAMA_SERVER": shlex.join([sys.executable, "-P", str(PROGRAM), *words])}


def test_a_gguf_is_asked_through_its_engine(home: Home, hub: FakeHub) -> None:
    """A GGUF is started in llama-server and asked; the answer has the shape that transformers' has."""
    hub.add_repo("org/tiny", {"model.gguf": gguf({"general.architecture": "llama"})})
    home.run("add", "tiny", "org/tiny").checked()

    trial = home.run("load", "tiny", "--json", "--prompt", "Hello?", **llama_server()).checked().json

    assert list(trial) == ["model_name", "load_s", "answer_s", "memory_bytes", "prompt", "answer"]
    assert (trial["prompt"], trial["answer"].split()[0]) == ("Hello?", "word0")
    assert trial["memory_bytes"] > 1_000_000


def test_a_running_server_loads_it_and_keeps_it(home: Home, hub: FakeHub) -> None:
    """Beside a server `load`, `ps` and `unload` mean the same models."""
    hub.add_repo("org/tiny", {"model.gguf": gguf({"general.architecture": "llama"})})
    home.run("add", "tiny", "org/tiny").checked()
    with home.serve(**llama_server()) as server:
        asked = home.run("load", "tiny").checked()
        loaded = [one["model_name"] for one in home.run("ps", "--json").checked().json]
        home.run("unload", "tiny").checked()

        assert asked.out.startswith("tiny: word0")
        assert f"The server at {server.url} keeps it" in asked.err
        assert loaded == ["tiny"]
        assert home.run("ps", "--json").checked().json == []


def test_who_unloads_is_told_what_it_waits_for(home: Home, hub: FakeHub) -> None:
    """An answer that still runs comes to its end first, and the person at the terminal knows."""
    hub.add_repo("org/tiny", {"model.gguf": gguf({"general.architecture": "llama"})})
    home.run("add", "tiny", "org/tiny").checked()
    with home.serve(**llama_server("--token-s", "0.05", "--tokens", "100")) as server:
        asking = home.start("chat", "tiny", "Hello?")
        wait_until(lambda: any(one["in_flight"] for one in server.get("/api/engines")), "the answer")
        told = home.run("unload", "tiny").checked()

        assert told.err == "tiny finishes 1 answer first. Ctrl-C leaves that to the server.\nUnloaded tiny.\n"
        assert asking.finish().checked().out


def test_an_embedding_model_makes_numbers_of_the_question(home: Home, hub: FakeHub) -> None:
    """Of a model that makes embeddings, the answer says how many numbers it made."""
    header = {"general.architecture": "bert", "bert.pooling_type": 1}
    hub.add_repo("org/embed", {"model.gguf": gguf(header)})
    home.run("add", "embed", "org/embed").checked()

    assert "embed: an embedding of 3 numbers" in home.run("load", "embed", **llama_server()).checked().out


def test_an_engine_that_fails_is_an_error_with_its_words(home: Home, hub: FakeHub) -> None:
    """An engine that doesn't start ends the command with 7, its reason, its last lines and where its log is."""
    hub.add_repo("org/tiny", {"model.gguf": gguf({"general.architecture": "llama"})})
    home.run("add", "tiny", "org/tiny").checked()

    refused = home.run("load", "tiny", "--json", **llama_server("--crash", "starting"))

    assert refused.code == 7
    assert "unknown model architecture" in refused.problem["detail"]
    assert refused.problem["tail"][0].startswith("fake engine: loading")
    assert "shelf logs tiny" in refused.problem["hint"]


def test_what_an_engine_wrote_is_printed(home: Home, hub: FakeHub) -> None:
    """`shelf logs` prints the last lines of a model's engines, and with -f what is added while it runs."""
    hub.add_repo("org/tiny", {"model.gguf": gguf({"general.architecture": "llama"})})
    home.run("add", "tiny", "org/tiny").checked()
    nothing = home.run("logs", "tiny")
    home.run("load", "tiny", **llama_server()).checked()
    follower = home.start("logs", "tiny", "-f")
    assert follower.process.stdout is not None
    first = follower.process.stdout.readline()
    home.run("load", "tiny", **llama_server("--out-of-memory"))
    added = next(line for line in follower.process.stdout if "failed to allocate" in line)
    follower.process.send_signal(signal.SIGINT)
    follower.process.communicate(timeout=DEADLINE_S)

    assert (nothing.code, "shelf load tiny" in nothing.err) == (4, True)
    assert "fake engine: loading" in first
    assert added
    assert home.run("logs", "tiny", "-n", "1").checked().out.count("\n") == 1
    assert home.run("logs", "tiny", "-n", "0").checked().out == ""
