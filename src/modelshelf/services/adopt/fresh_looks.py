"""What was just seen of a folder, for the job that was asked for by it."""

from __future__ import annotations

from modelshelf.domain.adopt import AdoptRequest
from modelshelf.domain.adopt_inventory import Inventory
from modelshelf.domain.ports import Clock

_FRESH_S = 10.0
"""So long a look counts as one of now; the look at a large folder takes that long itself."""


class FreshLooks:
    """Keeps the last look that led to a job, for a job that this process begins at once."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._kept: dict[AdoptRequest, tuple[float, Inventory]] = {}

    def keep(self, wanted: AdoptRequest, found: Inventory) -> None:
        """Keep what was seen for a request, in the place of the last one: a look may name a million files."""
        self._kept = {wanted: (self._clock.now(), found)}

    def take(self, wanted: AdoptRequest) -> Inventory | None:
        """Return what was seen for a request, once; None if that was long ago, or in another process."""
        seen_at, found = self._kept.pop(wanted, (0.0, None))
        return found if 0 <= self._clock.now() - seen_at <= _FRESH_S else None
