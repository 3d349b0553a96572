"""When a tier makes room, and how much."""

from __future__ import annotations

from dataclasses import dataclass, replace

from modelshelf.errors import BadInput


@dataclass(frozen=True, slots=True)
class Watermarks:
    """When room is made, and how much.

    The defaults, each with its reason; the numbers are those of the tests' simulated year:

    - `high` 1.0: the limit itself. Who allows 100 GB means to use them, and a model that leaves earlier than it
      must is loaded from the slow disk for nothing. A lower mark makes room earlier if it can; only the limit
      refuses.
    - `low` 0.85: below the warning threshold (0.9), so that making room also ends the warning, and apart from
      `high`, so that the next small pull doesn't wait for a demotion. It is cheap: about half a percent of the
      loads, against a low mark at the limit.
    - `min_stay_s` one day. A promotion evicts nothing that arrived within one minimum stay, so in any such span
      promotions evict at most the limit, and write at most the limit beside what pulls evict, whatever the
      pattern of use: one drive write a day, the unit of SSD endurance. An hour would allow
      24. Against an hour it halves what is copied (79 GB a day, not 152) for 1.4 percent of the loads.
    """

    high: float = 1.0
    """Room is made if usage would pass this fraction of the limit."""
    low: float = 0.85
    """Room is then made down to this fraction, including what is about to be written."""
    min_stay_s: float = 86400.0
    """How long a placement stays at least after it arrived, in seconds."""

    def __post_init__(self) -> None:
        """Refuse invalid marks.

        Raises:
            BadInput: Not 0 < low <= high <= 1, or a negative stay.
        """
        if not 0 < self.low <= self.high <= 1 or self.min_stay_s < 0:
            raise BadInput(
                f"Watermarks of {self.low} and {self.high} with a minimum stay of {self.min_stay_s} s are invalid.",
                hint="Use 0 < low <= high <= 1 and a stay of 0 or more.",
            )

    def at_once(self) -> Watermarks:
        """Return the marks for a person's request, without the minimum stay.

        Only promotions can bounce; a pull comes once, and no placement's age refuses it.
        """
        return replace(self, min_stay_s=0.0)
