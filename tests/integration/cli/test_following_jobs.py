"""`shelf jobs --follow` prints a line for each change of a job, and goes on where another listener ended."""

from __future__ import annotations

import json
import signal
from typing import Any

import pytest

from tests.fakes.hub import FakeHub
from tests.world import Child, Home

REPO = "org/name"


@pytest.fixture(autouse=True)
def commit(hub: FakeHub) -> str:
    """The commit of a repository on the hub."""
    return hub.add_repo(REPO, {"config.json": b"{}"})


def read_until(child: Child, state: str) -> list[Any]:
    """Return the lines of a child as JSON, up to the first one of a job in that state."""
    assert child.process.stdout is not None
    told: list[Any] = []
    while not told or told[-1]["data"].get("state") != state:
        line = child.process.stdout.readline()
        assert line
        told.append(json.loads(line))
    return told


def end(child: Child) -> None:
    """End a child as Ctrl-C does."""
    child.process.send_signal(signal.SIGINT)
    ended = child.finish()
    assert (ended.code, ended.err) == (130, "")


def test_a_program_follows_the_jobs_without_a_server(home: Home) -> None:
    """Each change of a job of another process is one line of JSON: the event of `/api/events` with its id."""
    home.run("add", "m", REPO, "--no-download").checked()
    with home.open() as shelf:
        waiting = shelf.services.registrar.enqueue_pull("m")
    child = home.start("jobs", "--follow", "--json")
    first = read_until(child, "queued")
    home.run("pull", "m").checked()
    told = read_until(child, "done")
    end(child)

    assert [(one["event"], one["data"]["id"], one["id"]) for one in first] == [("job", waiting.id, None)]
    assert {(one["event"], one["data"]["id"]) for one in told} == {("job", waiting.id)}
    assert told[-1]["data"].keys() == home.run("jobs", "--json").checked().json[0].keys()
    assert told[-1]["id"] > 0


def test_a_program_goes_on_where_it_was(home: Home) -> None:
    """With the last id a follower gets what it missed once, in its latest state, and then what comes."""
    home.run("add", "m", REPO).checked()
    child = home.start("jobs", "--follow", "--json")
    home.run("gc").checked()
    last = read_until(child, "done")[-1]
    end(child)
    home.run("gc").checked()
    home.run("add", "n", REPO).checked()

    again = home.start("jobs", "--after", str(last["id"]), "--json")
    missed = [*read_until(again, "done"), *read_until(again, "done")]
    end(again)

    assert [one["data"]["kind"] for one in missed] == ["gc", "pull"]
    assert all(one["id"] > last["id"] for one in missed)


def test_a_follower_whose_last_change_is_not_known_is_told(home: Home) -> None:
    """A follower with an unknown last id is told to read everything again."""
    home.run("add", "m", REPO).checked()
    child = home.start("jobs", "--follow", "--after", "1", "--json")
    assert child.process.stdout is not None
    first = json.loads(child.process.stdout.readline())
    end(child)

    assert (first["event"], first["data"]) == ("resync", {})


def test_a_person_follows_in_lines(home: Home) -> None:
    """Without --json each change is a line for people."""
    home.run("add", "m", REPO, "--no-download").checked()
    with home.open() as shelf:
        shelf.services.registrar.enqueue_pull("m")
    child = home.start("jobs", "-f")
    assert child.process.stdout is not None
    lines = [child.process.stdout.readline()]
    home.run("pull", "m").checked()
    while "done" not in lines[-1]:
        lines.append(child.process.stdout.readline())
        assert lines[-1]
    end(child)

    assert lines[0].startswith("1 pull m: queued")
    assert all(line.startswith("1 pull m: ") for line in lines)
