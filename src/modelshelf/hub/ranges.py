"""Byte ranges of a hub's files, read into the caller's buffers."""

from __future__ import annotations

import contextlib
import http.client
import threading
import time
from collections.abc import Iterator
from urllib.parse import quote

import urllib3

from modelshelf.errors import Unavailable
from modelshelf.hub import errors
from modelshelf.hub.http import Http, give_back
from modelshelf.hub.transport import PacedResponse

_HEAD_S = 30.0
"""Longest wait for an answer to begin, in seconds; then a dead connection is replaced."""
_MOMENT_S = 0.05
"""How long a reader waits at most for a full buffer, in seconds: what it has by then, a kill takes."""
_STALE = frozenset({401, 403, 404, 410})
"""Answers of an expired signed address."""


class Stream:
    """An open answer."""

    def __init__(self, response: urllib3.BaseHTTPResponse, endpoint: str, start: int, *, ranged: bool) -> None:
        self.start = start
        self.ranged = ranged
        self.aborted = False
        self._response = response
        self._source = _source(response)
        self._endpoint = endpoint
        self._broken: Unavailable | None = None

    def read_into(self, view: memoryview) -> int:
        """Read until `view` is full or a moment has passed; return how many bytes came: 0 only at the answer's end.

        Raises:
            Unavailable: The connection broke; earlier bytes were returned.
        """
        count, until_s = 0, time.monotonic() + _MOMENT_S
        while count < view.nbytes and (got := self._next(view[count:])):
            count += got
            if count == view.nbytes or time.monotonic() > until_s or not _more_comes(self._source):
                break
        if self._broken is not None and not count:
            raise self._broken
        return count

    def _next(self, view: memoryview) -> int:
        """Return how many bytes came next; 0 at the end, and if the connection broke."""
        if self._broken is not None:
            return 0
        try:
            got = self._source.readinto(view)
            if not got and getattr(self._source, "length", None):
                raise http.client.IncompleteRead(b"")
            return got
        except (urllib3.exceptions.HTTPError, http.client.HTTPException, OSError) as err:
            self._broken = errors.unreachable(self._endpoint, f"the connection broke ({type(err).__name__})")
            self._broken.__cause__ = err
        except Unavailable as err:
            self._broken = err
        self._response.close()
        return 0

    def abort(self) -> None:
        """End a `read_into` that waits in another thread at once; the hub is then asked for another address."""
        self.aborted = True
        with contextlib.suppress(RuntimeError, ValueError, OSError):  # the answer is at its end already
            self._response.shutdown()


class RangeClient:
    """Asks one hub for ranges of files.

    **Concurrency:** one instance serves all threads.
    """

    def __init__(self, http: Http) -> None:
        self._http = http
        self._mutex = threading.Lock()
        self._locations: dict[tuple[str, str, str], str] = {}

    @contextlib.contextmanager
    def open(self, repo_id: str, commit_hash: str, path: str, start: int, stop: int) -> Iterator[Stream]:
        """Ask for a half-open byte range of one file.

        A redirect's address is kept, so that a file's next range goes to its storage at once; the hub is
        asked again when that address has expired.

        Raises:
            NotFound: The hub doesn't have the file.
            Denied: It doesn't give it to this token.
            Unavailable: It isn't reachable, or fails.
        """
        key = (repo_id, commit_hash, path)
        landed, response = self._answer(key, start, stop)
        try:
            if response.status not in (200, 206):
                raise errors.by_status(
                    response.status,
                    response.headers,
                    repo_id=repo_id,
                    revision=commit_hash,
                    what=f"file {path} in {repo_id}",
                    endpoint=self._http.endpoint,
                    token=self._http.has_token,
                )
            length = response.headers.get("Content-Length", "")
            if errors.is_page(response.headers, path):
                raise errors.login_page(landed)
            if response.status == 200 and length.isdigit() and int(length) < stop:
                raise errors.unreachable(
                    self._http.endpoint, f"it answers with {length} bytes for {path}, which has more"
                )
            with self._mutex:
                self._locations[key] = landed
            ranged = response.status == 206
            stream = Stream(response, self._http.endpoint, start if ranged else 0, ranged=ranged)
            try:
                yield stream
            finally:
                if stream.aborted:
                    self._forget(key)
        finally:
            give_back(response)

    def _answer(self, key: tuple[str, str, str], start: int, stop: int) -> tuple[str, urllib3.BaseHTTPResponse]:
        """Return the answer and its address: from the file's earlier address, or from the hub."""
        repo_id, commit_hash, path = key
        origin = f"{self._http.endpoint}/{repo_id}/resolve/{commit_hash}/{quote(path)}"
        with self._mutex:
            location = self._locations.get(key, origin)
        try:
            landed, response = self._get(location, start, stop)
            if response.status in _STALE and landed != origin:
                give_back(response)
                landed, response = self._get(origin, start, stop)
        except Unavailable:
            self._forget(key)
            raise
        return landed, response

    def _forget(self, key: tuple[str, str, str]) -> None:
        """Ask the hub again for a file's address, over new connections: idle ones may be as dead as this one."""
        with self._mutex:
            self._locations.pop(key, None)
        self._http.drop_idle()

    def _get(self, url: str, start: int, stop: int) -> tuple[str, urllib3.BaseHTTPResponse]:
        """Return the answer and its address; a kept connection that the hub closed is replaced once."""
        wanted = {"Range": f"bytes={start}-{stop - 1}"}
        try:
            *_, last = self._http.hops("GET", url, wanted, timeout_s=_HEAD_S)
        except Unavailable as err:
            if not _was_closed(err.__cause__):
                raise
            *_, last = self._http.hops("GET", url, wanted, timeout_s=_HEAD_S)
        return last


def _was_closed(err: BaseException | None) -> bool:
    """Return whether a request failed because its connection was closed before a byte of an answer came."""
    reason = err.reason if isinstance(err, urllib3.exceptions.MaxRetryError) else err
    return isinstance(reason, urllib3.exceptions.ProtocolError) and any(
        isinstance(part, ConnectionResetError | BrokenPipeError) for part in reason.args
    )


def _more_comes(source: urllib3.BaseHTTPResponse | PacedResponse) -> bool:
    """Return whether it is worth a moment to wait for more."""
    return isinstance(source, PacedResponse) and source.more_comes()


def _source(response: urllib3.BaseHTTPResponse) -> urllib3.BaseHTTPResponse | PacedResponse:
    """Return the stream to read an answer from: the one below urllib3's, whose `readinto` copies every byte again.

    An encoded answer, or one that a later urllib3 stores elsewhere, is read through urllib3.
    """
    below = getattr(response, "_fp", None)
    plain = response.headers.get("content-encoding", "identity") == "identity"
    return below if plain and isinstance(below, PacedResponse) else response
