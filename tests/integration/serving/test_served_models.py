"""Models that a whole server serves, with engines that are real processes."""

from __future__ import annotations

import contextlib
import http.client
import json
import shlex
import signal
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest

from modelshelf.bootstrap.engines import make_pool
from modelshelf.domain.jobs import A_REQUEST, JobKind
from modelshelf.domain.models import Registration
from modelshelf.domain.names import ModelName, RepoId
from modelshelf.services.jobs.process import this_process
from modelshelf.services.shelf import Shelf
from tests.fakes.hub import FakeHub
from tests.headers import gguf
from tests.integration.events.test_events import listening
from tests.serving import Reply, Serving, serving
from tests.world import Home, wait_until

PROGRAM = Path(__file__).parents[2] / "fakes" / "engine_program.py"
WRITER = {
    "general.architecture": "llama",
    "llama.block_count": 2,
    "llama.context_length": 1024,
    "llama.embedding_length": 64,
    "llama.attention.head_count": 4,
}


@dataclass
class Served:
    """A server over a library with models `one` and `two`."""

    shelf: Shelf
    server: Serving
    home: Home

    def engines(self) -> list[Any]:
        """Return what the server says of its engines."""
        found = self.server.ask("GET", "/api/engines").json
        assert isinstance(found, list)
        return found

    def post(self, path: str, **body: Any) -> Reply:
        """Post to a model."""
        return self.server.ask("POST", f"/api/models/{path}", json.dumps(body).encode())

    def load(self, model: str, **body: Any) -> Any:
        """Load a model; return its job once that is over."""
        begun = self.post(f"{model}/load", **body)
        assert begun.status == 202
        path = begun.headers["location"]
        return wait_until(lambda: (job := self.server.ask("GET", path).json)["finished_at"] and job, "the load to end")

    def ask(self, model: str, **more: Any) -> Reply:
        """Ask a model."""
        body = {"model": model, "messages": [{"role": "user", "content": "Hello"}], **more}
        return self.server.ask("POST", "/v1/chat/completions", json.dumps(body).encode())

    def leases(self) -> list[str]:
        """Return the models that engines hold."""
        return [lease.model_name for lease in self.shelf.services.leaser.live() if lease.kind == "engine"]


@contextlib.contextmanager
def served(
    home: Home,
    hub: FakeHub,
    *words: str,
    names: Sequence[str] = ("one", "two"),
    preload: Sequence[str] = (),
    **settings: str,
) -> Iterator[Served]:
    """Serve a library whose llama-server is the tests' own engine with these words."""
    command = shlex.join([sys.executable, "-P", str(PROGRAM), *words])
    for name in names:
        hub.add_repo(f"org/{name}", {"model.gguf": gguf(WRITER)})
    with home.open() as shelf:
        for name in names:
            shelf.register(name, f"org/{name}")
        pool = make_pool(shelf.services, home.settings(LLAMA_SERVER=command, **settings), cause=A_REQUEST)
        with serving(shelf, engines=pool, preload=preload) as server:
            shelf.services.registry.servers.beat(this_process(), f"http://127.0.0.1:{server.port}")
            yield Served(shelf, server, home)


@pytest.fixture
def both(home: Home, hub: FakeHub) -> Iterator[Served]:
    """A server with room for one model."""
    with served(home, hub, MAX_LOADED="1") as made:
        yield made


def test_a_cold_model_answers(both: Served) -> None:
    """A request for a model that isn't loaded starts its engine, which holds a lease, and is answered by it."""
    reply = both.ask("one")
    assert (reply.status, reply.json["model"]) == (200, "one")
    assert both.leases() == ["one"]


def test_one_makes_room_for_the_other(both: Served) -> None:
    """With room for one model each answers in turn, and only the last holds a lease."""
    assert [both.ask(name).status for name in ("one", "two", "one")] == [200, 200, 200]
    assert both.leases() == ["one"]


def test_the_end_of_the_server_ends_its_engines(home: Home, hub: FakeHub) -> None:
    """When the server ends, no engine is left, and no lease."""
    with served(home, hub) as made:
        assert made.ask("one").status == 200
        assert made.leases() == ["one"]
    with home.open() as shelf:
        assert shelf.services.leaser.live() == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["SIGTERM", "SIGKILL"])
def test_a_server_that_ends_takes_its_engines_along(home: Home, hub: FakeHub, number: int) -> None:
    """A server that is told to end, or killed, while it streams an answer leaves no process of an engine behind."""
    hub.add_repo("org/one", {"model.gguf": gguf(WRITER)})
    home.run("add", "one", "org/one").checked()
    command = shlex.join([sys.executable, "-P", str(PROGRAM), "--tokens", "100000", "--token-s", "0.01"])
    asked = {"model": "one", "messages": [{"role": "user", "content": "Hello"}], "stream": True}
    with home.serve(LLAMA_SERVER=command) as server:
        at = urlsplit(server.url)
        connection = http.client.HTTPConnection(at.hostname or "", at.port, timeout=60)
        connection.request("POST", "/v1/chat/completions", json.dumps(asked), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        assert answer.readline()
        children = psutil.Process(server.process.pid).children(recursive=True)
        assert children
        assert server.end(number) == (0 if number == signal.SIGTERM else -number)
        assert psutil.wait_procs(children, timeout=30)[1] == []
        connection.close()


def test_the_states_of_an_engine_are_told(home: Home, hub: FakeHub) -> None:
    """Listeners are told that an engine is ready and, once it is unloaded, that it stopped."""
    hub.add_repo("org/one", {"model.gguf": gguf(WRITER)})
    home.run("add", "one", "org/one").checked()
    command = shlex.join([sys.executable, "-P", str(PROGRAM)])
    with home.serve(LLAMA_SERVER=command) as server, listening(server) as told:
        assert server.ask("POST", "/api/models/one/load", {}).status == 202
        wait_until(lambda: "ready" in [one["state"] for one in told.of("engine")], "the engine to be told")
        assert server.ask("POST", "/api/models/one/unload", {}).status == 200
        wait_until(lambda: told.of("engine")[-1]["state"] == "stopped", "its end to be told")

    ready = next(one for one in told.of("engine") if one["state"] == "ready")
    assert (ready["model_name"], ready["kind"], ready["cache_location"]) == ("one", "generate", "primary")


# ---- control


def test_a_model_is_loaded_and_unloaded_by_hand(both: Served) -> None:
    """A loaded model is listed with its tier and its time; unloaded, nothing of it is left."""
    assert both.engines() == []
    assert both.load("one", keep_alive="30m")["state"] == "done"
    (listed,) = both.engines()
    assert {key: listed[key] for key in ("model_name", "state", "engine", "kind", "cache_location", "detail")} == {
        "model_name": "one", "state": "ready", "engine": "llama", "kind": "generate", "cache_location": "primary",
        "detail": "",
    }  # fmt: skip
    assert (listed["keep_alive_s"], listed["in_flight"], listed["queued"]) == (1800, 0, 0)
    assert 0 < listed["unload_in_s"] <= 1800
    assert listed["memory_bytes"] > 0
    assert both.post("one/unload").json == {"model_name": "one"}
    assert (both.engines(), both.leases()) == ([], [])
    assert both.post("one/unload").status == 404


def test_a_pinned_model_gives_no_room_to_a_request(both: Served) -> None:
    """A request for which only a pinned model could go gets 503, and the command that helps."""
    both.load("one", pinned=True)
    assert both.engines()[0]["pinned"]
    refused = both.ask("two")
    assert refused.status == 503
    assert "pinned" in refused.json["error"]["message"]
    assert [both.post("one/unload").status, both.ask("two").status] == [200, 200]


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [("nobody/load", {}, 404), ("one/load", {"keep_alive": "soon"}, 400), ("one/load", {"for": 1}, 422)],
    ids=["no model", "no duration", "no such field"],
)
def test_a_wrong_load_starts_nothing(both: Served, path: str, body: dict[str, Any], status: int) -> None:
    """A load that can't be meant is refused as a problem document."""
    refused = both.post(path, **body)
    assert (refused.status, refused.headers["content-type"]) == (status, "application/problem+json")
    assert both.engines() == []


def test_a_failed_model_is_listed_with_its_last_words(home: Home, hub: FakeHub) -> None:
    """A model whose engine crashes as it starts is told with its log, on the page and at the command line."""
    with served(home, hub, "--crash", "starting") as made:
        failed = made.load("one")
        assert failed["state"] == "failed"
        (listed,) = made.engines()
        assert (listed["state"], listed["detail"]) == ("failed", failed["detail"])
        assert listed["tail"]
        shown = home.run("ps").checked()
        assert "failed" in shown.out
        assert listed["detail"] in shown.err


def test_the_commands_show_and_unload(both: Served) -> None:
    """`shelf ps` lists what the server has in memory, and `shelf unload` ends it."""
    both.load("one", keep_alive=-1)
    shown = both.home.run("ps").checked()
    assert [line.split()[0] for line in shown.out.splitlines()] == ["MODEL", "one"]
    assert shown.out.rstrip().endswith("never")
    assert both.home.run("ps", "--json").checked().json[0]["model_name"] == "one"
    assert both.home.run("unload", "one").checked().err == "Unloaded one.\n"
    assert "No model is loaded" in both.home.run("ps").checked().err
    again = both.home.run("unload", "one")
    assert (again.code, "shelf ps lists what is" in again.err) == (4, True)


def test_without_a_server_nothing_is_loaded(home: Home) -> None:
    """`shelf ps` lists nothing where no server runs, and `shelf unload` says that there is nothing to unload."""
    shown, unknown = home.run("ps").checked(), home.run("unload", "one")
    with home.open() as shelf:
        shelf.services.registry.add_model(Registration(ModelName("one"), RepoId("org/one"), "primary"), "/x")
    refused = home.run("unload", "one")
    assert (shown.out, "shelf serve" in shown.err) == ("", True)
    assert home.run("ps", "--json").checked().json == []
    assert (unknown.code, "There is no model one" in unknown.err) == (4, True)
    assert (refused.code, refused.err) == (7, "error: No server of this library runs here, so no model is loaded.\n")


def test_a_server_loads_a_model_as_it_starts(home: Home, hub: FakeHub) -> None:
    """A model that the server is told to load is ready without a request, and stays."""
    with served(home, hub, preload=["two"]) as made:
        ready = wait_until(lambda: [each for each in made.engines() if each["state"] == "ready"], "the model")
        assert [(each["model_name"], each["keep_alive_s"]) for each in ready] == [("two", None)]


def test_a_server_is_not_started_for_a_model_that_is_not_there(home: Home) -> None:
    """`shelf serve --model` with an unknown name says so and ends."""
    refused = home.run("serve", "--model", "nobody")
    assert (refused.code, "There is no model nobody" in refused.err) == (4, True)


# ---- models that change while they are served


def test_a_served_model_is_not_removed(both: Served) -> None:
    """`shelf rm` refuses a model that an engine holds, and names the command that ends it."""
    both.ask("one")
    refused = both.home.run("rm", "one", "--files", "--yes")
    assert (refused.code, "one is used by engine in pid" in refused.err) == (5, True)
    assert "shelf unload one" in refused.err
    both.post("one/unload")
    both.home.run("rm", "one", "--files", "--yes").checked()
    assert both.ask("one").status == 404


def test_a_served_model_moves(both: Served) -> None:
    """A model that moves while it is served answers on; its old copy goes once its engine is gone."""
    both.ask("one")
    held = Path(str(both.shelf.model("one").path), "model.gguf")
    both.shelf.move("one", "secondary")
    assert both.ask("one").status == 200
    assert both.engines()[0]["cache_location"] == "secondary"
    assert held.resolve().is_relative_to(both.home.primary)
    refused = both.home.run("rm", "one", "--yes")
    assert (refused.code, "shelf unload one" in refused.err) == (5, True)
    both.post("one/unload")
    both.shelf.services.runner.run_due(JobKind.DELETE_OLD_COPY)
    assert held.resolve().is_relative_to(both.home.secondary)  # by the view
    assert both.ask("one").status == 200


def test_the_engine_of_a_model_is_chosen_over_http(both: Served) -> None:
    """A choice that can't be had changes nothing; another one is taken by the engine of the next request."""
    assert both.ask("one").status == 200
    wrong = both.server.ask("PATCH", "/api/models/one", b'{"engine": "llama", "engine_args": ["api-key=x"]}')
    right = both.server.ask("PATCH", "/api/models/one", b'{"engine": "llama", "engine_args": ["threads=2"]}')
    both.post("one/unload")
    assert both.ask("one").status == 200
    commands = [child.cmdline() for child in psutil.Process().children(recursive=True)]

    assert (wrong.status, right.status, right.json["engine_args"]) == (400, 200, ["--threads=2"])
    assert any(command[-2:] == ["--threads", "2"] for command in commands)


def test_an_updated_model_is_started_anew(both: Served, hub: FakeHub) -> None:
    """A request after an update is answered by an engine of the new commit."""
    both.ask("one")
    first = both.engines()[0]["load_s"]
    hub.add_repo("org/one", {"model.gguf": gguf(WRITER | {"llama.block_count": 3})})
    both.shelf.update("one")

    def is_new() -> bool:
        return both.ask("one").status == 200 and bool(both.engines()[0]["load_s"] != first)

    wait_until(is_new, "an engine of the new commit")
