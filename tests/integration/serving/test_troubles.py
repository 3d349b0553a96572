"""What goes wrong while models are served, with engines that are real processes."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from modelshelf.store.layout import engines_folder
from tests.fakes.hub import FakeHub
from tests.integration.serving.test_served_models import Served, served
from tests.world import Home, wait_until

PATIENCE_S = 240.0


@contextmanager
def posted(made: Served, path: str, **body: Any) -> Iterator[http.client.HTTPResponse]:
    """Send a request, and give the answer as it comes; the connection is closed at the end."""
    connection = http.client.HTTPConnection("127.0.0.1", made.server.port, timeout=PATIENCE_S)
    try:
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        yield connection.getresponse()
    finally:
        connection.close()


def asked(made: Served, model: str, **more: Any) -> AbstractContextManager[http.client.HTTPResponse]:
    """Ask a model."""
    return posted(made, "/v1/chat/completions", model=model, messages=[{"role": "user", "content": "Hello"}], **more)


def starts(made: Served, model: str) -> int:
    """Return how often an engine of a model was started, by its log."""
    log = engines_folder(made.home.settings().state_home) / f"{model}.log"
    return log.read_text().count("fake engine: loading")


def state(made: Served, model: str) -> Any:
    """Return what the server says of a model; None where it says nothing."""
    return next((one for one in made.engines() if one["model_name"] == model), None)


def words_for(home: Home, **words: list[str]) -> tuple[str, str]:
    """Return the words that tell the tests' engine what to do for which model."""
    file = Path(home.root) / "wishes.json"
    file.write_text(json.dumps(words))
    return "--wishes", str(file)


def test_two_hundred_clients_share_room_for_one_model(home: Home, hub: FakeHub) -> None:
    """With room for one of three models, all of 200 clients are answered by the model that they asked."""
    with served(home, hub, names=("one", "two", "three"), MAX_LOADED="1", LOAD_WAIT_S="600") as made:

        def ask(number: int) -> tuple[int, str]:
            with asked(made, ("one", "two", "three")[number % 3]) as answer:
                return answer.status, json.loads(answer.read())["model"]

        with ThreadPoolExecutor(200) as clients:
            answers = list(clients.map(ask, range(200)))

        assert answers == [(200, ("one", "two", "three")[number % 3]) for number in range(200)]
        assert len(made.leases()) == 1


def test_a_crash_amid_a_stream_ends_it_with_an_error(home: Home, hub: FakeHub) -> None:
    """The stream of an engine that crashes ends with an error, and the model is told as failed, with its last words."""
    with served(home, hub, "--crash", "streaming") as made:
        with asked(made, "one", stream=True) as answer:
            said = answer.read().decode()
        failed = wait_until(lambda: (one := state(made, "one")) and one["state"] == "failed" and one, "the failure")

        assert "word1" in said
        assert '"error"' in said.strip().splitlines()[-1]
        assert "the decoder fell over" in str(failed)
        wait_until(lambda: made.leases() == [], "the lease to be given back")


def test_a_client_that_leaves_a_hanging_engine_gives_its_slot_back(home: Home, hub: FakeHub) -> None:
    """A request that its engine never answers holds a slot as long as its client waits, and no longer."""
    with served(home, hub, *words_for(home, one=["--hang", "answering"])) as made:
        made.load("one")
        connection = http.client.HTTPConnection("127.0.0.1", made.server.port, timeout=PATIENCE_S)
        body = json.dumps({"model": "one", "messages": [{"role": "user", "content": "Hello"}]})
        connection.request("POST", "/v1/chat/completions", body, {"Content-Type": "application/json"})
        wait_until(lambda: state(made, "one")["in_flight"] == 1, "the request to reach the engine")
        connection.close()

        wait_until(lambda: state(made, "one")["in_flight"] == 0, "the slot to be free")
        assert state(made, "one")["state"] == "ready"


def test_memory_that_runs_out_is_tried_once_more_alone(home: Home, hub: FakeHub) -> None:
    """An engine that runs out of memory has the idle ones unloaded, is tried once more, and fails in its own words."""
    with served(home, hub, *words_for(home, two=["--out-of-memory"])) as made:
        assert made.ask("one").status == 200
        with asked(made, "two") as answer:
            status, said = answer.status, answer.read().decode()

        assert (status, "failed to allocate buffer" in said) == (503, True)
        assert starts(made, "two") == 2
        assert state(made, "one") is None


def test_clients_who_leave_a_slow_start_do_not_end_it(home: Home, hub: FakeHub) -> None:
    """A start whose clients all left goes on, and the next client is answered by it."""
    with served(home, hub, "--start-s", "1") as made:
        for _ in range(3):
            with asked(made, "one", stream=True) as answer:
                assert answer.readline()

        assert made.load("one")["state"] == "done"
        assert starts(made, "one") == 1


def test_an_unload_lets_a_stream_end(home: Home, hub: FakeHub) -> None:
    """A model that is unloaded while it streams ends its answer first; then nothing of it is left."""
    with served(home, hub, "--tokens", "100", "--token-s", "0.01") as made:
        made.load("one")
        replies: list[int] = []

        def unload_it() -> None:
            with posted(made, "/api/models/one/unload") as answer:
                replies.append(answer.status)

        with asked(made, "one", stream=True) as answer:
            first = next(line for line in answer if b"word0" in line)
            unload = threading.Thread(target=unload_it)
            unload.start()
            said = first + answer.read()
        unload.join()

        assert b"word99" in said
        assert said.strip().endswith(b"[DONE]")
        assert (replies, made.leases(), made.engines()) == ([200], [], [])


def test_a_disk_that_goes_away_stops_no_engine(home: Home, hub: FakeHub) -> None:
    """A model whose disk is away answers from memory; unloaded, it can't be started until the disk is back."""
    with served(home, hub) as made:
        made.shelf.move("one", "secondary")
        assert made.ask("one").status == 200
        away = home.secondary.rename(home.secondary.with_name("unplugged"))
        from_memory = made.ask("one").status
        made.post("one/unload")
        refused = made.ask("one")
        away.rename(home.secondary)

        assert (from_memory, refused.status) == (200, 503)
        assert refused.json["error"]["message"].startswith("one is offline:")
        assert made.ask("one").status == 200
