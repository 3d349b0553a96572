"""The demo's hub: the real model's repositories, built once, served by the project's own hub face."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from demo.build_models import build

from tests.world import ROOT, Home, Server


@pytest.fixture(scope="session")
def upstream_base() -> Path:
    """A base with SmolLM2 as safetensors and as GGUF, built where `make demo` keeps it."""
    base = ROOT / ".demo" / "upstream"
    build(base)
    return base


@pytest.fixture
def upstream(upstream_base: Path, tmp_path: Path) -> Iterator[Server]:
    """A server over that base: a hub on loopback."""
    hub_home = Home(tmp_path / "upstream", "http://127.0.0.1:9", {"PRIMARY_CACHE_PATH": str(upstream_base)})
    with hub_home.serve() as server:
        yield server


@pytest.fixture
def model_home(upstream: Server, tmp_path: Path) -> Home:
    """A user with that hub."""
    return Home(tmp_path / "user", f"{upstream.url}/hf")
