"""gc and dedupe by command line, HTTP and Python, and beside programs that download into the same base."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from modelshelf.domain.gc import DedupePlan, GcPlan
from modelshelf.domain.job_params import DedupeParams, GcParams
from modelshelf.domain.jobs import UNFINISHED
from modelshelf.domain.tiers import Tier
from modelshelf.errors import BadInput, Unavailable
from modelshelf.services.jobs.recovery import recover_dead_owners
from modelshelf.services.jobs.running import Running
from modelshelf.services.maintenance.gc import Collector
from modelshelf.services.shelf import Shelf
from modelshelf.store.layout import Base
from tests.builders import commit, content, digest_of, lay_out, put
from tests.fakes.clock import Later
from tests.fakes.hub import FakeHub
from tests.invariants import violations
from tests.world import MIB, Home, load_offline, random_bytes, tree, wait_until

REPO = "org/name"
FILES = {
    "config.json": b"{}",
    "model-1.safetensors": random_bytes(9 * MIB, seed=1),
    "model-2.safetensors": random_bytes(9 * MIB, seed=2),
    "sub/tokenizer.json": random_bytes(50_000),
}
SOON_S = 2.0
"""A minimum age that a stalled download exceeds within a test, and a busy machine's pauses don't."""


class Sweeping:
    """A thread that runs gc without a pause and deletes whatever is older than a moment."""

    def __init__(self, collector: Collector) -> None:
        self.collector = replace(collector, min_age_s=SOON_S)
        self.rounds = 0
        self.failures: list[BaseException] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._loop)

    def __enter__(self) -> Sweeping:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._over.set()
        self._thread.join()
        assert self.failures == []

    def _loop(self) -> None:
        try:
            while not self._over.is_set():
                job = self.collector.enqueue(GcParams())
                self.collector.run(Running(job))
                self.collector.registry.finish_job(job.id, "done")
                self.rounds += 1
        except BaseException as err:  # noqa: BLE001 - it is looked at where the thread is joined
            self.failures.append(err)

    def wait_for_rounds(self, count: int = 5) -> None:
        """Wait until gc has run so many times more."""
        wanted = self.rounds + count
        wait_until(lambda: self.failures or self.rounds >= wanted, "gc to go round")


@pytest.fixture
def garbage(home: Home) -> Path:
    """A dead download in another repository of the primary, which must go while the living one stays."""
    lay_out(home.primary, "model dead/one\n commit b main\n partial 700")
    return Base(home.primary).repo("dead/one").path


def is_stalled(folder: Path, pattern: str) -> Callable[[], bool]:
    """Return a check whether a temporary file wasn't written for longer than the minimum age."""

    def look() -> bool:
        found = list(folder.glob(pattern))
        return bool(found) and all(time.time() - path.stat().st_mtime > 1.2 * SOON_S for path in found)

    return look


@pytest.mark.parametrize("by", ["branch", "commit"])
def test_hf_download_finishes_unharmed(hub: FakeHub, home: Home, shelf: Shelf, garbage: Path, by: str) -> None:
    """A `hf download` that stalls beyond the minimum age while gc runs in a loop still completes."""
    commit_hash = hub.add_repo(REPO, FILES)
    hub.pause(after_bytes=12 * MIB)
    with Sweeping(shelf.services.collector) as sweeping:
        revision = ["--revision", commit_hash] if by == "commit" else []
        child = home.start_hf(home.primary, "download", REPO, *revision)
        wait_until(is_stalled(Base(home.primary).repo(REPO).blobs, "*.incomplete"), "the download to stall")
        sweeping.wait_for_rounds()
        hub.resume()
        child.finish().checked()
        sweeping.wait_for_rounds()

    folder = load_offline(home, home.primary, REPO, *([commit_hash] if by == "commit" else []))
    assert tree(folder) == FILES
    assert not garbage.exists()
    assert violations(shelf) == []


def test_a_slow_hf_download_finishes_unharmed(hub: FakeHub, home: Home, shelf: Shelf) -> None:
    """While gc inspects each file, a slow `hf download` publishes and links them all."""
    files = {f"file-{i}.bin": random_bytes(300_000, seed=i) for i in range(12)}
    hub.add_repo(REPO, files)
    hub.fail("*", method="GET", rate_bytes_per_s=MIB)
    with Sweeping(shelf.services.collector) as sweeping:
        home.hf(home.primary, "download", REPO, "--max-workers", "2").checked()
        sweeping.wait_for_rounds(2)

    assert tree(load_offline(home, home.primary, REPO)) == files
    assert violations(shelf) == []


LLAMA = """
import os, pathlib, sys
repo, commit_hash, *digests = sys.argv[1:]
blobs, snapshot = pathlib.Path(repo, "blobs"), pathlib.Path(repo, "snapshots", commit_hash)
blobs.mkdir(parents=True, exist_ok=True)
for digest in digests:
    temporary = blobs / f"{digest}.downloadInProgress"
    with temporary.open("ab") as file:
        data = sys.stdin.buffer.readline()
        file.write(bytes.fromhex(data.decode().strip())); file.flush()
        print("half", flush=True)
        file.write(bytes.fromhex(sys.stdin.buffer.readline().decode().strip()))
    os.rename(temporary, blobs / digest)
snapshot.mkdir(parents=True, exist_ok=True)
for i, digest in enumerate(digests):
    (snapshot / f"{i}.gguf").symlink_to(f"../../blobs/{digest}")
"""


def test_a_llama_cpp_download_finishes_unharmed(home: Home, shelf: Shelf, garbage: Path) -> None:
    """A llama.cpp download completes beside gc, though it takes no locks and links only at the end.

    Neither the parts that arrived nor the one that is being written are deleted, however long it stalls.
    """
    import subprocess

    base = Base(home.primary)
    repo = base.repo("org/gguf")
    parts = [random_bytes(40_000, seed=seed) for seed in (1, 2)]
    digests = [digest_of("x.gguf", data) for data in parts]
    command = [sys.executable, "-c", LLAMA, str(repo.path), commit("a"), *digests]
    with (
        Sweeping(shelf.services.collector) as sweeping,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=home.environ()) as child,
    ):
        assert child.stdin is not None
        assert child.stdout is not None
        for data in parts:
            child.stdin.write(f"{data[:20_000].hex()}\n".encode())
            child.stdin.flush()
            assert child.stdout.readline() == b"half\n"
            wait_until(is_stalled(repo.blobs, "*"), "the download to stall")
            sweeping.wait_for_rounds()
            child.stdin.write(f"{data[20_000:].hex()}\n".encode())
            child.stdin.flush()
        child.communicate()
        assert child.returncode == 0
        sweeping.wait_for_rounds()

    assert tree(repo.snapshot(commit("a"))) == {"0.gguf": parts[0], "1.gguf": parts[1]}
    assert not garbage.exists()
    assert violations(shelf) == []


def test_a_pull_of_ours_finishes_unharmed(hub: FakeHub, home: Home, shelf: Shelf, garbage: Path) -> None:
    """Beside gc our pull keeps its parts and unlinked blobs, and each byte is fetched once."""
    hub.add_repo(REPO, FILES)
    shelf.register("m", REPO, download=False)
    hub.pause(after_bytes=12 * MIB)
    with Sweeping(shelf.services.collector) as sweeping:
        child = home.start("pull", "m")
        wait_until(is_stalled(Base(home.primary).incoming, "*.part"), "the pull to stall")
        sweeping.wait_for_rounds()
        hub.resume()
        child.finish().checked()
        sweeping.wait_for_rounds()

    assert tree(shelf.path("m")) == FILES
    assert hub.bytes_sent == sum(map(len, FILES.values()))
    assert not garbage.exists()
    assert violations(shelf) == []


def test_a_killed_pull_is_taken_up_where_it_was(hub: FakeHub, home: Home, shelf: Shelf) -> None:
    """After a crash gc keeps the parts of a registered model for its next pull."""
    hub.add_repo(REPO, FILES)
    shelf.register("m", REPO, download=False)
    hub.pause(after_bytes=12 * MIB)
    child = home.start("pull", "m")
    hub.wait_for_bytes(12 * MIB)
    child.kill()
    hub.resume()
    base = Base(home.primary)
    arrived = parts_of(base)

    with home.open(Later()) as later:
        done = later.services.collector.enqueue(GcParams())
        later.services.runner.finish(done)

    assert parts_of(base) == arrived != []
    shelf.pull("m")
    assert tree(shelf.path("m")) == FILES
    assert violations(shelf) == []


def parts_of(base: Base) -> list[str]:
    """Return the names of the parts and their maps."""
    return sorted(path.name for path in base.incoming.iterdir() if path.suffix != ".lock")


def test_a_move_finishes_unharmed(hub: FakeHub, home: Home, shelf: Shelf) -> None:
    """During a move gc doesn't take blobs on the target for orphans."""
    hub.add_repo(REPO, FILES)
    shelf.register("m", REPO)
    with Sweeping(shelf.services.collector) as sweeping:
        for tier in ("secondary", "primary", "secondary"):
            shelf.move("m", tier)
        sweeping.wait_for_rounds(2)

    assert tree(shelf.path("m")) == FILES
    assert violations(shelf) == []


@contextmanager
def later(home: Home) -> Iterator[Shelf]:
    """Open the library with a clock by which everything is old."""
    with home.open(Later()) as opened:
        yield opened


def test_a_job_says_what_it_deleted(home: Home, shelf: Shelf) -> None:
    """A gc job's result has every item and the measured bytes, and other files stay."""
    drawn = lay_out(home.primary, f"model {REPO}\n commit a main\n config.json 20\n orphan 5000\n partial 700")
    put(drawn.base.quarantine / "x.0a1b2c3d", b"x" * 40)

    with later(home) as opened:
        job = opened.services.runner.finish(opened.services.collector.enqueue(GcParams("primary")))

    (tier,) = json.loads(job.result)["tiers"]
    assert (job.state, job.kind) == ("done", "gc")
    assert sorted((item["kind"], item["size_bytes"]) for item in tier["items"]) == [("blob", 5000), ("partial", 700)]
    assert (tier["freed_bytes"], tier["quarantine_bytes"], tier["items_in_all"]) == (5700, 40, 2)
    assert violations(shelf) == []


def test_every_tier_that_is_there_is_tidied(hub: FakeHub, home: Home, shelf: Shelf) -> None:
    """gc runs on every tier, and skips one that is offline unless it is named."""
    hub.add_repo(REPO, {"config.json": b"{}"})
    shelf.register("a", REPO, "secondary")
    shelf.register("b", REPO, "custom", str(home.custom))
    for base in (home.primary, home.secondary, home.custom):
        lay_out(base, "model other/one\n commit a main\n config.json 20\n orphan 5000")
    (home.secondary / "modelshelf" / "tier.json").rename(home.root / "kept.json")

    with later(home) as opened:
        job = opened.services.runner.finish(opened.services.collector.enqueue(GcParams()))
        with pytest.raises(Unavailable):
            opened.services.collector.enqueue(GcParams("secondary"))
        with pytest.raises(BadInput):
            opened.services.collector.plan(GcParams("tertiary"))
        assert [tier.base for tier, _ in opened.services.collector.plan(GcParams(str(home.custom)))] == [
            str(home.custom)
        ]
        planned: list[tuple[Tier, GcPlan | DedupePlan]] = [opened.services.collector.plan(GcParams())[-1]]
        planned += [opened.services.deduper.plan(DedupeParams())[-1]]

    *tidied, away = json.loads(job.result)["tiers"]
    assert [tier["cache_path"] for tier in tidied] == [str(home.primary), str(home.custom)]
    assert [tier["freed_bytes"] for tier in tidied] == [5000, 5000]
    assert (away["cache_path"], away["freed_bytes"]) == (str(home.secondary), 0)
    for tier, plan in planned:
        assert (tier.base, plan.notes) == (str(home.secondary), tuple(away["notes"]))
    assert str(home.secondary) in away["notes"][0]
    assert list(Base(home.secondary).repo("other/one").blobs.glob("?" * 64))


def test_the_command_line_shows_then_deletes(home: Home, shelf: Shelf) -> None:
    """`--dry-run` deletes nothing, and the quarantine goes only with its own option."""
    bad = put(Base(home.primary).quarantine / "x.0a1b2c3d", b"x" * 4000)

    plain = home.run("gc", "--json").checked().json
    shown = home.run("gc", "--quarantine", "--dry-run", "--json", "--tier", "primary").checked().json
    assert (plain["freed_bytes"], plain["tiers"][0]["quarantine_bytes"]) == (0, 4000)
    assert shown["free_bytes"] == 4000
    assert bad.exists()

    said = home.run("gc", "--quarantine").checked()
    assert "Freed 4.0 kB (1 quarantine)." in said.out
    assert not bad.exists()
    assert home.run("gc", "--tier", "nowhere").code == 2
    assert "shelf gc --quarantine" not in home.run("gc").checked().err


def twins(base: Path) -> tuple[Path, Path]:
    """Lay out the same weights in two repositories; return the blobs."""
    data = content("twin", 200_000)
    name = digest_of("x.bin", data)
    for repo_id in ("org/one", "other/two"):
        repo = Base(base).repo(repo_id)
        put(repo.blob(name), data)
        link = repo.snapshot(commit("a")) / "x.bin"
        link.parent.mkdir(parents=True)
        link.symlink_to(os.path.relpath(repo.blob(name), link.parent))
    one, two = (Base(base).repo(repo_id).blob(name) for repo_id in ("org/one", "other/two"))
    return one, two


def test_dedupe_from_the_command_line(home: Home, shelf: Shelf) -> None:
    """`dedupe --dry-run` changes nothing; then both names lead to one file, and a second run finds nothing."""
    one, two = twins(home.primary)

    shown = home.run("dedupe", "--dry-run", "--json").checked().json
    assert shown["share_bytes"] == 200_000
    assert [item["path"] for item in shown["tiers"][0]["items"]] in ([str(one)], [str(two)])
    assert not one.samefile(two)

    done = home.run("dedupe", "--json", "--tier", "primary").checked().json["tiers"][0]
    assert done["freed_bytes"] + done["shared_bytes"] == 200_000
    assert [item["kind"] for item in done["items"]] in (["link"], ["reflink"])
    assert home.run("dedupe").checked().out.splitlines()[-1] == "Freed 0 B."
    assert shelf.services.registry.verified.of_tier(shelf.services.tiers.open(shelf.services.tiers.configured()[0]))
    assert violations(shelf) == []


def test_over_http(home: Home) -> None:
    """Over HTTP `dry_run` answers 200 with the plan, otherwise 202 with a job whose result is the report."""
    home.primary.mkdir()
    one, two = twins(home.primary)
    put(Base(home.primary).quarantine / "x.0a1b2c3d", b"x" * 4000)
    with home.serve() as server:
        plan = server.ask("POST", "/api/cache/dedupe", {"dry_run": True})
        assert (plan.status, plan.json[0]["share_bytes"]) == (200, 200_000)
        assert not one.samefile(two)

        job = server.ask("POST", "/api/cache/dedupe", {"tier": "primary"})
        assert (job.status, job.headers["location"]) == (202, f"/api/jobs/{job.json['id']}")
        done = wait_until(lambda: (j := server.get(job.headers["location"]))["finished_at"] and j, "the job")
        assert done["result"]["tiers"][0]["items"][0]["size_bytes"] == 200_000

        plan = server.ask("POST", "/api/cache/gc", {"dry_run": True, "quarantine": True})
        assert (plan.status, [item["kind"] for item in plan.json[0]["items"]]) == (200, ["quarantine"])
        job = server.ask("POST", "/api/cache/gc", {"quarantine": True})
        done = wait_until(lambda: (j := server.get(job.headers["location"]))["finished_at"] and j, "the job")
        assert (done["state"], done["result"]["tiers"][0]["freed_bytes"]) == ("done", 4000)
        assert [server.ask("POST", f"/api/cache/{verb}").status for verb in ("gc", "dedupe")] == [202, 202]
        assert server.ask("POST", "/api/cache/gc", {"tier": "nowhere"}).status == 400
        assert server.ask("POST", "/api/cache/gc", {"everything": True}).status == 422


def test_what_was_downloaded_by_its_hash_survives(hub: FakeHub, home: Home, shelf: Shelf) -> None:
    """gc keeps a snapshot that was downloaded by commit hash, unlike `hf cache prune`."""
    commit_hash = hub.add_repo(REPO, FILES)
    home.hf(home.primary, "download", REPO, "--revision", commit_hash).checked()

    with later(home) as opened:
        opened.services.runner.finish(opened.services.collector.enqueue(GcParams()))

    assert tree(load_offline(home, home.primary, REPO, commit_hash)) == FILES


@pytest.mark.parametrize("delete_files", [True, False], ids=["with files", "without"])
def test_a_model_that_was_removed_leaves_its_parts_to_gc(
    hub: FakeHub, home: Home, shelf: Shelf, delete_files: bool
) -> None:
    """gc deletes the parts and unlinked blobs of a pull whose model was removed."""
    hub.add_repo(REPO, FILES)
    shelf.register("m", REPO, download=False)
    hub.pause(after_bytes=12 * MIB)
    child = home.start("pull", "m")
    hub.wait_for_bytes(12 * MIB)
    child.kill()
    hub.resume()
    recover_dead_owners(shelf.services.registry)
    for job in shelf.services.registry.jobs(state=UNFINISHED):
        shelf.services.steering.cancel(job.id)
    base = Base(home.primary)
    blobs = base.repo(REPO).blobs
    put(blobs / digest_of("config.json", FILES["config.json"]), FILES["config.json"])
    shelf.remove("m", delete_files=delete_files)

    with later(home) as opened:
        job = opened.services.runner.finish(opened.services.collector.enqueue(GcParams("primary")))

    notes = json.loads(job.result)["tiers"][0]["notes"]
    assert list(base.incoming.iterdir()) == []
    assert not base.repo(REPO).path.exists()
    assert notes == []
    assert violations(shelf) == []


def test_what_is_too_young_to_go_is_told(home: Home, shelf: Shelf) -> None:
    """`shelf gc` names the bytes that are too young to delete, which `shelf tiers` counts."""
    shelf.tiers()
    drawn = lay_out(home.primary, f"model {REPO}\n commit a main\n config.json 20\n orphan 5000")
    repo = drawn.base.repo(REPO)
    put(repo.blobs / f"{'b' * 64}.0a1b2c3d.incomplete", b"x" * 3000)

    planned = home.run("gc", "--dry-run", "--json").checked().json["tiers"][0]
    done = home.run("gc").checked()

    assert (planned["free_bytes"], planned["recent_bytes"]) == (0, 8000)
    assert "8.0 kB more may be garbage" in done.err
