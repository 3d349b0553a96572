"""Reconcile brings registry and disks together after any manual change of either."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modelshelf.services.shelf import Shelf
from modelshelf.store.layout import Base
from modelshelf.store.repos import scan
from modelshelf.store.tiers import sidecars
from tests.builders import lay_out
from tests.fakes.hub import FakeHub
from tests.invariants import violations
from tests.world import Home, Server, load_offline, random_bytes, tree, wait_until

REPO = "org/name"
FILES = {"config.json": b"{}", "deep/a.safetensors": random_bytes(300_000, 1), "b.bin": random_bytes(70_000, 2)}
OTHER = {"config.json": b"{ }", "c.safetensors": random_bytes(200_000, 3)}


def reconcile(home: Home, *words: str, **more: str) -> Any:
    """Run `shelf reconcile --json`, assert that a second run has nothing to do, and return the first report."""
    said = home.run("reconcile", "--json", *words, **more).checked().json
    again = home.run("reconcile", "--json", *words, **more).checked().json
    assert (again["steps"], again["skipped"]) == ([], [])
    return said


def steps(said: Any) -> list[tuple[str, str]]:
    """Return the steps as (action, model)."""
    return [(step["action"], step["model_name"]) for step in said["steps"]]


def lose_registry(home: Home) -> None:
    """Delete the registry, as a person or a broken disk would."""
    for path in (home.primary / "modelshelf").glob("registry.db*"):
        path.unlink()


def files_of(home: Home) -> dict[Path, int]:
    """Return every file of the primary except the registry, with its mtime in ns."""
    found = (path for path in home.primary.rglob("*") if not path.is_dir() and "registry.db" not in path.name)
    return {path: path.lstat().st_mtime_ns for path in found}


@pytest.fixture
def whole(hub: FakeHub, home: Home) -> str:
    """The model `m`, whole on the primary; its commit."""
    commit = hub.add_repo(REPO, FILES)
    with home.open() as shelf:
        shelf.register("m", REPO)
    return commit


def test_a_library_that_agrees_needs_nothing(home: Home, whole: str) -> None:
    """After a pull reconcile has nothing to do, and says so."""
    assert steps(reconcile(home)) == []
    assert "nothing to do" in home.run("reconcile").checked().out


def test_files_removed_by_hand_leave_a_model_that_says_so(home: Home, whole: str) -> None:
    """If a model's files were deleted by hand it is missing, and the pull that is named brings them back."""
    shutil.rmtree(Base(home.primary).repo(REPO).path)

    assert steps(reconcile(home)) == [("incomplete", "m")]

    assert home.run("show", "m", "--json").json["state"] == "missing"
    with home.open() as shelf:
        assert violations(shelf) == []
    assert home.run("pull", "m", "--json").checked().json["state"] == "ready"


def test_one_file_removed_by_hand_leaves_a_partial_model(home: Home, whole: str) -> None:
    """A model whose blob is gone is partial, and whole again without the hub once the blob is back."""
    blob = next(p for p in Base(home.primary).repo(REPO).blobs.iterdir() if p.stat().st_size == 70_000)
    aside = blob.rename(home.root / "aside")
    assert steps(reconcile(home)) == [("incomplete", "m")]
    assert home.run("show", "m", "--json").json["state"] == "partial"

    aside.rename(blob)

    assert steps(reconcile(home)) == [("placed", "m")]
    assert home.run("show", "m", "--json").json["state"] == "ready"


def test_a_repository_moved_by_hand_is_followed(hub: FakeHub, home: Home, whole: str) -> None:
    """If a repository's folder was moved by hand, the model follows it, and every tool loads it there."""
    with home.open() as shelf:
        shelf.services.tiers.open(shelf.services.tiers.configured()[1])
    target = Base(home.secondary).repo(REPO).path
    target.parent.mkdir(parents=True)
    shutil.move(Base(home.primary).repo(REPO).path, target)

    assert steps(reconcile(home)) == [("placed", "m"), ("sidecar_written", "m"), ("sidecar_removed", "m")]

    with home.open() as shelf:
        model = shelf.model("m")
        assert (model.state, model.base, tree(shelf.path("m"))) == ("ready", str(home.secondary), FILES)
        assert load_offline(home, home.secondary, REPO) == shelf.path("m")
        assert violations(shelf) == []
    home.hf(home.secondary, "cache", "verify", REPO).checked()


def test_a_base_that_is_not_there_is_refused(home: Home) -> None:
    """A folder that doesn't exist is an error, and not a base on which nothing is to do."""
    for words in ((), ("--dry-run",)):
        refused = home.run("reconcile", "--base", str(home.custom / "nowhere"), *words)
        assert (refused.code, "nowhere isn't a folder." in refused.err) == (2, True)


def test_a_lost_registry_is_rebuilt_from_every_base(hub: FakeHub, home: Home) -> None:
    """A lost registry is rebuilt from primary, secondary and custom bases with names, pins, revisions and patterns."""
    hub.add_repo(REPO, FILES)
    commit = hub.add_repo("org/other", OTHER)
    with home.open() as shelf:
        shelf.register("a", REPO, allow_patterns=["b.bin"])
        shelf.register("b", "org/other", "secondary", revision=commit)
        shelf.register("c", REPO, "custom", str(home.custom))
        shelf.pin("b", "mine")
    before = home.run("ls", "--json").json
    lose_registry(home)
    assert home.run("ls", "--json").checked().json == []

    said = reconcile(home)

    assert steps(said) == [("added", "a"), ("added", "b"), ("added", "c")]
    after = home.run("ls", "--json").json
    forgotten = {"created_at", "job_id"}
    assert [{k: v for k, v in m.items() if k not in forgotten} for m in after] == [
        {k: v for k, v in m.items() if k not in forgotten} for m in before
    ]
    with home.open() as shelf:
        assert shelf.services.registry.model("b").pin_reason == "mine"  # type: ignore[union-attr]
        assert violations(shelf) == []
        assert tree(shelf.path("c")) == FILES


def test_a_new_database_is_filled_from_the_disks(home: Home, whole: str) -> None:
    """A new DATABASE_URL takes over a base that its registry released, and one reconcile registers everything."""
    url = f"sqlite:///{home.root}/new.db"
    home.run("forget", str(home.primary), "--models").checked()
    lies_at = str(Base(home.primary).repo(REPO).snapshot(whole))

    assert steps(reconcile(home, DATABASE_URL=url)) == [("added", "m")]
    assert home.run("path", "m", DATABASE_URL=url).checked().out.strip() == lies_at


def test_a_base_from_another_machine_brings_its_models(hub: FakeHub, home: Home, whole: str, tmp_path: Path) -> None:
    """A base from another machine is released and named once with --base; a model with a taken name gets a free one."""
    hub.add_repo("org/other", OTHER)
    there = Home(tmp_path / "machine", home.endpoint)
    with there.open() as shelf:
        shelf.register("m", "org/other")
    shutil.copytree(there.primary, home.custom, symlinks=True)
    assert steps(reconcile(home, "--base", str(home.custom))) == []
    there.run("forget", str(home.custom), "--models", PRIMARY_CACHE_PATH=str(home.custom)).checked()

    said = reconcile(home, "--base", str(home.custom))

    assert steps(said) == [("added", "m-2"), ("sidecar_written", "m-2"), ("sidecar_removed", "m")]
    with home.open() as shelf:
        assert tree(shelf.path("m")) == FILES
        assert tree(shelf.path("m-2")) == OTHER
        assert violations(shelf) == []


def test_the_copy_of_a_base_on_the_same_machine_becomes_a_tier_of_its_own(home: Home, whole: str) -> None:
    """A copied base gets its own id and loses its sidecars, and its bytes are named as a second copy."""
    shutil.copytree(home.primary, home.custom, symlinks=True)

    said = reconcile(home, "--base", str(home.custom))

    assert steps(said) == [("new_id", ""), ("sidecar_removed", "m")]
    copies = [(found["cache_path"], found["copy_of"]) for found in said["unregistered"]]
    assert copies == [(str(home.custom), "m")]
    ids = {json.loads(Base(base).marker.read_text())["id"] for base in (home.primary, home.custom)}
    assert len(ids) == 2
    assert home.run("path", "m").checked()


def test_a_dry_run_says_the_same_and_does_nothing(home: Home, whole: str) -> None:
    """A dry run lists what the next run does, and changes nothing on any disk."""
    lose_registry(home)
    home.run("ls").checked()
    before = files_of(home)

    planned = home.run("reconcile", "--dry-run", "--json").checked().json

    assert home.run("ls", "--json").json == []
    assert files_of(home) == before
    assert planned == reconcile(home)
    assert steps(planned) == [("added", "m")]


def test_a_ref_that_another_tool_moved_is_set_back(hub: FakeHub, home: Home, whole: str) -> None:
    """If another tool moved `main` to a snapshot with only a config, it is set back, and the model loads again."""
    hub.add_repo(REPO, FILES | {"config.json": b'{"new": 1}'})
    ref = Base(home.primary).repo(REPO).ref("main")
    code = "from huggingface_hub import hf_hub_download as get; import sys; get(sys.argv[1], 'config.json')"
    home.python(code, REPO, HF_HOME=str(home.primary)).checked()
    assert ref.read_text() != whole

    assert steps(reconcile(home)) == [("ref_set", "m")]

    assert ref.read_text() == whole
    assert tree(load_offline(home, home.primary, REPO)) == FILES


def test_a_dangling_ref_is_set_back(home: Home, whole: str) -> None:
    """A dangling ref is set back, so that scan_cache_dir lists the repository again."""
    Base(home.primary).repo(REPO).ref("main").write_text("d" * 40)

    assert steps(reconcile(home)) == [("ref_set", "m")]
    listed = home.hf(home.primary, "cache", "ls", "--json", HF_HUB_OFFLINE="1").checked()
    assert [repo["refs"] for repo in listed.json] == [["main", "refs/shelf/m"]]


def test_what_somebody_downloaded_whole_keeps_its_ref(hub: FakeHub, home: Home, whole: str) -> None:
    """A newer commit that `hf download` brought keeps its ref, and reconcile names it."""
    newer = hub.add_repo(REPO, FILES | {"b.bin": b"newer"})
    home.hf(home.primary, "download", REPO).checked()

    said = reconcile(home)

    assert steps(said) == []
    assert [(found["commit_hash"], found["copy_of"]) for found in said["unregistered"]] == [(newer, None)]


def test_a_model_without_sidecar_gets_one_with_its_files_from_the_tree_list(home: Home, whole: str) -> None:
    """If registry and sidecar lack the list of files, huggingface_hub's own list restores it."""
    base = Base(home.primary)
    with home.open() as shelf:
        files = shelf.services.registry.files(REPO, whole)
        import sqlalchemy as sa

        with shelf.services.registry._engine.begin() as connection:
            connection.execute(sa.text("DELETE FROM files"))
    sidecars.remove(base, "m")

    assert steps(reconcile(home)) == [("placed", "m"), ("sidecar_written", "m")]

    with home.open() as shelf:
        assert shelf.services.registry.files(REPO, whole) == files
        assert violations(shelf) == []
    [sidecar] = sidecars.read_all(base)
    assert list(sidecar.files) == files


@pytest.mark.parametrize("died", ["after-the-copy", "half-way"])
def test_a_move_that_died_with_the_registry_ends_or_never_was(hub: FakeHub, home: Home, whole: str, died: str) -> None:
    """With the registry lost, an interrupted move ends at the target if the copy is whole, and else at the source."""
    base, target = Base(home.primary), Base(home.secondary)
    [sidecar] = sidecars.read_all(base)
    with home.open() as shelf:
        shelf.services.tiers.open(shelf.services.tiers.configured()[1])
    shutil.copytree(base.repo(REPO).path, target.repo(REPO).path, symlinks=True)
    from dataclasses import replace

    sidecars.write(target, replace(sidecar, arriving_from=str(home.primary)))
    if died == "half-way":
        next(target.repo(REPO).blobs.iterdir()).unlink()
    lose_registry(home)

    said = reconcile(home)

    with home.open() as shelf:
        model = shelf.model("m")
        assert (model.state, model.base) == ("ready", str(home.secondary if died == "after-the-copy" else home.primary))
        assert tree(shelf.path("m")) == FILES
    assert tree(base.repo(REPO).snapshot(whole)) == FILES
    if died == "after-the-copy":
        assert [(f["cache_path"], f["copy_of"]) for f in said["unregistered"]] == [(str(home.primary), "m")]
    assert [len(sidecars.read_all(b)) for b in (base, target)] == ([0, 1] if died == "after-the-copy" else [1, 0])


def test_unregistered_repositories_are_listed_and_left(home: Home, whole: str) -> None:
    """An unregistered snapshot is named with its size if it is whole."""
    lay_out(home.primary, "model org/found\n commit a main\n  x.bin 500\nmodel org/part\n commit b main\n  y.bin 600")
    next(Base(home.primary).repo("org/part").blobs.iterdir()).unlink()

    said = reconcile(home)

    assert [(f["hf_path"], f["size_bytes"]) for f in said["unregistered"]] == [("org/found", 500)]
    assert steps(said) == []


def test_a_drive_mounted_elsewhere_takes_its_models_along(hub: FakeHub, home: Home, cli: Callable[..., Any]) -> None:
    """If a drive is mounted elsewhere, its marker identifies it, and its models follow there and back."""
    hub.add_repo(REPO, FILES)
    with home.open() as shelf:
        shelf.register("m", REPO, "custom", str(home.custom))
    elsewhere = home.root / "elsewhere"
    home.custom.rename(elsewhere)
    home.custom.mkdir()
    assert cli("path", "m").code == 7

    assert steps(reconcile(home, "--base", str(elsewhere))) == [("placed", "m")]

    assert tree(Path(cli("path", "m").checked().out.strip())) == FILES
    home.custom.rmdir()
    elsewhere.rename(home.custom)
    assert str(home.custom) in cli("show", "m", "--json").json["detail"]
    assert steps(reconcile(home)) == [("placed", "m")]
    assert cli("show", "m", "--json").json["cache_path"] == str(home.custom)


def test_models_on_a_drive_that_is_away_are_left_and_named(hub: FakeHub, home: Home, whole: str) -> None:
    """Models on an offline drive are named and kept, whatever is at the empty mount point."""
    hub.add_repo("org/other", OTHER)
    with home.open() as shelf:
        shelf.register("far", "org/other", "secondary")
    home.secondary.rename(home.root / "away")
    home.secondary.mkdir()

    said = reconcile(home)

    assert steps(said) == []
    assert [left["model_name"] for left in said["untouched"]] == ["far"]
    assert list(home.secondary.iterdir()) == []
    (home.root / "away").rename(home.secondary) if not home.secondary.rmdir() else None
    assert home.run("show", "far", "--json").json["state"] == "ready"


def test_http_reconciles_and_a_dry_run_shows_the_plan(home: Home, whole: str, server: Server) -> None:
    """`POST /api/cache/reconcile` is a job with the report as its result; `dry_run` answers with the plan."""
    shutil.rmtree(Base(home.primary).repo(REPO).path)

    plan = server.ask("POST", "/api/cache/reconcile", {"dry_run": True})
    assert (plan.status, steps(plan.json)) == (200, [("incomplete", "m")])
    answer = server.ask("POST", "/api/cache/reconcile")

    assert (answer.status, answer.json["kind"]) == (202, "reconcile")
    path = f"/api/jobs/{answer.json['id']}"
    job = wait_until(lambda: (job := server.get(path))["state"] == "done" and job, "the job")
    assert steps(job["result"]) == [("incomplete", "m")]
    assert server.get("/api/models/m")["state"] == "missing"


def test_what_changed_since_it_was_looked_at_is_not_overwritten(shelf: Shelf, home: Home, whole: str) -> None:
    """A step whose model was moved or removed after the scan is skipped and says so."""
    shutil.rmtree(Base(home.primary).repo(REPO).path)
    plan = shelf.services.reconciler.plan()
    shelf.services.registry.delete_model(shelf.services.registry.model("m").id)  # type: ignore[union-attr]

    assert [shelf.services.reconciler.carry_out(step) for step in plan.steps] == [False]
    assert scan.repos(Base(home.primary)) == []
