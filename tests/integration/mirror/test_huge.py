"""A file of many gigabytes from the hub through a mirror to the stock client; `SHELF_HUGE_GB=60` runs it.

It needs three times that on the disk, or a file system that compresses: all but a few bytes of it are zeros, and at the
hub it is sparse.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from modelshelf.units import GB
from tests.fakes.hub import FakeHub
from tests.serving import Serving
from tests.stock_client import StockClient
from tests.world import Home, random_bytes, wait_until

SIZE_GB = float(os.environ.get("SHELF_HUGE_GB", "0"))
pytestmark = [
    pytest.mark.skipif(not SIZE_GB, reason="takes minutes: SHELF_HUGE_GB=60 names the size"),
    pytest.mark.timeout(7200),
]


def written_bytes(folder: Path) -> int:
    """Return what the files of a folder take on the disk, or would without holes and compression: the larger."""
    found = 0
    for path in folder.rglob("*"):
        try:
            stat = path.lstat()
        except FileNotFoundError:
            continue
        found += max(stat.st_size, stat.st_blocks * 512) if path.is_file() and not path.is_symlink() else 0
    return found


def test_a_huge_file_reaches_the_stock_client(home: Home, hub: FakeHub, tmp_path: Path) -> None:
    """`hf download` has every byte of it, the hub sent it once, and the tier's limit holds at every look."""
    size_bytes = int(SIZE_GB * GB)
    if shutil.disk_usage(tmp_path).free < 2.2 * size_bytes:
        pytest.skip("the disk is too small")
    file, limit_bytes = tmp_path / "huge.gguf", size_bytes + 300 * 10**6
    with file.open("wb") as sparse:
        for at in (0, size_bytes // 2, size_bytes - 5000):
            sparse.seek(at)
            sparse.write(random_bytes(5000, seed=at))
    commit = hub.add_repo("org/huge", {"huge.gguf": file, "config.json": b"{}"})
    client = StockClient(tmp_path / "client", "")
    held: list[int] = []
    limits = {"PRIMARY_CACHE_LIMIT_GB": str(limit_bytes / GB), "SHELF_MIRROR_SHARE": "1"}
    with home.serve(SHELF_MIRROR="on", **limits) as server:
        where = Serving(int(server.url.rpartition(":")[2].strip("/")))
        client = StockClient(tmp_path / "client", f"http://{where.host}/hf")
        words = [str(Path(sys.executable).with_name("hf")), "download", "org/huge"]
        with subprocess.Popen(words, env=client.env, stdout=subprocess.DEVNULL) as downloading:

            def is_over() -> bool:
                held.append(written_bytes(home.primary))
                return downloading.poll() is not None

            wait_until(is_over, "the download to end", timeout_s=7000)
        assert downloading.returncode == 0
        server.wait_for_state("huge-mirror", "ready")

    got = client.snapshot("org/huge", commit) / "huge.gguf"
    assert subprocess.run(["cmp", str(file), str(got.resolve())]).returncode == 0
    assert max(held) <= limit_bytes
    assert hub.bytes_sent < 1.05 * size_bytes
