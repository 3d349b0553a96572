"""A library with two models, a server over it, and an engine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from modelshelf.services.shelf import Shelf
from tests.fakes.hub import FakeHub
from tests.fakes.upstream import OneEngine, Upstream, upstream
from tests.serving import Serving, serving


@pytest.fixture
def engine() -> Iterator[Upstream]:
    """The engine's server."""
    with upstream() as made:
        yield made


@pytest.fixture
def engines(engine: Upstream) -> OneEngine:
    """The pool, whose engine is ready."""
    made = OneEngine(engine.url)
    made.ready.set()
    return made


@pytest.fixture
def door(shelf: Shelf, hub: FakeHub, engines: OneEngine) -> Iterator[Serving]:
    """The server, over a library that has `smol`, and `half` whose download waits."""
    hub.add_repo("Org/Smol-GGUF", {"config.json": b"{}", "smol-Q4_K_M.gguf": b"weights"})
    shelf.register("smol", "Org/Smol-GGUF")
    hub.add_repo("Org/Half", {"config.json": b"{}"})
    shelf.register("half", "Org/Half", download=False)
    with serving(shelf, engines=engines) as started:
        yield started
