"""Browsers that logged in with a key: each has a cookie that stands for it, as long as this process runs."""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict

COOKIE = "shelf_session"
_MOST = 1000
"""With more, the one that logged in first has to do so again."""


class Sessions:
    """The sessions of one server.

    A revoked key ends its sessions: it is looked up anew with every request.

    **Concurrency:** may be asked from any thread.
    """

    def __init__(self) -> None:
        self._keys: OrderedDict[str, bytes] = OrderedDict()
        self._mutex = threading.Lock()

    def start(self, key: bytes) -> str:
        """Return a cookie's value that stands for a key from now on."""
        token = secrets.token_urlsafe(32)
        with self._mutex:
            self._keys[token] = key
            while len(self._keys) > _MOST:
                self._keys.popitem(last=False)
        return token

    def key_of(self, token: str) -> bytes | None:
        """Return the key that a cookie stands for; None if it stands for none."""
        with self._mutex:
            return self._keys.get(token)

    def end(self, token: str) -> None:
        """Forget a cookie."""
        with self._mutex:
            self._keys.pop(token, None)
