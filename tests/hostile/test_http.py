"""Hostile requests: each gets a problem document, and none breaks the server or leaves a trace."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator

import pytest

from tests.fakes.hub import FakeHub
from tests.serving import Serving, read_all, serving
from tests.world import Home

KEY = "hf_" + "a" * 34
DEEP = b"[" * 100_000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A server without a key on loopback, which must log no error."""
    with FakeHub() as hub:
        home = Home(tmp_path_factory.mktemp("http") / "user", hub.url)
        with home.open() as shelf, serving(shelf) as running:
            yield running
            assert [line for line in running.said if "Invalid HTTP request" not in line] == []


def body(**members: object) -> bytes:
    """Return a body that registers a model, changed."""
    usual = {"model_name": "m", "hf_path": "org/name", "download": False}
    return json.dumps(usual | members).encode()


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        pytest.param(["Host: ["], 400, id="half an address"),
        pytest.param(["Host: [::1"], 400, id="an address that does not end"),
        pytest.param([], 400, id="none"),
        pytest.param(["Host:"], 400, id="an empty one"),
        pytest.param(["Host: 127.0.0.1", "Host: 127.0.0.1"], 400, id="twice"),
        pytest.param(["Host: 127.0.0.1, evil.example"], 400, id="a list"),
        pytest.param(["Host: 127.0.0.1:99999999"], 400, id="no port"),
        pytest.param(["Host: me@127.0.0.1"], 400, id="a user"),
        pytest.param(["Host: 127.0.0.1/x"], 400, id="a path"),
        pytest.param(["Host: \xe9"], 400, id="not ASCII"),
        pytest.param(["Host: evil.example"], 403, id="another"),
        pytest.param(["Host: localhost.evil.example"], 403, id="one that begins as ours"),
        pytest.param(["Host: 127.0.0.1.nip.io"], 403, id="one that leads here"),
        pytest.param(["Host: LOCALHOST"], 200, id="in capitals"),
        pytest.param(["Host: [::1]:80"], 200, id="IPv6"),
    ],
)
def test_a_request_names_one_host_and_that_is_loopback(server: Serving, lines: list[str], status: int) -> None:
    """A missing, repeated, malformed or foreign Host header is refused before anything is done."""
    request = "\r\n".join(["GET /api/jobs HTTP/1.1", *lines, "Connection: close", "", ""]).encode("latin-1")

    reply = server.send(request)

    assert reply is not None
    assert reply.status == status
    if status != 200:
        assert reply.headers["content-type"] == "application/problem+json"
        assert reply.json["status"] == status


@pytest.mark.parametrize(
    ("name", "value", "status"),
    [
        pytest.param("Sec-Fetch-Site", "cross-site", 403, id="cross-site"),
        pytest.param("Sec-Fetch-Site", "same-site", 403, id="same-site"),
        pytest.param("Sec-Fetch-Site", "none, cross-site", 403, id="two of them"),
        pytest.param("Sec-Fetch-Site", "same-origin", 200, id="same-origin"),
        pytest.param("Sec-Fetch-Site", "none", 200, id="a person"),
        pytest.param("Origin", "http://[", 403, id="half an origin"),
        pytest.param("Origin", "null", 403, id="no origin"),
        pytest.param("Origin", "https://evil.example", 403, id="another origin"),
    ],
)
@pytest.mark.parametrize("path", ["/api/doctor", "/api/cache", "/hf/api/models/org/name", "/docs", "/openapi.json"])
def test_a_page_of_another_site_makes_the_server_do_nothing(
    server: Serving, path: str, name: str, value: str, status: int
) -> None:
    """A request that another site's page makes is refused, even one that only reads; a person's isn't."""
    if status == 200 and path != "/openapi.json":
        path = "/api/jobs"

    assert server.ask("GET", path, headers=[f"{name}: {value}"]).status == status
    assert server.ask("GET", "/healthz", headers=["Sec-Fetch-Site: cross-site"]).status == 200


@pytest.mark.parametrize(
    "path",
    ["/healthz", "/api/models", "/api/models/nope", "/no/such/page", "/hf/org/no/resolve/main/x", "/%zz", "/\xff"],
)
def test_no_answer_can_be_used_by_a_page_of_another_site(server: Serving, path: str) -> None:
    """Every answer, an error too, forbids guessing its type and using it from another origin."""
    reply = server.ask("GET", path)

    assert reply.headers["x-content-type-options"] == "nosniff"
    assert reply.headers["cross-origin-resource-policy"] == "same-origin"


@pytest.mark.parametrize(
    ("content", "status"),
    [
        pytest.param(body(model_name="\ud800"), 400, id="a lone surrogate"),
        pytest.param(b'{"model_name": NaN, "hf_path": Infinity}', 422, id="NaN and Infinity"),
        pytest.param(DEEP, 400, id="deep brackets"),
        pytest.param(b'{"model_name":' * 50_000, 400, id="deep braces"),
        pytest.param(b"\xff\xfe\x00", 400, id="no UTF-8"),
        pytest.param(b"9" * 5000, 400, id="a long number"),
        pytest.param(b"{", 422, id="half a body"),
        pytest.param(b"null", 422, id="null"),
        pytest.param(body(model_name="m" * 300), 400, id="a name of 300 bytes"),
        pytest.param(body(model_name="a\0b"), 400, id="NUL in a name"),
        pytest.param(body(hf_path="org/" + "n" * 300), 400, id="an id of 300 bytes"),
        pytest.param(body(hf_path="\u202egro/eman"), 400, id="a bidi override"),
        pytest.param(body(revision="../../x"), 400, id="a revision that climbs"),
        pytest.param(body(cache_location="custom", cache_path="/mnt/a\0b"), 400, id="NUL in a path"),
        pytest.param(body(cache_location="custom", cache_path="/mnt/" + "a" * 300), 400, id="a long folder"),
        pytest.param(body(allow_patterns=["[" * 5000]), 422, id="a pattern of brackets"),
        pytest.param(body(allow_patterns=["*"] * 5000), 422, id="many patterns"),
        pytest.param(b"x" * (2 << 20), 413, id="two megabytes"),
    ],
)
def test_a_body_that_means_harm_is_a_problem_document(server: Serving, content: bytes, status: int) -> None:
    """Whatever a body holds, the answer is a documented one and nothing is registered."""
    reply = server.ask("POST", "/api/models", content)

    assert (reply.status, reply.headers["content-type"]) == (status, "application/problem+json")
    assert reply.json["detail"]
    assert server.ask("GET", "/api/models").json == []


@pytest.mark.parametrize("value", ["NaN", "Infinity", "1e999", "-1", '"x"', str(10**30)])
@pytest.mark.parametrize("member", ["max_age_s", "rate_bytes_per_s"])
def test_a_number_has_bounds(server: Serving, member: str, value: str) -> None:
    """A number outside its bounds is refused in every body."""
    reply = server.ask("POST", "/api/cache/verify", b'{"%s": %s}' % (member.encode(), value.encode()))

    assert (reply.status, reply.headers["content-type"]) == (422, "application/problem+json")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (f"/api/jobs/{2**63}", 422),
        (f"/api/jobs/{10**30}", 422),
        ("/api/jobs/-1", 422),
        ("/api/jobs/x", 422),
        ("/api/jobs/9007199254740993", 404),
        ("/api/models/" + "m" * 300, 400),
        ("/api/models/%00", 400),
        ("/api/models/%ED%A0%80", 400),
        ("/api/models/..%2f..%2fetc", 404),
        ("/api/models/%E2%80%AE", 400),
        ("/api/cache?rescan=" + "9" * 5000, 422),
        ("/api/cache?rescan=%00", 422),
        ("/api/nothing", 404),
        ("//api//models", 404),
    ],
)
def test_a_path_that_means_harm_is_a_problem_document(server: Serving, path: str, status: int) -> None:
    """Whatever a path or a query holds, the answer is a documented one."""
    reply = server.ask("GET", path)

    assert (reply.status, reply.headers["content-type"]) == (status, "application/problem+json")


@pytest.mark.parametrize("method", ["PUT", "TRACE", "DELETE", "POST", "OPTIONS", "PROPFIND", "CONNECT"])
def test_a_method_that_is_not_known_is_a_problem_document(server: Serving, method: str) -> None:
    """An unknown method gets a problem document with the methods that there are."""
    reply = server.ask(method, "/api/cache" if method != "CONNECT" else "127.0.0.1:80")

    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.status == (400 if method == "CONNECT" else 405)


def test_a_page_says_which_methods_it_has(server: Serving) -> None:
    """A method that isn't allowed is answered with all that are, of whichever route."""
    allowed = {
        path: server.ask("PUT", path).headers["allow"] for path in ("/api/models", "/api/models/m", "/api/jobs/1")
    }

    assert allowed == {
        "/api/models": "GET, HEAD, POST",
        "/api/models/m": "GET, HEAD, PATCH, DELETE",
        "/api/jobs/1": "GET, HEAD",
    }


@pytest.mark.parametrize(
    "path", ["/", "/healthz", "/api/models", "/api/models/absent", "/v1/models", "/api/tags", "/docs", "/nowhere"]
)
def test_head_is_answered_as_get_is(server: Serving, path: str) -> None:
    """Status and headers are those of GET, and there is no body; Ollama's own client begins with `HEAD /`."""
    read, looked = server.ask("GET", path), server.ask("HEAD", path)

    assert (looked.status, looked.body) == (read.status, b"")
    assert looked.headers.keys() == read.headers.keys()
    assert looked.headers.get("content-length") == read.headers.get("content-length")


def test_head_of_a_stream_ends(server: Serving) -> None:
    """A stream that never ends is answered with its head, and the connection is free for the next request."""
    request = "{} HTTP/1.1\r\nHost: {}\r\n{}\r\n".format
    with server.connect() as connection:
        connection.sendall(request("HEAD /api/events", server.host, "").encode())
        connection.sendall(request("GET /healthz", server.host, "Connection: close\r\n").encode())
        said = read_all(connection)

    assert said.count(b"HTTP/1.1 200 OK") == 2
    assert b"listening" not in said


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", id="TLS"),
        pytest.param(b"GET / HTTP/9.9\r\nHost: 127.0.0.1\r\n\r\n", id="a version"),
        pytest.param(b"GET http://[ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", id="half a URL"),
        pytest.param(b"GET /\xff\xfe HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", id="bytes in a URL"),
        pytest.param(b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -1\r\n\r\n", id="a negative length"),
        pytest.param(
            b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", id="two lengths"
        ),
        pytest.param(
            b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            id="length and chunks",
        ),
        pytest.param(
            b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", id="chunks of no size"
        ),
        pytest.param(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n x: y\r\n\r\n", id="a folded header"),
    ],
)
def test_what_is_no_http_is_refused(server: Serving, request_: bytes) -> None:
    """Bytes that are ambiguous as HTTP are answered with 400 and the end of the connection."""
    reply = server.send(request_)

    assert reply is not None
    assert (reply.status, reply.headers["content-type"]) == (400, "application/problem+json")
    assert reply.headers["x-content-type-options"] == "nosniff"


def test_an_upgrade_that_nobody_offers_is_left_out(server: Serving) -> None:
    """A request to upgrade to another protocol is answered as a normal one."""
    reply = server.ask("GET", "/healthz", headers=["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c"])

    assert reply.status == 200


def test_a_client_that_leaves_leaves_no_trace(server: Serving) -> None:
    """A connection that ends in the middle of a head, a body or an answer isn't an error."""
    head = f"POST /api/models HTTP/1.1\r\nHost: {server.host}\r\nContent-Type: application/json\r\n"
    hub = f"POST /hf/api/models/org/name/paths-info/main HTTP/1.1\r\nHost: {server.host}\r\n"
    for begun in (head, f"{head}Content-Length: 500\r\n\r\n{{", f"{hub}Content-Length: 500\r\n\r\npaths"):
        with server.connect() as connection:
            connection.sendall(begun.encode())
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    assert server.ask("GET", "/api/jobs").status == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        pytest.param([], 401, id="nothing"),
        pytest.param([f"Authorization: {KEY}"], 401, id="without Bearer"),
        pytest.param([f"Authorization: Basic {KEY}"], 401, id="Basic"),
        pytest.param(["Authorization: Bearer"], 401, id="Bearer alone"),
        pytest.param(["Authorization: Bearer \xe9\xff"], 401, id="not ASCII"),
        pytest.param([f"Authorization: Bearer {KEY}", "Authorization: Bearer x"], 401, id="two"),
        pytest.param([f"Authorization: Bearer {KEY}"], 200, id="the key"),
        pytest.param([f"Authorization: bearer  {KEY}"], 200, id="in lower case"),
    ],
)
def test_a_key_comes_as_a_bearer_token(home: Home, headers: list[str], status: int) -> None:
    """Only a single `Authorization: Bearer KEY` lets a request in; else 401 says how, to clients of the Hub too."""
    with home.open() as shelf, serving(shelf, api_key=KEY) as server:
        replies = [server.ask("GET", path, headers=headers) for path in ("/api/jobs", "/hf/api/whoami-v2")]

    assert {reply.status for reply in replies} == {status}
    for reply in replies if status == 401 else []:
        assert reply.headers["www-authenticate"].startswith("Bearer")
        assert reply.headers["x-error-message"] == reply.json["detail"]
        assert reply.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    "path",
    [
        "/etc/cron.d",
        "/etc/models",
        "/usr/local/models",
        "/proc/self/models",
        "/root/.ssh",
        "/home/me/.config/autostart",
        "/var/spool/cron",
        "/srv/models",
        "/tmp/models",
        "{root}/.ssh",
        "{root}/link/models",
        "{root}/a/../../x",
    ],
)
def test_a_path_of_a_request_lies_below_the_roots(home: Home, path: str) -> None:
    """No route takes a base or folder outside the allowed roots, hidden, or behind a link, and none is created."""
    allowed = home.root / "allowed"
    allowed.mkdir()
    (allowed / "link").symlink_to(home.root / "home")
    path = path.format(root=allowed)
    posted = body(cache_location="custom", cache_path=path)
    with home.open() as shelf, serving(shelf, roots=[str(allowed)]) as server:
        replies = [
            server.ask("POST", "/api/models", posted),
            server.ask("PATCH", "/api/models/m", json.dumps({"cache_location": "custom", "cache_path": path}).encode()),
            server.ask("POST", "/api/cache/adopt", json.dumps({"mode": "leave", "path": path}).encode()),
            server.ask("POST", "/api/cache/adopt", json.dumps({"mode": "move", "to": path}).encode()),
        ]

    assert {reply.status for reply in replies} <= {400, 403}
    assert "SHELF_CUSTOM_ROOTS" in str([reply.json for reply in replies]) or ".." in path or path.startswith("/proc")
    assert not (home.root / "home" / "models").exists()


def test_what_the_settings_map_is_open(home: Home, hub: FakeHub) -> None:
    """A base in `CACHE_PATH_MAP`, and those below it, are allowed."""
    hub.add_repo("org/name", {"config.json": b"{}"})
    ours = home.root / "ours"
    with home.open(CACHE_PATH_MAP=f"/mnt/theirs={ours}") as shelf, serving(shelf) as server:
        paths = {name: f"/mnt/theirs{rest}" for name, rest in (("a", ""), ("b", "/below"), ("c", "/.hidden"))}
        replies = {
            name: server.ask("POST", "/api/models", body(model_name=name, cache_location="custom", cache_path=path))
            for name, path in paths.items()
        }

    assert {name: reply.status for name, reply in replies.items()} == {"a": 201, "b": 201, "c": 403}
