"""Registering: a model goes to the tier that was named, and a refusal leaves nothing behind."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from modelshelf.domain.names import CommitHash
from modelshelf.errors import BadInput, Conflict, Denied, NotFound, ShelfError, Unavailable
from modelshelf.services.jobs.worker import Worker
from modelshelf.services.shelf import Shelf
from modelshelf.store.layout import Base
from tests.fakes.hub import FakeHub
from tests.invariants import violations
from tests.world import Home, load_offline, random_bytes, tree, wait_until

REPO = "org/name"
FILES = {"config.json": b"{}", "model.safetensors": random_bytes(300_000), "sub/extra.bin": b"extra"}


@pytest.fixture
def commit(hub: FakeHub) -> str:
    """The commit of a repository on the hub."""
    return hub.add_repo(REPO, FILES)


def strays(home: Home) -> list[Path]:
    """Return every real repository folder that isn't directly below a base's `hub`."""
    right = {base / "hub" for base in (home.primary, home.secondary, home.custom)}
    found = [path for path in home.root.rglob("models--*") if path.is_dir() and ".locks" not in path.parts]
    return [path for path in found if path.parent not in right and not path.is_symlink()]


@pytest.mark.parametrize("location", ["primary", "secondary", "custom"])
def test_a_model_lands_below_its_base(home: Home, shelf: Shelf, commit: str, location: str) -> None:
    """Each of the three locations puts the model at BASE/hub/models--org--name and nothing anywhere else."""
    base = {"primary": home.primary, "secondary": home.secondary, "custom": home.custom}[location]

    model = shelf.register("m", REPO, location, str(base) if location == "custom" else None)

    assert (model.state, model.row.cache_location, model.base) == ("ready", location, str(base))
    assert model.path == f"{base}/hub/models--org--name/snapshots/{commit}"
    assert tree(Path(model.path)) == FILES
    assert (strays(home), list(home.root.rglob("hub/hub"))) == ([], [])
    assert load_offline(home, base, REPO) == Path(model.path)
    assert violations(shelf) == []


@pytest.mark.parametrize(
    ("repo_id", "folder"),
    [("gpt2", "models--gpt2"), ("models/x.y_z-1", "models--models--x.y_z-1")],
)
def test_every_kind_of_id_has_its_folder(hub: FakeHub, home: Home, shelf: Shelf, repo_id: str, folder: str) -> None:
    """Ids without an organisation or with odd names go where huggingface_hub looks."""
    hub.add_repo(repo_id, FILES)

    path = shelf.register("m", repo_id).path

    assert Path(path or "").parents[1] == home.primary / "hub" / folder
    assert str(load_offline(home, home.primary, repo_id)) == path
    assert violations(shelf) == []


@pytest.mark.parametrize("revision", ["main", "v1.0", "refs/pr/1", "feature/x", "the commit"])
def test_every_kind_of_revision_is_pinned_to_its_commit(
    hub: FakeHub, home: Home, shelf: Shelf, commit: str, revision: str
) -> None:
    """For a branch, tag, pull request or commit the ref that huggingface_hub would write exists and resolves."""
    old = hub.add_repo(REPO, {"config.json": b"old"}, revision="other")
    if revision == "the commit":
        revision = old
    else:
        hub.add_repo(REPO, FILES)
        hub.set_ref(REPO, "refs/heads/feature/x" if revision == "feature/x" else revision, old)

    model = shelf.register("m", REPO, revision=revision)

    assert (model.row.revision, model.row.commit_hash) == (revision, old)
    assert tree(Path(model.path or "")) == {"config.json": b"old"}
    assert load_offline(home, home.primary, REPO, revision) == Path(model.path or "")
    assert violations(shelf) == []


def test_a_renamed_repository_is_found_under_its_old_id(hub: FakeHub, shelf: Shelf, commit: str) -> None:
    """A renamed repository is found by its old id, and its new id is registered."""
    hub.rename(REPO, "new/home")

    model = shelf.register("m", REPO)

    assert (model.state, model.row.commit_hash, model.row.hf_path) == ("ready", commit, "new/home")
    assert tree(Path(model.path or "")) == FILES


def test_download_false_registers_only(hub: FakeHub, home: Home, shelf: Shelf, commit: str) -> None:
    """With download=False a model has a commit and a size; no byte is fetched and no job is queued."""
    model = shelf.register("m", REPO, download=False)

    assert (model.state, model.row.commit_hash) == ("registered", commit)
    assert model.row.size_bytes == sum(map(len, FILES.values()))
    assert (hub.bytes_sent, shelf.services.registry.jobs()) == (0, [])
    assert not (home.primary / "hub/models--org--name").exists()


def test_download_false_takes_what_is_here_already(hub: FakeHub, home: Home, shelf: Shelf, commit: str) -> None:
    """With download=False a model whose repository is on the disk is ready at once, without a fetch."""
    shelf.register("first", REPO)
    before = hub.bytes_sent

    second = shelf.register("second", REPO, download=False)
    third = home.run("add", "third", REPO, "--no-download")

    assert second.state == "ready"
    assert third.checked().out.startswith("third: ready, ")
    assert hub.bytes_sent == before


REFUSED: dict[str, tuple[dict[str, object], type[ShelfError]]] = {
    "no id": ({"hf_path": "not an id"}, BadInput),
    "an address": ({"hf_path": "https://huggingface.co/org/name"}, BadInput),
    "an id with two hyphens": ({"hf_path": "org/a--b"}, BadInput),
    "a climbing id": ({"hf_path": "../name"}, BadInput),
    "no name": ({"model_name": ""}, BadInput),
    "a climbing name": ({"model_name": "../m"}, BadInput),
    "a climbing revision": ({"revision": "../../x"}, BadInput),
    "no such location": ({"cache_location": "tertiary"}, BadInput),
    "custom without a path": ({"cache_location": "custom"}, BadInput),
    "a relative path": ({"cache_location": "custom", "cache_path": "models"}, BadInput),
    "a system folder": ({"cache_location": "custom", "cache_path": "/usr"}, BadInput),
    "a folder inside a cache": ({"cache_location": "custom", "cache_path": "/mnt/x/hub/models--a--b"}, BadInput),
    "a file as base": ({"cache_location": "custom", "cache_path": "/etc/hostname/models"}, BadInput),
    "a pattern that matches nothing": ({"allow_patterns": ["*.gguf"]}, BadInput),
    "no such repository": ({"hf_path": "org/absent"}, NotFound),
    "a private repository": ({"hf_path": "org/private"}, NotFound),
    "no such revision": ({"revision": "v9"}, NotFound),
    "no such commit": ({"revision": "0" * 40}, NotFound),
    "a gated repository": ({"hf_path": "org/gated"}, Denied),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_leaves_nothing(hub: FakeHub, home: Home, shelf: Shelf, commit: str, case: str) -> None:
    """A refused registration leaves no row, job, reservation, byte or folder."""
    hub.add_repo("org/gated", FILES, gated=True)
    hub.add_repo("org/private", FILES, private=True)
    change, kind = REFUSED[case]

    with pytest.raises(kind):
        shelf.register(**({"model_name": "m", "hf_path": REPO} | change))

    assert (shelf.models(), shelf.services.registry.jobs(), shelf.services.registry.reservations.all()) == ([], [], [])
    assert hub.bytes_sent == 0
    assert list(home.root.rglob("models--*")) == []


@pytest.mark.parametrize("there", [False, True], ids=["no folder", "a folder without a marker"])
def test_neither_a_dry_run_nor_a_refusal_makes_a_base(
    hub: FakeHub, home: Home, shelf: Shelf, commit: str, there: bool
) -> None:
    """A custom base is created and marked by registering a model, and by nothing before."""
    base = home.root / "new" / "base"
    if there:
        base.mkdir(parents=True)
    before = set(home.root.rglob("*"))

    planned = home.run("add", "m", REPO, "--to", str(base), "--dry-run", "--json").checked().json
    refused = home.run("add", "m", "org/absent", "--to", str(base))

    assert (planned["cache_path"], refused.code) == (str(base), 4)
    assert {path for path in set(home.root.rglob("*")) - before if base in (path, *path.parents)} == set()
    assert base.exists() is there
    shelf.register("m", REPO, cache_location="custom", cache_path=str(base), download=False)
    assert Base(base).marker.exists()


def test_a_base_that_cannot_be_made_is_refused_by_a_dry_run(home: Home, shelf: Shelf, commit: str) -> None:
    """A dry run refuses what the registration would refuse."""
    (home.root / "file").write_text("")

    said = home.run("add", "m", REPO, "--to", f"{home.root}/file/base", "--dry-run")

    assert said.code == 2
    assert "isn't a folder" in said.err


def test_a_base_that_ends_in_hub_is_refused_with_a_suggestion(home: Home, shelf: Shelf, commit: str) -> None:
    """A path that ends in `hub` is refused with the base above it in the sentence and in a field."""
    with pytest.raises(BadInput) as refused:
        shelf.register("m", REPO, "custom", f"{home.custom}/hub")

    assert refused.value.fields["suggestion"] == str(home.custom)
    assert str(home.custom) in refused.value.hint
    assert not home.custom.exists()


def test_the_base_of_a_tier_is_no_custom_path(home: Home, shelf: Shelf, commit: str) -> None:
    """The primary or secondary base as a custom path is refused, because its limit would not apply."""
    for base in (home.primary, home.secondary):
        with pytest.raises(BadInput):
            shelf.register("m", REPO, "custom", f"{base}/")


def test_the_same_again_is_the_same(hub: FakeHub, home: Home, shelf: Shelf, commit: str) -> None:
    """Registering twice gives one model, even with another spelling of its path, and fetches nothing."""
    first = shelf.register("m", REPO, "custom", str(home.custom))
    before = hub.bytes_sent

    again = shelf.register("m", REPO, "custom", f"{home.custom}/")

    assert (again.row.id, again.path, hub.bytes_sent) == (first.row.id, first.path, before)
    assert len(shelf.models()) == 1


@pytest.mark.parametrize("away", [False, True], ids=["main moved", "the hub is away"])
def test_the_same_again_does_not_ask_what_it_knows(hub: FakeHub, home: Home, commit: str, away: bool) -> None:
    """Registering a model that is there keeps its commit and needs neither the hub nor room for a newer one."""
    limits = {"PRIMARY_CACHE_LIMIT_GB": "0.003", "ON_FULL": "refuse"}
    with home.open(**limits) as shelf:
        first = shelf.register("m", REPO)
        hub.add_repo(REPO, {"model.safetensors": random_bytes(5_000_000)})
        if away:
            hub.stop()

        again = shelf.register("m", REPO)

        assert (again.state, again.path) == ("ready", first.path)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"hf_path": "org/other"}, id="another repository"),
        pytest.param({"cache_location": "secondary", "cache_path": None}, id="another tier"),
        pytest.param({"cache_path": "another"}, id="another custom base"),
        pytest.param({"revision": "v1"}, id="another revision"),
        pytest.param({"allow_patterns": ["*.json"]}, id="other files"),
    ],
)
def test_a_name_that_is_taken_is_a_conflict(
    hub: FakeHub, home: Home, shelf: Shelf, commit: str, change: dict[str, object]
) -> None:
    """Registering another model under a taken name is a conflict, and the first one stays unchanged."""
    hub.add_repo("org/other", FILES)
    hub.set_ref(REPO, "v1", commit)
    wanted = {"model_name": "m", "hf_path": REPO, "cache_location": "custom", "cache_path": str(home.custom)}
    first = shelf.register(**wanted)
    if change.get("cache_path"):
        change = {"cache_path": str(home.root / "another")}

    with pytest.raises(Conflict):
        shelf.register(**(wanted | change))

    assert [model.row for model in shelf.models()] == [first.row]
    assert not (home.root / "another").exists()


def test_with_the_hub_away_a_model_is_registered_all_the_same(
    hub: FakeHub, home: Home, commit: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Without the hub a model is registered and its job waits with the reason; a later pull completes it."""
    hub.stop()
    with home.open() as shelf:
        with pytest.raises(Unavailable), caplog.at_level(logging.CRITICAL):
            shelf.register("m", REPO)
        model = shelf.model("m")
        assert (model.state, model.row.commit_hash) == ("registered", None)
        assert "isn't reachable" in model.detail

        hub.start()
        shelf.pull("m")

        assert (shelf.model("m").state, shelf.model("m").row.commit_hash) == ("ready", commit)
        assert tree(shelf.path("m")) == FILES
        assert violations(shelf) == []


def test_with_the_hub_away_what_hf_downloaded_is_registered(hub: FakeHub, home: Home, commit: str) -> None:
    """Without the hub a model that `hf` downloaded is registered as it is there, and ready; part of it isn't enough."""
    home.hf(home.primary, "download", REPO).checked()
    home.hf(home.secondary, "download", REPO, "config.json").checked()
    hub.stop()

    done = home.run("add", "m", REPO).checked()
    part = home.run("add", "n", REPO, "--to", "secondary")

    assert f"m: ready, 300.0 kB in {home.primary}/hub/models--org--name/snapshots/{commit}" in done.out
    assert (part.code, "isn't reachable" in part.err) == (7, True)
    with home.open() as shelf:
        assert (shelf.model("m").row.commit_hash, shelf.model("n").state) == (commit, "registered")
        assert tree(shelf.path("m")) == FILES
        assert violations(shelf) == []


def test_with_the_hub_away_an_empty_file_is_missed_too(hub: FakeHub, home: Home) -> None:
    """What `hf` downloaded isn't whole as long as a file without bytes is missing."""
    two = hub.add_repo("org/two", {"config.json": b"{}", "__init__.py": b""})
    home.hf(home.primary, "download", "org/two").checked()
    empty = Base(home.primary).repo("org/two").snapshot(CommitHash(two)) / "__init__.py"
    empty.resolve().unlink()
    empty.unlink()
    hub.stop()

    done = home.run("add", "m", "org/two")

    assert (done.code, "isn't reachable" in done.err) == (7, True)
    with home.open() as shelf:
        assert shelf.model("m").row.commit_hash is None


def test_a_worker_completes_what_waited_for_the_hub(hub: FakeHub, shelf: Shelf, commit: str) -> None:
    """A server completes a model that waited for the hub without being asked."""
    hub.stop()
    shelf.register("m", REPO, download=False)
    shelf.services.registrar.enqueue_pull("m")
    worker = Worker(shelf.services.runner)
    worker.start()
    wait_until(lambda: shelf.model("m").row.job_state == "waiting", "the job to wait")

    hub.start()
    wait_until(lambda: shelf.model("m").state == "ready", "the worker to come back to it")
    worker.stop()

    assert tree(shelf.path("m")) == FILES


@pytest.mark.parametrize("ask", [lambda shelf: shelf.pull("m"), lambda shelf: shelf.path("m")], ids=["pull", "path"])
def test_a_repository_that_never_was_is_said_when_the_hub_is_back(
    hub: FakeHub, shelf: Shelf, ask: Callable[[Shelf], object]
) -> None:
    """A wrong id that couldn't be checked without the hub fails as not found once the hub is back."""
    hub.stop()
    shelf.register("m", "org/absent", download=False)
    hub.start()

    with pytest.raises(NotFound):
        shelf.pull("m")

    assert shelf.model("m").state == "failed"
    with pytest.raises(ShelfError):
        ask(shelf)
