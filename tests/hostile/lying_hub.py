"""A hub that lies in every field of every answer, which must change nothing on the disk around a library.

`unshare --mount python -m tests.hostile.lying_hub COUNT FOLDER` tries COUNT lies, with everything read-only except a
tmpfs on FOLDER; test_lying_hub.py starts it so.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from modelshelf.bootstrap.shelf import SystemClock
from modelshelf.errors import ShelfError
from tests.builders import lay_out
from tests.fakes.hub import FakeHub
from tests.fakes.hub_repos import Blob, Commit
from tests.invariants import base_violations
from tests.world import Home

REPO = "org/name"
FILES = {"config.json": b"{}", "deep/a.bin": b"weights" * 100, "model.safetensors": b"more weights" * 100}
BLOBS = {path: Blob.of(content, lfs=path != "config.json") for path, content in FILES.items()}
COMMIT = Commit.of(REPO, BLOBS).commit_hash
VICTIM = "model acme/v\n commit b main\n  model.safetensors 300\n  config.json 20"

Value = st.SearchStrategy[Any]


class Clock(SystemClock):
    """Real time in which nobody waits."""

    def sleep(self, duration_s: float) -> None:
        """Return at once."""


def honest() -> dict[str, Any]:
    """Return an honest hub's answers: the repository, its files, and its branches."""
    tree: list[dict[str, Any]] = [{"type": "directory", "oid": "d" * 40, "size": 0, "path": "deep"}]
    for path, blob in BLOBS.items():
        entry = {"type": "file", "oid": blob.git_oid, "size": blob.size_bytes, "path": path}
        if blob.lfs:
            entry["lfs"] = {"oid": blob.digest, "size": blob.size_bytes, "pointerSize": blob.pointer_size_bytes}
        tree.append(entry)
    siblings = [{"rfilename": path} for path in FILES]
    info = {"id": REPO, "sha": COMMIT, "private": False, "gated": False, "siblings": siblings}
    refs = {"branches": [{"name": "main", "ref": "refs/heads/main", "targetCommit": COMMIT}], "tags": []}
    return {"revision": info, "tree": tree, "refs": refs}


def lies(canary: Path, field: object) -> Value:
    """Return a strategy for what may replace a value: of the same kind, or of any."""
    victim = canary / "victim.txt"
    up = "/".join([".."] * 12)
    names = [
        "",
        ".",
        "..",
        "a:b",
        "a\\b",
        "CON",
        "a" * 300,
        "x/" * 1200 + "x",
        "\ud800",
        "\0",
        "\x1b[31m",
        "deep",
        "config.json",
    ]
    paths = [
        str(victim),
        f"..{victim}",
        f"{up}{victim}",
        "../../models--acme--v/blobs/x",
        "../refs/main",
        "../../../tier.json",
    ]
    digests = ["a" * 40, "a" * 64, "A" * 40, "g" * 64, "a" * 39, Blob.of(FILES["deep/a.bin"], lfs=True).digest]
    ids = ["org/Name", "org/other", "org/a--b", "gpt2", "acme/v", "ORG/NAME"]
    numbers = [0, -1, 1, 699, 701, 2**31, 2**62, 2**63, 10**400, 0.5, 1e308, True]
    kinds: dict[object, list[Any]] = {"path": names + paths, "rfilename": names + paths, "oid": digests + paths}
    kinds |= {"size": numbers, "id": ids + paths, "sha": digests + paths, "name": names}
    anything = [None, *names, *paths, *digests, *ids, *numbers]
    flat = st.sampled_from(anything) | st.text(max_size=20) | st.integers()
    nested = st.lists(flat, max_size=3) | st.dictionaries(st.sampled_from(["path", "oid", "size"]), flat, max_size=3)
    return st.sampled_from(kinds.get(field, anything)) | flat | nested


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the places in a value where something can be replaced, the whole value first."""
    yield at
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in items:
        yield from places(child, (*at, key))


@st.composite
def answers(draw: st.DrawFn, canary: Path) -> dict[str, bytes]:
    """Draw the hub's answers, with up to three lies; a list may repeat or lack an entry."""
    said = honest()
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.sampled_from([place for place in places(said) if place]))
        holder = said
        for key in at[:-1]:
            holder = holder[key]
        kind = draw(st.sampled_from(["put", "put", "put", "drop", "twice", "more"]))
        if kind == "put" or not isinstance(holder, dict | list):
            holder[at[-1]] = draw(lies(canary, at[-1]))
        elif kind == "drop":
            if len(at) > 1:
                del holder[at[-1]]
        elif isinstance(holder, list):
            holder.append(holder[at[-1]] if kind == "twice" else draw(lies(canary, None)))
        else:
            field = draw(st.sampled_from(["lfs", "path", "oid", "xetHash", "type"]))
            holder[field] = draw(lies(canary, field))
    cut = draw(st.sampled_from([None] * 9 + [5, 100]))
    return {name: json.dumps(value).encode()[:cut] for name, value in said.items()}


@st.composite
def heads(draw: st.DrawFn, canary: Path) -> dict[str, Any]:
    """Draw the status and headers of the answer to a download."""
    lie = st.sampled_from(["", "../x", str(canary / "victim.txt"), "9" * 30, "-1", '"', "a" * 4000, "\x7f", "\xff"])
    names = ["ETag", "X-Repo-Commit", "X-Linked-Etag", "X-Linked-Size", "Location", "Link", "Content-Range"]
    names += ["Retry-After", "X-Error-Code", "Content-Encoding", "Content-Type"]
    headers = draw(st.dictionaries(st.sampled_from(names), lie, max_size=4))
    return {
        "status": draw(st.sampled_from([200, 200, 200, 206, 204, 302, 304, 401, 404, 416, 429])),
        "headers": headers,
    }


def state(folder: Path) -> dict[str, tuple[object, ...]]:
    """Return every name below a folder with its mode, owner, time and bytes."""
    found: dict[str, tuple[object, ...]] = {}
    for path in (folder, *sorted(folder.rglob("*"))):
        status = path.lstat()
        content = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else b""  # noqa: PTH115
        found[str(path)] = (status.st_mode, status.st_uid, status.st_mtime_ns, status.st_nlink, content)
    return found


def make_canary(folder: Path) -> None:
    """Make what nobody may touch: a private folder, a file, a link, all older than today."""
    (folder / "private").mkdir(mode=0o700, parents=True)
    (folder / "victim.txt").write_text("precious")
    (folder / "private/key").write_text("secret")
    (folder / "link").symlink_to("victim.txt")
    for path in (*folder.rglob("*"), folder):
        os.utime(path, (1e9, 1e9), follow_symlinks=False)


def lie_and_look(hub: FakeHub, world: Path, said: dict[str, bytes], head: dict[str, Any] | None) -> None:
    """Add a model and remove it with its files while the hub lies; then compare everything but the model."""
    shutil.rmtree(world / "user", ignore_errors=True)
    home = Home(world / "user", hub.url)
    drawn = lay_out(home.primary, VICTIM)
    neighbour = drawn.base.hub / "models--acme--v"
    home.root.chmod(0o700)
    before = state(world / "canary"), state(neighbour), home.root.stat().st_mode
    hub.heal()
    for name, body in said.items():
        hub.fail(f"*/{name}*", body=body)
    if head is not None:
        hub.fail("*/resolve/*", body=b"some bytes", **head)
    with home.open(Clock()) as shelf:
        try:
            model = shelf.register("m", REPO)
            assert model.state == "ready", model
            assert base_violations(drawn.base) == []
        except ShelfError:
            pass
        if "m" in {row.model_name for row in shelf.services.registry.models()}:
            shelf.remove("m", delete_files=True)
    assert (state(world / "canary"), state(neighbour), home.root.stat().st_mode) == before
    assert sorted(path.name for path in world.iterdir()) == ["canary", "user"]


def main() -> None:
    """Make everything read-only except one tmpfs, and try COUNT lies; refuse outside a mount namespace."""
    count, world = int(sys.argv[1]), Path(sys.argv[2])
    if Path("/proc/self/ns/mnt").readlink() == Path(f"/proc/{os.getppid()}/ns/mnt").readlink():
        sys.exit("Start it with: unshare --mount")
    for words in (f"-t tmpfs -o size=256m tmpfs {world}", "-o remount,bind,ro /"):
        subprocess.run(["mount", *words.split()], check=True)
    canary = world / "canary"
    make_canary(canary)

    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        derandomize=count < 1000,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
        print_blob=False,
    )
    @given(answers(canary), st.none() | st.none() | heads(canary))
    def try_it(said: dict[str, bytes], head: dict[str, Any] | None) -> None:
        lie_and_look(hub, world, said, head)

    with FakeHub() as hub:
        hub.add_repo(REPO, FILES)
        try_it()


if __name__ == "__main__":
    main()
