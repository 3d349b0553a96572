"""What tiers held over time, noted by changes and told by every face."""

from __future__ import annotations

from collections.abc import Callable

from tests.fakes.hub import FakeHub
from tests.world import Home, Result, random_bytes, wait_until

REPO = "org/name"
SIZE = 3_000_000
"""More than the registry takes, which is in the same base."""


def test_a_change_is_noted_and_told(hub: FakeHub, home: Home, cli: Callable[..., Result]) -> None:
    """What a pull brought is in the history of its tier; a server and a command tell the same, and a limit with it."""
    hub.add_repo(REPO, {"model.safetensors": random_bytes(SIZE)})
    home.extra["PRIMARY_CACHE_LIMIT_GB"] = "1"
    cli("add", "m", REPO).checked()
    said = cli("tiers", "--history", "--json").checked().json
    primary = said[0]["points"]

    assert [tier["cache_location"] for tier in said] == ["primary", "secondary"]
    assert primary[-1]["usage_bytes"] >= SIZE
    assert primary[-1]["limit_bytes"] == 10**9
    assert "primary" in cli("tiers", "--history").checked().out
    with home.serve() as server:
        server.wait_for_state("m", "ready")
        told = server.get("/api/cache/history?days=1")
        assert [tier["cache_path"] for tier in told] == [tier["cache_path"] for tier in said]
        assert server.ask("DELETE", "/api/models/m?delete_files=true").status == 200
        wait_until(
            lambda: server.get("/api/cache/history")[0]["points"][-1]["usage_bytes"] < SIZE, "the deletion in it"
        )
