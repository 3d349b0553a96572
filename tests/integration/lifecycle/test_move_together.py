"""A move beside other programs that use the model or write to either tier, and moves that a person stops."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from huggingface_hub.utils._shared_blobs import publish_blob_to_shared_store

from modelshelf.domain import job_files
from modelshelf.domain.jobs import UNFINISHED, JobKind
from modelshelf.domain.plans import beside_bytes
from modelshelf.errors import Cancelled, Conflict
from modelshelf.services.shelf import Shelf
from modelshelf.store import locks
from modelshelf.store.blobs import shared_store
from modelshelf.store.layout import Base, Repo
from tests.disks import FarHome, Hooked, escaping_links, far_home, files_of, move_with, own_tree
from tests.fakes.hub import FakeHub
from tests.fakes.hub_repos import Blob
from tests.invariants import violations
from tests.world import MIB, Child, Home, load_offline, random_bytes, tree, wait_until

REPO = "org/name"
WEIGHTS = random_bytes(16 * MIB + 1_000)
FILES = {"config.json": b"{}", "model.safetensors": WEIGHTS, "second.safetensors": random_bytes(8 * MIB + 7)}
NEW = FILES | {"config.json": b'{"new": true}', "more.safetensors": random_bytes(90_000)}
DIGEST = Blob.of(WEIGHTS, lfs=True).digest
SECOND = Blob.of(FILES["second.safetensors"], lfs=True).digest
TOTAL = sum(map(len, FILES.values()))
HOLD = "import sys, time; file = open(sys.argv[1], 'rb'); print('open', flush=True); time.sleep(600)"


@pytest.fixture
def home(tmp_path: Path, hub: FakeHub) -> Iterator[FarHome]:
    """A home whose tiers are on two file systems."""
    with far_home(tmp_path / "user", hub.url) as far:
        yield far


@pytest.fixture
def shelf(hub: FakeHub, shelf: Shelf) -> Shelf:
    """The library with one model on the primary."""
    hub.add_repo(REPO, FILES)
    shelf.register("m", REPO)
    return shelf


def repo(base: Path, repo_id: str = REPO) -> Repo:
    """Return the path of a repository in a base."""
    return Base(base).repo(repo_id)


def waiting(shelf: Shelf) -> list[str]:
    """Return what old copies wait for."""
    return [job.detail for job in shelf.services.registry.jobs(state=UNFINISHED) if job.kind == "delete_old_copy"]


def is_gone(shelf: Shelf, base: Path) -> bool:
    """Try to delete old copies; return whether a base holds nothing of any model."""
    shelf.services.runner.run_due(JobKind.DELETE_OLD_COPY)
    return files_of(base) == []


def reader(home: Home, path: Path) -> Child:
    """Start a process that has a file open until it is killed."""
    started = home.start_program("python", "-c", HOLD, str(path))
    assert started.process.stdout is not None
    assert started.process.stdout.readline() == "open\n"
    return started


def test_a_running_load_keeps_the_old_copy(home: Home, shelf: Shelf) -> None:
    """If a file is open, the move ends with the model on its new tier, and the old copy names the reader."""
    child = reader(home, shelf.path("m") / "model.safetensors")

    model = shelf.move("m", "secondary")

    assert (model.base, tree(Path(model.path or ""))) == (str(home.secondary), FILES)
    assert f"(pid {child.process.pid})" in waiting(shelf)[0]
    assert tree(load_offline(home, home.primary, REPO)) == FILES
    assert violations(shelf) == []
    assert not is_gone(shelf, home.primary)
    child.kill()
    assert is_gone(shelf, home.primary)
    assert violations(shelf) == []


def test_a_lease_keeps_the_old_copy(hub: FakeHub, home: Home, shelf: Shelf) -> None:
    """A move names the program under `shelf run` that uses the old copy; the next move deletes it."""
    hub.add_repo("org/other", {"config.json": b"[]"})
    shelf.register("other", "org/other")
    program = home.start("run", "m", "--", "sleep", "600")
    wait_until(shelf.services.leaser.live, "the lease")

    moved = home.run("move", "m", "secondary").checked()

    assert "used by sleep (shelf run" in moved.err
    assert tree(load_offline(home, home.primary, REPO)) == FILES
    program.process.send_signal(signal.SIGTERM)
    program.finish()
    home.run("move", "other", "secondary").checked()
    assert files_of(home.primary) == []
    assert violations(shelf) == []


def test_who_took_a_lease_is_told_how_to_give_it_back(home: Home, shelf: Shelf) -> None:
    """A refusal because of a lease taken by hand names the command that releases it, and then the files go."""
    home.run("lease", "m").checked()

    refused = home.run("rm", "m", "--files")

    lease = shelf.services.leaser.live()[0]
    assert refused.code == 5
    assert f"(shelf lease --release {lease.id})" in refused.err
    home.run("lease", "--release", str(lease.id)).checked()
    home.run("rm", "m", "--files").checked()
    assert files_of(home.primary) == []


def test_a_lease_that_outlives_its_process_holds_nothing(home: Home, shelf: Shelf) -> None:
    """The lease of a killed `shelf run` holds nothing."""
    program = home.start("run", "m", "--", "sleep", "600")
    wait_until(shelf.services.leaser.live, "the lease")
    sleeper = wait_until(lambda: _child_of(program.process.pid), "the program")
    program.process.kill()
    program.process.wait()

    shelf.move("m", "secondary")

    assert files_of(home.primary) == []
    sleeper.kill()
    program.finish()


def _child_of(pid: int) -> psutil.Process | None:
    return next(iter(psutil.Process(pid).children()), None)


def test_a_lease_by_hand_holds_until_it_is_given_back(home: Home, shelf: Shelf) -> None:
    """`shelf lease` keeps the old copy until it is released; new uses take the new place."""
    lease = shelf.services.leaser.hold("m", 600, "a person")

    shelf.move("m", "secondary")

    assert "a person" in waiting(shelf)[0]
    assert not is_gone(shelf, home.primary)
    shelf.services.leaser.release(lease.id)
    assert is_gone(shelf, home.primary)
    assert tree(shelf.path("m")) == FILES


def test_moving_back_before_the_old_copy_went_keeps_it(home: Home, shelf: Shelf) -> None:
    """Moving back before the old copy is deleted makes it the model again, without copying a byte."""
    lease = shelf.services.leaser.hold("m", 600, "a person")
    shelf.move("m", "secondary")
    assert shelf.services.mover.plan("m", "primary", None, keep_source=False).transfer_bytes == 0

    shelf.move("m", "primary")
    shelf.services.leaser.release(lease.id)

    shelf.services.runner.run_due(JobKind.DELETE_OLD_COPY)
    assert (waiting(shelf), tree(shelf.path("m"))) == ([], FILES)
    assert files_of(home.secondary) == []
    assert violations(shelf) == []


def test_a_new_commit_that_arrives_in_the_source_meanwhile_is_kept(hub: FakeHub, home: Home, shelf: Shelf) -> None:
    """A newer commit that `hf download` brings during the copy is whole afterwards, and so is the moved model."""
    old = shelf.model("m").row.commit_hash
    new = hub.add_repo(REPO, NEW)

    move_with(shelf, Hooked(lambda: _download(home)), "m", "secondary")
    shelf.services.runner.run_due(JobKind.DELETE_OLD_COPY)

    assert waiting(shelf) == []
    assert tree(load_offline(home, home.primary, REPO, new)) == NEW
    assert own_tree(home.primary, repo(home.primary).snapshot(str(old))) == {}
    assert tree(shelf.path("m")) == FILES
    assert violations(shelf) == []


def _download(home: Home) -> None:
    home.hf(home.primary, "download", REPO).checked()


def test_a_file_that_arrives_in_the_moving_snapshot_is_kept(hub: FakeHub, home: Home, shelf: Shelf) -> None:
    """Another file of the same commit that arrives during the move stays with its bytes and ref."""
    hub.add_repo("org/pair", {"a.gguf": b"a" * 1000, "b.gguf": b"b" * 1000})
    shelf.register("a", "org/pair", allow_patterns=["a.gguf"])

    def download() -> None:
        home.hf(home.primary, "download", "org/pair", "b.gguf").checked()

    move_with(shelf, Hooked(download), "a", "secondary")
    shelf.services.runner.run_due(JobKind.DELETE_OLD_COPY)

    snapshot = repo(home.primary, "org/pair").snapshot(shelf.path("a").name)
    assert own_tree(home.primary, snapshot) == {"b.gguf": b"b" * 1000}
    assert tree(shelf.path("a")) == {"a.gguf": b"a" * 1000}
    assert violations(shelf) == []


def test_what_hf_brings_to_the_target_meanwhile_is_taken(hub: FakeHub, home: Home, shelf: Shelf) -> None:
    """`hf download` of the same commit into the target during the copy and the move both succeed."""
    move_with(shelf, Hooked(lambda: home.hf(home.secondary, "download", REPO).checked(), at="phase"), "m", "secondary")
    shelf.services.runner.run_due(JobKind.DELETE_OLD_COPY)

    assert (tree(shelf.path("m")), files_of(home.primary)) == (FILES, [])
    assert [path.name for path in Base(home.secondary).incoming.iterdir() if path.suffix != ".lock"] == []
    assert violations(shelf) == []


def test_bytes_in_the_shared_store_arrive_as_a_file(hub: FakeHub, home: Home, shelf: Shelf) -> None:
    """A payload that two repositories share is copied, stays for the other one, and goes with that one."""
    hub.add_repo("org/twin", {"model.safetensors": WEIGHTS})
    home.hf(home.primary, "download", "org/twin").checked()
    for repo_id in (REPO, "org/twin"):
        share(home.primary, repo_id)
    payload = repo(home.primary).blob(DIGEST).resolve()
    assert payload == repo(home.primary, "org/twin").blob(DIGEST).resolve()

    shelf.move("m", "secondary")

    arrived = repo(home.secondary).blob(DIGEST)
    assert (arrived.is_symlink(), arrived.read_bytes()) == (False, WEIGHTS)
    assert tree(load_offline(home, home.primary, "org/twin")) == {"model.safetensors": WEIGHTS}
    assert shared_store.is_last_link(Base(home.primary), payload, repo(home.primary, "org/twin").blob(DIGEST))
    assert [escaping_links(base) for base in (home.primary, home.secondary)] == [[], []]
    shelf.register("twin", "org/twin")
    shelf.move("twin", "secondary")
    assert (payload.exists(), files_of(home.primary)) == (False, [])
    assert violations(shelf) == []


def share(base: Path, repo_id: str) -> None:
    """Put a repository's weights into the shared store, as a download with hf_xet does."""
    blob = repo(base, repo_id).blob(DIGEST)
    hub = Base(base).hub
    assert publish_blob_to_shared_store(
        blob_path=str(blob), xet_hash="ab" * 32, cache_dir=hub, expected_size=len(WEIGHTS)
    )


def test_what_ctrl_c_left_is_not_copied_again(home: Home, shelf: Shelf) -> None:
    """After Ctrl-C the model is still at the source, and the next run continues with the second blob."""
    with locks.try_lock(Base(home.secondary).path, Base(home.secondary).part_lock(SECOND)):
        child = home.start("move", "m", "secondary")
        wait_until(repo(home.secondary).blob(DIGEST).exists, "the first blob")
        child.process.send_signal(signal.SIGINT)
        assert child.finish(timeout_s=20).code == 130

    assert (shelf.model("m").base, tree(shelf.path("m"))) == (str(home.primary), FILES)
    assert {(job.kind, job.state) for job in shelf.services.registry.jobs()} == {("pull", "done"), ("move", "queued")}
    assert shelf.services.registry.reservations.all() == []
    again, beside = Hooked(lambda: None), beside_bytes(shelf.services.library.files(shelf.services.library.row("m")))
    move_with(shelf, again, "m", "secondary")
    shelf.services.runner.run_due(JobKind.DELETE_OLD_COPY)
    rest_bytes = TOTAL - len(WEIGHTS) + beside
    assert again.promised_bytes in (rest_bytes, rest_bytes - len(FILES["config.json"]))  # which may be there, too
    assert (tree(shelf.path("m")), files_of(home.primary)) == (FILES, [])
    assert violations(shelf) == []


def stop_in_a_blob(shelf: Shelf, stop: str) -> None:
    """Begin to move the model to the secondary, and stop amid a blob by Ctrl-C or by cancelling the job."""
    progress = Hooked(lambda: None)

    def end() -> None:
        if stop == "ctrl-c":
            raise KeyboardInterrupt
        progress.stop()

    progress._hook = end
    with pytest.raises((Cancelled, KeyboardInterrupt)):
        move_with(shelf, progress, "m", "secondary")


@pytest.mark.parametrize("stop", ["cancel", "ctrl-c"])
def test_a_move_that_is_stopped_in_a_blob_goes_on_in_it(home: Home, shelf: Shelf, stop: str) -> None:
    """A stopped move resumes inside a blob: only the rest is reserved and copied."""
    stop_in_a_blob(shelf, stop)

    assert tree(shelf.path("m")) == FILES
    assert not repo(home.secondary).blob(DIGEST).exists()
    again = Hooked(lambda: None)
    move_with(shelf, again, "m", "secondary")
    assert TOTAL - 24 * MIB <= again.promised_bytes <= TOTAL - 1_000
    assert tree(shelf.path("m")) == FILES
    assert violations(shelf) == []


@pytest.mark.parametrize("stop", ["cancel", "ctrl-c"])
@pytest.mark.parametrize("delete_files", [True, False])
def test_a_removed_model_does_not_come_back_from_a_stopped_move(
    home: Home, shelf: Shelf, stop: str, delete_files: bool
) -> None:
    """What a stopped move left on the other tier goes with the model: its sidecar, and with the files its bytes."""
    stop_in_a_blob(shelf, stop)
    if stop == "ctrl-c":
        assert shelf.model("m").detail.startswith("Its move waits for its turn, or for a server; shelf move goes on")
    assert Base(home.secondary).sidecar("m").exists()

    shelf.remove("m", delete_files=delete_files)

    assert not Base(home.secondary).sidecar("m").exists()
    if delete_files:
        assert not any(path.stat().st_size > MIB for path in home.secondary.rglob("*") if path.is_file())
    shelf.reconcile()
    assert shelf.models() == []
    assert violations(shelf) == []


def test_a_move_is_cancelled_from_elsewhere(home: Home, shelf: Shelf) -> None:
    """A move can be cancelled from another process, even while it waits for a blob's lock."""
    with locks.try_lock(Base(home.secondary).path, Base(home.secondary).part_lock(DIGEST)):
        child = home.start("move", "m", "secondary")
        wait_until(
            lambda: shelf.model("m").state == "moving" and shelf.services.registry.reservations.all(),
            "the move to begin",
        )
        shelf.services.steering.cancel(shelf.model("m").row.job_id or 0)
        assert child.finish(timeout_s=20).code == 130

    assert (shelf.model("m").state, shelf.model("m").base) == ("ready", str(home.primary))
    assert shelf.services.registry.reservations.all() == []


def test_a_move_tells_how_far_each_file_is(home: Home, shelf: Shelf) -> None:
    """While a move waits for one blob, its job says which files are over and which isn't; at the end all are."""
    with locks.try_lock(Base(home.secondary).path, Base(home.secondary).part_lock(SECOND)):
        child = home.start("move", "m", "secondary")

        def over() -> list[str]:
            listed = [file for job in shelf.jobs(kind=JobKind.MOVE) for file in job_files.files_of(job.files).listed]
            return [file.path for file in listed if file.done_bytes == file.total_bytes]

        wait_until(lambda: sorted(over()) == ["config.json", "model.safetensors"], "the other files to arrive")
        listed = home.run("jobs", str(shelf.jobs(kind=JobKind.MOVE)[0].id)).checked().out
    child.finish().checked()

    assert "second.safetensors" in listed
    (done,) = shelf.jobs(kind=JobKind.MOVE)
    files = job_files.files_of(done.files)
    assert (done.state, files.done, files.total, done.done_bytes) == ("done", 3, 3, TOTAL)


def test_a_second_move_elsewhere_is_refused(home: Home, shelf: Shelf) -> None:
    """During a move the same order returns the same job, and another target is a conflict that names it."""
    job = shelf.services.mover.enqueue("m", "secondary", None, keep_source=False)

    assert shelf.services.mover.enqueue("m", "secondary", None, keep_source=False).id == job.id
    with pytest.raises(Conflict, match=f"Job {job.id}"):
        shelf.services.mover.enqueue("m", "custom", str(home.custom), keep_source=False)


def test_a_model_that_moves_can_be_loaded(home: Home, shelf: Shelf) -> None:
    """During the copy a model can be loaded from the source, and its state is moving."""
    seen: list[object] = []

    def look() -> None:
        seen.append((shelf.model("m").state.value, tree(shelf.path("m")) == FILES))

    move_with(shelf, Hooked(look), "m", "secondary")

    assert seen == [("moving", True)]


def test_a_patch_moves_the_model(home: Home, shelf: Shelf) -> None:
    """A PATCH with a new location answers 202 with the job, and in the end the source has nothing of the model."""
    with home.serve() as server:
        answer = server.ask("PATCH", "/api/models/m", {"cache_location": "secondary"})
        assert (answer.status, answer.json["kind"]) == (202, "move")
        wait_until(lambda: shelf.model("m").base == str(home.secondary), "the move")
        wait_until(lambda: files_of(home.primary) == [], "the old copy to go")
        assert server.wait_for_state("m", "ready")["cache_location"] == "secondary"
        assert server.ask("PATCH", "/api/models/m", {"cache_location": "secondary"}).status == 400

    assert tree(shelf.path("m")) == FILES
    assert violations(shelf) == []


def test_a_server_deletes_what_waited(home: Home, shelf: Shelf) -> None:
    """A running server deletes an old copy by itself once it isn't in use."""
    lease = shelf.services.leaser.hold("m", 600, "a person")
    shelf.move("m", "secondary")
    assert waiting(shelf)
    shelf.services.leaser.release(lease.id)

    with home.serve():
        wait_until(lambda: files_of(home.primary) == [], "the old copy to go")
