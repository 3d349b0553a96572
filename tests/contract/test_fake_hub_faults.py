"""The fake hub is right on the wire, byte by byte, and wrong exactly as told."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.hub import FakeHub

WEIGHTS = bytes(range(256)) * 40
FILES: dict[str, bytes | Path] = {"config.json": b'{"a": 1}', "model.safetensors": WEIGHTS}
WEIGHTS_URL = "/org/name/resolve/main/model.safetensors"


@dataclass(frozen=True)
class Answer:
    """What http.client received."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    """A hub that holds org/name."""
    with FakeHub() as fake:
        fake.add_repo("org/name", FILES)
        yield fake


def connect(hub: FakeHub) -> http.client.HTTPConnection:
    """Open a connection to the hub."""
    return http.client.HTTPConnection("127.0.0.1", int(hub.url.rpartition(":")[2]), timeout=10)


def ask(hub: FakeHub, path: str, method: str = "GET", **headers: str) -> Answer:
    """Make one request, with headers given as `If_Range="x"`, and read the whole answer."""
    connection = connect(hub)
    try:
        connection.request(method, path, headers={name.replace("_", "-"): text for name, text in headers.items()})
        response = connection.getresponse()
        return Answer(response.status, response.headers, response.read())
    finally:
        connection.close()


def test_a_renamed_repository_is_a_relative_redirect(hub: FakeHub) -> None:
    """API and resolve answer 307 with the new id in place of the old one and the same query."""
    hub.rename("org/name", "new/home")
    answer = ask(hub, "/api/models/org/name/tree/main?recursive=true")
    assert (answer.status, answer.headers["Location"]) == (
        307,
        "/api/models/new/home/tree/main?recursive=true",
    )
    assert ask(hub, WEIGHTS_URL, "HEAD").headers["Location"] == "/new/home/resolve/main/model.safetensors"


@pytest.mark.parametrize("source", ["memory", "disk"])
@pytest.mark.parametrize(
    ("asked", "status", "span"),
    [
        pytest.param("bytes=0-99", 206, range(100), id="first bytes"),
        pytest.param("bytes=10000-", 206, range(10000, 10240), id="open end"),
        pytest.param("bytes=-40", 206, range(10200, 10240), id="suffix"),
        pytest.param("bytes=10239-99999", 206, range(10239, 10240), id="past the end is clipped"),
        pytest.param("bytes=0-1,5-6", 200, range(10240), id="several parts are ignored"),
        pytest.param("bytes=9-3", 200, range(10240), id="nonsense is ignored"),
        pytest.param("bytes=10240-", 416, None, id="nothing there"),
    ],
)
def test_ranges(hub: FakeHub, tmp_path: Path, source: str, asked: str, status: int, span: range | None) -> None:
    """A range is answered with its bytes and Content-Range, or with 416 and the size."""
    disk = tmp_path / "w"
    disk.write_bytes(WEIGHTS)
    hub.add_repo("org/name", {"model.safetensors": WEIGHTS if source == "memory" else disk})
    answer = ask(hub, WEIGHTS_URL, Range=asked)
    told = {206: f"bytes {span.start}-{span.stop - 1}/10240" if span else "", 416: "bytes */10240"}.get(status)
    assert (answer.status, answer.headers["Content-Range"]) == (status, told)
    assert span is None or answer.body == WEIGHTS[span.start : span.stop]


def test_if_range_decides_between_the_rest_and_the_whole(hub: FakeHub) -> None:
    """With If-Range the rest is sent only if the ETag is still the file's."""
    etag = ask(hub, WEIGHTS_URL, "HEAD").headers["ETag"]
    assert ask(hub, WEIGHTS_URL, Range="bytes=100-", If_Range=etag).body == WEIGHTS[100:]
    assert ask(hub, WEIGHTS_URL, Range="bytes=100-", If_Range='"old"').body == WEIGHTS


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        pytest.param("/org/name/resolve/main/none", 404, "EntryNotFound", id="file"),
        pytest.param("/org/name/resolve/none/config.json", 404, "RevisionNotFound", id="revision"),
        pytest.param("/api/models/org/name/revision/none", 404, "RevisionNotFound", id="revision by API"),
        pytest.param("/api/models/org/none", 404, "RepoNotFound", id="repository"),
        pytest.param("/gated/one/resolve/main/config.json", 403, "GatedRepo", id="gated"),
        pytest.param("/api/models/gated/one", 200, None, id="gated is open to the API"),
        pytest.param("/api/models/private/one", 401, "RepoNotFound", id="private"),
        pytest.param("/api/whoami-v2", 401, None, id="nobody"),
    ],
)
def test_error_codes(hub: FakeHub, path: str, status: int, code: str | None) -> None:
    """X-Error-Code says what is missing."""
    hub.add_repo("gated/one", FILES, gated=True)
    hub.add_repo("private/one", FILES, private=True)
    answer = ask(hub, path)
    assert (answer.status, answer.headers["X-Error-Code"]) == (status, code)
    assert (answer.headers["X-Repo-Commit"] is not None) == (code == "EntryNotFound")


def test_rules_act_in_their_order_as_often_as_told(hub: FakeHub) -> None:
    """Rules act in order and as often as told; HEAD doesn't use up a cut."""
    hub.fail("/org/*", status=503, headers={"Retry-After": "1"}, error_code="Busy", times=1)
    hub.fail("/org/*", cut_after=10, times=1)
    first = ask(hub, WEIGHTS_URL)
    assert (first.status, first.headers["Retry-After"], first.headers["X-Error-Code"]) == (503, "1", "Busy")
    assert ask(hub, WEIGHTS_URL, "HEAD").status == 200
    with pytest.raises(http.client.IncompleteRead) as cut:
        ask(hub, WEIGHTS_URL)
    assert cut.value.partial == WEIGHTS[:10]
    assert ask(hub, WEIGHTS_URL).body == WEIGHTS


def test_a_rule_for_one_method_spares_the_others_until_healed(hub: FakeHub) -> None:
    """`method` limits a rule to one method, and `heal` ends it."""
    hub.fail("*", method="HEAD", status=500)
    assert [ask(hub, WEIGHTS_URL, "HEAD").status, ask(hub, WEIGHTS_URL).status] == [500, 200]
    hub.heal()
    assert ask(hub, WEIGHTS_URL, "HEAD").status == 200


@pytest.mark.parametrize("source", ["memory", "disk"])
def test_a_corrupt_byte_hits_the_range_that_holds_it(hub: FakeHub, tmp_path: Path, source: str) -> None:
    """A corrupt byte is only in ranges that contain it, and other ranges don't use up the rule."""
    disk = tmp_path / "w"
    disk.write_bytes(WEIGHTS)
    hub.add_repo("org/name", {"model.safetensors": WEIGHTS if source == "memory" else disk})
    hub.fail("*", corrupt_at=500, times=1)
    assert ask(hub, WEIGHTS_URL, Range="bytes=0-499").body == WEIGHTS[:500]
    bad = ask(hub, WEIGHTS_URL, Range="bytes=400-599").body
    assert [at for at, byte in enumerate(bad, 400) if byte != WEIGHTS[at]] == [500]
    assert ask(hub, WEIGHTS_URL).body == WEIGHTS


@pytest.mark.parametrize(
    "fault",
    [pytest.param({"delay_s": 0.2}, id="delay"), pytest.param({"rate_bytes_per_s": 51_200}, id="rate")],
)
def test_a_slow_answer_takes_its_time(hub: FakeHub, fault: dict[str, Any]) -> None:
    """A delay of 0.2 s, and 10,240 bytes at 51,200 a second, each take 0.2 s."""
    hub.fail("*", **fault)
    started = time.perf_counter()
    assert ask(hub, WEIGHTS_URL).body == WEIGHTS
    assert time.perf_counter() - started >= 0.2


def test_a_hub_without_ranges_sends_all(hub: FakeHub) -> None:
    """With `no_ranges` neither method announces ranges, and a Range is answered with 200."""
    hub.fail("*", no_ranges=True)
    answer = ask(hub, WEIGHTS_URL, Range="bytes=5-9")
    assert (answer.status, answer.body, answer.headers["Accept-Ranges"]) == (200, WEIGHTS, None)
    assert ask(hub, WEIGHTS_URL, "HEAD").headers["Accept-Ranges"] is None


def test_a_truncated_file_looks_whole(hub: FakeHub) -> None:
    """With `truncate` half of the file comes with a matching Content-Length, while HEAD tells the real size."""
    hub.fail("*", truncate=True)
    answer = ask(hub, WEIGHTS_URL)
    assert (answer.body, answer.headers["Content-Length"]) == (WEIGHTS[:5120], "5120")
    assert ask(hub, WEIGHTS_URL, Range="bytes=5120-").status == 416
    assert ask(hub, WEIGHTS_URL, "HEAD").headers["X-Linked-Size"] == "10240"


def test_a_size_can_be_missing_everywhere(hub: FakeHub) -> None:
    """With `no_size` HEAD has no length and the tree null, only for the named file."""
    hub.fail("*/model.safetensors", no_size=True)
    head = ask(hub, WEIGHTS_URL, "HEAD").headers
    assert (head["Content-Length"], head["X-Linked-Size"]) == (None, None)
    tree = {one["path"]: one for one in json.loads(ask(hub, "/api/models/org/name/tree/main").body)}
    assert (tree["model.safetensors"]["size"], tree["model.safetensors"]["lfs"]["size"]) == (None, None)
    assert tree["config.json"]["size"] == 8


def test_a_redirect_keeps_the_metadata_and_the_cdn_serves_ranges(hub: FakeHub) -> None:
    """The 302 has commit, ETag and size, for files outside LFS too."""
    hub.fail("*/config.json", redirect_to=f"{hub.url}/cdn/{{digest}}")
    answer = ask(hub, "/org/name/resolve/main/config.json", "HEAD")
    assert (answer.status, answer.headers["X-Linked-Size"]) == (302, "8")
    digest = answer.headers["X-Linked-Etag"].strip('"')
    assert answer.headers["Location"] == f"{hub.url}/cdn/{digest}"
    assert len(answer.headers["X-Repo-Commit"]) == 40
    assert ask(hub, f"/cdn/{digest}", Range="bytes=1-2").body == b'"a'


def test_a_stopped_hub_refuses_and_comes_back_at_the_same_port(hub: FakeHub) -> None:
    """`stop` also ends open connections, and `start` uses the same port again."""
    open_one = connect(hub)
    open_one.request("GET", WEIGHTS_URL)
    assert open_one.getresponse().read() == WEIGHTS
    hub.stop()
    with pytest.raises(ConnectionRefusedError):
        ask(hub, WEIGHTS_URL)
    assert open_one.sock is not None
    assert open_one.sock.recv(1) == b""
    open_one.close()
    hub.start()
    assert ask(hub, WEIGHTS_URL).body == WEIGHTS


def test_a_stop_releases_what_the_pause_holds(hub: FakeHub) -> None:
    """A client that waits for a paused body sees the connection end when the hub stops."""
    hub.pause(after_bytes=7)
    partial: list[bytes] = []

    def read() -> None:
        with pytest.raises(http.client.IncompleteRead) as cut:
            ask(hub, WEIGHTS_URL)
        partial.append(cut.value.partial)

    reader = threading.Thread(target=read)
    reader.start()
    hub.wait_for_bytes(7)
    hub.stop()
    reader.join(timeout=10)
    assert partial == [WEIGHTS[:7]]


def test_bytes_that_never_come_are_a_timeout(hub: FakeHub) -> None:
    """`wait_for_bytes` raises if the bytes weren't sent in time."""
    with pytest.raises(TimeoutError, match="0 of 1 bytes"):
        hub.wait_for_bytes(1, timeout_s=0.01)


def test_one_connection_serves_many_requests(hub: FakeHub) -> None:
    """Every kind of answer leaves the connection usable, and each request is recorded."""
    connection = connect(hub)
    for path in ("/api/models/org/name", "/none", "/org/name/resolve/main/config.json"):
        for method in ("HEAD", "POST", "GET"):
            connection.request(method, path, body=b"paths=a" if method == "POST" else None)
            response = connection.getresponse()
            response.read()
            assert not response.will_close
    connection.close()
    assert response.status == 200
    assert [one.method for one in hub.requests] == ["HEAD", "POST", "GET"] * 3


@pytest.mark.parametrize(
    ("faults", "error"),
    [pytest.param({}, ValueError, id="none"), pytest.param({"statsu": 503}, TypeError, id="misspelt")],
)
def test_a_rule_must_say_what_fails(hub: FakeHub, faults: dict[str, Any], error: type[Exception]) -> None:
    """A rule that could never act is refused."""
    with pytest.raises(error):
        hub.fail("*", **faults)


def test_it_runs_as_a_process_of_its_own(tmp_path: Path) -> None:
    """`python -m tests.fakes.hub` prints the endpoint, the repository and the commit, and serves the file."""
    file = tmp_path / "big"
    file.write_bytes(WEIGHTS)
    command = [sys.executable, "-m", "tests.fakes.hub", "--file", str(file), "--repo", "big/one"]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, cwd=root, text=True, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        url, repo_id, commit = process.stdout.readline().split()
        connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=10)
        connection.request("GET", f"/{repo_id}/resolve/{commit}/big")
        assert connection.getresponse().read() == WEIGHTS
        connection.close()
        process.terminate()
