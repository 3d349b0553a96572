"""The keys that a server takes, read anew for one that isn't among them, so that a new key works at once."""

from __future__ import annotations

import hashlib
from collections import OrderedDict

import anyio
from anyio import to_thread

from modelshelf.domain.keys import ApiKey
from modelshelf.services.access.keys import KeyRing

_MOST_STRANGERS = 1000


class FreshKeys:
    """The keys of a server, and when they are read.

    A flood of wrong keys costs one read each 0.1 s: all requests that came before it began share it, and the same one
    costs none. It never waits in threads, which others need.

    Args:
        ring: The keys.
    """

    def __init__(self, ring: KeyRing) -> None:
        self.ring = ring
        self._turn = anyio.Lock()
        self._strangers: OrderedDict[bytes, None] = OrderedDict()
        """Digests of what was no key when it was looked up: none is made that somebody has already."""

    async def refresh(self) -> None:
        """Read the keys if that was some time ago."""
        if self.ring.is_stale:
            await to_thread.run_sync(self.ring.refresh)

    async def find(self, *secrets: bytes) -> ApiKey | None:
        """Return the first of these that is a key, after another read if none is known; None where none is.

        Raises:
            Unavailable: See `KeyRing.find`.
        """
        found, digest = self._known(secrets), hashlib.sha256(b" ".join(secrets)).digest()
        if found is None and digest not in self._strangers:
            await self._look_again()
            found = self._known(secrets)
        if found is None:
            self._remember(digest)
        return found

    def _remember(self, digest: bytes) -> None:
        self._strangers[digest] = None
        while len(self._strangers) > _MOST_STRANGERS:
            self._strangers.popitem(last=False)

    def _known(self, secrets: tuple[bytes, ...]) -> ApiKey | None:
        return next((found for secret in secrets if (found := self.ring.find(secret)) is not None), None)

    async def _look_again(self) -> None:
        asked_at = self.ring.now()
        async with self._turn:
            wait_s = self.ring.due_in(asked_at)
            if wait_s is not None:
                await anyio.sleep(wait_s)
                await to_thread.run_sync(self.ring.read_again)
