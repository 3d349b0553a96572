"""The hub client: who gets the token, and which answers it accepts."""

from __future__ import annotations

import contextlib
import gzip
import itertools
import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from modelshelf.domain.candidates import Candidate
from modelshelf.domain.models import FileEntry
from modelshelf.domain.names import RepoId
from modelshelf.errors import Corrupt, NotFound, ShelfError, Unavailable
from modelshelf.hub import http
from modelshelf.hub.client import HubClient
from modelshelf.hub.transport import Patience
from tests.fakes.hub import FakeHub
from tests.fakes.talker import dripping, talking

REPO = "org/name"
COMMIT = "c" * 40
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
INFO = {"id": REPO, "sha": COMMIT, "siblings": [], "gated": False}
FILE = {"type": "file", "path": "a.txt", "oid": "a" * 40, "size": 1}
SHORT = Patience(connect_s=5, silence_s=5, window_s=0.3, least_bytes_per_s=100)


def client(endpoint: str, token: str | None = "hf_test", patience: Patience = SHORT) -> HubClient:
    """Return a client with short time-outs."""
    return HubClient(endpoint, token, "test", 4, patience=patience)


def read(hub: HubClient) -> int:
    """Read the first 100,000 bytes of a file; return how many came."""
    with hub.open_range(REPO, COMMIT, "a.txt", 0, 100_000) as stream:
        view = memoryview(bytearray(100_000))
        return sum(iter(lambda: stream.read_into(view), 0))


QUESTIONS: dict[str, Callable[[HubClient], Any]] = {
    "resolve": lambda hub: hub.resolve(REPO, "main"),
    "list": lambda hub: hub.list_files(REPO, COMMIT),
    "search": lambda hub: hub.search("name", 20),
    "bytes": read,
}
asked = pytest.mark.parametrize("ask", QUESTIONS.values(), ids=QUESTIONS.keys())


def drip_head(path: str) -> Iterable[bytes]:
    """Send a head one byte at a time."""
    return dripping(b"HTTP/1.1 200 OK\r\nX-Filler: aaaa", 0.02)


def drip_body(path: str) -> Iterable[bytes]:
    """Send a body one byte at a time."""
    yield OK + b"Content-Length: 100000\r\n\r\n["
    yield from dripping(b" ", 0.02)


def endless_head(path: str) -> Iterable[bytes]:
    """Send headers as fast as possible, without end."""
    yield b"HTTP/1.1 200 OK\r\n"
    yield from itertools.repeat(b"X-Filler: a\r\n" * 500)


def endless_interim(path: str) -> Iterable[bytes]:
    """Send interim answers without end."""
    return itertools.repeat(b"HTTP/1.1 100 Continue\r\n\r\n" * 500)


@asked
@pytest.mark.parametrize("talk", [drip_head, drip_body, endless_head, endless_interim])
def test_what_comes_too_slowly_or_without_end_ends(ask: Callable[[HubClient], Any], talk: Any) -> None:
    """A head or a body that trickles, or a head without end, is given up within moments."""
    started_s = time.monotonic()

    with talking(talk) as endpoint, pytest.raises(Unavailable):
        ask(client(endpoint))

    assert time.monotonic() - started_s < 10


def test_a_wait_of_ones_own_is_not_the_hubs(hub: FakeHub) -> None:
    """A reader that pauses, as under a rate limit, doesn't make the hub count as slow."""
    commit = hub.add_repo(REPO, {"a.txt": bytes(2_000_000)})
    pause = threading.Event()

    with client(hub.url).open_range(REPO, commit, "a.txt", 0, 2_000_000) as stream:
        came = 0
        while got := stream.read_into(memoryview(bytearray(500_000))):
            came += got
            pause.wait(SHORT.window_s)

    assert came == 2_000_000


def body(value: object) -> bytes:
    """Return a complete answer."""
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return OK + b"Content-Length: %d\r\n\r\n" % len(text) + text


def endless_list(path: str) -> Iterable[bytes]:
    """List files without end, on one page."""
    yield OK + b"\r\n["
    for i in itertools.count():
        yield b",".join(json.dumps(FILE | {"path": f"{i}/{j}"}).encode() for j in range(500)) + b","


def endless_blanks(path: str) -> Iterable[bytes]:
    """Send blanks without end."""
    yield OK + b"\r\n["
    yield from itertools.repeat(b" " * 2**20)


def test_a_list_without_end_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tree with more files, bytes or pages than any repository has is refused at that number."""
    from modelshelf.hub import client as module

    monkeypatch.setattr(module, "_MAX_ENTRIES", 3000)
    monkeypatch.setattr(module, "_MAX_TREE_BYTES", 2**22)
    pages = itertools.count()

    def endless_pages(path: str) -> Iterable[bytes]:
        link = b'Link: </api/models/org/name/tree/x?cursor=%d>; rel="next"\r\n' % next(pages)
        yield OK + link + b"Content-Length: 2\r\nConnection: close\r\n\r\n[]"

    with talking(endless_list) as endpoint, pytest.raises(Unavailable, match="more than 3,000 files"):
        client(endpoint).list_files(REPO, COMMIT)
    with talking(endless_blanks) as endpoint, pytest.raises(Unavailable, match="more than 4194304 bytes"):
        client(endpoint).list_files(REPO, COMMIT)
    monkeypatch.setattr(module, "_MAX_PAGES", 20)
    with talking(endless_pages) as endpoint, pytest.raises(Unavailable, match="more than 20 pages"):
        client(endpoint).list_files(REPO, COMMIT)


@pytest.mark.parametrize("ask", [QUESTIONS["resolve"], QUESTIONS["list"]], ids=["resolve", "list"])
def test_a_compressed_answer_is_bounded_as_it_unfolds(
    ask: Callable[[HubClient], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few kilobytes that decompress to a gigabyte are given up at the limit."""
    from modelshelf.hub import client as module

    monkeypatch.setattr(module, "_MAX_TREE_BYTES", 2**22)
    monkeypatch.setattr(http, "_MAX_ANSWER_BYTES", 2**22)
    bomb = gzip.compress(b"[" + b" " * 2**26)

    def talk(path: str) -> Iterable[bytes]:
        yield OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb) + bomb

    with talking(talk) as endpoint, pytest.raises(Unavailable, match="more than"):
        ask(client(endpoint))


def test_a_tree_of_300_000_files_takes_seconds() -> None:
    """A tree is parsed while it arrives, in time linear to its length."""
    entries = [FILE | {"path": f"folder-{i % 1000}/file-{i}.bin"} for i in range(300_000)]
    answer = body(entries)

    with talking(lambda path: [answer]) as endpoint:
        started_s = time.process_time()
        files = client(endpoint, patience=Patience()).list_files(REPO, COMMIT)
        took_s = time.process_time() - started_s

    assert len(files) == 300_000
    assert took_s < 30


@asked
def test_redirects_end(ask: Callable[[HubClient], Any]) -> None:
    """A hub that redirects again and again is given up."""
    turn = itertools.count()

    def talk(path: str) -> Iterable[bytes]:
        yield b"HTTP/1.1 302 Found\r\nLocation: /%d\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" % next(turn)

    with talking(talk) as endpoint, pytest.raises(Unavailable, match="without end"):
        ask(client(endpoint))


@asked
@pytest.mark.parametrize(
    "location", ["ftp://127.0.0.1/x", "file:///etc/passwd", "http://u:p@127.0.0.1/", "http://[::1/", "//:0/"]
)
def test_a_redirect_to_no_address_is_refused(ask: Callable[[HubClient], Any], location: str) -> None:
    """Only redirects to http and https are followed, and never to an address with a password."""

    def talk(path: str) -> Iterable[bytes]:
        yield b"HTTP/1.1 302 Found\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n" % location.encode()

    with talking(talk) as endpoint, pytest.raises(Unavailable, match="isn't an address"):
        ask(client(endpoint))


def secrets(hub: FakeHub) -> list[str]:
    """Return the paths that were requested with a token."""
    return [request.path for request in hub.requests if "authorization" in request.headers]


@asked
def test_the_token_stays_at_its_origin(ask: Callable[[HubClient], Any], hub: FakeHub) -> None:
    """If a hub redirects every request to another port of its host, no request there has the token."""
    with FakeHub() as other:
        other.add_repo(REPO, {"a.txt": b"x"}, gated=True)
        hub.fail("*", status=307, headers={"Location": f"{other.url}/api/models/org/name"})
        with contextlib.suppress(ShelfError):
            ask(client(hub.url, other.token))

    assert secrets(hub)
    assert other.requests
    assert secrets(other) == []


def test_a_page_elsewhere_gets_no_token(hub: FakeHub) -> None:
    """The next page of a list may be at another origin, and is requested without the token."""
    with FakeHub() as other:
        page = json.dumps([FILE | {"path": "b.txt"}]).encode()
        other.fail("/page", body=page)
        link = {"Link": f'<{other.url}/page>; rel="next"'}
        hub.fail("*/tree/*", body=json.dumps([FILE]).encode(), headers=link)

        files = client(hub.url).list_files(REPO, COMMIT)

    assert [file.path for file in files] == ["a.txt", "b.txt"]
    assert (len(secrets(hub)), secrets(other)) == (1, [])


def test_encryption_is_not_given_up() -> None:
    """A redirect from https to http is refused, and one from http to https is followed."""
    hub = http.Http("https://hub.example", lambda: None, None)

    with pytest.raises(Unavailable, match="from https to http"):
        hub.follow("https://hub.example/a", "http://hub.example/b")
    assert hub.follow("http://hub.example/a", "https://cdn.example/b") == "https://cdn.example/b"
    assert hub.follow("https://hub.example/a", "/b") == "https://hub.example/b"


def test_a_question_that_failed_once_is_asked_again(hub: FakeHub) -> None:
    """A request that fails with 502 is sent again."""
    commit = hub.add_repo(REPO, {"a.txt": b"x"})
    hub.fail("/api/*", status=502, times=2)

    assert client(hub.url).resolve(REPO, "main").commit_hash == commit


NONSENSE: dict[str, object] = {
    "no JSON": b"<html>",
    "no text": b"\xff\xfe",
    "cut": b'[{"type": "file"',
    "not a number": b'[{"type": "file", "path": "a", "oid": "' + b"a" * 40 + b'", "size": NaN}]',
    "deep": b"[" * 100_000,
    "deep entry": b'[{"a":' + b"[" * 30_000,
    "an object": {"path": "a"},
    "null": None,
    "a list of lists": [[]],
    "a list of text": ["a"],
    "behind the list": b"[] []",
    "a comma too many": b"[{},]",
    "a digest that climbs": [FILE | {"oid": "../../../../victim.txt"}],
    "an empty digest": [FILE | {"oid": ""}],
    "no digest": [FILE | {"oid": None}],
    "a digest in capitals": [FILE | {"oid": "A" * 40}],
    "an LFS digest that climbs": [FILE | {"lfs": {"oid": "../../models--acme--v/blobs/x", "size": 1}}],
    "an LFS list": [FILE | {"lfs": []}],
    "a path that climbs": [FILE | {"path": "../a"}],
    "an absolute path": [FILE | {"path": "/etc/passwd"}],
    "an empty path": [FILE | {"path": ""}],
    "no path": [FILE | {"path": None}],
    "a path of half a letter": [FILE | {"path": "\ud800"}],
    "a path twice": [FILE, FILE],
    "a file below a file": [FILE, FILE | {"path": "a.txt/b"}],
    "a file where a folder is": [FILE | {"path": "a.txt/b"}, FILE],
    "a folder where a file is": [FILE, {"type": "directory", "path": "a.txt"}],
    "a folder that climbs": [FILE, {"type": "directory", "path": ".."}],
    "a size below 0": [FILE | {"size": -1}],
    "half a byte": [FILE | {"size": 0.5}],
    "a size of text": [FILE | {"size": "1"}],
    "a true size": [FILE | {"size": True}],
    "a size of 2^63": [FILE | {"size": 2**63}],
    "a size of 5000 digits": b'[{"type": "file", "path": "a", "oid": "%s", "size": %s}]' % (b"a" * 40, b"9" * 5000),
}


@pytest.mark.parametrize("answer", NONSENSE.values(), ids=NONSENSE.keys())
def test_a_list_that_cannot_be_is_refused(hub: FakeHub, answer: object) -> None:
    """An answer that isn't a commit's list of files is an error, and nothing of it is used."""
    text = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    hub.fail("*/tree/*", body=text)

    with pytest.raises(Corrupt, match="gave an invalid answer"):
        client(hub.url).list_files(REPO, COMMIT)


@pytest.mark.parametrize(
    "answer",
    [
        *(None, [], "x", 1, {}),
        INFO | {"sha": None},
        INFO | {"sha": "main"},
        INFO | {"sha": "../../x"},
        INFO | {"id": None},
        INFO | {"id": "org/other"},
        INFO | {"id": "../name"},
        INFO | {"siblings": {"a": 1}},
        INFO | {"siblings": ["a"]},
        INFO | {"siblings": [{"rfilename": "../a"}], "gated": "auto"},
    ],
    ids=repr,
)
def test_a_repository_that_cannot_be_is_refused(hub: FakeHub, answer: object) -> None:
    """An answer that doesn't name the repository's commit is an error."""
    hub.fail("*/revision/*", body=json.dumps(answer).encode())

    with pytest.raises(Corrupt, match="gave an invalid answer"):
        client(hub.url).resolve(REPO, "main")


def test_what_a_hub_need_not_say_may_be_missing(hub: FakeHub) -> None:
    """Unknown kinds of entries, unknown fields, folders and missing lists are accepted."""
    more = {"xetHash": "x", "lastCommit": None, "securityFileStatus": {"status": "safe"}}
    entries = [
        {"type": "commit", "path": "../submodule"},
        {"type": "directory", "path": "d"},
        FILE | more | {"lfs": None},
    ]
    hub.fail("*/tree/*", body=json.dumps(entries).encode())
    hub.fail("*/revision/*", body=json.dumps({"id": "Org/Name", "sha": COMMIT}).encode())

    assert client(hub.url).list_files(REPO, COMMIT) == [FileEntry("a.txt", 1, "a" * 40)]
    assert client(hub.url).resolve(REPO, "main").repo_id == "Org/Name"


FOUND = {
    "id": "Org/Name",
    "downloads": 7,
    "likes": 1,
    "lastModified": "2026-01-02T03:04:05.000Z",
    "tags": ["gguf", "en"],
}


def test_a_search_takes_what_the_hub_says(hub: FakeHub) -> None:
    """In a search result only the id is required; a repository with an unusable name is left out."""
    entries = [FOUND | {"gguf": {"total": 9}, "usedStorage": 5, "gated": "auto"}, {"id": "../x"}, {"id": "org/b"}]
    hub.fail("/api/models", body=json.dumps(entries).encode())

    first, second = client(hub.url).search("name", 20)

    assert first == Candidate(RepoId("Org/Name"), 7, 1, "2026-01-02T03:04:05.000Z", 9, 5, ("GGUF",), True)
    assert second == Candidate(RepoId("org/b"), None, None, None, None, None, (), False)
    assert len(client(hub.url).search("name", 1)) == 1


@pytest.mark.parametrize(
    "answer",
    [{"id": "a/b"}, ["a"], [FOUND | {"downloads": -1}], [FOUND | {"tags": "gguf"}], [FOUND | {"gguf": 1}], b"<html>"],
    ids=repr,
)
def test_a_search_that_cannot_be_is_refused(hub: FakeHub, answer: object) -> None:
    """A search answer that isn't a list of valid repositories is an error."""
    hub.fail("/api/models", body=answer if isinstance(answer, bytes) else json.dumps(answer).encode())

    with pytest.raises(Corrupt, match="gave an invalid answer"):
        client(hub.url).search("name", 20)


def test_a_mistyped_repository_is_asked_for_once(hub: FakeHub) -> None:
    """A repository that the hub doesn't have isn't looked for below other paths."""
    with pytest.raises(NotFound, match="no repository org/name"):
        client(hub.url).resolve(REPO, "main")

    assert len(hub.requests) == 1


def test_a_problem_document_alone_makes_no_shelf(hub: FakeHub) -> None:
    """A server that refuses with a problem document and has no hub below /hf isn't called a modelshelf."""
    hub.fail("*/revision/*", status=404, headers={"Content-Type": "application/problem+json"}, body=b"{}")
    hub.fail("/hf/*", status=404, body=b"no")

    with pytest.raises(NotFound, match="no repository org/name"):
        client(hub.url).resolve(REPO, "main")


@pytest.mark.parametrize("tree", [[], [{"type": "directory", "path": "d"}]], ids=["nothing", "a folder alone"])
def test_a_commit_without_files_is_no_model(hub: FakeHub, tree: list[object]) -> None:
    """A commit without files is an error, before a ref could lead to nothing."""
    hub.fail("*/tree/*", body=json.dumps(tree).encode())

    with pytest.raises(NotFound, match="org/name holds no files"):
        client(hub.url).list_files(REPO, COMMIT)


def test_a_wrong_revision_names_those_that_there_are(hub: FakeHub) -> None:
    """A wrong revision's hint lists branches and tags, up to a line of them."""
    commit = hub.add_repo(REPO, {"a.txt": b"x"})
    with pytest.raises(NotFound, match="no revision v99 of org/name") as missing:
        client(hub.url).resolve(REPO, "v99")
    assert missing.value.hint == "It has main."
    for i in range(30):
        hub.set_ref(REPO, f"refs/tags/v{i:02}", commit)

    with pytest.raises(NotFound) as missing:
        client(hub.url).resolve(REPO, "v99")

    assert missing.value.hint == "It has main, v00, v01, v02, v03, v04, v05, v06 …"


@pytest.mark.parametrize(
    "answer", [b"null", b"[1]", b'{"branches": 1}', b"<html>", b'{"branches": [{"name": "../x"}]}']
)
def test_revisions_that_make_no_sense_are_not_named(hub: FakeHub, answer: bytes) -> None:
    """Invalid names of branches are left out of the hint, and the error stays."""
    hub.add_repo(REPO, {"a.txt": b"x"})
    hub.fail("*/refs", body=answer)

    with pytest.raises(NotFound, match="no revision v99") as missing:
        client(hub.url).resolve(REPO, "v99")

    assert missing.value.hint == "Check its name on the Hub."


@pytest.mark.parametrize(("closed", "works"), [(1, True), (2, False)], ids=["once", "twice"])
def test_a_range_is_asked_for_once_more_where_the_connection_was_closed(closed: int, works: bool) -> None:
    """If the hub closed a kept connection, the request is sent again without counting as a try."""
    asked: list[str] = []

    def talk(path: str) -> Iterator[bytes]:
        asked.append(path)
        if len(asked) > closed:
            yield b"HTTP/1.1 206 Partial Content\r\nContent-Length: 3\r\nContent-Range: bytes 0-2/3\r\n\r\nabc"

    with talking(talk) as url, contextlib.ExitStack() as opened:
        if works:
            stream = opened.enter_context(client(url).open_range("org/name", "c" * 40, "a.txt", 0, 3))
            view = memoryview(bytearray(3))
            assert (stream.read_into(view), bytes(view)) == (3, b"abc")
        else:
            with pytest.raises(Unavailable):
                opened.enter_context(client(url).open_range("org/name", "c" * 40, "a.txt", 0, 3))
        assert len(asked) == 2
