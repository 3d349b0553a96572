"""`/hf` with SHELF_MIRROR=on: real clients, a hub that logs, and a server between them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from modelshelf.domain.jobs import DONE
from modelshelf.domain.keys import Scope
from modelshelf.domain.models import Mirrored, Registration
from modelshelf.domain.names import ModelName, RefName, RepoId
from modelshelf.domain.patterns import FilePattern
from modelshelf.domain.references import parse_reference
from modelshelf.services.access.keys import add_key
from modelshelf.services.lifecycle.register import registration
from modelshelf.services.mirror.fetch import Wish
from modelshelf.services.mirror.share import Share
from modelshelf.services.shelf import Shelf
from tests.fakes.hub import FakeHub
from tests.invariants import violations
from tests.serving import Reply, Serving, read_all, serving
from tests.stock_client import StockClient
from tests.world import DEADLINE_S, MIB, Home, random_bytes, wait_until

WEIGHTS = random_bytes(9 * MIB + 1000)
FILES = {"config.json": b'{"a": 1}', "tokenizer.json": b"t" * 1000, "model.safetensors": WEIGHTS}
MODEL = "/hf/Org/Name/resolve/main/model.safetensors"


@pytest.fixture
def commit(hub: FakeHub) -> str:
    """The commit of a repository on the hub."""
    return hub.add_repo("Org/Name", FILES)


@pytest.fixture
def shelf(home: Home) -> Iterator[Shelf]:
    """A library whose `/hf` fetches what is missing."""
    with home.open(SHELF_MIRROR="on") as opened:
        yield opened


@pytest.fixture
def mirror(shelf: Shelf) -> Iterator[Serving]:
    """Its server."""
    with serving(shelf) as running:
        yield running


def stock(mirror: Serving, folder: Path, token: str = "") -> StockClient:
    """Return a real client of the mirror with a cache of its own."""
    (folder / "base").mkdir(parents=True)
    return StockClient(folder / "base", f"http://{mirror.host}/hf", token)


def finished(shelf: Shelf) -> None:
    """Wait until no job is left."""
    wait_until(lambda: not shelf.jobs(unfinished=True), "the jobs to end")


def held_up(mirror: Serving, hub: FakeHub) -> bytes:
    """Return what a client gets of the model, whose first 3 MiB come before the hub sends the rest."""
    hub.pause(after_bytes=4 * MIB)
    with mirror.connect(timeout_s=DEADLINE_S) as connection:
        connection.sendall(f"GET {MODEL} HTTP/1.1\r\nHost: {mirror.host}\r\nConnection: close\r\n\r\n".encode())
        received = bytearray()
        while len(received) < 3 * MIB + 1000:
            received += connection.recv(1 << 16)
        hub.resume()
        return bytes(received + read_all(connection)).partition(b"\r\n\r\n")[2]


def test_a_client_gets_what_nobody_registered(
    mirror: Serving, shelf: Shelf, hub: FakeHub, home: Home, commit: str, tmp_path: Path
) -> None:
    """`hf download` through the mirror has every byte; the model is kept, registered as mirrored, and whole."""
    client = stock(mirror, tmp_path / "client")

    downloaded = client.hf("download", "Org/Name")
    verified = client.hf("cache", "verify", "Org/Name")
    finished(shelf)

    assert downloaded.returncode == verified.returncode == 0, downloaded.stderr + verified.stderr
    assert client.files("Org/Name", commit) == FILES
    (model,) = shelf.models()
    assert (model.model_name, model.state, model.row.allow_patterns) == ("name-mirror", "ready", ())
    assert (model.row.mirrored, model.row.format) == ("open", "safetensors")
    assert "a client of /hf asked for it" in home.run("show", "name-mirror").checked().out.replace("\n", " ")
    assert [job.state for job in shelf.jobs(kind="mirror")] == [DONE]
    assert violations(shelf) == []
    assert not [request for request in hub.requests if "xet" in f"{request.path} {request.headers}".lower()]


def test_ten_clients_are_one_fetch(mirror: Serving, shelf: Shelf, hub: FakeHub, commit: str) -> None:
    """Ten clients that ask for a file at once get its bytes while they arrive, and the hub is asked for it once."""
    hub.pause(after_bytes=5 * MIB)
    replies: list[Reply] = []
    clients = [threading.Thread(target=lambda: replies.append(mirror.ask("GET", MODEL))) for _ in range(10)]
    for client in clients:
        client.start()
    hub.wait_for_bytes(5 * MIB)
    hub.resume()
    for client in clients:
        client.join()

    assert [(reply.status, reply.body == WEIGHTS) for reply in replies] == [(200, True)] * 10
    assert hub.bytes_sent < 2 * len(WEIGHTS)  # a connection that stalls is asked again for the rest
    finished(shelf)
    assert len(shelf.jobs(kind="mirror")) == 1


def test_bytes_are_passed_on_while_they_arrive(mirror: Serving, hub: FakeHub, commit: str) -> None:
    """A client has the beginning of a file that the hub hasn't sent to its end, and no more than arrived."""
    assert held_up(mirror, hub) == WEIGHTS


def test_a_part_is_answered_while_it_arrives(mirror: Serving, hub: FakeHub, commit: str) -> None:
    """A range of a file that isn't here is answered with its bytes alone, also one at its end."""
    middle = mirror.ask("GET", MODEL, headers=["Range: bytes=1000000-1000009"])
    end = mirror.ask("GET", MODEL, headers=["Range: bytes=-10"])

    assert (middle.status, middle.body) == (206, WEIGHTS[1000000:1000010])
    assert (end.status, end.body) == (206, WEIGHTS[-10:])
    assert end.headers["content-range"] == f"bytes {len(WEIGHTS) - 10}-{len(WEIGHTS) - 1}/{len(WEIGHTS)}"


def test_a_client_that_leaves_stops_nothing(mirror: Serving, shelf: Shelf, hub: FakeHub, commit: str) -> None:
    """The fetch goes on as a job when the last client has left; the next ones find the file here, which is one use."""
    hub.pause(after_bytes=MIB)
    with mirror.connect() as connection:
        connection.sendall(f"GET {MODEL} HTTP/1.1\r\nHost: {mirror.host}\r\n\r\n".encode())
        connection.recv(1)
        hub.wait_for_bytes(MIB)
    hub.resume()
    finished(shelf)

    assert shelf.models()[0].row.last_used_at is None
    assert [mirror.ask("GET", MODEL).body == WEIGHTS for _ in range(2)] == [True, True]
    assert hub.bytes_sent < 2 * len(WEIGHTS)  # a connection that stalls is asked again for the rest
    assert [(model.state, model.row.uses) for model in shelf.models()] == [("ready", 1)]


def test_headers_come_without_a_fetch(mirror: Serving, shelf: Shelf, hub: FakeHub, commit: str) -> None:
    """HEAD and lists are answered from what the hub says, and nothing is registered."""
    head = mirror.ask("HEAD", MODEL)
    info = mirror.ask("GET", "/hf/api/models/org/name?blobs=true").json
    tree = mirror.ask("GET", "/hf/api/models/org/name/tree/main?recursive=true").json
    refs = mirror.ask("GET", "/hf/api/models/org/name/refs").json

    assert (head.headers["x-repo-commit"], head.headers["x-linked-size"]) == (commit, str(len(WEIGHTS)))
    assert (info["id"], info["sha"]) == ("Org/Name", commit)
    assert {entry["path"]: entry["size"] for entry in tree} == {path: len(data) for path, data in FILES.items()}
    assert refs["branches"][0]["targetCommit"] == commit
    assert shelf.models() == [] == shelf.jobs()
    assert hub.bytes_sent == 0


def test_damaged_bytes_are_never_whole(mirror: Serving, shelf: Shelf, hub: FakeHub, commit: str) -> None:
    """If a byte is damaged on the way, the connection breaks before the end; whoever goes on from there gets it all."""
    hub.fail("*/model.safetensors", method="GET", corrupt_at=100, times=1)

    broken = held_up(mirror, hub)
    resumed = mirror.ask("GET", MODEL, headers=[f"Range: bytes={len(broken)}-"])

    assert 3 * MIB <= len(broken) < len(WEIGHTS)
    assert (resumed.status, resumed.body) == (200, WEIGHTS)
    finished(shelf)
    assert violations(shelf) == []


def test_what_is_always_damaged_is_not_kept(mirror: Serving, shelf: Shelf, hub: FakeHub, commit: str) -> None:
    """Bytes that never match their digest are given to nobody as whole, and nothing of them stays."""
    hub.fail("*/config.json", method="GET", corrupt_at=1)

    refused = mirror.ask("GET", "/hf/Org/Name/resolve/main/config.json")
    finished(shelf)

    assert refused.status == 500
    assert "config.json" not in {path.name for path in Path(shelf.tiers()[0].tier.base).rglob("*")}


def test_what_the_hub_lacks_is_missing(mirror: Serving, hub: FakeHub, commit: str) -> None:
    """An unknown repository, revision and file are 404, each with the Hub's code."""
    asked = ["a/b/resolve/main/x", "Org/Name/resolve/v9/config.json", "Org/Name/resolve/main/nothing.txt"]
    replies = [mirror.ask("HEAD", f"/hf/{path}") for path in asked]

    assert [reply.status for reply in replies] == [404] * 3
    assert [reply.headers["x-error-code"] for reply in replies] == ["RepoNotFound", "RevisionNotFound", "EntryNotFound"]


def test_without_the_hub_what_is_here_is_served(
    mirror: Serving, shelf: Shelf, hub: FakeHub, commit: str, tmp_path: Path
) -> None:
    """With the hub away, a mirrored model is served whole, and what isn't here is 503 and never 404."""
    assert stock(mirror, tmp_path / "first").hf("download", "Org/Name").returncode == 0
    finished(shelf)
    hub.stop()

    second = stock(mirror, tmp_path / "second")
    assert second.hf("download", "org/name").returncode == 0
    assert second.files("org/name", commit) == FILES
    for path in ("a/b/resolve/main/x", "Org/Name/resolve/v2/x", "api/models/a/b", "api/models/a/b/refs"):
        assert mirror.ask("GET", f"/hf/{path}").status == 503


def test_mirrored_models_keep_to_their_share(home: Home, hub: FakeHub, commit: str) -> None:
    """A fetch beyond the share removes the mirrored model that came first, never a registered one; else it is 507."""
    hub.add_repo("a/second", {"model.safetensors": random_bytes(6 * MIB)})
    hub.add_repo("a/third", {"model.safetensors": random_bytes(40 * MIB)})
    hub.add_repo("a/own", {"model.safetensors": random_bytes(3 * MIB)})
    with home.open(SHELF_MIRROR="on", PRIMARY_CACHE_LIMIT_GB="0.1", SHELF_MIRROR_SHARE="0.12") as shelf:
        shelf.register("own", "a/own")
        shelf.pull("own")
        with serving(shelf) as mirror:
            assert mirror.ask("GET", MODEL).status == 200
            finished(shelf)
            assert mirror.ask("GET", "/hf/a/second/resolve/main/model.safetensors").status == 200
            finished(shelf)
            refused = mirror.ask("GET", "/hf/a/third/resolve/main/model.safetensors")

        assert (refused.status, "SHELF_MIRROR_SHARE" in refused.json["error"]) == (507, True)
        assert {model.model_name: model.state for model in shelf.models()} == {
            "own": "ready",
            "second-mirror": "ready",
        }
        assert not [job for job in shelf.jobs(kind="mirror") if job.state != DONE]
        assert violations(shelf) == []


GATED = "Meta/Gated"


@pytest.fixture
def gated(hub: FakeHub) -> str:
    """The commit of a gated repository on the hub, which gives it to one token."""
    hub.token = "hf_" + "t" * 34
    return hub.add_repo(GATED, FILES, gated=True)


def test_what_is_gated_is_for_those_with_a_token(
    mirror: Serving, shelf: Shelf, hub: FakeHub, gated: str, home: Home, tmp_path: Path
) -> None:
    """A caller's own token brings a gated model; it is kept, others are refused all of it, and the token isn't kept."""
    asked = [f"{GATED}/resolve/main/config.json", f"api/models/{GATED}", f"api/models/{GATED}/tree/main"]
    before = [mirror.ask("GET", f"/hf/{path}") for path in asked]
    client = stock(mirror, tmp_path / "client", hub.token)
    downloaded = client.hf("download", GATED)
    finished(shelf)
    others = [mirror.ask("GET", f"/hf/{path}", headers=["Authorization: Bearer hf_other"]) for path in asked]
    others.append(mirror.ask("GET", f"/hf/{GATED}/resolve/{gated}/model.safetensors"))
    hub.requests.clear()
    again = stock(mirror, tmp_path / "again", hub.token).hf("download", GATED)

    assert downloaded.returncode == again.returncode == 0, downloaded.stderr + again.stderr
    assert client.files(GATED, gated) == FILES
    assert {(reply.status, reply.headers["x-error-code"]) for reply in before + others} == {(403, "GatedRepo")}
    assert [model.row.mirrored for model in shelf.models()] == ["gated"]
    assert not [request for request in hub.requests if request.range]
    kept = [path for path in home.root.rglob("*") if path.is_file() and tmp_path / "client" not in path.parents]
    assert [path for path in kept if hub.token.encode() in path.read_bytes()] == []
    assert not [line for line in mirror.said if hub.token in line]


def test_an_open_repository_that_is_gated_later_is_closed(home: Home, hub: FakeHub, commit: str) -> None:
    """Once the hub asks for a token for a mirrored model, others don't get it any more, with or without the hub."""
    with home.open(SHELF_MIRROR="on") as shelf, serving(shelf) as before:
        assert before.ask("GET", MODEL).status == 200
        finished(shelf)
    hub.add_repo("Org/Name", FILES, gated=True)
    with home.open(SHELF_MIRROR="on") as shelf, serving(shelf) as later:
        assert later.ask("GET", MODEL).status == 403
    hub.stop()
    with home.open(SHELF_MIRROR="on") as shelf, serving(shelf) as offline:
        assert offline.ask("GET", MODEL.replace("main", commit)).status == 503


def test_a_new_key_reaches_no_hub(shelf: Shelf, hub: FakeHub, gated: str) -> None:
    """A server that needs no key doesn't take one that was made a moment ago for a token of the hub."""

    def asked(mirror: Serving, secret: str) -> int:
        header = [f"Authorization: Bearer {secret}"]
        return mirror.ask("GET", f"/hf/{GATED}/resolve/main/config.json", headers=header).status

    with serving(shelf) as mirror:
        assert asked(mirror, "other") == 403
        key = add_key(shelf.services.registry.keys, "laptop", frozenset({Scope.READ}))
        assert asked(mirror, key) == 403

    sent = [request.headers.get("authorization", "") for request in hub.requests]
    assert [header for header in sent if "other" in header]
    assert not [header for header in sent if key in header]


def test_a_key_and_a_token_go_together(shelf: Shelf, hub: FakeHub, gated: str, commit: str) -> None:
    """Where the server needs a key, KEY:TOKEN brings both; the key alone opens what is open, and reaches no hub."""
    key = "hf_" + "k" * 34

    def asked(mirror: Serving, repo_id: str, secret: str) -> int:
        header = [f"Authorization: Bearer {secret}"]
        return mirror.ask("GET", f"/hf/{repo_id}/resolve/main/config.json", headers=header).status

    with serving(shelf, api_key=key) as mirror:
        assert asked(mirror, GATED, key) == 403
        assert asked(mirror, GATED, f"{key}:{hub.token}") == 200
        assert asked(mirror, "Org/Name", key) == 200
        assert asked(mirror, GATED, f"wrong:{hub.token}") == 401
        finished(shelf)

    assert not [request for request in hub.requests if key in request.headers.get("authorization", "")]


@pytest.mark.parametrize("on_full", ["demote", "refuse"])
def test_a_mirrored_model_leaves_before_a_registered_one(home: Home, hub: FakeHub, commit: str, on_full: str) -> None:
    """A pull that needs room deletes a mirrored model, also where nothing is demoted, and leaves a colder own one."""
    hub.add_repo("a/own", {"model.safetensors": random_bytes(9 * MIB)})
    hub.add_repo("a/big", {"model.safetensors": random_bytes(12 * MIB)})
    limits = {"PRIMARY_CACHE_LIMIT_GB": "0.027", "SHELF_MIRROR_SHARE": "0.5", "ON_FULL": on_full}
    with home.open(SHELF_MIRROR="on", **limits) as shelf:
        shelf.register("own", "a/own")
        shelf.pull("own")
        with serving(shelf) as mirror:
            assert mirror.ask("GET", MODEL).status == 200
            finished(shelf)
        plan = shelf.services.registrar.plan(registration("big", parse_reference("a/big")))
        assert plan.makes_room is not None
        assert [victim.model_name for victim in plan.makes_room.victims] == ["name-mirror"]
        shelf.register("big", "a/big")
        shelf.pull("big")

        assert {model.model_name: model.cache_location for model in shelf.models()} == {
            "own": "primary",
            "big": "primary",
        }
        assert violations(shelf) == []


def test_a_hub_that_was_away_goes_on_where_it_was(mirror: Serving, shelf: Shelf, hub: FakeHub, commit: str) -> None:
    """A client whose file the hub breaks off gets the rest on the same connection once the hub is back."""
    hub.pause(after_bytes=4 * MIB)
    with mirror.connect(timeout_s=DEADLINE_S) as connection:
        connection.sendall(f"GET {MODEL} HTTP/1.1\r\nHost: {mirror.host}\r\nConnection: close\r\n\r\n".encode())
        received = bytearray()
        while len(received) < 3 * MIB + 1000:
            received += connection.recv(1 << 16)
        hub.stop()
        hub.requests.clear()
        hub.resume()
        hub.start()
        received += read_all(connection)

    assert bytes(received).partition(b"\r\n\r\n")[2] == WEIGHTS
    assert not [request for request in hub.requests if (request.range or "").startswith("bytes=0-")]


def test_a_killed_server_goes_on_without_a_client(home: Home, hub: FakeHub, commit: str) -> None:
    """What a client of a server that was killed had asked for is fetched by the next server, from where it was."""
    hub.pause(after_bytes=4 * MIB)
    with home.serve(SHELF_MIRROR="on") as first:
        where = Serving(int(first.url.rpartition(":")[2]))
        with where.connect(timeout_s=DEADLINE_S) as connection:
            connection.sendall(f"GET {MODEL} HTTP/1.1\r\nHost: {where.host}\r\n\r\n".encode())
            received = 0
            while received < 3 * MIB + 1000:
                received += len(connection.recv(1 << 16))
            first.process.kill()
    hub.requests.clear()
    hub.resume()
    with home.serve(SHELF_MIRROR="on") as second:
        model = second.wait_for_state("name-mirror", "ready")

        assert (model["mirrored"], model["allow_patterns"]) == (True, ["model.safetensors"])
        assert second.ask("HEAD", MODEL).status == 200
    assert not [request for request in hub.requests if (request.range or "").startswith("bytes=0-")]


def test_a_branch_that_moved_is_followed(home: Home, hub: FakeHub, commit: str) -> None:
    """A later question for `main` gives the hub's new commit, and the old one is still here under its hash."""
    config = "/hf/Org/Name/resolve/{}/config.json"
    with home.open(SHELF_MIRROR="on") as shelf, serving(shelf) as mirror:
        assert mirror.ask("GET", config.format("main")).body == FILES["config.json"]
        finished(shelf)
    newer = hub.add_repo("Org/Name", {"config.json": b"new"})
    with home.open(SHELF_MIRROR="on") as shelf, serving(shelf) as mirror:
        assert mirror.ask("GET", config.format("main")).body == b"new"
        finished(shelf)
        hub.stop()
        assert [mirror.ask("GET", config.format(at)).body for at in (commit, newer, "main")] == [
            FILES["config.json"],
            b"new",
            b"new",
        ]
        assert violations(shelf) == []


def test_a_paused_fetch_says_so(mirror: Serving, shelf: Shelf, hub: FakeHub, commit: str) -> None:
    """A client of a fetch that a person paused is told so at once, and gets the file after it was resumed."""
    hub.pause(after_bytes=MIB)
    with mirror.connect() as connection:
        connection.sendall(f"GET {MODEL} HTTP/1.1\r\nHost: {mirror.host}\r\n\r\n".encode())
        hub.wait_for_bytes(MIB)
    (job,) = shelf.jobs(kind="mirror")
    shelf.services.steering.pause(job.id)

    def is_told() -> bool:
        refused = mirror.ask("GET", MODEL)  # until the fetch stops, it is one that is cut
        return refused.status == 503 and f"shelf jobs resume {job.id}" in refused.json["error"]

    wait_until(is_told, "the fetch to stop")
    shelf.services.steering.resume(job.id)
    hub.resume()
    assert mirror.ask("GET", MODEL).body == WEIGHTS


def test_repositories_of_one_name_are_two_models(mirror: Serving, shelf: Shelf, hub: FakeHub) -> None:
    """Clients that ask at once for repositories with the same name get them all, each under a name of its own."""
    bodies = {f"org{number}/same": b"%d" % number for number in range(6)}
    for repo_id, body in bodies.items():
        hub.add_repo(repo_id, {"config.json": body})
    got: dict[str, bytes] = {}

    def ask(repo_id: str) -> None:
        got[repo_id] = mirror.ask("GET", f"/hf/{repo_id}/resolve/main/config.json").body

    clients = [threading.Thread(target=ask, args=(repo_id,)) for repo_id in bodies]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    finished(shelf)

    assert got == bodies
    assert {model.hf_path for model in shelf.models()} == set(bodies)


def test_a_row_of_a_dead_process_is_used(mirror: Serving, shelf: Shelf, hub: FakeHub, commit: str) -> None:
    """A row whose process died before it named the commit's files is the model of the next request."""
    named = (FilePattern("config.json"),)
    left = Registration(
        ModelName("name-mirror"), RepoId("Org/Name"), "primary", revision=RefName(commit), allow_patterns=named
    )
    registry = shelf.services.registry
    registry.add_model(replace(left, mirrored=Mirrored.OPEN), str(shelf.tiers()[0].tier.base))

    assert mirror.ask("GET", MODEL).body == WEIGHTS
    finished(shelf)
    assert [(model.model_name, model.state) for model in shelf.models()] == [("name-mirror", "ready")]


def test_the_default_branch_and_our_own_refs(mirror: Serving, shelf: Shelf, hub: FakeHub, commit: str) -> None:
    """`HEAD` is kept as `main`, as the hub's clients know it; the name of a ref of ours is never asked of the hub."""
    hub.set_ref("Org/Name", "refs/shelf/qwen", commit)

    assert mirror.ask("GET", MODEL.replace("main", "HEAD")).status == 200
    assert mirror.ask("GET", MODEL.replace("main", "refs%2Fshelf%2Fqwen")).status == 404
    finished(shelf)
    base = Path(shelf.tiers()[0].tier.base)
    assert {path.name for path in (base / "hub/models--Org--Name/refs").iterdir() if path.is_file()} == {"main"}


def test_a_list_that_names_too_much_is_not_followed(mirror: Serving, hub: FakeHub, commit: str, home: Home) -> None:
    """A file that only a list on the disk names is 503: the hub has no such file to fetch."""
    assert mirror.ask("GET", MODEL.replace("model.safetensors", "config.json")).status == 200
    tree_of = home.primary / f"hub/models--Org--Name/trees/{commit}.json"
    listed = tree_of.read_text().replace("tokenizer.json", "tokenizer.made-up")
    tree_of.write_text(listed)

    assert mirror.ask("GET", MODEL.replace("model.safetensors", "tokenizer.made-up")).status == 503


def test_a_private_name_is_listed_for_nobody(mirror: Serving, shelf: Shelf, hub: FakeHub, gated: str) -> None:
    """What a caller's own token brought isn't in the list of what is here."""
    hub.add_repo("org/open", {"config.json": b"{}"})
    own = ["Authorization: Bearer " + hub.token]
    assert mirror.ask("GET", f"/hf/{GATED}/resolve/main/config.json", headers=own).status == 200
    assert mirror.ask("GET", "/hf/org/open/resolve/main/config.json").status == 200
    finished(shelf)

    assert [one["id"] for one in mirror.ask("GET", "/hf/api/models?full=true").json] == ["org/open"]


def test_a_gated_file_is_closed_from_its_first_byte(
    mirror: Serving, shelf: Shelf, hub: FakeHub, gated: str, commit: str
) -> None:
    """However soon after its arrival another caller asks for a gated file, he is refused."""
    path = f"/hf/{GATED}/resolve/main/config.json"
    assert mirror.ask("GET", MODEL).status == 200  # the registry is asked, and not again for a second

    assert mirror.ask("GET", path, headers=["Authorization: Bearer " + hub.token]).status == 200
    assert [mirror.ask("GET", path).status, mirror.ask("HEAD", path).status] == [403, 403]


def test_downloads_take_turns_with_mirrored_ones(home: Home, hub: FakeHub, commit: str) -> None:
    """With MAX_DOWNLOADS=1 a client of `/hf` waits a few seconds for its turn, is told so, and gets it later."""
    hub.add_repo("a/own", {"model.safetensors": random_bytes(9 * MIB)})
    with home.serve(MAX_DOWNLOADS="1", SHELF_MIRROR="on") as server:
        hub.pause(after_bytes=MIB)
        server.ask("POST", "/api/models", {"model_name": "own", "hf_path": "a/own"})
        hub.wait_for_bytes(MIB)
        refused = server.ask("GET", MODEL)
        hub.resume()
        server.wait_for_state("own", "ready")
        wait_until(lambda: server.ask("HEAD", MODEL).status == 200, "the hub to be there")
        model = server.wait_for_state("name-mirror", "ready")

    assert (refused.status, refused.headers["retry-after"]) == (503, "5")
    assert refused.json["error"] == "Org/Name isn't here yet. Waits for its turn (MAX_DOWNLOADS=1). Ask again."
    assert model["mirrored"] is True


class Broken(Share):
    """A share that can't be asked."""

    def check(self, repo_id: RepoId, size_bytes: int) -> None:
        """Fail as nothing of ours does."""
        raise ZeroDivisionError


def test_a_fetch_that_could_not_begin_holds_nobody(shelf: Shelf, hub: FakeHub, commit: str) -> None:
    """When a fetch can't be begun for a reason that nobody foresaw, those who wait for it are told."""
    jobs = shelf.services.mirror_jobs
    known = jobs.upstream.resolve("Org/Name", "main", "")
    files = jobs.upstream.files(known, "")
    broken = replace(jobs, share=Broken(jobs.registry, jobs.tiers, jobs.share.remover, 0.2, jobs.share.hub_has))
    wish = Wish(known, RefName("main"), files[0], files, jobs.upstream.hub(known, ""))

    with pytest.raises(ZeroDivisionError):
        broken.start(wish)

    (fetch,) = broken._fetches.values()
    assert (fetch.is_over, str(fetch.why_not(files[0].path))) == (True, "Fetching Org/Name couldn't begin.")
