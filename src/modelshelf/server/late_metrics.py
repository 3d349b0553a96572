"""What a server counts for Prometheus; an idle server has nothing imported for it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from modelshelf.domain.serving import EngineStatus, Load
    from modelshelf.domain.uses import Use
    from modelshelf.server.metrics import Meters, Sights
    from modelshelf.services.shelf import Shelf


class LateMetrics:
    """The meters of a server and its sights of the library, made when they are first used.

    **Concurrency:** used in any thread; they are made once.
    """

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._lock = threading.Lock()
        self._made: tuple[Meters, Sights] | None = None

    def count(self, use: Use) -> None:
        """Count a request that ended."""
        self._get()[0].count(use)

    def load(self, load: Load) -> None:
        """Count the start of an engine."""
        self._get()[0].load(load)

    def text(self, engines: Sequence[EngineStatus]) -> tuple[bytes, str]:
        """Return everything in Prometheus' format, and that format's type; blocking.

        Args:
            engines: The engines as they are.
        """
        from modelshelf.server.metrics import CONTENT_TYPE

        meters, sights = self._get()
        return sights.text(meters, engines), CONTENT_TYPE

    def _get(self) -> tuple[Meters, Sights]:
        from modelshelf.server.metrics import Meters, Sights

        with self._lock:
            self._made = self._made or (Meters(), Sights(self._shelf))
            return self._made
