"""The description of the API, which the reference page and every generated client are made from."""

from __future__ import annotations

from modelshelf.server.app import describe
from tests.world import Server


def test_the_description_needs_no_library(server: Server) -> None:
    """The description that is made without a library is the one that a running server answers."""
    assert describe() == server.get("/openapi.json")
