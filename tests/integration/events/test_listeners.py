"""Two hundred listeners at once, one that sleeps, some that come back, a server that restarts: nothing is missed."""

from __future__ import annotations

import json
import socket
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.fakes.hub import FakeHub
from tests.world import DEADLINE_S, Home, Server, free_port

REPO = "org/name"
LISTENERS = 200


class Listener:
    """A client of `/api/events` that reads when it wants to."""

    def __init__(self, server: Server, last_id: str | None = None) -> None:
        where = urlsplit(server.url)
        self._socket = socket.create_connection((where.hostname or "", where.port or 0), timeout=DEADLINE_S)
        more = "" if last_id is None else f"Last-Event-ID: {last_id}\r\n"
        self._socket.sendall(f"GET /api/events HTTP/1.1\r\nHost: {where.netloc}\r\n{more}\r\n".encode())
        self._lines = self._socket.makefile("r", encoding="utf-8")
        self.last_id = ""
        while ": listening" not in self._lines.readline():
            pass

    def read_until(self, model_name: str) -> list[str]:
        """Read until a model is told; return the names of all models that were told on the way."""
        told: list[str] = []
        kind, found = "", False
        for line in self._lines:
            field, _, value = line.strip().partition(": ")
            kind = value if field == "event" else kind
            self.last_id = value if field == "id" else self.last_id
            data: Any = json.loads(value) if field == "data" and kind == "model" else {}
            if data:
                told.append(data["model_name"])
                found = data["model_name"] == model_name
            elif not field and found:  # the event is whole, and so is its id
                return told
        raise AssertionError(f"The stream ended before {model_name}: {told}")

    def close(self) -> None:
        """Hang up."""
        self._lines.close()
        self._socket.close()


@pytest.fixture
def repo(hub: FakeHub) -> None:
    """A repository on the hub."""
    hub.add_repo(REPO, {"config.json": b"{}"})


def add(home: Home, name: str) -> None:
    """Register a model in a shell."""
    home.run("add", name, REPO, "--no-download").checked()


@pytest.mark.usefixtures("repo")
def test_two_hundred_listeners_miss_nothing(home: Home) -> None:
    """All are told of each change, also who slept meanwhile, and go on where they were after a restart."""
    port = str(free_port())
    with home.serve(SHELF_PORT=port) as server:
        listeners = [Listener(server) for _ in range(LISTENERS)]
        add(home, "first")
        for listener in listeners[1:]:
            assert "first" in listener.read_until("first")
        add(home, "second")
        listeners[1].read_until("second")
        assert listeners[0].read_until("second")[-1] == "second"  # it slept through both
        ids = [listener.last_id for listener in listeners]
        for listener in listeners:
            listener.close()
        add(home, "third")  # nobody listens
        back = Listener(server, ids[1])
        assert back.read_until("third") == ["third"]
        back.close()
    add(home, "fourth")  # no server runs

    with home.serve(SHELF_PORT=port) as server:
        listeners = [Listener(server, last_id) for last_id in ids]
        try:
            for number, listener in enumerate(listeners):
                missed = ["third", "fourth"] if number < 2 else ["second", "third", "fourth"]
                assert listener.read_until("fourth") == missed
        finally:
            for listener in listeners:
                listener.close()
