"""A pull downloads and verifies every byte to where all other tools look."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelshelf.domain.plans import LEAST_RUN_SEGMENTS, SEGMENT_BYTES
from modelshelf.errors import Conflict, Corrupt, NotFound
from modelshelf.services.jobs.worker import Worker
from modelshelf.services.shelf import Shelf
from tests.fakes.hub import FakeHub
from tests.fakes.hub_repos import Blob
from tests.invariants import violations
from tests.world import MIB, Home, load_offline, random_bytes, tree, wait_until

REPO = "org/name"
WEIGHTS = random_bytes(3 * MIB)
FILES = {
    "config.json": b'{"model_type": "llama"}',
    "empty.txt": b"",
    "model.safetensors": WEIGHTS,
    "onnx/deep/model.bin": random_bytes(70_001),
    "onnx/deep/same.bin": random_bytes(70_001),
}
WEIGHTS_DIGEST = Blob.of(WEIGHTS, lfs=True).digest


def asked_for(hub: FakeHub, path: str) -> list[str | None]:
    """Return the ranges of all requests for one file."""
    return [r.range for r in hub.requests if r.method == "GET" and r.path.endswith(f"/{path}")]


def test_every_tool_finds_what_was_pulled(hub: FakeHub, home: Home, shelf: Shelf) -> None:
    """After a pull `hf cache ls`, `hf cache verify` and huggingface_hub offline find the model whole."""
    commit = hub.add_repo(REPO, FILES)

    model = shelf.register("m", REPO)

    assert (model.state, model.row.commit_hash) == ("ready", commit)
    assert tree(Path(model.path or "")) == FILES
    listed = home.hf(home.primary, "cache", "ls", "--json", HF_HUB_OFFLINE="1").checked()
    assert [(repo["id"], repo["refs"]) for repo in listed.json] == [(f"model/{REPO}", ["main", "refs/shelf/m"])]
    home.hf(home.primary, "cache", "verify", REPO, "--fail-on-missing-files", "--fail-on-extra-files").checked()
    assert load_offline(home, home.primary, REPO) == Path(model.path or "")
    assert violations(shelf) == []


def test_each_distinct_content_is_fetched_once(hub: FakeHub, shelf: Shelf) -> None:
    """A blob under two names is fetched and counted once, and both names lead to it."""
    hub.add_repo(REPO, FILES)

    model = shelf.register("m", REPO)

    distinct = sum(len(content) for content in set(FILES.values()))
    assert (hub.bytes_sent, model.row.size_bytes) == (distinct, distinct)
    folder = Path(model.path or "")
    assert (folder / "onnx/deep/model.bin").resolve() == (folder / "onnx/deep/same.bin").resolve()


def test_a_pull_of_a_whole_model_fetches_nothing(hub: FakeHub, shelf: Shelf) -> None:
    """Pulling a whole model again fetches nothing."""
    hub.add_repo(REPO, FILES)
    shelf.register("m", REPO)
    before = hub.bytes_sent

    model = shelf.pull("m")

    assert (model.state, hub.bytes_sent) == ("ready", before)


def test_a_registered_model_stays_at_its_commit(hub: FakeHub, home: Home, shelf: Shelf) -> None:
    """A model loads whole at its own commit, even after main moved on the hub and in the ref."""
    old = hub.add_repo(REPO, FILES)
    path = Path(shelf.register("m", REPO).path or "")
    new = hub.add_repo(REPO, FILES | {"config.json": b"{}", "model.safetensors": WEIGHTS[::-1]})
    home.hf(home.primary, "download", REPO, "config.json").checked()

    shelf.pull("m")

    assert (home.primary / "hub/models--org--name/snapshots" / new / "config.json").exists()
    assert (shelf.model("m").state, shelf.path("m"), path.name) == ("ready", path, old)
    assert tree(path) == FILES
    assert load_offline(home, home.primary, REPO, old) == path
    assert violations(shelf) == []


def test_a_model_registered_before_main_moved_is_pulled_at_its_commit(hub: FakeHub, shelf: Shelf) -> None:
    """The commit is fixed when a model is registered, not when it is downloaded."""
    old = hub.add_repo(REPO, FILES)
    shelf.register("m", REPO, download=False)
    hub.add_repo(REPO, {"config.json": b"{}"})

    shelf.pull("m")

    assert (shelf.path("m").name, tree(shelf.path("m"))) == (old, FILES)


def test_what_another_tool_downloaded_is_not_fetched_again(hub: FakeHub, home: Home, shelf: Shelf) -> None:
    """A blob that `hf download` brought is verified and not fetched again."""
    hub.add_repo(REPO, FILES)
    home.hf(home.primary, "download", REPO).checked()
    before = hub.bytes_sent

    model = shelf.register("m", REPO)

    assert (model.state, hub.bytes_sent) == ("ready", before)
    assert violations(shelf) == []


def damage_truncate(blob: Path) -> None:
    """Keep the first half."""
    blob.write_bytes(blob.read_bytes()[: blob.stat().st_size // 2])


def damage_flip(blob: Path) -> None:
    """Change one bit in the middle."""
    content = bytearray(blob.read_bytes())
    content[len(content) // 2] ^= 1
    blob.write_bytes(content)


def damage_zero(blob: Path) -> None:
    """Write zeros over the file, as a power cut does."""
    blob.write_bytes(bytes(blob.stat().st_size))


@pytest.mark.parametrize("damage", [damage_truncate, damage_flip, damage_zero])
def test_a_damaged_blob_of_another_tool_is_set_aside_and_fetched(
    hub: FakeHub, home: Home, shelf: Shelf, damage: object
) -> None:
    """A damaged blob of another tool goes into quarantine, and only its bytes are fetched."""
    hub.add_repo(REPO, FILES)
    home.hf(home.primary, "download", REPO).checked()
    blob = home.primary / "hub/models--org--name/blobs" / WEIGHTS_DIGEST
    blob.chmod(0o644)
    damage(blob)  # type: ignore[operator]
    damaged, before = blob.read_bytes(), hub.bytes_sent

    model = shelf.register("m", REPO)

    assert (model.state, hub.bytes_sent - before) == ("ready", len(WEIGHTS))
    assert [path.read_bytes() for path in (home.primary / "modelshelf/quarantine").iterdir()] == [damaged]
    assert tree(Path(model.path or "")) == FILES
    assert violations(shelf) == []


def test_a_big_file_comes_in_parallel_ranges(hub: FakeHub, shelf: Shelf) -> None:
    """A large file is fetched by several requests at the same time, and every byte once."""
    big = random_bytes(6 * LEAST_RUN_SEGMENTS * SEGMENT_BYTES + 1)
    hub.add_repo(REPO, {"big.gguf": big})
    hub.pause(after_bytes=0)
    waiting = Worker(shelf.services.runner)
    shelf.register("m", REPO, download=False)
    shelf.services.registrar.enqueue_pull("m")
    waiting.start()
    try:
        hub.pause(after_bytes=20 * MIB)
        wait_until(lambda: len(asked_for(hub, "big.gguf")) >= 4, "four requests side by side")
    finally:
        hub.resume()
        wait_until(lambda: shelf.model("m").state == "ready", "the model to be ready")
        waiting.stop()

    assert len(set(asked_for(hub, "big.gguf"))) == len(asked_for(hub, "big.gguf"))
    assert hub.bytes_sent == len(big)
    assert violations(shelf) == []


def test_a_subset_never_passes_for_the_whole(hub: FakeHub, home: Home, shelf: Shelf) -> None:
    """One GGUF of two is whole if that was asked for, and partial if everything was."""
    files = {"README.md": b"hi", "q4.gguf": random_bytes(100_000), "q8.gguf": random_bytes(200_000)}
    hub.add_repo(REPO, files)
    small = shelf.register("small", REPO, allow_patterns=["*q4.gguf"])
    everything = shelf.register("everything", REPO, download=False)

    assert (small.state, tree(Path(small.path or ""))) == ("ready", {"q4.gguf": files["q4.gguf"]})
    assert (everything.state, everything.row.complete) == ("partial", False)
    with pytest.raises(Conflict):
        shelf.path("everything")
    assert home.run("path", "everything").code == Conflict.exit_code

    shelf.pull("everything")
    assert (shelf.model("everything").state, tree(shelf.path("everything"))) == ("ready", files)
    assert hub.bytes_sent == sum(map(len, files.values()))
    assert violations(shelf) == []


def test_two_repositories_lie_side_by_side(hub: FakeHub, shelf: Shelf) -> None:
    """Models of different repositories share nothing but the base."""
    hub.add_repo(REPO, FILES)
    hub.add_repo("gpt2", {"config.json": b"{}", "model.safetensors": b"gpt"})

    shelf.register("a", REPO)
    shelf.register("b", "gpt2")

    assert tree(shelf.path("a")) == FILES
    assert tree(shelf.path("b")) == {"config.json": b"{}", "model.safetensors": b"gpt"}
    assert violations(shelf) == []


def test_a_file_that_vanished_is_noticed_and_fetched(hub: FakeHub, shelf: Shelf) -> None:
    """If somebody deletes a blob, the model says so, and a pull fetches that blob alone."""
    hub.add_repo(REPO, FILES)
    path = shelf.register("m", REPO).path
    assert path is not None
    (Path(path) / "model.safetensors").resolve().unlink()
    before = hub.bytes_sent

    assert shelf.model("m").state == "partial"
    shelf.pull("m")

    assert (shelf.model("m").state, hub.bytes_sent - before) == ("ready", len(WEIGHTS))
    assert violations(shelf) == []


def test_bytes_that_stay_wrong_are_never_published(hub: FakeHub, home: Home, shelf: Shelf) -> None:
    """If a hub always sends a wrong byte, the pull ends as corrupt after two tries, and no blob is published."""
    hub.add_repo(REPO, FILES)
    hub.fail("*/model.safetensors", corrupt_at=1_000_000)

    with pytest.raises(Corrupt):
        shelf.register("m", REPO)

    model = shelf.model("m")
    assert (model.state, len(asked_for(hub, "model.safetensors"))) == ("failed", 2)
    assert not (home.primary / "hub/models--org--name/blobs" / WEIGHTS_DIGEST).exists()
    assert shelf.services.registry.reservations.all() == []
    assert violations(shelf) == []


def test_bytes_that_were_wrong_once_are_fetched_again(hub: FakeHub, shelf: Shelf) -> None:
    """One wrong byte on the wire costs a second fetch of the file and nothing else."""
    hub.add_repo(REPO, FILES)
    hub.fail("*/model.safetensors", corrupt_at=1_000_000, times=1)

    model = shelf.register("m", REPO)

    assert (model.state, len(asked_for(hub, "model.safetensors"))) == ("ready", 2)
    assert tree(Path(model.path or "")) == FILES
    assert violations(shelf) == []


def test_a_repository_that_is_gone_is_not_found(hub: FakeHub, shelf: Shelf) -> None:
    """If the hub answers 404 for a file, the pull ends without another try."""
    hub.add_repo(REPO, FILES)
    shelf.register("m", REPO, download=False)
    hub.fail("*/resolve/*", status=404, error_code="RepoNotFound")

    with pytest.raises(NotFound):
        shelf.pull("m")

    assert shelf.model("m").state == "failed"
    assert shelf.services.registry.reservations.all() == []
