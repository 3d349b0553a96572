"""LAN hubs give bytes; the hub gives digests and everything else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from modelshelf.domain.names import CommitHash, Digest, FilePath, RepoId
from modelshelf.domain.plans import SEGMENT_BYTES, BlobNeed
from modelshelf.errors import Corrupt
from modelshelf.hub.client import HubClient
from modelshelf.services.lifecycle import sources
from modelshelf.services.lifecycle.sources import Sources
from modelshelf.services.shelf import Shelf
from tests.fakes.hub import FakeHub
from tests.fakes.hub_repos import Blob
from tests.invariants import violations
from tests.world import MIB, Home, random_bytes, tree

REPO = "org/name"
WEIGHTS = random_bytes(20 * MIB + 17)
FILES = {"config.json": b"{}", "model.safetensors": WEIGHTS}
TOTAL = sum(map(len, FILES.values()))
KEY = "hf_" + "k" * 34


@pytest.fixture
def peer() -> Iterator[FakeHub]:
    """An empty LAN hub."""
    with FakeHub() as running:
        yield running


def pulled(shelf: Shelf) -> dict[str, bytes]:
    """Register and pull the model; return its files."""
    path = shelf.register("m", REPO).path
    assert violations(shelf) == []
    return tree(Path(path or ""))


@pytest.fixture
def lan(hub: FakeHub, peer: FakeHub, home: Home) -> Iterator[Shelf]:
    """A library with a LAN hub; both hubs have the model."""
    hub.add_repo(REPO, FILES)
    peer.add_repo(REPO, FILES)
    with home.open(SHELF_PEERS=peer.url) as opened:
        yield opened


def test_another_modelshelf_gives_what_it_has(hub: FakeHub, home: Home, tmp_path: Path) -> None:
    """If a LAN server has a model in part, the hub sends the rest, and only that server gets its key."""
    hub.add_repo(REPO, FILES)
    nas = Home(tmp_path / "nas", hub.url)
    nas.run("add", "m", REPO, "--include", "*.safetensors").checked()
    before = hub.bytes_sent
    hub.requests.clear()
    with nas.serve(SHELF_API_KEY=KEY) as server, home.open(SHELF_PEERS=f"{server.url}/hf", SHELF_PEER_KEY=KEY) as shelf:
        assert pulled(shelf) == FILES

    assert hub.bytes_sent - before == len(FILES["config.json"])
    assert [request.path for request in hub.requests if "authorization" in request.headers] == []


def test_no_token_reaches_a_lan_hub(hub: FakeHub, peer: FakeHub, home: Home) -> None:
    """For a gated repository the hub's list and digests need the token, and no LAN hub ever gets it."""
    hub.add_repo(REPO, FILES, gated=True)
    peer.add_repo(REPO, FILES)
    with home.open(HF_TOKEN=hub.token, SHELF_PEERS=peer.url) as shelf:
        assert pulled(shelf) == FILES

    assert (hub.bytes_sent, peer.bytes_sent) == (0, TOTAL)
    assert {request.path.split("/")[3] for request in peer.requests} == {"resolve"}
    assert [request.path for request in peer.requests if "authorization" in request.headers] == []


def test_the_hub_says_which_commit(hub: FakeHub, peer: FakeHub, lan: Shelf) -> None:
    """A LAN hub whose branch is elsewhere gives the files that it has of the hub's commit."""
    commit = hub.add_repo(REPO, FILES)
    peer.add_repo(REPO, FILES | {"config.json": b'{"newer": true}'})

    assert pulled(lan) == FILES
    assert lan.model("m").row.commit_hash == commit


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param({"corrupt_at": 3 * MIB}, id="wrong"),
        pytest.param({"status": 404, "error_code": "RepoNotFound"}, id="without the model"),
        pytest.param({"status": 401}, id="wants a key"),
        pytest.param({"status": 503}, id="out of order"),
        pytest.param({"body": b"<html>", "headers": {"Content-Type": "text/html"}}, id="a page"),
        pytest.param({}, id="dead"),
    ],
)
def test_a_lan_hub_of_no_use_is_passed_over(hub: FakeHub, peer: FakeHub, lan: Shelf, fault: dict[str, object]) -> None:
    """Without a useful LAN hub the model is still whole: the hub sends what is missing or was wrong."""
    if fault:
        peer.fail("*.safetensors", **fault)
    else:
        peer.stop()

    assert pulled(lan) == FILES
    assert hub.bytes_sent >= len(WEIGHTS)


def test_a_lan_hub_need_not_honour_ranges(hub: FakeHub, peer: FakeHub, lan: Shelf) -> None:
    """A LAN hub without ranges sends the whole file in one stream."""
    peer.fail("*", no_ranges=True)

    assert pulled(lan) == FILES
    assert (hub.bytes_sent, peer.bytes_sent) == (0, TOTAL)


def test_a_lan_hub_that_was_wrong_is_asked_for_nothing_more(hub: FakeHub, peer: FakeHub) -> None:
    """After a LAN hub sent a damaged blob, the next blob comes from the hub at once."""
    commit = CommitHash(hub.add_repo(REPO, FILES))
    peer.add_repo(REPO, FILES)
    needs = [
        BlobNeed(Digest(Blob.of(body, lfs=True).digest), len(body), FilePath(path)) for path, body in FILES.items()
    ]
    found = Sources(HubClient(hub.url, "", "test", 1), [HubClient(peer.url, "", "test", 1)])

    with found.open_range(RepoId(REPO), commit, needs[0], 0, 2) as stream:
        stream.read_into(memoryview(bytearray(2)))
    found.distrust(needs[0].digest)
    with found.open_range(RepoId(REPO), commit, needs[1], 0, 2) as stream:
        stream.read_into(memoryview(bytearray(2)))

    assert ([r.path for r in peer.requests], [r.path for r in hub.requests]) == (
        [f"/{REPO}/resolve/{commit}/config.json"],
        [f"/{REPO}/resolve/{commit}/model.safetensors"],
    )


def test_a_blob_that_every_hub_sends_wrong_ends_the_pull(hub: FakeHub, peer: FakeHub, lan: Shelf) -> None:
    """If the hub also sends a wrong blob after a LAN hub did, the pull ends and nothing is published."""
    peer.fail("*/model.safetensors", corrupt_at=0)
    hub.fail("*/model.safetensors", corrupt_at=0)

    with pytest.raises(Corrupt, match="don't match its digest"):
        lan.register("m", REPO)
    assert violations(lan) == []


def test_a_lan_hub_that_breaks_off_costs_no_byte(hub: FakeHub, peer: FakeHub, lan: Shelf) -> None:
    """After a LAN hub dies its bytes stay, and the hub sends only the rest."""
    peer.fail("*/model.safetensors", cut_after=5 * SEGMENT_BYTES + 1, times=1)
    peer.fail("*/model.safetensors", cut_after=0)

    assert pulled(lan) == FILES
    assert hub.bytes_sent + peer.bytes_sent == TOTAL
    assert peer.bytes_sent >= 5 * SEGMENT_BYTES


def test_a_slow_lan_hub_is_left(hub: FakeHub, peer: FakeHub, lan: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """A LAN hub that is too slow for a while is replaced by the hub at the same byte."""
    monkeypatch.setattr(sources, "_TRIAL_S", 0.5)
    peer.fail("*/model.safetensors", rate_bytes_per_s=200_000)

    assert pulled(lan) == FILES
    assert hub.bytes_sent > peer.bytes_sent


def test_the_second_lan_hub_is_asked_when_the_first_lacks_a_blob(hub: FakeHub, peer: FakeHub, home: Home) -> None:
    """LAN hubs are asked in the order of the setting, and the hub last."""
    hub.add_repo(REPO, FILES)
    with FakeHub() as first:
        first.add_repo(REPO, FILES)
        first.fail("*/config.json", status=404)
        peer.add_repo(REPO, FILES)
        with home.open(SHELF_PEERS=f"{first.url}, {peer.url}") as shelf:
            assert pulled(shelf) == FILES

        assert (first.bytes_sent, peer.bytes_sent, hub.bytes_sent) == (len(WEIGHTS), 2, 0)
