"""`GET /api/events` reports every change of the library as it happens, whoever makes it."""

from __future__ import annotations

import json
import re
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
import pytest

from tests.fakes.hub import FakeHub
from tests.world import MIB, Home, Server, random_bytes, wait_until

REPO = "org/name"
SIZE = 3 * MIB


class Told:
    """What a listener received so far."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.last_id = ""
        self.listening = threading.Event()
        self.over = threading.Event()

    def of(self, kind: str) -> list[dict[str, Any]]:
        """Return the objects of one kind of event."""
        return [data for name, data in list(self.events) if name == kind]

    def read(self, lines: Iterator[str]) -> None:
        """Read a stream to its end. Source: WHATWG HTML, 9.2.6 Interpreting an event stream."""
        name = ""
        for line in lines:
            field, _, value = line.partition(":")
            if field == "event":
                name = value.strip()
            elif field == "id":
                self.last_id = value.strip()
            elif field == "data":
                self.events.append((name, json.loads(value)))
            elif line == ": listening":
                self.listening.set()
        self.over.set()


@contextmanager
def listening(server: Server, last_id: str | None = None, path: str = "/api/events") -> Iterator[Told]:
    """Listen to a server inside the context, from now on or after the last event of an earlier stream."""
    told = Told()
    headers = {} if last_id is None else {"Last-Event-ID": last_id}

    def listen() -> None:
        with client.stream("GET", f"{server.url}{path}", headers=headers) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            told.read(answer.iter_lines())

    with httpx2.Client(trust_env=False, timeout=60) as client:
        thread = threading.Thread(target=listen)
        thread.start()
        assert told.listening.wait(60)
        try:
            yield told
        finally:
            server.end()
            thread.join()


@pytest.fixture
def commit(hub: FakeHub) -> str:
    """The commit of a repository on the hub."""
    return hub.add_repo(REPO, {"model.safetensors": random_bytes(SIZE)})


def test_a_life_of_a_model_is_told(home: Home, commit: str, server: Server) -> None:
    """A pull in a shell, a rename over HTTP and a removal in a shell are events with the API's objects."""
    with listening(server) as told:
        home.run("add", "m", REPO).checked()
        wait_until(lambda: "ready" in [model["state"] for model in told.of("model")], "the model")
        server.ask("PATCH", "/api/models/m", {"model_name": "n"})
        wait_until(lambda: "n" in [model["model_name"] for model in told.of("model")], "the new name")
        home.run("rm", "n").checked()
        wait_until(lambda: {"model_name": "n", "state": "removed"} in told.of("model"), "the removal")

    jobs = told.of("job")
    assert {(job["kind"], job["model_name"]) for job in jobs} >= {("pull", "m")}
    assert "done" in [job["state"] for job in jobs]
    names = [(model["model_name"], model["state"]) for model in told.of("model")]
    assert ("m", "removed") in names
    assert names.index(("n", "ready")) < names.index(("n", "removed"))


def test_progress_is_told(hub: FakeHub, home: Home, commit: str, server: Server) -> None:
    """While bytes arrive, events of the job have their number."""
    hub.pause(after_bytes=2 * MIB)
    with listening(server) as told:
        server.ask("POST", "/api/models", {"model_name": "m", "hf_path": REPO})
        wait_until(lambda: [job for job in told.of("job") if job["state"] == "running"], "the job to run")
        hub.resume()
        wait_until(lambda: [job for job in told.of("job") if job["state"] == "done"], "its end")

    assert told.of("job")[-1]["done_bytes"] == SIZE


def test_a_crossed_threshold_is_an_event_and_a_log_line(hub: FakeHub, home: Home, commit: str) -> None:
    """A tier that passes its warning threshold is one event and one log line, and so is its return."""
    with home.serve(PRIMARY_CACHE_LIMIT_GB="0.005", CACHE_WARNING_THRESHOLD="0.5") as server:
        with listening(server) as told:
            home.run("add", "m", REPO).checked()
            wait_until(lambda: told.of("tier"), "the crossing")
            shown = server.get("/api/cache")[0]
            assert int(told.last_id) > 1
            home.run("rm", "m", "--files").checked()
            wait_until(lambda: len(told.of("tier")) == len(told.of("warning")) == 2, "the way back")
        log = server.log.read_text()

    assert [(one["warning"], one["state"]) for one in told.of("warning")] == [
        ("over_threshold", "on"),
        ("over_threshold", "removed"),
    ]
    assert len({one["usage_bytes"] for one in told.of("usage")}) > 1
    over, under = told.of("tier")
    assert (over["warning"], over["cache_location"], over["limit_bytes"]) == (True, "primary", 5_000_000)
    assert over["usage_bytes"] + over["reserved_bytes"] >= 2_500_000  # perhaps the pull still writes
    assert shown["warning"] is True
    assert under["warning"] is False
    assert (log.count("tier_over_threshold"), log.count("tier_under_threshold")) == (1, 1)


def test_a_tier_over_its_threshold_is_logged_when_the_server_starts(home: Home, commit: str) -> None:
    """A tier over its threshold at the server's start is logged and isn't an event."""
    home.run("add", "m", REPO).checked()
    with home.serve(PRIMARY_CACHE_LIMIT_GB="0.005", CACHE_WARNING_THRESHOLD="0.5") as server:
        wait_until(lambda: "tier_over_threshold" in server.log.read_text(), "the log line")


def test_a_listener_does_not_hold_the_end_up(server: Server) -> None:
    """SIGTERM ends an open stream and the server with 0 and without a log about cancelled tasks."""
    with listening(server) as told:
        code = server.end(signal.SIGTERM)
        assert told.over.wait(60)
        log = server.log.read_text()

    assert code == 0
    assert "Cancel" not in log
    assert "Traceback" not in log


def test_a_listener_goes_on_where_it_was_cut_off(home: Home, commit: str) -> None:
    """After a restart, a listener gets each change that it missed once, in its latest state."""
    with home.serve() as server, listening(server) as first:
        home.run("add", "m", REPO).checked()
        home.run("add", "gone", REPO).checked()
        wait_until(lambda: "ready" in [m["state"] for m in first.of("model") if m["model_name"] == "gone"], "the model")
        wait_until(lambda: first.of("job")[-1]["state"] == "done", "the end of its job")
    home.run("rename", "m", "n").checked()
    home.run("pin", "n").checked()
    home.run("rm", "gone").checked()

    with home.serve() as server, listening(server, first.last_id) as second:
        wait_until(lambda: "gone" in [model["model_name"] for model in second.of("model")], "what was missed")
        home.run("unpin", "n").checked()
        wait_until(lambda: not second.of("model")[-1].get("pinned", True), "what comes later")

    assert [(model["model_name"], model["state"]) for model in second.of("model")] == [
        ("m", "removed"),
        ("n", "ready"),
        ("gone", "removed"),
        ("n", "ready"),
    ]
    assert second.of("resync") == []


@pytest.mark.parametrize("last_id", ["1", "99999999999999", "what", "9" * 40])
def test_a_listener_whose_last_event_is_not_known_is_told_to_read_anew(
    commit: str, server: Server, last_id: str
) -> None:
    """A listener with an unknown last event is told to read everything again, and still gets later changes."""
    with listening(server, last_id) as told:
        wait_until(lambda: told.events, "the first event")
        server.ask("POST", "/api/models", {"model_name": "m", "hf_path": REPO, "download": False})
        wait_until(lambda: told.of("model"), "a later change")

    assert told.events[0] == ("resync", {})
    assert int(told.last_id) > 1


def test_a_page_hears_of_what_changed_since_it_was_made(commit: str, server: Server) -> None:
    """A change between the answer with the page and the page's question for changes is told, too."""
    html = server.ask("GET", "/", Accept="text/html").text
    found = re.search(r'data-events="([^"]+)"', html)
    assert found is not None
    server.ask("POST", "/api/models", {"model_name": "m", "hf_path": REPO, "download": False})

    with listening(server, path=found[1]) as told:
        wait_until(lambda: told.of("model"), "the change")

    assert told.of("resync") == []
    assert int(told.last_id) > 1


def test_what_a_program_holds_is_told(home: Home, commit: str, server: Server) -> None:
    """Taking and releasing a lease are events, and so is the use of the model."""
    home.run("add", "m", REPO).checked()
    with listening(server) as told:
        home.run("run", "m", "--", "true").checked()
        wait_until(lambda: "removed" in [lease.get("state") for lease in told.of("lease")], "the end of the lease")
        wait_until(lambda: told.of("model") and told.of("model")[-1]["uses"] == 1, "the use")

    assert {lease["id"] for lease in told.of("lease")} == {told.of("lease")[0]["id"]}
