"""A move brings a model to another tier whole, and deletes from the source what nothing there needs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from modelshelf.domain.plans import beside_bytes
from modelshelf.errors import BadInput, Conflict, Corrupt, NotFound, OutOfSpace
from modelshelf.services.shelf import Shelf
from modelshelf.store.layout import Base, Repo
from modelshelf.store.repos import scan
from tests.disks import escaping_links, far_home, files_of, identity, own_tree
from tests.fakes.hub import FakeHub
from tests.fakes.hub_repos import Blob
from tests.invariants import du, violations
from tests.world import MIB, Home, load_offline, random_bytes, tree

REPO = "org/name"
WEIGHTS = random_bytes(8 * MIB + 1_000)
FILES = {
    "config.json": b'{"model_type": "llama"}',
    "empty.txt": b"",
    "model.safetensors": WEIGHTS,
    "onnx/deep/model.bin": random_bytes(70_001),
    "onnx/deep/same.bin": random_bytes(70_001),
}
NEW = FILES | {"config.json": b'{"model_type": "llama", "new": true}'}
DIGEST = Blob.of(WEIGHTS, lfs=True).digest
TOTAL = sum(len(data) for data in set(FILES.values()))


@pytest.fixture(params=["one file system", "two file systems"])
def home(request: pytest.FixtureRequest, tmp_path: Path, hub: FakeHub) -> Iterator[Home]:
    """A home whose tiers are on one file system, then one where they are on two."""
    if request.param == "one file system":
        yield Home(tmp_path / "user", hub.url)
        return
    with far_home(tmp_path / "user", hub.url) as far:
        yield far


def is_far(home: Home) -> bool:
    """Return whether a home's tiers are on two file systems."""
    return home.secondary.parent != home.root


def repo(base: Path) -> Repo:
    """Return the path of the repository in a base."""
    return Base(base).repo(REPO)


def bases(home: Home) -> dict[str, Path]:
    """Return the bases of the tests below."""
    return {"primary": home.primary, "secondary": home.secondary, "usb": home.custom, "nas": home.root / "nas"}


def place(home: Home, where: str) -> tuple[str, str | None]:
    """Return a base's location and path."""
    return (where, None) if where in ("primary", "secondary") else ("custom", str(bases(home)[where]))


def check_at_rest(home: Home, shelf: Shelf) -> None:
    """Assert the invariants, that no link leaves its base, and that `shelf tiers` agrees with `du`."""
    assert violations(shelf) == []
    for status in shelf.tiers():
        base = Path(status.tier.base)
        assert escaping_links(base) == []
        before = du(base) if base.is_dir() else (0, 0)
        shown = next(tier for tier in shelf.tiers() if tier.tier == status.tier).usage
        assert not base.is_dir() or du(base) != before or (shown.apparent_bytes, shown.allocated_bytes) == before


def check_loads(home: Home, base: Path, *revision: str, files: dict[str, bytes] = FILES) -> None:
    """Assert that huggingface_hub finds the whole snapshot in a base, offline."""
    assert tree(load_offline(home, base, REPO, *revision)) == files


@pytest.mark.parametrize(
    ("start", "to"),
    [("primary", "secondary"), ("secondary", "primary"), ("primary", "usb"), ("usb", "secondary"), ("usb", "nas")],
    ids=lambda where: where,
)
def test_every_tool_finds_it_where_it_went(hub: FakeHub, home: Home, shelf: Shelf, start: str, to: str) -> None:
    """After a move between any two tiers `hf` and huggingface_hub find the model whole, and nothing is left behind."""
    hub.add_repo(REPO, FILES)
    shelf.register("m", REPO, *place(home, start))
    target, source = bases(home)[to], bases(home)[start]

    model = shelf.move("m", *place(home, to))

    assert (model.base, model.state, tree(Path(model.path or ""))) == (str(target), "ready", FILES)
    listed = home.hf(target, "cache", "ls", "--json", HF_HUB_OFFLINE="1").checked()
    assert [(found["id"], found["refs"]) for found in listed.json] == [(f"model/{REPO}", ["main", "refs/shelf/m"])]
    home.hf(target, "cache", "verify", REPO, "--fail-on-missing-files", "--fail-on-extra-files").checked()
    check_loads(home, target)
    assert files_of(source) == []
    check_at_rest(home, shelf)


def test_no_byte_is_copied_on_one_file_system(hub: FakeHub, home: Home, shelf: Shelf) -> None:
    """On one file system the files stay the same inodes; between two they are new, and readable for all."""
    hub.add_repo(REPO, FILES)
    shelf.register("m", REPO)
    before = repo(home.primary).blob(DIGEST).stat()

    shelf.move("m", "secondary")

    after = repo(home.secondary).blob(DIGEST).stat()
    assert ((after.st_ino, after.st_dev) == (before.st_ino, before.st_dev)) is not is_far(home)
    assert (after.st_mode, after.st_nlink, after.st_size) == (before.st_mode, 1, before.st_size)
    assert after.st_mtime_ns == before.st_mtime_ns


def test_a_dry_run_says_what_happens(hub: FakeHub, home: Home, shelf: Shelf) -> None:
    """A dry run has the method and the bytes and changes nothing, and the move then writes exactly these."""
    hub.add_repo(REPO, FILES)
    shelf.register("m", REPO)
    before = files_of(home.primary)

    plan = home.run("move", "m", "secondary", "--dry-run", "--json").checked().json

    assert (plan["method"], plan["transfer_bytes"]) == ("copy" if is_far(home) else "link", TOTAL)
    assert (files_of(home.primary), files_of(home.secondary)) == (before, [])
    assert home.run("move", "m", "secondary", "--json").checked().json["cache_location"] == "secondary"
    blobs = repo(home.secondary).blobs
    assert sum(path.stat().st_size for path in blobs.iterdir()) == TOTAL


def test_a_dry_run_makes_no_base(hub: FakeHub, home: Home, shelf: Shelf) -> None:
    """A dry run to a folder that doesn't exist doesn't create it."""
    hub.add_repo(REPO, FILES)
    shelf.register("m", REPO)

    plan = home.run("move", "m", str(home.root / "new/base"), "--dry-run", "--json").checked().json

    assert plan["transfer_bytes"] == TOTAL
    assert not (home.root / "new").exists()


def test_what_the_target_has_is_not_copied(hub: FakeHub, home: Home, shelf: Shelf) -> None:
    """A blob that `hf` already downloaded to the target is verified and kept, not copied."""
    hub.add_repo(REPO, FILES)
    shelf.register("m", REPO)
    home.hf(home.secondary, "download", REPO, "model.safetensors").checked()
    before = identity(repo(home.secondary).blob(DIGEST))

    plan = shelf.services.mover.plan("m", "secondary", None, keep_source=False)
    shelf.move("m", "secondary")

    assert plan.transfer_bytes == TOTAL - len(WEIGHTS)
    assert identity(repo(home.secondary).blob(DIGEST)) == before
    check_at_rest(home, shelf)


@pytest.mark.parametrize("damaged", [b"short", WEIGHTS[::-1]], ids=["another size", "other bytes"])
def test_a_wrong_blob_on_the_target_is_set_aside(hub: FakeHub, home: Home, shelf: Shelf, damaged: bytes) -> None:
    """A wrong blob on the target goes into quarantine, and the right one takes its place."""
    hub.add_repo(REPO, FILES)
    shelf.register("m", REPO)
    wrong = repo(home.secondary).blob(DIGEST)
    wrong.parent.mkdir(parents=True)
    wrong.write_bytes(damaged)

    model = shelf.move("m", "secondary")

    assert tree(Path(model.path or "")) == FILES
    assert [path.read_bytes() for path in Base(home.secondary).quarantine.iterdir()] == [damaged]
    check_at_rest(home, shelf)


@pytest.mark.parametrize("where", ["blob", "repository"])
def test_a_link_to_the_source_is_no_copy(hub: FakeHub, home: Home, shelf: Shelf, where: str) -> None:
    """A link from the target to the source doesn't count as a copy, so the last copy isn't deleted."""
    hub.add_repo(REPO, FILES)
    shelf.register("m", REPO)
    there = repo(home.secondary)
    link, leads_to = (there.blob(DIGEST), repo(home.primary).blob(DIGEST))
    if where == "repository":
        link, leads_to = there.path, repo(home.primary).path
    link.parent.mkdir(parents=True)
    link.symlink_to(leads_to)

    if where == "repository":
        with pytest.raises(Conflict, match="is a link to"):
            shelf.move("m", "secondary")
    else:
        shelf.move("m", "secondary")
        check_at_rest(home, shelf)

    assert tree(shelf.path("m")) == FILES


@pytest.mark.parametrize("revision", ["main", "refs/pr/1", "a commit"])
def test_what_hf_downloaded_a_minute_ago_moves(hub: FakeHub, home: Home, shelf: Shelf, revision: str) -> None:
    """A repository that `hf download` brought by any revision loads by the same from the target."""
    hub.add_repo(REPO, {"other.json": b"[]"})
    commit = hub.add_repo(REPO, FILES, revision=revision if revision != "a commit" else "main")
    revision = commit if revision == "a commit" else revision
    home.hf(home.primary, "download", REPO, "--revision", revision).checked()
    before = hub.bytes_sent

    shelf.register("m", REPO, revision=revision)
    shelf.move("m", "secondary")

    assert (hub.bytes_sent, files_of(home.primary)) == (before, [])
    check_loads(home, home.secondary, revision)
    check_at_rest(home, shelf)


def test_what_others_in_the_source_need_stays(hub: FakeHub, home: Home, shelf: Shelf) -> None:
    """Other revisions and models in the source that share blobs stay whole."""
    old = hub.add_repo(REPO, FILES)
    shelf.register("m", REPO)
    shelf.register("config", REPO, allow_patterns=["config.json"])
    new = hub.add_repo(REPO, NEW)
    home.hf(home.primary, "download", REPO).checked()

    shelf.move("m", "secondary")

    assert (shelf.model("m").row.commit_hash, shelf.model("m").base) == (old, str(home.secondary))
    assert own_tree(home.primary, shelf.path("config")) == {"config.json": FILES["config.json"]}
    check_loads(home, home.primary, new, files=NEW)
    check_loads(home, home.secondary, old)
    check_at_rest(home, shelf)


def test_blobs_that_a_half_pulled_model_needs_stay(hub: FakeHub, home: Home, shelf: Shelf) -> None:
    """An incomplete model of another commit keeps its blobs at the source, though nothing links to them."""
    hub.add_repo(REPO, FILES)
    shelf.register("m", REPO)
    hub.add_repo(REPO, NEW)
    shelf.register("newer", REPO, download=False)
    before = hub.bytes_sent

    shelf.move("m", "secondary")
    shelf.pull("newer")

    assert hub.bytes_sent - before == len(NEW["config.json"])
    check_at_rest(home, shelf)


def test_two_models_of_one_snapshot_go_one_after_the_other(hub: FakeHub, home: Home, shelf: Shelf) -> None:
    """Of two models of one snapshot the first to move leaves the source whole; the second deletes it, copying none."""
    hub.add_repo(REPO, FILES)
    shelf.register("a", REPO)
    shelf.register("b", REPO)

    shelf.move("a", "secondary")
    assert tree(shelf.path("b")) == FILES
    plan = shelf.services.mover.plan("b", "secondary", None, keep_source=False)
    shelf.move("b", "secondary")

    assert (plan.transfer_bytes, files_of(home.primary)) == (0, [])
    assert shelf.path("a") == shelf.path("b")
    check_at_rest(home, shelf)


@pytest.mark.parametrize("moved_is_newer", [True, False], ids=["older there", "newer there"])
def test_revisions_at_the_target_are_united(hub: FakeHub, home: Home, shelf: Shelf, moved_is_newer: bool) -> None:
    """On the target snapshots and refs of both sides stay, and the model's revision leads to the model."""
    first, second = (FILES, NEW) if moved_is_newer else (NEW, FILES)
    there = hub.add_repo(REPO, first)
    hub.set_ref(REPO, "refs/pr/7", there)
    home.hf(home.secondary, "download", REPO).checked()
    home.hf(home.secondary, "download", REPO, "--revision", "refs/pr/7").checked()
    moved = hub.add_repo(REPO, second)
    shelf.register("m", REPO)

    shelf.move("m", "secondary")

    assert scan.refs(repo(home.secondary)) == {"main": moved, "refs/pr/7": there, "refs/shelf/m": moved}
    check_loads(home, home.secondary, files=second)
    check_loads(home, home.secondary, "refs/pr/7", files=first)
    check_at_rest(home, shelf)


def test_the_source_can_be_kept(hub: FakeHub, home: Home, shelf: Shelf) -> None:
    """With --keep-source both copies are whole, and moving back copies nothing."""
    hub.add_repo(REPO, FILES)
    shelf.register("m", REPO)

    home.run("move", "m", "secondary", "--keep-source").checked()

    assert shelf.model("m").base == str(home.secondary)
    check_loads(home, home.primary)
    check_loads(home, home.secondary)
    assert shelf.services.mover.plan("m", "primary", None, keep_source=False).transfer_bytes == 0
    check_at_rest(home, shelf)
    shelf.move("m", "primary")
    assert files_of(home.secondary) == []


def test_ten_moves_leave_no_garbage(hub: FakeHub, home: Home, shelf: Shelf) -> None:
    """Five moves back and forth leave the same files, and nothing but locks on the other tier."""
    hub.add_repo(REPO, FILES)
    shelf.register("m", REPO)
    before = files_of(home.primary)

    for _ in range(5):
        shelf.move("m", "secondary")
        assert files_of(home.primary) == []
        shelf.move("m", "primary")
        assert files_of(home.secondary) == []

    assert files_of(home.primary) == before
    assert {job.state for job in shelf.services.registry.jobs()} == {"done"}
    assert shelf.services.registry.reservations.all() == []
    check_loads(home, home.primary)
    check_at_rest(home, shelf)


def test_a_damaged_source_is_not_moved(hub: FakeHub, home: Home, shelf: Shelf) -> None:
    """A wrong byte in the source ends the move, and source and registry stay unchanged."""
    if not is_far(home):
        pytest.skip("what is linked is not read: it is the same file before and after")
    hub.add_repo(REPO, FILES)
    shelf.register("m", REPO)
    blob = repo(home.primary).blob(DIGEST)
    blob.write_bytes(WEIGHTS[:-1] + b"!")
    before = tree(home.primary / "hub")

    with pytest.raises(Corrupt, match="of m is damaged"):
        shelf.move("m", "secondary")

    assert tree(home.primary / "hub") == before
    assert shelf.model("m").base == str(home.primary)
    assert not repo(home.secondary).blob(DIGEST).exists()
    assert not repo(home.secondary).snapshots.exists()
    assert not Base(home.secondary).part(DIGEST).exists()
    assert shelf.services.registry.reservations.all() == []


def test_a_target_without_room_gets_nothing(hub: FakeHub, home: Home, shelf: Shelf) -> None:
    """A move that doesn't fit is refused with exit code 8 before the first byte, and the model stays ready."""
    hub.add_repo(REPO, FILES)
    shelf.register("m", REPO)

    refused = home.run("move", "m", "secondary", "--json", SECONDARY_CACHE_LIMIT_GB="0.005")

    needed_bytes = TOTAL + beside_bytes(shelf.services.library.files(shelf.services.library.row("m")))
    assert (refused.code, refused.problem["needed_bytes"]) == (OutOfSpace.exit_code, needed_bytes)
    assert files_of(home.secondary) == []
    assert (shelf.model("m").state, shelf.model("m").base) == ("ready", str(home.primary))
    assert shelf.services.registry.reservations.all() == []


def test_a_move_that_cannot_be_meant_changes_nothing(hub: FakeHub, home: Home, shelf: Shelf) -> None:
    """Moving to the same tier, an unknown model or an incomplete one is refused with its own error."""
    hub.add_repo(REPO, FILES)
    shelf.register("m", REPO)
    shelf.register("bare", REPO, "secondary", download=False)

    with pytest.raises(BadInput, match="is on primary already"):
        shelf.move("m", "primary")
    with pytest.raises(NotFound):
        shelf.move("nobody", "secondary")
    with pytest.raises(Conflict, match="incomplete"):
        shelf.move("bare", "primary")
    assert shelf.services.registry.jobs()[0].kind == "pull"
