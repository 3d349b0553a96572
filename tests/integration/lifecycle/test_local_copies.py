"""What another tier has already is copied from there, and not fetched again over the line."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from modelshelf.services.shelf import Shelf
from tests.fakes.hub import FakeHub
from tests.fakes.hub_repos import Blob
from tests.invariants import violations
from tests.world import Home, random_bytes

REPO = "org/name"
WEIGHTS, OTHER = random_bytes(900_000), random_bytes(300_000, seed=2)
FILES = {"config.json": b"{}", "model.safetensors": WEIGHTS, "other.safetensors": OTHER}
SMALL_BYTES = 20_000
"""More than a hub sends to say what a repository has, and less than any of its weights."""


@pytest.fixture(autouse=True)
def twin(hub: FakeHub, home: Home) -> None:
    """A model on the secondary, with all but one of its files."""
    hub.add_repo(REPO, FILES)
    home.run("add", "twin", REPO, "--to", "secondary", "--exclude", "other.*").checked()


def weights_of(base: Path) -> Path:
    """Return the path of the weights' bytes on a tier."""
    return base / "hub/models--org--name/blobs" / Blob.of(WEIGHTS, lfs=True).digest


def test_only_what_no_tier_has_is_fetched(hub: FakeHub, home: Home, shelf: Shelf) -> None:
    """A second model of the repository copies what is on another tier, fetches the rest, and its plan says so."""
    planned = home.run("add", "m", REPO, "--dry-run").checked().out
    as_json = home.run("add", "m", REPO, "--dry-run", "--json").checked().json
    sent = hub.bytes_sent
    home.run("add", "m", REPO).checked()

    assert "downloads 300.0 kB of 1.2 MB, copies 900.0 kB from another tier" in planned
    assert (as_json["fetch_bytes"], as_json["copy_bytes"]) == (len(OTHER), len(WEIGHTS) + len(FILES["config.json"]))
    assert len(OTHER) <= hub.bytes_sent - sent < len(OTHER) + SMALL_BYTES
    assert weights_of(home.primary).read_bytes() == WEIGHTS
    assert [shelf.model(name).state for name in ("m", "twin")] == ["ready", "ready"]
    assert violations(shelf) == []


def test_what_stayed_after_its_model_was_removed_is_copied_too(hub: FakeHub, home: Home, shelf: Shelf) -> None:
    """Files that no model is registered for are as good: they are checked on the way."""
    home.run("rm", "twin", "--yes").checked()
    sent = hub.bytes_sent

    home.run("add", "m", REPO, "--exclude", "other.*").checked()

    assert weights_of(home.primary).read_bytes() == WEIGHTS
    assert hub.bytes_sent - sent < SMALL_BYTES
    assert violations(shelf) == []


@pytest.mark.parametrize("how", ["other bytes", "another size", "a link out of the tier"])
def test_a_copy_that_is_not_what_its_name_says_is_fetched(hub: FakeHub, home: Home, tmp_path: Path, how: str) -> None:
    """Damage on one tier doesn't come to the other, and is left for verify, which says what becomes of it."""
    blob = weights_of(home.secondary)
    damaged = bytes(len(WEIGHTS)) if how == "other bytes" else b"short"
    if how == "a link out of the tier":
        (tmp_path / "elsewhere").write_bytes(damaged := WEIGHTS)
        blob.unlink()
        blob.symlink_to(tmp_path / "elsewhere")
    else:
        blob.chmod(0o644)
        blob.write_bytes(damaged)
    sent = hub.bytes_sent

    home.run("add", "m", REPO).checked()

    assert weights_of(home.primary).read_bytes() == WEIGHTS
    assert hub.bytes_sent - sent > len(WEIGHTS)
    assert blob.read_bytes() == damaged
    assert home.run("verify", "m").checked().code == 0


def test_a_copy_needs_no_hours_for_downloads(home: Home) -> None:
    """Outside the hours for downloads a model comes whose bytes are all on this machine."""
    hours = "-".join(time.strftime("%H:%M", time.localtime(time.time() + hours * 3600)) for hours in (8, 9))

    home.run("add", "m", REPO, "--exclude", "other.*", SHELF_DOWNLOAD_HOURS=hours).checked()

    assert weights_of(home.primary).read_bytes() == WEIGHTS
