"""What a person is warned of on a tier."""

from __future__ import annotations

from dataclasses import replace

import pytest

from modelshelf.domain.names import BasePath
from modelshelf.domain.tiers import PRIMARY, Tier, TierStatus, Usage
from modelshelf.domain.warnings import warnings_of

WELL = TierStatus(Tier(PRIMARY, BasePath("/big"), 100 * 10**9), True, "", Usage(0, 0, {}), 0, 80 * 10**9)


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        ({}, []),
        ({"warning": True}, [("over_threshold /big", "primary holds 0 B of 100.0 GB.")]),
        ({"free_bytes": 10**9}, [("nearly_full /big", "The drive of /big has 1.0 GB free.")]),
        ({"online": False, "free_bytes": 0, "detail": "It isn't mounted."}, [("offline /big", "It isn't mounted.")]),
    ],
    ids=["well", "over its threshold", "full drive", "offline"],
)
def test_a_tier_warns_of_what_is_wrong(facts: dict[str, object], told: list[tuple[str, str]]) -> None:
    """A tier over its threshold, a drive with little space and one that is away are each a warning in words."""
    assert [(one.key, one.detail) for one in warnings_of(replace(WELL, **facts))] == told
