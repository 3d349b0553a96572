"""API keys: making and revoking them, and looking up the one that a request brings."""

from __future__ import annotations

import hashlib
import hmac
import logging
import secrets
import string
import threading
import time
from collections.abc import Callable

from sqlalchemy.exc import SQLAlchemyError

from modelshelf.domain.keys import EVERYTHING, ApiKey, Scope, parse_key_name
from modelshelf.errors import Conflict, NotFound, ShelfError, Unavailable
from modelshelf.registry.keys import Keys

_log = logging.getLogger(__name__)
_LETTERS = string.ascii_letters + string.digits
_FRESH_S = 2.0
"""A key may still be taken for so long after its revocation."""
_TRUSTED_S = 300.0
"""Or for so long, where the server can't reach the registry: from then on it takes SHELF_API_KEY alone."""
_AGAIN_S = 0.1
"""How often the registry is read at most for keys that it might have got since."""
_NEVER = float("-inf")
_NOTE_EACH_S = 60.0
"""How often a use of a key is written down."""


def new_key() -> str:
    """Return a random key in the form of the Hub's tokens, because some clients refuse to send any other."""
    return "hf_" + "".join(secrets.choice(_LETTERS) for _ in range(34))


def add_key(keys: Keys, name: str, scopes: frozenset[Scope]) -> str:
    """Make a key and return it; it can't be read again.

    Args:
        keys: The registry's.
        name: Whom or what it is for.
        scopes: What it may be used for.

    Raises:
        BadInput: The name isn't one.
        Conflict: There is a key of that name.
    """
    key = new_key()
    if not keys.add(parse_key_name(name), _digest(key.encode()), scopes):
        raise Conflict(f"There is a key {name} already.", hint=f"shelf key revoke {name}", name=name)
    return key


def revoke_key(keys: Keys, name: str) -> None:
    """Delete a key; servers that run refuse it within two seconds, or within five minutes without the registry.

    Raises:
        NotFound: There is none of that name.
    """
    if not keys.revoke(name):
        raise NotFound(f"There is no key {name}.", hint="shelf key ls lists them.", name=name)


class KeyRing:
    """The keys that one server takes, read anew every two seconds at most.

    **Concurrency:** may be asked from any thread.

    Args:
        keys: The registry's.
        setting: SHELF_API_KEY, which may do everything; None: there is none.
        now: Returns the time in seconds, on a clock that never goes back.
    """

    def __init__(self, keys: Keys, setting: str | None, now: Callable[[], float] = time.monotonic) -> None:
        self._keys = keys
        self._setting = _digest(setting.encode()) if setting else None
        self.has_setting = setting is not None
        self._mutex = threading.Lock()
        self._known: dict[str, ApiKey] = {}
        self.now = now
        self._began_at = _NEVER
        self._is_away = False
        self._tried_at = _NEVER
        self._read_at = _NEVER
        self._used: set[str] = set()
        self._noted_at = _NEVER

    @property
    def is_stale(self) -> bool:
        """Whether `refresh` must be called before `find`."""
        return self.now() - self._tried_at > _FRESH_S

    def refresh(self) -> None:
        """Read the keys, and write down which were used; blocking. A registry that is away leaves them as they were.

        Only the first of several waits for the registry: the others go on with what is known.
        """
        if not self._mutex.acquire(blocking=self._tried_at == _NEVER):
            return
        try:
            if self.is_stale:
                self._read()
        finally:
            self._mutex.release()

    def due_in(self, asked_at: float) -> float | None:
        """Return in how many seconds the keys may be read for one that isn't known.

        None: there is no need, because they were read since; or no use, because the registry is away.

        Args:
            asked_at: When it was asked for, by `now`.
        """
        if self._began_at >= asked_at or self._is_away:
            return None
        return max(0.0, self._began_at + _AGAIN_S - self.now())

    def read_again(self) -> None:
        """Read the keys, for one that isn't known; blocking."""
        with self._mutex:
            self._read()

    def _read(self) -> None:
        self._began_at = self.now()
        try:
            self._known = self._keys.all()
            self._read_at = self.now()
            self._is_away = False
            self._note()
        except (ShelfError, SQLAlchemyError) as err:
            self._is_away = True
            _log.warning("keys_not_read", extra={"detail": str(err)})
        self._tried_at = self.now()

    def find(self, key: bytes) -> ApiKey | None:
        """Return the key that a request brings; None where it is none of ours.

        Raises:
            Unavailable: Only the registry knows, and it has been away for five minutes.
        """
        digest = _digest(key)
        if self._setting is not None and hmac.compare_digest(digest, self._setting):
            return ApiKey("SHELF_API_KEY", EVERYTHING, 0.0, None)
        if self.now() - self._read_at > _TRUSTED_S:
            raise Unavailable(
                "The registry is away, so the server can't tell which API keys are still good.",
                hint="Ask again later; SHELF_API_KEY works on.",
            )
        found = self._known.get(digest)
        if found is not None:
            self._used.add(digest)
        return found

    def _note(self) -> None:
        if not self._used or self.now() - self._noted_at < _NOTE_EACH_S:
            return
        used, self._used = self._used, set()
        self._noted_at = self.now()
        self._keys.used(sorted(used))


def _digest(key: bytes) -> str:
    """Return the SHA-256 of a key, in hex: it is as random as a digest, so that no salt and no slow hash is needed."""
    return hashlib.sha256(key).hexdigest()
