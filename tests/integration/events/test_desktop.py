"""The person at the desktop is told of long downloads and warnings, and never by a server outside a session."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from modelshelf.domain.plans import SEGMENT_BYTES
from modelshelf.services.shelf import Shelf
from tests.fakes.hub import FakeHub
from tests.world import Home, random_bytes, wait_until

REPO = "org/name"
BUS = {"DBUS_SESSION_BUS_ADDRESS": "unix:path=/nowhere"}
PROGRAM = """#!/bin/sh
printf '%s|' "$@" >> "$0.said"
echo >> "$0.said"
"""


@pytest.fixture
def said(tmp_path: Path) -> Path:
    """What `notify-send` was told, in the folder of a stand-in for it."""
    program = tmp_path / "bin/notify-send"
    program.parent.mkdir()
    program.write_text(PROGRAM)
    program.chmod(0o755)
    return tmp_path / "bin/notify-send.said"


def path_to(said: Path) -> dict[str, str]:
    """Return an environment in which the stand-in is found."""
    return {"PATH": f"{said.parent}:{os.environ['PATH']}"}


def read(said: Path) -> str:
    """Return what was told so far."""
    return said.read_text() if said.exists() else ""


def test_long_downloads_and_full_tiers_are_told(hub: FakeHub, home: Home, shelf: Shelf, said: Path) -> None:
    """A download of over a minute is told once it ends, a short one isn't, and a tier over its threshold is."""
    hub.add_repo("org/short", {"config.json": b"{}"})
    hub.add_repo(REPO, {"model.safetensors": random_bytes(40 * SEGMENT_BYTES)})
    limits = {"PRIMARY_CACHE_LIMIT_GB": "0.005", "CACHE_WARNING_THRESHOLD": "0.5"}
    with home.serve(**path_to(said), **BUS, **limits) as server:
        server.ask("POST", "/api/models", {"model_name": "short", "hf_path": "org/short"})
        server.wait_for_state("short", "ready")
        hub.pause(after_bytes=36 * SEGMENT_BYTES)
        server.ask("POST", "/api/models", {"model_name": "long", "hf_path": REPO})
        hub.wait_for_bytes(SEGMENT_BYTES)
        job = shelf.services.registry.jobs(kind="pull")[0]
        shelf.services.registry.update_job(job.id, {"created_at": job.created_at - 120})
        hub.stop()
        hub.resume()
        hub.start()
        server.wait_for_state("long", "ready")
        wait_until(lambda: "nearly reached" in read(said) and "Downloaded" in read(said), "both notices")

    told = sorted(read(said).splitlines())
    assert told[0].startswith("--app-name=modelshelf|--urgency=critical|--|Disk limit nearly reached|primary holds ")
    assert told[1].startswith("--app-name=modelshelf|--urgency=normal|--|Downloaded long|")
    assert len(told) == 2


def test_a_server_outside_a_session_tells_nobody(hub: FakeHub, home: Home, said: Path) -> None:
    """Without a session bus, as on a machine that nobody sits at, `notify-send` is never run."""
    hub.add_repo(REPO, {"model.safetensors": random_bytes(4_000_000)})
    limits = {"PRIMARY_CACHE_LIMIT_GB": "0.01", "CACHE_WARNING_THRESHOLD": "0.3"}
    with home.serve(**path_to(said), DBUS_SESSION_BUS_ADDRESS="", **limits) as server:
        home.run("add", "m", REPO).checked()
        wait_until(lambda: "tier_over_threshold" in server.log.read_text(), "the warning")

    assert not said.exists()
