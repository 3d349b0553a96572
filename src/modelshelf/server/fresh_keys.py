"""The keys that a server takes, read anew for one that isn't among them, so that a new key works at once."""

from __future__ import annotations

import anyio
from anyio import to_thread

from modelshelf.domain.keys import ApiKey
from modelshelf.services.access.keys import KeyRing


class FreshKeys:
    """The keys of a server, and when they are read.

    A flood of wrong keys costs one read each 0.1 s: all requests that came before it began share it. It never waits in
    threads, which others need.

    Args:
        ring: The keys.
    """

    def __init__(self, ring: KeyRing) -> None:
        self.ring = ring
        self._turn = anyio.Lock()

    async def refresh(self) -> None:
        """Read the keys if that was some time ago."""
        if self.ring.is_stale:
            await to_thread.run_sync(self.ring.refresh)

    async def find(self, *secrets: bytes) -> ApiKey | None:
        """Return the first of these that is a key, after another read if none is known; None where none is.

        Raises:
            Unavailable: See `KeyRing.find`.
        """
        if (found := self._known(secrets)) is not None:
            return found
        await self._look_again()
        return self._known(secrets)

    def _known(self, secrets: tuple[bytes, ...]) -> ApiKey | None:
        return next((found for secret in secrets if (found := self.ring.find(secret)) is not None), None)

    async def _look_again(self) -> None:
        asked_at = self.ring.now()
        async with self._turn:
            wait_s = self.ring.due_in(asked_at)
            if wait_s is not None:
                await anyio.sleep(wait_s)
                await to_thread.run_sync(self.ring.read_again)
