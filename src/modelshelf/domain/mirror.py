"""What clients of `/hf` may bring to this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from modelshelf.domain.models import ModelRow


@dataclass(frozen=True)
class MirrorSettings:
    """Whether `/hf` fetches what isn't here, and how much."""

    is_on: bool = False
    share: float = 0.2
    """The fraction of the primary's limit, or of its disk without a limit, that mirrored models may hold."""


def share_bytes(limit_bytes: int | None, disk_bytes: int, share: float) -> int:
    """Return how many bytes mirrored models may hold on a tier.

    >>> share_bytes(100, 1000, 0.2), share_bytes(None, 1000, 0.2)
    (20, 200)
    """
    return int((disk_bytes if limit_bytes is None else limit_bytes) * share)


def leaving(
    over_bytes: int, rows: Iterable[ModelRow], may_leave: Callable[[ModelRow], bool] = lambda row: True
) -> list[ModelRow] | None:
    """Return which mirrored models leave so that another fits; None if all of them aren't enough.

    Those that were used or came longest ago leave first, and none that isn't needed for it.

    Args:
        over_bytes: How many bytes are too many.
        rows: The other mirrored models.
        may_leave: Returns whether a model may leave; asked in their order, and not more often than needed.
    """
    chosen: list[ModelRow] = []
    for row in sorted(rows, key=lambda row: (row.last_used_at or row.arrived_at, row.id)):
        if over_bytes <= 0:
            break
        if row.size_bytes and may_leave(row):
            chosen.append(row)
            over_bytes -= row.size_bytes
    return chosen if over_bytes <= 0 else None
