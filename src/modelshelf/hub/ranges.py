"""Byte ranges of a hub's files over HTTP, with the redirects, proxies and certificates that urllib3 knows.

Measured against huggingface_hub's own client: its 10 MiB chunks through httpx2 reach a third of what `readinto` into
one reused buffer does (bench/pull.py).
"""

from __future__ import annotations

import contextlib
import http.client
import threading
import urllib.request
from collections.abc import Iterator
from urllib.parse import quote, urljoin, urlsplit

import urllib3

from modelshelf.hub import errors

_TIMEOUT = urllib3.Timeout(connect=10, read=60)
_STALE = frozenset({401, 403, 404, 410})
"""What a signed address that has expired answers."""


class Stream:
    """An open answer."""

    def __init__(self, response: urllib3.BaseHTTPResponse, endpoint: str, start: int, *, ranged: bool) -> None:
        self.start = start
        self.ranged = ranged
        self._response = response
        self._source = _source(response)
        self._endpoint = endpoint

    def read_into(self, view: memoryview) -> int:
        """Fill `view`; returns how many bytes were read, fewer than its length only where the answer ends.

        Raises:
            Unavailable: The connection broke.
        """
        count = 0
        try:
            while count < view.nbytes:
                got = self._source.readinto(view[count:])
                if not got:
                    break
                count += got
            if count < view.nbytes and getattr(self._source, "length", None):
                raise http.client.IncompleteRead(b"")
        except (urllib3.exceptions.HTTPError, http.client.HTTPException, OSError) as err:
            self._response.close()
            raise errors.unreachable(self._endpoint, f"the connection broke ({type(err).__name__})") from err
        return count

    def abort(self) -> None:
        """Let a `read_into` that waits in another thread end at once."""
        with contextlib.suppress(RuntimeError, ValueError, OSError):  # the answer is at its end already
            self._response.shutdown()


class RangeClient:
    """Asks one hub for ranges of files.

    **Concurrency:** one instance serves all threads; connections are kept and reused.
    """

    def __init__(self, endpoint: str, token: str | None, user_agent: str, connections: int) -> None:
        self._endpoint = endpoint
        self._token = token
        self._headers = {"User-Agent": user_agent, "Accept-Encoding": "identity"}
        self._pool = _pool_for(endpoint, connections)
        self._mutex = threading.Lock()
        self._locations: dict[tuple[str, str, str], str] = {}

    @contextlib.contextmanager
    def open(self, repo_id: str, commit_hash: str, path: str, start: int, stop: int) -> Iterator[Stream]:
        """Ask for the half-open byte range of one file.

        The address that a redirect led to is kept, so that a file's next range asks its storage at once; the hub is
        asked again when that address has expired.

        Raises:
            NotFound: The hub does not have the file.
            Denied: It does not give it to this token.
            Unavailable: It cannot be reached, or fails.
        """
        key = (repo_id, commit_hash, path)
        origin = f"{self._endpoint}/{repo_id}/resolve/{quote(commit_hash, safe='')}/{quote(path)}"
        with self._mutex:
            location = self._locations.get(key, origin)
        response = self._get(location, start, stop)
        if response.status in _STALE and _landed(location, response) != origin:
            response.release_conn()
            response = self._get(origin, start, stop)
        try:
            if response.status >= 400:
                headers = {name.lower(): value for name, value in response.headers.items()}
                raise errors.by_status(
                    response.status,
                    headers,
                    repo_id=repo_id,
                    path=path,
                    endpoint=self._endpoint,
                    token=self._token is not None,
                )
            with self._mutex:
                self._locations[key] = _landed(location, response)
            ranged = response.status == 206
            yield Stream(response, self._endpoint, start if ranged else 0, ranged=ranged)
        finally:
            _give_back(response)

    def _get(self, url: str, start: int, stop: int) -> urllib3.BaseHTTPResponse:
        headers = self._headers | {"Range": f"bytes={start}-{stop - 1}"}
        if self._token and urlsplit(url).netloc == urlsplit(self._endpoint).netloc:
            headers["Authorization"] = f"Bearer {self._token}"
        retries = urllib3.Retry(total=None, connect=0, read=0, status=0, other=0, redirect=5)
        try:
            return self._pool.request(
                "GET", url, headers=headers, preload_content=False, redirect=True, retries=retries, timeout=_TIMEOUT
            )
        except urllib3.exceptions.HTTPError as err:
            raise errors.unreachable(self._endpoint, f"{type(err).__name__}") from err


def _pool_for(endpoint: str, connections: int) -> urllib3.PoolManager:
    """Return a pool, through the proxy that the environment names for this hub."""
    parts = urlsplit(endpoint)
    proxy = urllib.request.getproxies().get(parts.scheme)
    if proxy and not urllib.request.proxy_bypass(parts.hostname or ""):
        return urllib3.ProxyManager(proxy, maxsize=connections)
    return urllib3.PoolManager(maxsize=connections)


def _landed(url: str, response: urllib3.BaseHTTPResponse) -> str:
    """Return the address that answered a request for `url`, after every redirect of it."""
    for step in response.retries.history if response.retries else ():
        url = urljoin(url, step.redirect_location or "")
    return url


def _give_back(response: urllib3.BaseHTTPResponse) -> None:
    """Keep a connection whose answer was read to its end; close one that has more to say."""
    if response.closed:
        response.release_conn()
    else:
        response.close()


def _source(response: urllib3.BaseHTTPResponse) -> urllib3.BaseHTTPResponse | http.client.HTTPResponse:
    """Return what to read an answer from: the one below urllib3's, whose own `readinto` copies every byte once more.

    An answer that is encoded all the same, or that a later urllib3 keeps elsewhere, is read through urllib3.
    """
    below = getattr(response, "_fp", None)
    plain = response.headers.get("content-encoding", "identity") == "identity"
    return below if plain and isinstance(below, http.client.HTTPResponse) else response
