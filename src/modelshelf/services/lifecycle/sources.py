"""Where a download's bytes come from: LAN hubs that have them, and the hub, which gives the digests.

A LAN hub is asked only for ranges of files. What it sends counts if the blob's digest is right; one that is
unreachable, slow or wrong isn't asked again by this download, and the hub gives its share.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Iterator, Sequence

from modelshelf.domain.names import CommitHash, Digest, RepoId
from modelshelf.domain.plans import SEGMENT_BYTES, BlobNeed
from modelshelf.domain.ports import ByteStream, Hub
from modelshelf.errors import ShelfError, Unavailable
from modelshelf.units import format_size

_log = logging.getLogger(__name__)

_LEAST_BYTES_PER_S = 2**20
"""A LAN hub that sends less, over all streams, is dropped for the hub."""
_TRIAL_S = 5.0
"""How long a stream waits for a LAN hub's bytes before its rate is judged, in seconds."""


class Sources:
    """The hubs of one download.

    **Concurrency:** shared by its streams.

    Args:
        hub: The hub, which gives what no LAN hub does.
        peers: The LAN hubs, in order of asking.
    """

    def __init__(self, hub: Hub, peers: Sequence[Hub] = ()) -> None:
        self._hub = hub
        self._peers = list(peers)
        self._mutex = threading.Lock()
        self._lacking: set[tuple[str, Digest]] = set()
        """LAN hubs with the blobs that they aren't asked for."""
        self._gave: set[tuple[str, Digest]] = set()
        self._open: list[str] = []
        """The LAN hub of each open stream."""

    @contextlib.contextmanager
    def open_range(
        self, repo_id: RepoId, commit_hash: CommitHash, need: BlobNeed, start: int, stop: int
    ) -> Iterator[ByteStream]:
        """Ask for a half-open byte range of one blob, first the LAN hubs.

        Raises:
            ShelfError: The hub doesn't give it; see `Hub.open_range`.
        """
        for peer in self._worth_asking(need.digest):
            with contextlib.ExitStack() as opened:
                try:
                    stream = opened.enter_context(peer.open_range(repo_id, commit_hash, need.path, start, stop))
                except ShelfError as err:
                    self._refused(peer, need.digest, err)
                    continue
                opened.enter_context(self._counted(peer, need.digest))
                yield _PeerStream(self, peer, stream)
                return
        with self._hub.open_range(repo_id, commit_hash, need.path, start, stop) as stream:
            yield stream

    def distrust(self, digest: Digest) -> None:
        """Drop the LAN hubs that sent bytes of a damaged blob, and ask only the hub for it."""
        with self._mutex:
            wrong = [peer for peer in self._peers if (peer.endpoint, digest) in self._gave]
            self._lacking.update((peer.endpoint, digest) for peer in self._peers)
        for peer in wrong:
            self.leave(peer, f"Bytes of {digest} arrived damaged.")

    def leave(self, peer: Hub, why: str) -> None:
        """Don't ask a LAN hub again."""
        with self._mutex:
            if peer in self._peers:
                self._peers.remove(peer)
                _log.warning("peer_left", extra={"endpoint": peer.endpoint, "detail": why})

    def streams_of(self, peer: Hub) -> int:
        """Return how many streams are open to a LAN hub."""
        with self._mutex:
            return self._open.count(peer.endpoint)

    def _worth_asking(self, digest: Digest) -> list[Hub]:
        with self._mutex:
            return [peer for peer in self._peers if (peer.endpoint, digest) not in self._lacking]

    def _refused(self, peer: Hub, digest: Digest, err: ShelfError) -> None:
        """Drop a LAN hub that gave no answer; one that answered may have the next blob."""
        with self._mutex:
            self._lacking.add((peer.endpoint, digest))
        if isinstance(err, Unavailable) and err.__cause__ is not None:  # its cause is what broke the connection
            self.leave(peer, err.detail)

    @contextlib.contextmanager
    def _counted(self, peer: Hub, digest: Digest) -> Iterator[None]:
        with self._mutex:
            self._gave.add((peer.endpoint, digest))
            self._open.append(peer.endpoint)
        try:
            yield
        finally:
            with self._mutex:
                self._open.remove(peer.endpoint)


class _PeerStream:
    """A LAN hub's answer."""

    def __init__(self, sources: Sources, peer: Hub, stream: ByteStream) -> None:
        self.start = stream.start
        self.ranged = stream.ranged
        self._sources = sources
        self._peer = peer
        self._stream = stream
        self._came_bytes = 0
        self._waited_s = 0.0

    def read_into(self, view: memoryview) -> int:
        """Read as `ByteStream` says.

        Raises:
            Unavailable: The connection broke, or the LAN hub is too slow.
        """
        least_bytes = self._waited_s * _LEAST_BYTES_PER_S / self._sources.streams_of(self._peer)
        if self._waited_s >= _TRIAL_S and self._came_bytes < least_bytes:
            why = f"{self._peer.endpoint} sends less than {format_size(_LEAST_BYTES_PER_S)} a second."
            self._sources.leave(self._peer, why)
            raise Unavailable(why)
        began_s = time.monotonic()
        try:
            got = self._stream.read_into(view)
        except Unavailable as err:
            if self._came_bytes < SEGMENT_BYTES:
                self._sources.leave(self._peer, err.detail)
            raise
        self._waited_s += time.monotonic() - began_s
        self._came_bytes += got
        return got

    def abort(self) -> None:
        """End a `read_into` that waits in another thread at once."""
        self._stream.abort()
