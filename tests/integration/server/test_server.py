"""The server as a program sees it: a real process on a port, over the command line's library."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import pytest

from modelshelf.services.shelf import Shelf
from tests.fakes.hub import FakeHub
from tests.invariants import violations
from tests.world import MIB, Home, Server, free_port, random_bytes, tree, wait_until

REPO = "org/name"
FILES = {"config.json": b"{}", "model.safetensors": random_bytes(20 * MIB), "sub/extra.bin": b"extra"}
KEY = "a long secret"


def body(name: str = "m", location: str = "primary", path: Path | None = None, **more: object) -> dict[str, object]:
    """Return the body that registers a model."""
    where = {"cache_location": location, "cache_path": None if path is None else str(path)}
    return {"model_name": name, "hf_path": REPO, **where, **more}


@pytest.fixture
def commit(hub: FakeHub) -> str:
    """The commit of a repository on the hub."""
    return hub.add_repo(REPO, FILES)


def test_the_three_bodies_bring_the_model_to_its_place(home: Home, commit: str, server: Server) -> None:
    """A POST to primary, secondary or custom answers 201 at once, and the model is soon ready below its base."""
    places = {"primary": home.primary, "secondary": home.secondary, "custom": home.custom}
    for location, base in places.items():
        path = base if location == "custom" else None
        answer = server.ask("POST", "/api/models", body(f"on-{location}", location, path))
        assert (answer.status, answer.json["cache_path"]) == (201, str(base))
        assert answer.json["state"] in ("queued", "downloading", "ready")

    for location, base in places.items():
        model = server.wait_for_state(f"on-{location}", "ready")
        assert model["path"] == f"{base}/hub/models--org--name/snapshots/{commit}"
        assert tree(Path(model["path"])) == FILES
        assert [file["path"] for file in model["files"]] == sorted(FILES)
    assert [model["model_name"] for model in server.get("/api/models")] == ["on-custom", "on-primary", "on-secondary"]


def test_a_download_shows_how_far_it_is(hub: FakeHub, home: Home, commit: str, server: Server) -> None:
    """While bytes arrive the job has phase, bytes and state; then it is done."""
    hub.pause(after_bytes=9 * MIB)
    posted = server.ask("POST", "/api/models", body())
    path = f"/api/jobs/{posted.json['job_id']}"

    job = wait_until(lambda: (j := server.get(path))["done_bytes"] and j, "progress")

    total = sum(map(len, FILES.values()))
    assert (job["kind"], job["state"], job["phase"], job["total_bytes"]) == ("pull", "running", "downloading", total)
    assert 0 < job["done_bytes"] <= 9 * MIB
    assert server.get("/api/models/m")["state"] == "downloading"
    (primary, _) = server.get("/api/cache")
    assert primary["reserved_bytes"] + primary["breakdown"]["partial"] >= total - 9 * MIB
    hub.resume()
    job = wait_until(lambda: (j := server.get(path))["finished_at"] and j, "the end of the job")
    assert (job["state"], job["done_bytes"], job["error"]) == ("done", total, None)


def test_models_are_listed_in_pages(commit: str, server: Server) -> None:
    """Each page of models links to the next one, in the order asked for."""
    for name in ("b", "a", "c"):
        server.ask("POST", "/api/models", body(name, download=False))

    seen, path = [], "/api/models?limit=2&filter=ORG&sort=size"
    while path:
        answer = server.ask("GET", path)
        seen.append([model["model_name"] for model in answer.json])
        path = answer.headers.get("link", "").partition(">")[0].removeprefix("<")

    assert seen == [["a", "b"], ["c"]]
    assert server.get("/api/models?filter=nothing") == []
    refused = [server.ask("GET", f"/api/models?{query}").status for query in ("limit=0", "sort=x", "sort=size&after=x")]
    assert refused == [422, 422, 404]


def test_what_the_command_line_does_is_seen(hub: FakeHub, home: Home, commit: str, server: Server) -> None:
    """A model added in a shell is served, and one added over HTTP is found in a shell."""
    home.run("add", "m", REPO).checked()
    assert server.get("/api/models/m")["state"] == "ready"

    server.ask("POST", "/api/models", body("other"))
    server.wait_for_state("other", "ready")
    assert home.run("path", "other").checked().out == home.run("path", "m").out


def test_posting_the_same_again_is_the_same(commit: str, server: Server) -> None:
    """Posting the same body twice gives one model and one download; another model under its name is refused."""
    first = server.ask("POST", "/api/models", body())
    again = server.ask("POST", "/api/models", body())
    taken = server.ask("POST", "/api/models", body(location="secondary"))

    assert (first.status, again.status, taken.status) == (201, 201, 409)
    server.wait_for_state("m", "ready")
    assert len(server.get("/api/models")) == 1


def test_delete_forgets_and_frees_only_when_told(home: Home, commit: str, server: Server) -> None:
    """DELETE keeps the files; with delete_files it deletes them and says how much was freed."""
    server.ask("POST", "/api/models", body())
    path = Path(server.wait_for_state("m", "ready")["path"])
    kept = server.ask("DELETE", "/api/models/m")
    assert (kept.status, kept.json["freed_bytes"], kept.json["removed_files"]) == (200, 0, [])
    assert tree(path) == FILES

    server.ask("POST", "/api/models", body())
    server.wait_for_state("m", "ready")
    freed = server.ask("DELETE", "/api/models/m?delete_files=true")

    assert freed.json["freed_bytes"] >= sum(map(len, FILES.values()))
    assert not path.exists()
    assert server.get("/api/models") == []
    assert server.ask("DELETE", "/api/models/m").status == 404


def test_a_model_that_is_being_downloaded_is_not_removed(hub: FakeHub, commit: str, server: Server) -> None:
    """DELETE answers 409 while a job works on the model, and works after the job was cancelled."""
    hub.pause(after_bytes=MIB)
    job_id = server.ask("POST", "/api/models", body()).json["job_id"]
    hub.wait_for_bytes(MIB)

    refused = server.ask("DELETE", "/api/models/m?delete_files=true")
    assert (refused.status, refused.json["job_id"]) == (409, job_id)

    assert server.ask("POST", f"/api/jobs/{job_id}/cancel").json["state"] == "cancelled"
    assert server.ask("DELETE", "/api/models/m?delete_files=true").status == 200
    hub.resume()


@pytest.mark.parametrize(
    ("wanted", "status", "title"),
    [
        pytest.param(body(hf_path="no id at all"), 400, "Bad input", id="no repository id"),
        pytest.param(body("no name"), 400, "Bad input", id="no model name"),
        pytest.param(body(location="custom"), 400, "Bad input", id="custom without a path"),
        pytest.param(body(location="custom", path=Path("/mnt/x/hub")), 400, "Bad input", id="a path that ends in hub"),
        pytest.param(body(location="custom", path=Path("/etc")), 400, "Bad input", id="a system folder"),
        pytest.param(body(location="custom", path=Path("relative")), 400, "Bad input", id="a relative path"),
        pytest.param(body(hf_path="org/gated"), 403, "Denied", id="gated"),
        pytest.param(body(hf_path="org/absent"), 404, "Not found", id="no repository"),
        pytest.param(body(revision="v9"), 404, "Not found", id="no revision"),
        pytest.param(body(hf_path="org/huge"), 507, "Out of space", id="does not fit"),
    ],
)
def test_what_is_refused_is_a_problem_document(
    hub: FakeHub, home: Home, commit: str, wanted: dict[str, object], status: int, title: str
) -> None:
    """Each error has its status, type and sentence, and nothing is registered."""
    hub.add_repo("org/gated", FILES, gated=True)
    hub.add_repo("org/huge", {"model.safetensors": random_bytes(60 * MIB)})

    with home.serve(PRIMARY_CACHE_LIMIT_GB="0.05") as server:
        answer = server.ask("POST", "/api/models", wanted)
        assert server.get("/api/models") == []

    problem = answer.json
    assert (answer.status, answer.headers["content-type"]) == (status, "application/problem+json")
    assert (problem["status"], problem["title"]) == (status, title)
    assert problem["type"] == f"urn:modelshelf:error:{title.lower().replace(' ', '-')}"
    assert problem["detail"].endswith(".")


@pytest.mark.parametrize(
    "wanted",
    [
        pytest.param({}, id="nothing"),
        pytest.param(body(location="fastest"), id="no such location"),
        pytest.param(body(surprise=1), id="a member that is not known"),
        pytest.param(body(download="perhaps"), id="a wrong type"),
    ],
)
def test_a_malformed_body_is_422(commit: str, server: Server, wanted: dict[str, object]) -> None:
    """A malformed body is answered with 422 before anything else is checked."""
    assert server.ask("POST", "/api/models", wanted).status == 422


def test_a_body_that_is_not_sent_as_json_is_told_the_header(commit: str, server: Server) -> None:
    """A body with another content type, as curl sends it by default, is refused with the header that is missing."""
    answer = server.ask("POST", "/api/models", body(), Content_Type="application/x-www-form-urlencoded")

    assert answer.status == 422
    assert answer.json["detail"] == "body: It must be sent with the header Content-Type: application/json."


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "models/m/pull"), ("POST", "jobs/1/cancel"), ("DELETE", "models/m")]
)
def test_a_body_where_none_is_heard_is_refused(commit: str, server: Server, method: str, path: str) -> None:
    """Whoever asks for a dry run where there is none is told so, and nothing was done; `{}` asks for nothing."""
    server.ask("POST", "/api/models", body("m", download=False))
    before = server.get("/api/jobs"), server.get("/api/models")

    refused = server.ask(method, f"/api/{path}", {"dry_run": True})

    assert (refused.status, refused.json["detail"]) == (
        400,
        f"{method} /api/{path} takes no body; nothing was changed.",
    )
    assert (server.get("/api/jobs"), server.get("/api/models")) == before
    assert server.ask(method, f"/api/{path}", {}).status in (200, 202, 404)


def test_what_is_not_there_is_404(server: Server) -> None:
    """Missing models and jobs are problem documents with 404."""
    for path in ("/api/models/absent", "/api/jobs/7"):
        answer = server.ask("GET", path)
        assert (answer.status, answer.headers["content-type"]) == (404, "application/problem+json")


def test_a_hub_that_is_down_is_no_error_of_the_model(hub: FakeHub, commit: str, server: Server) -> None:
    """If the hub isn't reachable a POST still registers the model, which says why it waits and completes later."""
    hub.stop()

    answer = server.ask("POST", "/api/models", body())

    assert (answer.status, answer.json["commit_hash"]) == (201, None)
    model = wait_until(lambda: (m := server.get("/api/models/m"))["state"] == "registered" and m, "the job to wait")
    assert "isn't reachable" in model["detail"]
    hub.start()
    assert tree(Path(server.wait_for_state("m", "ready")["path"])) == FILES


def test_another_host_name_is_refused(server: Server) -> None:
    """On loopback another Host name is refused, against DNS rebinding."""
    port = server.url.rpartition(":")[2]

    codes = {
        host: server.ask("GET", "/api/models", Host=host).status for host in ("evil.example", f"evil.example:{port}")
    }
    codes |= {
        host: server.ask("GET", "/api/models", Host=host).status for host in (f"localhost:{port}", f"[::1]:{port}")
    }

    assert list(codes.values()) == [403, 403, 200, 200]


def test_a_page_of_another_site_is_refused(commit: str, server: Server) -> None:
    """A browser's request from another origin changes nothing; the server's own pages may."""
    for origin in ("https://evil.example", "null", "http://127.0.0.1:1"):
        assert server.ask("POST", "/api/models", body(), Origin=origin).status == 403
    assert server.get("/api/models") == []

    assert server.ask("POST", "/api/models", body(download=False), Origin=server.url).status == 201


def test_every_address_but_loopback_needs_a_key(home: Home) -> None:
    """Without a key the server refuses to listen for other machines, and says what to set."""
    port = str(free_port())

    refused = home.run("serve", SHELF_HOST="0.0.0.0", SHELF_PORT=port)

    assert (refused.code, refused.out) == (2, "")
    assert re.search(r"SHELF_API_KEY=hf_[A-Za-z0-9]{34},", refused.err)


def test_a_container_that_is_published_on_loopback_needs_no_key(home: Home) -> None:
    """A container that is published on loopback answers loopback names without a key."""
    with home.serve(SHELF_HOST="0.0.0.0", SHELF_PUBLISHED_ON="127.0.0.1:8000") as server:
        server.url = server.url.replace("0.0.0.0", "127.0.0.1")
        asked = {host: server.ask("GET", "/api/models", Host=host).status for host in ("localhost:8000", "shelf:8000")}

    assert asked == {"localhost:8000": 200, "shelf:8000": 403}


@pytest.mark.parametrize("published", ["0.0.0.0:8000", "8000"])
def test_a_container_that_is_published_for_others_needs_a_key(home: Home, published: str) -> None:
    """A container that is published for others refuses to start without a key, and with one answers any name."""
    listening = {"SHELF_HOST": "0.0.0.0", "SHELF_PORT": str(free_port()), "SHELF_PUBLISHED_ON": published}
    assert home.run("serve", **listening).code == 2

    with home.serve(SHELF_HOST="0.0.0.0", SHELF_PUBLISHED_ON=published, SHELF_API_KEY=KEY) as server:
        server.url = server.url.replace("0.0.0.0", "127.0.0.1")
        assert server.ask("GET", "/api/models", Host="shelf:8000", Authorization=f"Bearer {KEY}").status == 200


def test_the_address_alone_says_where_things_are(server: Server) -> None:
    """`/` lists the addresses for programs and shows browsers the library; `/docs` loads nothing from elsewhere."""
    index = server.get("/")
    assert [server.ask("GET", index[name]).status for name in ("documentation", "models", "health")] == [200] * 3
    to_browser = server.ask("GET", "/", Accept="text/html,*/*")
    assert (to_browser.status, "<h1>Storage</h1>" in to_browser.text) == (200, True)

    page = server.ask("GET", "/docs")
    loaded = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert page.headers["content-security-policy"].startswith("default-src 'self';")
    assert all(server.ask("GET", path).status == 200 for path in loaded if not path.startswith("data:"))
    assert len(loaded) == 5


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_a_key_that_is_set_is_asked_for(home: Home, host: str) -> None:
    """If a key is set, every request needs it except the health checks."""
    with home.serve(SHELF_API_KEY=KEY, SHELF_HOST=host) as server:
        server.url = server.url.replace("0.0.0.0", "127.0.0.1")
        asked = {
            "without": server.ask("GET", "/api/models").status,
            "wrong": server.ask("GET", "/api/models", Authorization="Bearer wrong").status,
            "right": server.ask("GET", "/api/models", Authorization=f"Bearer {KEY}").status,
            "health": server.ask("GET", "/healthz").status,
            "docs": server.ask("GET", "/docs").status,
        }
        log = server.log.read_text()

    assert asked == {"without": 401, "wrong": 401, "right": 200, "health": 200, "docs": 200}
    assert KEY not in log


def test_a_token_is_in_no_log_and_no_registry(hub: FakeHub, home: Home) -> None:
    """The hub's token reaches the hub and is in no log and no registry."""
    hub.token = "hf_very_secret_token"
    hub.add_repo(REPO, FILES, private=True)
    with home.serve(HF_TOKEN=hub.token) as server:
        server.ask("POST", "/api/models", body())
        server.wait_for_state("m", "ready")
        answers = "".join(server.ask("GET", path).text for path in ("/api/models/m", "/api/jobs", "/api/cache"))
        log = server.log.read_text()

    stored = [path for path in home.primary.rglob("*") if path.is_file() and hub.token.encode() in path.read_bytes()]
    assert (hub.token in answers + log, stored) == (False, [])


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL], ids=lambda n: signal.Signals(n).name
)
def test_a_server_that_ends_leaves_its_download_to_the_next(
    hub: FakeHub, home: Home, shelf: Shelf, commit: str, number: signal.Signals
) -> None:
    """A server ends within seconds while the hub stalls, and however it ended, the next one finishes the download."""
    hub.pause(after_bytes=12 * MIB)
    with home.serve() as first:
        first.ask("POST", "/api/models", body())
        hub.wait_for_bytes(12 * MIB)
        code = first.end(number)
        log = first.log.read_text()
    jobs = {job.state for job in shelf.services.registry.jobs()}
    assert violations(shelf) == []
    hub.resume()

    with home.serve() as second:
        model = second.wait_for_state("m", "ready")

    assert (code, jobs) == ((-9, {"running"}) if number == signal.SIGKILL else (0, {"queued"}))
    assert "Traceback" not in log
    assert tree(Path(model["path"])) == FILES
    assert shelf.services.registry.reservations.all() == []
    assert violations(shelf) == []


def test_two_servers_share_one_library(hub: FakeHub, home: Home, commit: str, server: Server) -> None:
    """A second server on another port sees the first one's job, and each byte is fetched once."""
    hub.pause(after_bytes=MIB)
    server.ask("POST", "/api/models", body())
    hub.wait_for_bytes(MIB)

    with home.serve() as second:
        assert second.get("/api/models/m")["state"] == "downloading"
        second.ask("POST", "/api/models/m/pull")
        hub.resume()
        second.wait_for_state("m", "ready")

    assert hub.bytes_sent == sum(map(len, FILES.values()))
    assert len(server.get("/api/jobs")) == 1


def test_a_port_that_is_taken_is_said(home: Home, server: Server) -> None:
    """A second server on the same port ends with a conflict, and the first one keeps running."""
    refused = home.run("serve", "--port", server.url.rpartition(":")[2])

    assert (refused.code, refused.out) == (5, "")
    assert "taken" in refused.err
    assert server.get("/healthz")["status"] == "ok"
