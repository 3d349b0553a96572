"""What a deletion freed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Freed:
    """What a deletion freed, measured by lstat just before it."""

    apparent_bytes: int = 0
    allocated_bytes: int = 0

    def __add__(self, other: Freed) -> Freed:
        """Return the sum."""
        return Freed(self.apparent_bytes + other.apparent_bytes, self.allocated_bytes + other.allocated_bytes)
