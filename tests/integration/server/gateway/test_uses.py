"""The ledger of uses behind the door: each request becomes a row, whatever came of it, without its words."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from modelshelf.domain.uses import Use
from modelshelf.errors import EngineFailed, OutOfSpace, TooMany
from modelshelf.services.serving.uses import Ledger
from modelshelf.services.shelf import Shelf
from tests.fakes.upstream import OneEngine, Upstream
from tests.integration.server.gateway.test_openai import CHAT, ask, begin, chat, leave
from tests.serving import Serving, serving
from tests.world import wait_until

SECRET = "the-cat-is-called-Mephisto"


def uses(door: Serving, query: str = "") -> list[dict[str, Any]]:
    """Return the requests in the ledger, oldest first."""
    rows = door.ask("GET", f"/api/uses{query}").json
    return [row for row in reversed(rows) if row["status"] is not None]


def test_an_answer_is_written_down(shelf: Shelf, door: Serving) -> None:
    """A row has the model, the engine, the tier, the tokens and the time; the model counts it as a use."""
    ask(door, chat(SECRET))

    [use] = uses(door)
    assert [use[name] for name in ("model_name", "kind", "status", "error")] == ["smol", "chat/completions", 200, ""]
    assert [use[name] for name in ("engine", "cache_location", "key_name")] == ["fake", "primary", ""]
    assert (use["prompt_tokens"], use["completion_tokens"], use["first_token_s"]) == (3, 5, None)
    assert use["duration_s"] > 0
    assert shelf.model("smol").row.uses == 1
    assert SECRET not in json.dumps(use)


def test_a_stream_says_when_its_first_token_came(door: Serving) -> None:
    """A stream has a first token; tokens that its engine doesn't count are unknown."""
    ask(door, chat(stream=True))

    [use] = uses(door)
    assert 0 < use["first_token_s"] <= use["duration_s"]
    assert (use["status"], use["prompt_tokens"], use["completion_tokens"], use["tokens_per_s"]) == (
        200,
        None,
        None,
        None,
    )


@pytest.mark.parametrize(
    ("path", "body", "kind"),
    [
        ("/v1/messages", chat(max_tokens=5), "chat/completions"),
        ("/api/chat", chat(stream=False), "chat/completions"),
        ("/api/generate", {"model": "smol", "prompt": "hi", "stream": False}, "chat/completions"),
        ("/api/embed", {"model": "smol", "input": "hi"}, "embeddings"),
        ("/v1/embeddings", {"model": "smol", "input": "hi"}, "embeddings"),
    ],
)
def test_every_protocol_is_written_down(door: Serving, path: str, body: Any, kind: str) -> None:
    """Requests of Anthropic's and Ollama's clients are rows as OpenAI's are."""
    assert ask(door, body, path).status == 200

    assert [(use["model_name"], use["kind"], use["status"]) for use in uses(door)] == [("smol", kind, 200)]


@pytest.mark.parametrize(
    ("body", "error", "status", "kind", "model_name"),
    [
        (chat(SECRET, model="nope"), None, 404, "not-found", "nope"),
        (chat(SECRET), TooMany(f"Too many: {SECRET}"), 429, "too-many", "smol"),
        (chat(SECRET), EngineFailed("It crashed."), 503, "engine-failed", "smol"),
        (chat(f"refuse 400 {SECRET}"), None, 400, "bad-input", "smol"),
        (chat("die"), None, 503, "engine-failed", "smol"),
        (f'{{"model": 5, "{SECRET}": 1}}'.encode(), None, 400, "bad-input", ""),
    ],
    ids=["no model", "too many", "didn't start", "refused", "died", "nonsense"],
)
def test_a_failure_is_written_down(
    door: Serving, engines: OneEngine, body: Any, error: Exception | None, status: int, kind: str, model_name: str
) -> None:
    """A request that fails has its status and the kind of its error, and not the sentence, which may repeat it."""
    engines.error = error

    assert ask(door, body).status == status

    [use] = uses(door)
    assert (use["status"], use["error"], use["model_name"]) == (status, kind, model_name)
    assert SECRET not in json.dumps(use)


def test_a_stream_that_breaks_is_an_error(door: Serving) -> None:
    """A stream whose engine dies began with 200, and its row says that it failed."""
    assert ask(door, chat("die", stream=True)).status == 200

    assert [(use["status"], use["error"]) for use in uses(door)] == [(503, "engine-failed")]


def test_a_client_that_leaves_is_written_down(door: Serving, engine: Upstream) -> None:
    """A client that leaves in the middle has the status 499."""
    with begin(door, chat("hold", stream=True)) as connection:
        assert connection.recv(20)
        leave(connection)

    assert engine.left.wait(60)
    wait_until(lambda: uses(door), "the row")
    assert [(use["status"], use["error"], use["engine"]) for use in uses(door)] == [(499, "client-left", "fake")]


def test_a_row_names_the_key(shelf: Shelf, door: Serving, engines: OneEngine) -> None:
    """A request that brought a key is its key's."""
    with serving(shelf, engines=engines, api_key="ours") as locked:
        ask(locked, chat(), CHAT, "Authorization: Bearer ours")
        rows = locked.ask("GET", "/api/uses", headers=["Authorization: Bearer ours"]).json

    assert [row["key_name"] for row in rows if row["status"]] == ["SHELF_API_KEY"]


def test_an_engine_says_how_fast_it_wrote(door: Serving) -> None:
    """What is in memory is shown with the rate of its last answer that tells, and without one before."""
    before = door.ask("GET", "/api/engines").json
    ask(door, chat("timed 48.5"))
    after = door.ask("GET", "/api/engines").json

    assert [one["tokens_per_s"] for one in before + after] == [None, 48.5]
    assert uses(door)[0]["tokens_per_s"] == 48.5


def test_stats_are_of_what_was_asked(door: Serving) -> None:
    """The statistics have each model that was asked, with its tokens; an unknown name is an error that says so."""
    for _ in range(2):
        ask(door, chat())

    [smol] = door.ask("GET", "/api/stats?model=smol&since=1h").json
    assert (smol["model_name"], smol["requests"], smol["errors"]) == ("smol", 2, 0)
    assert (smol["prompt_tokens"], smol["completion_tokens"]) == (6, 10)
    assert door.ask("GET", "/api/stats?model=half").json == []
    assert door.ask("GET", "/api/stats?model=none").status == 404
    assert door.ask("GET", "/api/stats?since=soon").status == 400


class Table:
    """A registry's table of uses that is away as long as the test says."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.rows: list[Use] = []

    def add_uses(self, found: list[Use]) -> None:
        """Write them."""
        if self.error is not None:
            raise self.error
        self.rows += found


def a_use(at: float) -> Callable[[], Use]:
    """Return what says a use."""
    return lambda: Use("smol", "chat/completions", at, 1.0, 200)


@pytest.mark.parametrize(
    "error",
    [OutOfSpace("The disk is full."), OperationalError("INSERT", {}, Exception("gone"))],
    ids=["a full disk", "a registry that is away"],
)
def test_what_cannot_be_written_waits_within_bounds(error: Exception) -> None:
    """Rows wait while they can't be written, at most ten thousand of them; then they are written in order, once."""
    table = Table(error)
    ledger = Ledger(table, 30)
    for number in range(9_000):
        ledger.add(a_use(number))
    ledger.write()
    for number in range(9_000, 12_000):
        ledger.add(a_use(number))
    ledger.write()
    assert table.rows == []

    table.error = None
    ledger.write()
    ledger.write()

    assert [use.at for use in table.rows] == list(range(2_000, 12_000))


def test_rows_that_no_registry_takes_hold_up_none_behind_them() -> None:
    """A batch that is at fault itself is dropped, and the next one is written."""
    table = Table(ValueError("half a character"))
    ledger = Ledger(table, 30)
    ledger.add(a_use(1))
    ledger.write()
    table.error = None
    ledger.add(a_use(2))
    ledger.write()

    assert [use.at for use in table.rows] == [2.0]


@pytest.mark.parametrize("name", ["\ud800", "smol\0"], ids=["half a character", "NUL"])
def test_a_name_that_is_no_text_is_refused(door: Serving, name: str) -> None:
    """What JSON can spell and a registry can't is 400, and the next request is written down."""
    assert ask(door, {"model": name, "messages": []}).status == 400
    assert ask(door, chat()).status == 200

    assert [(use["model_name"], use["status"]) for use in uses(door)] == [("", 400), ("smol", 200)]


def test_who_counts_is_told_though_nothing_is_written() -> None:
    """Without a day to keep them no request is written, and who counts them is told of each."""
    table, told = Table(), list[Use]()
    ledger = Ledger(table, 0, [told.append])
    ledger.add(a_use(1))

    ledger.write()

    assert (table.rows, [use.at for use in told]) == ([], [1.0])


def test_the_end_writes_what_there_is(shelf: Shelf) -> None:
    """A ledger that stops writes what was noted before, from whichever thread."""
    ledger = Ledger(shelf.services.registry, 30)
    ledger.start()
    now_s = shelf.services.clock.now()
    threads = [threading.Thread(target=ledger.add, args=(a_use(now_s),)) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    ledger.stop()

    stats = shelf.services.registry.use_stats()
    assert [(one.model_name, one.requests) for one in stats] == [("", 5)]
