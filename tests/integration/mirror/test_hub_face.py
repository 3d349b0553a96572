"""The hub face with real clients: a stock cache on a disk, uvicorn on a port."""

from __future__ import annotations

import hashlib
import http.client
import inspect
import io
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import uvicorn
from fastapi import FastAPI
from fastapi.testclient import TestClient
from uvicorn.protocols.http import httptools_impl

from modelshelf.errors import BadInput, Conflict, NotFound
from modelshelf.server.hub.routes import create_router
from modelshelf.server.hub.sendfile import WINDOW_BYTES, ZERO_COPY, ZeroCopyProtocol
from modelshelf.server.uvicorn_server import create_server, listen, url_of
from modelshelf.services.mirror.contents import ServedFile
from modelshelf.services.mirror.lookup import HubFace
from modelshelf.store.layout import Base
from tests.builders import digest_of
from tests.integration.mirror.hub_face_tree import (
    Face,
    add_commit,
    add_sparse,
    ask,
    exchange,
    raw_request,
    running,
)
from tests.stock_client import StockClient

COMMIT, OTHER = "a" * 40, "b" * 40
WEIGHTS = os.urandom(20_000_000)
ODD = "sub/é 100%#?.txt"
FILES = {
    "config.json": b'{"model_type": "llama", "hidden_size": 64}',
    "model.safetensors": WEIGHTS,
    "onnx/deep/model.bin": b"onnx",
    "empty.txt": b"",
    ODD: b"odd",
}
MODEL = "org/name/resolve/main/model.safetensors"


def lay_out(base: Path) -> Path:
    """Write a tier that holds org/name at two commits, and a model without an organisation."""
    add_commit(base, "org/name", COMMIT, FILES, tree=True)
    add_commit(base, "org/name", OTHER, {"config.json": b"{}"}, refs=("refs/pr/1", "dev/x"))
    add_commit(base, "gpt2", COMMIT, {"config.json": b"{}"})
    return base


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A tier of the test's own."""
    return lay_out(tmp_path / "tier")


@pytest.fixture
def face(base: Path) -> Iterator[Face]:
    """The hub face over that tier, which must log no error."""
    with running(base) as running_face:
        yield running_face
    assert running_face.errors == []


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Face]:
    """A face for the tests that don't change the disk."""
    with running(lay_out(tmp_path_factory.mktemp("still") / "tier")) as running_face:
        yield running_face
    assert running_face.errors == []


@pytest.fixture
def client(face: Face, tmp_path: Path) -> StockClient:
    """A real client of the face."""
    (tmp_path / "client" / "base").mkdir(parents=True)
    return StockClient(tmp_path / "client" / "base", face.url)


def test_hf_download_and_verify_work_unchanged(face: Face, client: StockClient) -> None:
    """`hf download` stores every byte, `hf cache verify` agrees, and no answer mentions Xet."""
    downloaded = client.hf("download", "org/name")
    verified = client.hf("cache", "verify", "org/name")

    assert downloaded.returncode == 0, downloaded.stderr
    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert client.files("org/name", COMMIT) == FILES
    for answer in face.recorder.answers:
        assert "xet" not in f"{answer.path} {answer.headers}".lower()


def test_no_listing_names_xet(face: Face, base: Path) -> None:
    """Even if a tier's own list has Xet hashes, no answer shows them."""
    listing = base / "hub/models--org--name/trees" / f"{COMMIT}.json"
    known = json.loads(listing.read_text())
    known["files"]["model.safetensors"]["xet_hash"] = "e" * 64
    listing.write_text(json.dumps(known))

    for path in ("org/name/tree/main?recursive=true", "org/name?blobs=true", "org/name/revision/main"):
        status, headers, body = face.ask("GET", f"api/models/{path}")
        assert status == 200
        assert b"xet" not in body.lower()
        assert "xet" not in str(headers).lower()


def test_snapshot_download_takes_a_pattern_and_a_quoted_revision(client: StockClient) -> None:
    """A pull request's ref, percent-quoted by the client, leads to its commit."""
    code = "from huggingface_hub import snapshot_download as d; print(d('org/name', revision='refs/pr/1'))"

    path = client.run(code)

    assert Path(path).name == OTHER
    assert client.files("org/name", OTHER) == {"config.json": b"{}"}


def test_an_id_without_an_organisation_is_served(client: StockClient) -> None:
    """A model without an organisation is served."""
    assert client.hf("download", "gpt2", "config.json").returncode == 0
    assert client.files("gpt2", COMMIT) == {"config.json": b"{}"}


def test_from_pretrained_works_unchanged(client: StockClient) -> None:
    """transformers reads a configuration through the face."""
    code = "from transformers import AutoConfig; print(AutoConfig.from_pretrained('org/name').hidden_size)"

    assert client.run(code) == "64"


def test_the_api_client_understands_every_answer(client: StockClient) -> None:
    """HfApi reads info, tree, paths-info and refs, and they agree with the disk."""
    code = f"""if True:
        import json
        from huggingface_hub import HfApi
        api = HfApi()
        info = api.model_info('org/name', files_metadata=True)
        blobs = {{s.rfilename: [s.size, s.lfs.sha256 if s.lfs else s.blob_id] for s in info.siblings}}
        tree = [f.path for f in api.list_repo_tree('org/name', recursive=True)]
        sub = [f.path for f in api.list_repo_tree('org/name', 'onnx')]
        few = api.get_paths_info('org/name', ['config.json', 'onnx', 'no'])
        few = [[f.path, getattr(f, 'size', None)] for f in few]
        refs = api.list_repo_refs('org/name', include_pull_requests=True)
        print(json.dumps([info.sha, info.private, info.gated, blobs, tree, sub, few,
            {{r.name: r.target_commit for r in refs.branches}}, [r.ref for r in refs.pull_requests],
            api.file_exists('org/name', {ODD!r}), api.file_exists('org/name', 'no'), api.repo_exists('org/no')]))
    """

    sha, private, gated, blobs, tree, sub, few, branches, pulls, *exist = json.loads(client.run(code))

    assert (sha, private, gated) == (COMMIT, False, False)
    assert blobs == {path: [len(content), digest_of(path, content)] for path, content in FILES.items()}
    assert sorted(tree) == sorted([*FILES, "onnx", "onnx/deep", "sub"])
    assert sub == ["onnx/deep"]
    assert few == [["config.json", len(FILES["config.json"])], ["onnx", None]]
    assert branches == {"main": COMMIT, "dev/x": OTHER}
    assert pulls == ["refs/pr/1"]
    assert exist == [True, False, False]


def test_llama_cpp_finds_its_files(still: Face) -> None:
    """llama.cpp's requests work: refs, the commit's tree on one page, HEAD, then ranges."""
    commit = still.json("api/models/org/name/refs")["branches"][-1]["targetCommit"]
    tree = still.json(f"api/models/org/name/tree/{commit}?recursive=true")
    entry = next(entry for entry in tree if entry["path"] == "model.safetensors")
    path = f"org/name/resolve/{commit}/{entry['path']}"
    _, head, _ = still.ask("HEAD", path, {"User-Agent": "llama-cpp/b1", "Accept-Encoding": ""})
    status, _, body = still.ask("GET", path, {"Range": "bytes=19000000-"})

    assert entry["type"] == "file"
    assert entry["lfs"]["oid"] == hashlib.sha256(WEIGHTS).hexdigest()
    assert entry["lfs"]["size"] == int(head["content-length"]) == len(WEIGHTS)
    assert head["accept-ranges"] == "bytes"
    assert (status, body) == (206, WEIGHTS[19000000:])


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("bytes=0-0", range(1)),
        ("bytes=100-199", range(100, 200)),
        ("bytes=19999990-", range(19999990, 20000000)),
        ("bytes=19999990-99999999", range(19999990, 20000000)),
        ("bytes=-5", range(19999995, 20000000)),
        (f"bytes=1-{WINDOW_BYTES + 1}", range(1, WINDOW_BYTES + 2)),
    ],
)
def test_a_range_is_answered_with_its_bytes(still: Face, wanted: str, expected: range) -> None:
    """A range is answered with 206 and its bytes, even if it exceeds one window of the kernel."""
    status, headers, body = still.ask("GET", MODEL, {"Range": wanted})

    assert status == 206
    assert headers["content-range"] == f"bytes {expected.start}-{expected.stop - 1}/{len(WEIGHTS)}"
    assert int(headers["content-length"]) == len(expected)
    assert body == WEIGHTS[expected.start : expected.stop]


@pytest.mark.parametrize("wanted", ["bytes=20000000-", "bytes=30000000-30000001", "bytes=-0"])
def test_a_range_past_the_end_is_416(still: Face, wanted: str) -> None:
    """A range past the end is answered with 416 and the file's length."""
    status, headers, body = still.ask("GET", MODEL, {"Range": wanted})

    assert (status, body) == (416, b"")
    assert headers["content-range"] == f"bytes */{len(WEIGHTS)}"


@pytest.mark.parametrize("wanted", ["bytes=0-1,4-5", "bytes=5-2", "lines=1-2"])
def test_several_ranges_and_nonsense_get_the_whole_file(still: Face, wanted: str) -> None:
    """Several ranges and malformed ones are answered with the whole file."""
    status, headers, body = still.ask("GET", "org/name/resolve/main/config.json", {"Range": wanted})

    assert (status, body) == (200, FILES["config.json"])
    assert "content-range" not in headers


def test_if_range_decides_between_a_part_and_the_whole(still: Face) -> None:
    """If-Range with the same ETag gives the range; another one, a weak one or a date gives the whole file."""
    path = "org/name/resolve/main/config.json"
    etag = f'"{digest_of("config.json", FILES["config.json"])}"'
    matched = still.ask("GET", path, {"Range": "bytes=1-2", "If-Range": etag})
    others = [
        still.ask("GET", path, {"Range": "bytes=1-2", "If-Range": value})[0]
        for value in ('"other"', f"W/{etag}", "Wed, 21 Oct 2015 07:28:00 GMT")
    ]

    assert (matched[0], matched[2]) == (206, FILES["config.json"][1:3])
    assert others == [200, 200, 200]


@pytest.mark.parametrize("path", [quote(path) for path in FILES])
def test_head_has_the_headers_of_get(still: Face, path: str) -> None:
    """HEAD has the same headers as GET, and nothing is compressed."""
    asked = {"Accept-Encoding": "gzip, br", "Range": "bytes=0-0"}
    _, head, nothing = still.ask("HEAD", f"org/name/resolve/main/{path}", asked)
    status, get, body = still.ask("GET", f"org/name/resolve/main/{path}", {"Accept-Encoding": "gzip, br"})

    assert (status, nothing) == (200, b"")
    assert {**head, "date": ""} == {**get, "date": ""}
    assert int(get["content-length"]) == len(body)
    assert get["x-repo-commit"] == COMMIT
    assert get["content-type"] == "application/octet-stream"
    assert "content-encoding" not in get


def test_only_weights_are_linked(still: Face) -> None:
    """LFS files have X-Linked-Etag and X-Linked-Size, and a commit's file may be cached for ever."""
    _, weights, _ = still.ask("HEAD", MODEL)
    _, config, _ = still.ask("HEAD", f"org/name/resolve/{COMMIT}/config.json")

    assert weights["x-linked-etag"] == weights["etag"] == f'"{hashlib.sha256(WEIGHTS).hexdigest()}"'
    assert weights["x-linked-size"] == str(len(WEIGHTS))
    assert weights["cache-control"] == "no-cache"
    assert "x-linked-etag" not in config
    assert "immutable" in config["cache-control"]


def test_one_connection_takes_many_requests(still: Face) -> None:
    """One connection serves many requests, after files, ranges, errors and HEAD."""
    with still.connect() as connection:
        asked = [
            ("GET", "/hf/org/name/resolve/main/empty.txt", {}, 200, b""),
            ("GET", f"/hf/{MODEL}", {"Range": "bytes=5-9"}, 206, WEIGHTS[5:10]),
            ("HEAD", f"/hf/{MODEL}", {}, 200, b""),
            ("GET", f"/hf/{MODEL}", {"Range": "bytes=99999999-"}, 416, b""),
            ("GET", f"/hf/{MODEL}", {}, 200, WEIGHTS),
            ("GET", "/hf/org/name/resolve/main/config.json", {}, 200, FILES["config.json"]),
        ]
        connection.connect()
        first = connection.sock
        for method, path, headers, status, body in asked:
            found = ask(connection, method, path, headers)
            assert (found[0], found[2]) == (status, body)
        assert connection.sock is first


def test_pipelined_requests_are_answered_in_their_order(still: Face) -> None:
    """Three pipelined requests get three answers in order, and the last one closes."""
    request = raw_request("/hf/org/name/resolve/main/model.safetensors") + raw_request(
        "/hf/org/name/resolve/main/config.json"
    )

    received = exchange(still.address, request + raw_request("/hf/gpt2/resolve/main/config.json", "Connection: close"))

    assert received.count(b"HTTP/1.1 200 OK") == 3
    assert received.index(WEIGHTS) < received.index(FILES["config.json"])
    assert received.endswith(b"\r\n\r\n{}")


@pytest.mark.parametrize("way", ["reset", "close"])
def test_a_client_that_leaves_in_the_middle_is_no_event(face: Face, base: Path, way: str) -> None:
    """If a client leaves in the middle, the file is closed, no error is logged, and the next client is served."""
    digest = add_sparse(base, "org/name", COMMIT, "big.gguf", 10**9)
    connection = socket.create_connection(face.address)
    connection.sendall(raw_request("/hf/org/name/resolve/main/big.gguf"))
    assert connection.recv(1000)
    if way == "reset":
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()

    left = face.recorder.done.get(timeout=10)

    assert left.path.endswith("big.gguf")
    assert not [fd for fd in Path("/proc/self/fd").iterdir() if fd.is_symlink() and fd.readlink().name == digest]
    assert face.ask("GET", "gpt2/resolve/main/config.json")[2] == b"{}"


def test_a_slow_reader_holds_nobody_up(face: Face, base: Path) -> None:
    """While one client doesn't read, another gets its files, and the slow one gets the rest later."""
    add_commit(base, "org/slow", COMMIT, {"model.gguf": WEIGHTS * 2})
    with socket.create_connection(face.address) as slow:
        slow.sendall(raw_request("/hf/org/slow/resolve/main/model.gguf", "Connection: close"))
        received = slow.recv(1000)
        assert face.ask("GET", MODEL)[2] == WEIGHTS
        while chunk := slow.recv(1 << 20):
            received += chunk

    assert received.endswith(b"\r\n\r\n" + WEIGHTS * 2)


@pytest.mark.parametrize(
    "path",
    [
        "/hf/org/name/resolve/main/..%2f..%2frefs%2fmain",
        "/hf/org/name/resolve/main/../../refs/main",
        "/hf/org/name/resolve/main/%2e%2e/%2e%2e/refs/main",
        "/hf/org/name/resolve/main/%2fetc%2fpasswd",
        "/hf/org/name/resolve/main//etc/passwd",
        "/hf/org/name/resolve/main/config.json%00",
        "/hf/org/name/resolve/main/config.json%0d%0aX-Evil:%201",
        "/hf/org/name/resolve/main/%5c..%5c..%5crefs",
        "/hf/org/name/resolve/..%2f..%2f..%2ftoken/x",
        "/hf/org/name/resolve/..%2f" + OTHER + "/config.json",
        "/hf/..%2f..%2fetc/x/resolve/main/passwd",
        "/hf/..%2f../resolve/main/passwd",
        "/hf/api/models/..%2f..",
        "/hf/api/models/org/name/tree/main/..%2f..",
        "/hf/api/models/org/name/revision/..%2fx",
    ],
)
def test_a_path_that_climbs_is_404_and_never_a_file(still: Face, path: str) -> None:
    """A path that climbs is answered with 404, in any quoting."""
    received = exchange(still.address, raw_request(path, "Connection: close"))

    assert received.startswith(b"HTTP/1.1 404 ")
    assert b"\nX-Evil" not in received
    assert COMMIT.encode() not in received.partition(b"\r\n\r\n")[0]


@pytest.mark.parametrize("planted", ["secret", "token", "blob", "folder"])
def test_a_planted_link_is_never_followed_out_of_the_hub(face: Face, base: Path, tmp_path: Path, planted: str) -> None:
    """A link out of the hub, to a folder, to the token, through a blob or a folder, is neither served nor listed."""
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret/file").write_text("secret")
    (base / "token").write_text("secret")
    repo = base / "hub/models--org--name"
    place = repo / "snapshots" / COMMIT / "planted"
    if planted == "folder":
        place.symlink_to(tmp_path / "secret")
    elif planted == "blob":
        (repo / "blobs" / ("7" * 64)).symlink_to(tmp_path / "secret/file")
        place.symlink_to(f"../../blobs/{'7' * 64}")
    else:
        place.symlink_to({"secret": tmp_path / "secret/file", "token": "../../../../token"}[planted])

    path = "planted/file" if planted == "folder" else "planted"
    status, headers, body = face.ask("GET", f"org/name/resolve/main/{path}")
    names = [entry["path"] for entry in face.json("api/models/org/name/tree/main?recursive=true")]

    assert (status, headers["x-error-code"]) == (404, "EntryNotFound")
    assert b"secret" not in body
    assert not [name for name in names if "planted" in name]


def test_a_sparse_file_of_60_gb_is_served_without_being_read(face: Face, base: Path) -> None:
    """HEAD tells the size of a sparse file of 60 GB, and a range near its end comes at once."""
    digest = add_sparse(base, "org/name", COMMIT, "huge.gguf", 60 * 10**9)
    path = "org/name/resolve/main/huge.gguf"
    _, head, _ = face.ask("HEAD", path)
    status, part, body = face.ask("GET", path, {"Range": "bytes=59999999990-"})

    assert head["content-length"] == head["x-linked-size"] == str(60 * 10**9)
    assert head["etag"] == f'"{digest}"'
    assert (status, body) == (206, b"\0" * 10)
    assert part["content-range"] == "bytes 59999999990-59999999999/60000000000"


class Enough(Exception):
    """The client has shown that it downloads."""


class Sink(io.RawIOBase):
    """A file that raises after 32 MiB."""

    taken = 0

    def write(self, data: Any) -> int:
        """Count bytes."""
        self.taken += len(data)
        if self.taken > 32 << 20:
            raise Enough
        return len(data)


def test_the_stock_client_downloads_more_than_50_gb(face: Face, base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """huggingface_hub downloads more than 50 GB, because HEAD leaves out a size that it would refuse."""
    from huggingface_hub.file_download import get_hf_file_metadata, http_get

    add_sparse(base, "org/name", COMMIT, "huge.gguf", 60 * 10**9)
    url = f"{face.url}/org/name/resolve/main/huge.gguf"
    metadata = get_hf_file_metadata(url, token=False)

    assert metadata.size is None
    assert metadata.commit_hash == COMMIT
    with pytest.raises(Enough):
        http_get(url, Sink(), expected_size=metadata.size)
    assert face.recorder.done.get(timeout=10).method == "HEAD"
    assert face.recorder.done.get(timeout=10).method == "GET"


@pytest.mark.parametrize(
    ("path", "code", "commit"),
    [
        ("org/no/resolve/main/x", "RepoNotFound", None),
        ("api/models/org/no", "RepoNotFound", None),
        ("org/name/resolve/no/config.json", "RevisionNotFound", None),
        (f"org/name/resolve/{'c' * 40}/config.json", "RevisionNotFound", None),
        ("api/models/org/name/revision/no", "RevisionNotFound", None),
        ("org/name/resolve/main/no.bin", "EntryNotFound", COMMIT),
        ("org/name/resolve/main/n%C3%B6.bin", "EntryNotFound", COMMIT),
        ("org/name/resolve/main/onnx", "EntryNotFound", COMMIT),
        ("org/name/resolve/main/" + "a" * 5000, "EntryNotFound", None),
        ("org/name/resolve/refs%2Fpr%2F1/no.bin", "EntryNotFound", None),
    ],
)
def test_what_is_not_there_says_what_is_missing(still: Face, path: str, code: str, commit: str | None) -> None:
    """An error code names what is missing; the commit is named only if a list shows that it lacks the file."""
    status, headers, body = still.ask("GET", path)

    assert status == 404
    assert headers["x-error-code"] == code
    assert headers.get("x-repo-commit") == commit
    assert json.loads(body)["error"]


def test_what_a_client_recorded_as_absent_is_denied_for_good(face: Face, base: Path) -> None:
    """Without a list of files, the record in `.no_exist` shows that the commit lacks a file."""
    record = base / "hub/models--org--name/.no_exist" / OTHER / "adapter_config.json"
    record.parent.mkdir(parents=True)
    record.touch()

    _, headers, _ = face.ask("HEAD", "org/name/resolve/dev%2Fx/adapter_config.json")

    assert headers["x-repo-commit"] == OTHER


def test_other_routes_and_methods_are_refused(still: Face) -> None:
    """Other routes, writing methods and other types of repositories are refused."""
    assert still.ask("GET", "api/whoami-v2")[0] == 401
    assert still.ask("GET", "api/whoami-v2", headers={"Authorization": "Bearer x"})[0] == 200
    assert still.ask("GET", "api/datasets/org/name")[0] == 404
    assert still.ask("POST", MODEL, body=b"x")[0] == 404
    assert still.ask("DELETE", MODEL)[0] == 405
    assert still.ask("POST", "api/models/org/name/paths-info/main", body=b"\xff")[0] == 400
    assert still.ask("POST", "api/models/org/name/paths-info/main", body=b"paths=" + b"x" * (5 << 20))[0] == 413


def test_paths_info_takes_json_too(still: Face) -> None:
    """paths-info takes a JSON body as well as a form."""
    body = json.dumps({"paths": ["config.json"]}).encode()
    kind = {"Content-Type": "application/json"}

    status, _, answer = still.ask("POST", "api/models/org/name/paths-info/main", kind, body)

    assert status == 200
    assert [entry["path"] for entry in json.loads(answer)] == ["config.json"]


def test_two_tiers_answer_as_one(base: Path, tmp_path: Path) -> None:
    """A commit split over two tiers is listed and served whole, and refs of both are found."""
    second = tmp_path / "second"
    add_commit(second, "org/name", COMMIT, {"extra.bin": b"extra"}, refs=("v2",))
    with running(base, tmp_path / "unmounted", second) as face:
        names = [entry["path"] for entry in face.json("api/models/org/name/tree/v2?recursive=true")]
        extra = face.ask("GET", "org/name/resolve/main/extra.bin")

    assert {"extra.bin", *FILES} <= set(names)
    assert (extra[0], extra[2]) == (200, b"extra")


def test_the_shared_store_and_a_linked_hub_are_part_of_the_tier(tmp_path: Path) -> None:
    """A blob in the shared store keeps its digest, and `hub` itself may be a link to another disk."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "tier").mkdir()
    (tmp_path / "tier/hub").symlink_to(tmp_path / "disk")
    add_commit(tmp_path / "tier", "org/name", COMMIT, {"a.bin": b"weights"})
    digest = digest_of("a.bin", b"weights")
    (tmp_path / "disk/blobs/ab").mkdir(parents=True)
    blob = tmp_path / "disk/models--org--name/blobs" / digest
    blob.rename(tmp_path / "disk/blobs/ab" / ("ab" * 32))
    blob.symlink_to(f"../../blobs/ab/{'ab' * 32}")

    found = HubFace(lambda: [Base(tmp_path / "tier")]).file("org/name", "main", "a.bin")

    assert found.disk_path is not None
    assert (found.etag, found.size_bytes, Path(found.disk_path).read_bytes()) == (digest, 7, b"weights")


class Moving(HubFace):
    """A face whose files disappear between look-up and open."""

    def file(self, repo_id: str, revision: str, path: str) -> ServedFile:
        """Find the file at its old path."""
        return super().file(repo_id, revision, path)._replace(disk_path="/nonexistent")


def test_a_file_that_cannot_be_opened_is_503(base: Path) -> None:
    """A file that can't be opened, such as during a move, is answered with 503 and not 404."""
    app = FastAPI()
    app.include_router(create_router(Moving(lambda: [Base(base)])))

    with TestClient(app) as test_client:
        assert test_client.get("/hf/org/name/resolve/main/config.json").status_code == 503


@pytest.mark.parametrize("tree", [True, False], ids=["with a list", "without"])
def test_a_tier_without_symlinks_has_the_same_digests(tmp_path: Path, tree: bool) -> None:
    """Without symbolic links a file's digest comes from the list of files, else from its bytes."""
    add_commit(tmp_path / "tier", "org/name", COMMIT, FILES, symlinks=False, tree=tree)
    hub = HubFace(lambda: [Base(tmp_path / "tier")])
    found = {file.path: file.etag for file in hub.files_to_give(hub.resolve("org/name", COMMIT))}
    expected = {path: digest_of(path, content) for path, content in FILES.items()}
    if not tree:
        expected["onnx/deep/model.bin"] = digest_of("small", b"onnx")  # nothing says that such a small file is in LFS

    assert found == expected
    assert {file.path: file.etag for file in hub.contents(hub.resolve("org/name", COMMIT)).files} == expected


def test_a_file_that_changed_gets_another_digest(tmp_path: Path) -> None:
    """A computed digest isn't used after the file's mtime changed."""
    snapshot = add_commit(tmp_path, "org/name", COMMIT, {"a.txt": b"old"}, symlinks=False)
    hub = HubFace(lambda: [Base(tmp_path)])
    before = hub.file("org/name", "main", "a.txt").etag
    (snapshot / "a.txt").write_bytes(b"new")
    os.utime(snapshot / "a.txt", ns=(1, 1))

    assert before == digest_of("a.txt", b"old")
    assert hub.file("org/name", "main", "a.txt").etag == digest_of("a.txt", b"new")


@pytest.mark.parametrize("content", ["", "no commit", "../../../etc", "c" * 40, "é"])
def test_a_broken_ref_is_a_revision_not_found(base: Path, content: str) -> None:
    """A ref that names no commit on the disk isn't found and isn't listed."""
    (base / "hub/models--org--name/refs/broken").write_text(content)
    hub = HubFace(lambda: [Base(base)])

    with pytest.raises(NotFound) as caught:
        hub.resolve("org/name", "broken")
    assert caught.value.fields["error_code"] == "RevisionNotFound"
    assert "broken" not in hub.refs("org/name")


def test_a_file_that_shrinks_on_the_way_closes_the_connection(base: Path) -> None:
    """If a file shrinks during its answer the connection closes, so the client notices."""
    with running(base) as face:
        digest = add_sparse(base, "org/name", COMMIT, "big.gguf", 10**9)
        connection = http.client.HTTPConnection(*face.address, timeout=30)
        connection.request("GET", "/hf/org/name/resolve/main/big.gguf")
        response = connection.getresponse()
        os.truncate(base / "hub/models--org--name/blobs" / digest, 64 << 20)
        with pytest.raises(http.client.IncompleteRead):
            response.read()
        connection.close()
        assert face.recorder.done.get(timeout=10).status == 200


@pytest.mark.parametrize("protocol", [httptools_impl.HttpToolsProtocol, None], ids=["plain uvicorn", "no server"])
def test_a_server_without_zero_copy_streams(base: Path, protocol: Any) -> None:
    """Without the zero-copy extension the same bytes come in chunks."""
    path = "/hf/org/name/resolve/main/model.safetensors"
    if protocol is None:
        app = FastAPI()
        app.include_router(create_router(HubFace(lambda: [Base(base)])))
        with TestClient(app) as test_client:
            whole = test_client.get(path)
            part = test_client.get(path, headers={"Range": "bytes=3-5"})
        assert (whole.content, part.status_code, part.content) == (WEIGHTS, 206, WEIGHTS[3:6])
        return
    with running(base, http=protocol) as face:
        status, headers, body = face.ask("GET", MODEL)
        with socket.create_connection(face.address) as leaver:
            leaver.sendall(raw_request(path))
            leaver.recv(1000)
        face.recorder.done.get(timeout=10)
        assert face.recorder.done.get(timeout=10).path == path
        assert face.errors == []
    assert (status, body) == (200, WEIGHTS)
    assert headers["content-length"] == str(len(WEIGHTS))


SERVER = """if True:
    import sys, pathlib
    from fastapi import FastAPI
    from modelshelf.server.hub.routes import create_router
    from modelshelf.server.uvicorn_server import serve
    from modelshelf.services.mirror.contents import ServedFile
    from modelshelf.services.mirror.lookup import HubFace
    from modelshelf.store.layout import Base
    app = FastAPI()
    app.include_router(create_router(HubFace(lambda: [Base(pathlib.Path(sys.argv[1]))])))
    serve(app, host="127.0.0.1", port=0, log_level="warning", announce=lambda url: print(url, flush=True))
    print("returned", "torch" in sys.modules or "transformers" in sys.modules, flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_server_in_the_middle_of_a_download(base: Path, number: signal.Signals) -> None:
    """A signal during a download ends `serve` within seconds and without a traceback."""
    add_sparse(base, "org/name", COMMIT, "huge.gguf", 60 * 10**9)
    child = subprocess.Popen(
        [sys.executable, "-c", SERVER, str(base)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert child.stdout
    host, port = child.stdout.readline().strip().removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(raw_request("/hf/org/name/resolve/main/huge.gguf"))
        assert connection.recv(1000).startswith(b"HTTP/1.1 200")
        child.send_signal(number)
        out, err = child.communicate(timeout=10)

    assert (out, err) == ("returned False\n", "")
    assert child.returncode == 0


def test_a_download_that_ends_soon_ends_whole(base: Path) -> None:
    """A server that is asked to stop still sends an answer that is being read to its last byte."""
    child = subprocess.Popen([sys.executable, "-c", SERVER, str(base)], stdout=subprocess.PIPE, text=True)
    assert child.stdout
    host, port = child.stdout.readline().strip().removeprefix("http://").split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=30)
    connection.request("GET", f"/hf/{MODEL}")
    response = connection.getresponse()
    child.send_signal(signal.SIGTERM)

    assert response.read() == WEIGHTS
    connection.close()
    child.communicate(timeout=10)
    assert child.returncode == 0


def test_a_port_is_refused_with_its_reason() -> None:
    """A taken port is a conflict, and an invalid one is bad input."""
    with listen("127.0.0.1", 0) as first, pytest.raises(Conflict):
        listen("127.0.0.1", first.getsockname()[1])
    with pytest.raises(BadInput):
        listen("127.0.0.1", 70000)


async def nothing(scope: Any, receive: Any, send: Any) -> None:
    """An application that is never called."""


def test_uvicorn_has_what_zero_copy_touches() -> None:
    """uvicorn still starts every request through one method, with a cycle that has the state we read and write."""
    protocol, cycle = httptools_impl.HttpToolsProtocol, httptools_impl.RequestResponseCycle
    used = {"scope", "transport", "flow", "disconnected", "response_started", "response_complete"}
    source = inspect.getsource(cycle.__init__)

    assert list(inspect.signature(protocol._start_asgi_task).parameters) == ["self", "cycle", "app"]
    starts = inspect.getsource(protocol._start_asgi_task).count("create_task")
    assert starts == inspect.getsource(protocol).count("create_task") > 0
    assert list(inspect.signature(protocol.shutdown).parameters) == ["self"]
    for name in used | {"chunked_encoding", "expected_content_length"}:
        assert f"self.{name}" in source
    assert "expected_content_length -= num_bytes" in inspect.getsource(cycle.send)
    assert "Response content shorter than Content-Length" in inspect.getsource(cycle.send)
    assert uvicorn.Config(nothing, http=ZeroCopyProtocol).http is ZeroCopyProtocol


def test_the_extension_is_offered_and_keeps_its_promises(tmp_path: Path) -> None:
    """A range without offset and count begins at the file's position; too many bytes, or too early, is an error."""
    content = tmp_path / "file"
    content.write_bytes(b"0123456789")
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        seen.append(scope["extensions"][ZERO_COPY])
        with content.open("rb", buffering=0) as file:
            if scope["path"] == "/early":
                await send({"type": ZERO_COPY, "file": file})
            file.seek(4)
            length = b"3" if scope["path"] == "/much" else b"8"
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", length)]})
            await send({"type": ZERO_COPY, "file": file, "more_body": True})
            await send({"type": ZERO_COPY, "file": file, "offset": 1, "count": 2})

    server = create_server(app, log_level="critical")
    with listen("127.0.0.1", 0) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        address = ("127.0.0.1", int(url_of(listener).rpartition(":")[2]))
        whole = exchange(address, raw_request("/", "Connection: close"))
        head = exchange(address, raw_request("/", "Connection: close", method="HEAD"))
        early = exchange(address, raw_request("/early", "Connection: close"))
        much = exchange(address, raw_request("/much", "Connection: close"))
        server.should_exit = True
        thread.join(timeout=10)

    assert seen == [{}] * 4
    assert whole.endswith(b"\r\n\r\n45678912")
    assert head.endswith(b"\r\n\r\n")
    assert early.startswith(b"HTTP/1.1 500")
    assert much.endswith(b"\r\n\r\n")
