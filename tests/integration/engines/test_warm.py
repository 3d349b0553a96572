"""Reading a model ahead of its engine."""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path

import pytest

from modelshelf.engines.memory import device_memory
from modelshelf.engines.warm import read_rate, warm, warming
from tests.fakes.hub import FakeHub
from tests.world import Home, random_bytes, wait_until


def test_every_byte_is_read_once(tmp_path: Path) -> None:
    """All bytes of all files are read, none twice, whatever their sizes."""
    sizes = [0, 1, 8 * 2**20, 20_000_001]
    paths = [tmp_path / str(size) for size in sizes]
    for path, size in zip(paths, sizes, strict=True):
        path.write_bytes(b"x" * size)

    assert warm(paths, threading.Event()) == sum(sizes)


def test_the_speed_of_a_disk_is_measured(tmp_path: Path) -> None:
    """A large file tells its disk's speed where the file system lets it be read so, a small one doesn't."""
    small, large = tmp_path / "small", tmp_path / "large"
    small.write_bytes(b"x")
    large.touch()
    os.truncate(large, 2**26)

    assert read_rate(small) is None
    with contextlib.suppress(OSError):  # no O_DIRECT here
        assert (read_rate(large) or 1) > 0


def test_it_stops_when_it_is_told(tmp_path: Path) -> None:
    """Once it is to stop, nothing more is read."""
    (tmp_path / "file").write_bytes(b"x" * 100)
    stop = threading.Event()
    stop.set()

    assert warm([tmp_path / "file"], stop) == 0


def test_a_file_that_is_gone_is_left_to_the_engine(tmp_path: Path) -> None:
    """Reading ahead fails in silence, and its thread ends with its block."""
    with warming([tmp_path / "gone"]):
        pass

    wait_until(lambda: not any(thread.name == "warm" for thread in threading.enumerate()), "the thread to end")


def test_shelf_warm_reads_the_whole_model(home: Home, hub: FakeHub) -> None:
    """The command reads every file of a model and says how fast."""
    files = {"model.safetensors": random_bytes(300_000), "config.json": b"{}"}
    hub.add_repo("org/name", files)
    home.run("add", "m", "org/name").checked()

    view = home.run("warm", "m", "--json").checked().json

    assert view["read_bytes"] == 300_002
    assert view["rate_bytes_per_s"] > 0
    assert "Read 300.0 kB of m in" in home.run("warm", "m").checked().out


def test_the_memory_of_the_machine_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's memory is told under an empty name, the first graphics card's as `gpu` where its driver answers."""
    program = tmp_path / "nvidia-smi"
    monkeypatch.setenv("PATH", str(tmp_path))
    without = device_memory()
    program.write_text("#!/bin/sh\nprintf '70000, 81559\\n60000, 81559\\n'\n")
    program.chmod(0o755)
    found = device_memory()
    program.write_text("#!/bin/sh\necho 'Failed to initialize NVML'\n")
    broken = device_memory()

    assert without.keys() == broken.keys() == {""}
    assert 0 < without[""].free_bytes < without[""].total_bytes
    assert (found["gpu"].free_bytes, found["gpu"].total_bytes) == (70_000 * 2**20, 81_559 * 2**20)
