"""A server on a full disk, while ten other programs take whatever becomes free."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.fakes.hub import FakeHub
from tests.store.mounts import small_disk
from tests.world import MIB, Home, random_bytes

DISK_BYTES = 32 * MIB
GETS = ("/api/models", "/api/models/a", "/api/cache", "/api/jobs", "/api/doctor", "/healthz", "/hf/api/models/org/a")
FILLER = """
import os, sys, time
from pathlib import Path
folder = Path(sys.argv[1])
while True:
    try:
        with (folder / f"filler-{os.urandom(8).hex()}").open("wb", buffering=0) as file:
            for _ in range(16):
                file.write(bytes(4096))
    except OSError:
        print("full", flush=True)
        time.sleep(0.01)
"""


@contextlib.contextmanager
def filled(disk: Path) -> Iterator[None]:
    """Fill the disk with small files from ten programs, again whenever space becomes free."""
    command = [sys.executable, "-c", FILLER, str(disk)]
    with contextlib.ExitStack() as held:
        programs = [held.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, text=True)) for _ in range(10)]
        try:
            for program in programs:
                assert program.stdout is not None
                assert program.stdout.readline() == "full\n"
            yield
        finally:
            for program in programs:
                program.kill()


def test_a_server_works_on_while_ten_programs_fill_its_disk(hub: FakeHub, home: Home) -> None:
    """On a full disk the server answers reads, refuses pulls with the numbers, frees what is removed, and ends."""
    for number, name in enumerate(("a", "b", "new")):
        hub.add_repo(f"org/{name}", {"config.json": b"{}", "model.safetensors": random_bytes(3 * MIB, number)})
    home.extra["ON_FULL"] = "refuse"
    with small_disk(home.primary, DISK_BYTES):
        for name in ("a", "b"):
            home.run("add", name, f"org/{name}").checked()
        with home.serve() as server, filled(home.primary):
            read = {path: server.ask("GET", path).status for path in GETS}
            refused = server.ask("POST", "/api/models", {"model_name": "new", "hf_path": "org/new"})
            removed = server.ask("DELETE", "/api/models/b?delete_files=true")
            left = [model["model_name"] for model in server.get("/api/models")]

            assert read == dict.fromkeys(GETS, 200)
            assert (refused.status, refused.headers["content-type"]) == (507, "application/problem+json")
            assert refused.json["needed_bytes"] > 3 * MIB > refused.json["free_bytes"]
            assert (removed.status, removed.json["freed_bytes"] > 3 * MIB) == (200, True)
            assert left == ["a"]
            assert server.end() == 0
        assert "Traceback" not in server.log.read_text(encoding="utf-8")
