"""A pull lays out what huggingface_hub does, name by name, link by link and byte by byte."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.hub import FakeHub
from tests.world import Home, random_bytes

FILES = {
    "config.json": b"{}",
    "model.safetensors": random_bytes(100_000),
    "same.safetensors": random_bytes(100_000),
    "deep/er/weights.bin": random_bytes(50_000, seed=1),
}


def content(path: Path) -> Any:
    """Return a link's text, the contents of a JSON list of files, or any other file's bytes."""
    if path.is_symlink():
        return str(path.readlink())
    return json.loads(path.read_bytes()) if path.parent.name == "trees" else path.read_bytes()


def laid_out(hub_folder: Path) -> dict[str, Any]:
    """Return every link and file below `hub/` with its content, without locks and our own refs."""
    return {
        path.relative_to(hub_folder).as_posix(): content(path)
        for path in hub_folder.rglob("*")
        if (path.is_symlink() or path.is_file()) and not {".locks", "shelf"} & set(path.parts)
    }


@pytest.mark.parametrize("symlinks", [True, False], ids=["with links", "without links"])
def test_a_pull_lays_out_what_snapshot_download_does(hub: FakeHub, home: Home, symlinks: bool) -> None:
    """Blobs, snapshot, ref, list of files and the cache's tag are the same, with and without symbolic links."""
    hub.add_repo("org/model", FILES)
    home.extra |= {} if symlinks else {"HF_HUB_DISABLE_SYMLINKS": "1"}
    home.hf(home.root / "stock", "download", "org/model").checked()

    home.run("add", "m", "org/model").checked()

    ours, theirs = laid_out(home.primary / "hub"), laid_out(home.root / "stock/hub")
    assert ours.keys() == theirs.keys()
    assert {name for name in ours if ours[name] != theirs[name]} == set()
