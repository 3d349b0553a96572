"""A webhook is told of every change once it answers, through failures, kills and restarts, by one server."""

from __future__ import annotations

import contextlib
import signal
import sqlite3
from collections.abc import Iterator

import pytest

from modelshelf.store.layout import Base
from tests.fakes.hub import FakeHub
from tests.fakes.receiver import Receiver, receiving
from tests.world import Home, random_bytes, wait_until

REPO = "org/name"
SECRET = "a long random text"
TOKEN = "hf_" + "s3cretToken" * 3


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver that checks signatures."""
    with receiving(SECRET) as one:
        yield one


@pytest.fixture
def hooked(home: Home, hub: FakeHub, receiver: Receiver) -> Home:
    """A home whose servers tell the receiver, and a repository on its hub."""
    hub.add_repo(REPO, {"model.safetensors": random_bytes(3_000_000)})
    home.extra |= {"WEBHOOK_URL": receiver.url, "WEBHOOK_SECRET": SECRET, "HF_TOKEN": TOKEN}
    return home


def names(receiver: Receiver) -> list[str]:
    """Return the models in the messages so far, each once, in the order in which they came first."""
    return list(dict.fromkeys(model["model_name"] for model in receiver.of("model")))


def test_a_life_of_a_model_is_told_signed(hooked: Home, receiver: Receiver) -> None:
    """Changes that a shell makes arrive signed, and neither paths nor secrets are among what is sent."""
    with hooked.serve() as server:
        hooked.run("add", "m", REPO).checked()
        wait_until(lambda: ("m", "ready") in [(m["model_name"], m["state"]) for m in receiver.of("model")], "the model")
        wait_until(lambda: "done" in [job["state"] for job in receiver.of("job")], "the end of its job")
        hooked.run("rm", "m", "--files").checked()
        wait_until(lambda: {"model_name": "m", "state": "removed"} in receiver.of("model"), "the removal")
        server.end()
        log = server.log.read_text()

    sent = "".join(receiver.bodies)
    assert not [secret for secret in (str(hooked.root), TOKEN, SECRET, "token=s3cret") if secret in sent]
    assert not [secret for secret in (SECRET, "token=s3cret") if secret in log]
    assert [head["webhook-id"] for head in receiver.heads] == [message["id"] for message in receiver.messages]
    ids = [int(message["id"].rpartition("-")[2]) for message in receiver.messages]
    assert ids == sorted(set(ids))


def test_what_failed_is_sent_by_the_next_server(hooked: Home, receiver: Receiver) -> None:
    """A receiver that fails, a server that is killed and changes without one lose nothing: the next server tells it."""
    receiver.status = 500
    with hooked.serve() as first:
        hooked.run("add", "first", REPO, "--no-download").checked()
        wait_until(lambda: receiver.tries >= 2, "a second try")
        first.end(signal.SIGKILL)
        log = first.log.read_text()
    hooked.run("add", "second", REPO, "--no-download").checked()
    receiver.status = 200

    with hooked.serve():
        hooked.run("add", "third", REPO, "--no-download").checked()
        wait_until(lambda: "third" in names(receiver), "what came last")

    assert names(receiver) == ["first", "second", "third"]
    assert len({head["webhook-id"] for head in receiver.heads[:2]}) == 1
    assert log.count("webhook_failed") == 1


def test_one_of_two_servers_tells(hooked: Home, receiver: Receiver) -> None:
    """With two servers each change arrives once, and when one is killed the other goes on."""
    with hooked.serve() as first, hooked.serve() as second:
        hooked.run("add", "a", REPO, "--no-download").checked()
        wait_until(lambda: "a" in names(receiver), "the first model")
        hooked.run("add", "b", REPO, "--no-download").checked()
        wait_until(lambda: "b" in names(receiver), "the second model")
        ids = [message["id"] for message in receiver.messages]
        first.end(signal.SIGKILL)  # what it was just answered may come again
        hooked.run("add", "c", REPO, "--no-download").checked()
        wait_until(lambda: "c" in names(receiver), "the third model")
        second.end()
        hooked.run("add", "d", REPO, "--no-download").checked()

    assert sorted(set(ids)) == sorted(ids)
    assert names(receiver) == ["a", "b", "c"]


def test_a_threshold_is_told(hooked: Home, receiver: Receiver) -> None:
    """A tier that passes its warning threshold is one message, without its path."""
    with hooked.serve(PRIMARY_CACHE_LIMIT_GB="0.005", CACHE_WARNING_THRESHOLD="0.5"):
        hooked.run("add", "m", REPO).checked()
        wait_until(lambda: [tier for tier in receiver.of("tier") if tier["warning"]], "the crossing")

    assert [(tier["cache_location"], "cache_path" in tier) for tier in receiver.of("tier")] == [("primary", False)]


def test_a_webhook_that_is_far_behind_is_told_to_read_anew(hooked: Home, receiver: Receiver) -> None:
    """A webhook that missed more than the registry keeps gets one `resync`, and then what comes."""
    with hooked.serve() as first:
        hooked.run("add", "m", REPO, "--no-download").checked()
        wait_until(lambda: "m" in names(receiver), "the model")
        first.end()
    with contextlib.closing(sqlite3.connect(Base(hooked.primary).registry)) as registry, registry:
        registry.executemany("INSERT INTO changes (kind, key, at) VALUES ('tier', '/nowhere', 0)", [()] * 1200)

    with hooked.serve():
        wait_until(lambda: receiver.of("resync"), "the event")
        hooked.run("add", "n", REPO, "--no-download").checked()
        wait_until(lambda: "n" in names(receiver), "what came later")


def test_a_webhook_without_a_secret_is_told_unsigned(home: Home, hub: FakeHub) -> None:
    """Without WEBHOOK_SECRET messages have no signature; two addresses are told apart from each other."""
    hub.add_repo(REPO, {"config.json": b"{}"})
    with receiving() as one, receiving() as other:
        other.status = 500
        with home.serve(WEBHOOK_URL=f"{one.url},{other.url}"):
            home.run("add", "m", REPO, "--no-download").checked()
            wait_until(lambda: "m" in names(one) and other.tries, "both")

    assert "webhook-signature" not in one.heads[0]
