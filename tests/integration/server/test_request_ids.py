"""Each request has an id, in its answer, its log lines and the ledger; and no log has what was said."""

from __future__ import annotations

import json
import logging
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from modelshelf.errors import EngineFailed
from modelshelf.server.log import LogFormatter
from modelshelf.services.shelf import Shelf
from tests.fakes.hub import FakeHub
from tests.fakes.upstream import OneEngine, upstream
from tests.integration.server.gateway.test_openai import CHAT, ask, begin, chat, leave
from tests.serving import Serving, serving
from tests.world import wait_until

SECRET = "the-cat-is-called-Mephisto"


class Kept(logging.Handler):
    """Keeps every line that is logged, as a server with SHELF_LOG=json writes it."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.setFormatter(LogFormatter(as_json=True))
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line."""
        self.lines.append(self.format(record))

    def told(self, event: str) -> list[dict[str, Any]]:
        """Return the lines of an event."""
        return [line for line in map(json.loads, self.lines) if line["event"] == event]

    def of_a_bug(self) -> list[dict[str, Any]]:
        """Return the lines with the traceback of our own failure."""
        return [line for line in map(json.loads, self.lines) if "a bug" in line.get("exception", "")]


@pytest.fixture
def engines() -> Iterator[OneEngine]:
    """A pool whose engine is ready."""
    with upstream() as engine:
        made = OneEngine(engine.url)
        made.ready.set()
        yield made


@pytest.fixture
def door(shelf: Shelf, hub: FakeHub, engines: OneEngine) -> Iterator[Serving]:
    """A server over a library that has `smol`."""
    hub.add_repo("org/smol", {"config.json": b"{}"})
    shelf.register("smol", "org/smol")
    with serving(shelf, engines=engines) as started:
        yield started


@pytest.fixture
def log(door: Serving) -> Iterator[Kept]:
    """Everything that the server logs, the least important lines too; uvicorn's own logger passes nothing on here."""
    kept, loggers = Kept(), [logging.getLogger(), logging.getLogger("uvicorn.error")]
    before = loggers[0].level
    for logger in loggers:
        logger.addHandler(kept)
    loggers[0].setLevel(logging.DEBUG)
    try:
        yield kept
    finally:
        loggers[0].setLevel(before)
        for logger in loggers:
            logger.removeHandler(kept)


@pytest.mark.parametrize("path", ["/healthz", "/api/models", "/api/models/none", "/nowhere", "/hf/api/models/no/no"])
def test_a_well_formed_id_is_taken(door: Serving, path: str) -> None:
    """An answer of any route, errors too, carries the id that the client gave its request."""
    assert door.ask("GET", path, headers=["X-Request-Id: my-id_1.2"]).headers["x-request-id"] == "my-id_1.2"


@pytest.mark.parametrize(
    "headers",
    [[], ["X-Request-Id: "], ["X-Request-Id: a b"], [f"X-Request-Id: {'x' * 65}"], ["X-Request-Id: a"] * 2],
    ids=["none", "empty", "spaces", "too long", "two"],
)
def test_another_one_is_made(door: Serving, headers: list[str]) -> None:
    """Without a well-formed id the server makes one, a new one each time."""
    made = {door.ask("GET", "/healthz", headers=headers).headers["x-request-id"] for _ in range(2)}

    assert len(made) == 2
    assert all(re.fullmatch("[0-9a-f]{16}", one) for one in made)


def test_a_request_has_one_id_everywhere(door: Serving, log: Kept) -> None:
    """The answer, the ledger and the line in the log have the same id."""
    ask(door, chat(), CHAT, "X-Request-Id: mine")

    [row] = [row for row in door.ask("GET", "/api/uses").json if row["status"]]
    [line] = log.told("request")
    assert (row["request_id"], line["request_id"]) == ("mine", "mine")
    assert (line["model"], line["status"], line["engine"], line["completion_tokens"]) == ("smol", 200, "fake", 5)
    assert {"error", "key_name", "first_token_s"} & set(line) == set()


def test_our_own_failure_names_the_request(door: Serving, engines: OneEngine, log: Kept) -> None:
    """An answer that says that the server failed has the id of the lines that say why."""
    engines.error = ZeroDivisionError("a bug")

    reply = ask(door, chat(), CHAT, "X-Request-Id: odd")

    assert (reply.status, reply.json["request_id"], reply.headers["x-request-id"]) == (500, "odd", "odd")
    wait_until(log.of_a_bug, "the line")
    assert {line.get("request_id") for line in log.of_a_bug()} == {"odd"}


def test_no_log_has_what_was_said(door: Serving, engines: OneEngine, log: Kept) -> None:
    """Answers, streams, refusals that repeat the prompt, breaks and nonsense leave no word of a prompt in the log."""
    refusal = json.dumps({"error": {"message": f"cannot parse {SECRET}", "code": 400}})
    for said in (SECRET, f"refuse 400 {refusal}", f"refuse 500 {refusal}", f"die {SECRET}", f"nonsense {SECRET}"):
        for streams in (False, True):
            ask(door, chat(said, stream=streams))
            ask(door, chat(said, stream=streams), "/api/chat")
            ask(door, chat(said, stream=streams, max_tokens=5), "/v1/messages")
    for body in (f'{{"model": "smol", "{SECRET}"'.encode(), {"model": {SECRET: 1}}, chat(SECRET, model="nope")):
        ask(door, body)
    with begin(door, chat(f"hold {SECRET}", stream=True)) as connection:
        assert connection.recv(20)
        leave(connection)
    engines.error = EngineFailed("It crashed.")
    ask(door, chat(SECRET))
    wait_until(lambda: door.ask("GET", "/api/stats?model=smol").json[0]["requests"] >= 32, "every row")

    rows = door.ask("GET", "/api/uses?limit=1000").body.decode()
    assert len(log.told("request")) >= 35
    assert [line for line in [*log.lines, rows] if SECRET in line] == []


@pytest.mark.parametrize("as_json", [True, False], ids=["json", "text"])
def test_a_line_is_for_collectors_alone(as_json: bool) -> None:
    """A log of JSON has a line for each request to a model, and one for people has none."""
    code = (
        "from modelshelf.domain.uses import Use; from modelshelf.server.log import log_use, start_logging;"
        f"start_logging(as_json={as_json}); log_use(Use('smol', 'embeddings', 0.0, 1.0, 200))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert done.returncode == 0
    assert [json.loads(line)["event"] for line in done.stderr.splitlines()] == (["request"] if as_json else [])
