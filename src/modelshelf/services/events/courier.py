"""Tells one webhook of every change, in order and at least once, for all servers of a library together."""

from __future__ import annotations

import hashlib
import json
import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from modelshelf.domain.jobs import backoff_s
from modelshelf.domain.ports import Clock
from modelshelf.domain.webhooks import payload_of, signed_headers
from modelshelf.errors import ShelfError
from modelshelf.registry.registry import Registry
from modelshelf.services.events.watch import Event, Watcher
from modelshelf.services.jobs.process import is_alive

_log = logging.getLogger(__name__)
_LOOK_AGAIN_S = 5.0
"""How often to see whether the process that tells the webhook is still there, in seconds."""
_WAIT_FOR_AN_ANSWER_S = 1.0

Post = Callable[[str, bytes, Mapping[str, str]], int]
"""Sends a body with headers to an address; returns the answer's status, or raises Unavailable."""


@dataclass(slots=True)
class Courier:
    """A thread that tells one webhook.

    **Crash:** the position is written after each answer, so what wasn't answered is sent again, with the same id.
    **Concurrency:** of several servers one tells it; another one goes on when that one ends or is killed.
    """

    url: str = field(repr=False)
    secret: str = field(repr=False)
    registry: Registry
    watcher: Watcher
    owner: str
    clock: Clock
    post: Post
    number: int = 1
    """Which one of the setting it is: its address may be a secret, and isn't logged."""
    _failures: int = 0
    _woken: threading.Event = field(default_factory=threading.Event)
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Tell it from now on, or from where a server ended."""
        self._thread = threading.Thread(target=self._run, name="courier", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop; what waits for an answer is sent again by the next server."""
        self._stop.set()
        self._woken.set()
        if self._thread is not None:
            self._thread.join(_WAIT_FOR_AN_ANSWER_S)

    @property
    def _target(self) -> str:
        return hashlib.sha256(self.url.encode()).hexdigest()

    def _run(self) -> None:
        with self.watcher.telling(self._wake):
            while not self._stop.is_set():
                self._woken.clear()
                try:
                    wait_s = self._turn()
                except Exception as err:  # noqa: BLE001 - a courier that ended here would tell nothing of what comes later
                    _log.warning("webhook_waits", extra={"webhook": self.number, "detail": type(err).__name__})
                    wait_s = _LOOK_AGAIN_S
                if wait_s:
                    self._stop.wait(wait_s)
                else:
                    self._woken.wait(_LOOK_AGAIN_S)

    def _wake(self, event: Event) -> None:
        if event.id is not None:
            self._woken.set()

    def _turn(self) -> float:
        """Tell what there is; return how long to wait, in seconds; 0 for as long as nothing is new."""
        position = self.registry.webhooks.take(self._target, self.owner)
        if position is None:
            holder = self.registry.webhooks.owner(self._target)
            if is_alive(holder) is False:
                self.registry.webhooks.leave(holder)
            return 0
        newest = self.registry.changes.newest()
        for event in self.watcher.missed(position, newest) if newest != position else ():
            if self._stop.is_set() or not self._tell(event):
                return backoff_s(self._failures) if self._failures else 0
            self.registry.webhooks.told(self._target, self.owner, event.id or newest)
        self.registry.webhooks.told(self._target, self.owner, newest)
        return 0

    def _tell(self, event: Event) -> bool:
        """Send an event; return whether it arrived, or isn't one to send."""
        data = payload_of(event.kind, event.data)
        if data is None:
            return True
        message_id = f"{self.registry.id}-{event.id}"
        body = json.dumps({"id": message_id, "event": event.kind, "data": data}).encode()
        try:
            status = self.post(self.url, body, signed_headers(self.secret, message_id, int(self.clock.now()), body))
            why = "" if 200 <= status < 300 else f"It answered {status}."
        except ShelfError as err:
            why = type(err).__name__
        if why and not self._failures:
            _log.warning("webhook_failed", extra={"webhook": self.number, "detail": why})
        if self._failures and not why:
            _log.info("webhook_answers_again", extra={"webhook": self.number})
        self._failures = self._failures + 1 if why else 0
        return not why
