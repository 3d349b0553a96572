"""The library in Python: what a person finds on it, and each verb with real files."""

from __future__ import annotations

import inspect
import shutil
from pathlib import Path

import pytest

import modelshelf
from modelshelf import errors
from modelshelf.domain.jobs import Job
from modelshelf.services.shelf import Shelf
from tests.fakes.hub import FakeHub
from tests.headers import gguf
from tests.world import Home, random_bytes, tree

FILES = {"config.json": b"{}", "model.safetensors": random_bytes(300_000)}
SIZE = sum(map(len, FILES.values()))
VERBS = {
    "adopt", "adopt_all", "cancel", "choose_engine", "close", "dedupe", "files", "gc", "job", "jobs", "load", "model",
    "models", "move", "path", "pin", "pull", "reconcile", "register", "remove", "rename", "tiers", "unpin", "update",
    "verify",
}  # fmt: skip
LONG_VERBS = ("adopt", "adopt_all", "dedupe", "gc", "move", "pull", "reconcile", "register", "update", "verify")


@pytest.fixture
def model(hub: FakeHub, shelf: Shelf) -> modelshelf.Model:
    """A model on the primary tier."""
    hub.add_repo("org/model", FILES)
    return shelf.register("m", "org/model")


def test_what_is_offered_are_the_verbs_and_what_there_is(shelf: Shelf) -> None:
    """Completion shows the verbs, `models`, `tiers` and `jobs`, and no internal parts."""
    assert set(dir(shelf)) == VERBS
    assert all(callable(getattr(shelf, name)) for name in dir(shelf))
    assert all(getattr(Shelf, name).__doc__ for name in VERBS)
    assert set(dir(modelshelf)) == set(modelshelf.__all__)


def test_the_errors_can_be_caught_by_their_names(shelf: Shelf) -> None:
    """Every error class is exported, and the raised error is an instance of it."""
    classes: list[type] = [errors.ShelfError, *errors.ShelfError.__subclasses__(), errors.Cancelled]
    kinds = {kind.__name__ for kind in classes}

    assert kinds <= set(modelshelf.__all__)
    assert all(getattr(modelshelf, name) is getattr(errors, name) for name in kinds)
    with pytest.raises(modelshelf.NotFound):
        shelf.model("nothing")
    with pytest.raises(modelshelf.BadInput):
        shelf.register("m", "no such id!")


def test_a_model_is_found_by_its_repository_too(hub: FakeHub, shelf: Shelf, model: modelshelf.Model) -> None:
    """Every verb about a model but `remove` takes its repository in any case and `:QUANT`, as commands do."""
    hub.add_repo("org/model-GGUF", {"model-Q4_1.gguf": gguf({})})
    shelf.register("q", "org/model-GGUF")

    for asked in ("ORG/Model", "hf.co/org/model", "M", "m:latest"):
        assert shelf.model(asked).model_name == shelf.pin(asked).model_name == "m", asked
        assert (shelf.files(asked), shelf.path(asked)) == (shelf.files("m"), shelf.path("m")), asked
        assert shelf.verify([asked]).checked_blobs == 2, asked
    assert shelf.model("org/model-gguf:Q4_1").model_name == "q"
    assert shelf.pull("org/model").model_name == shelf.update(model_name="org/model").model_name == "m"
    assert shelf.move("org/model", "secondary").cache_location == "secondary"
    assert shelf.choose_engine("org/model", "auto").model_name == shelf.unpin("org/model").model_name == "m"
    assert shelf.rename("org/model", "n").model_name == "n"
    with pytest.raises(modelshelf.NotFound):
        shelf.remove("org/model")


def test_a_model_says_what_it_is(home: Home, model: modelshelf.Model, shelf: Shelf) -> None:
    """A model has its name, size, state, path and repository as attributes."""
    [found] = shelf.models()

    assert (found.model_name, found.state, found.size_bytes) == ("m", "ready", SIZE)
    assert (found.hf_path, found.revision, found.cache_location, found.pinned) == (
        "org/model",
        "main",
        "primary",
        False,
    )
    assert found.path is not None
    assert tree(Path(found.path)) == tree(shelf.path("m")) == FILES
    assert found == model
    assert sum(file.size_bytes for file in shelf.files("m")) == SIZE
    assert found.commit_hash == Path(found.path).name


def test_what_is_shown_is_one_line(home: Home, model: modelshelf.Model, shelf: Shelf) -> None:
    """A library, a model, a tier and a job each have a repr of one short line."""
    primary, secondary = shelf.tiers()
    [job] = shelf.jobs()

    assert repr(shelf) == f"<Shelf: primary {home.primary}, secondary {home.secondary}>"
    assert repr(model) == "<Model m: ready, 300.0 kB on primary>"
    assert repr(primary).startswith(f"<Tier primary {home.primary}: ")
    assert repr(secondary).startswith(f"<Tier secondary {home.secondary}: ")
    assert repr(job) == f"<Job {job.id}: pull m, done>"


@pytest.mark.parametrize("as_path", [str, Path], ids=["str", "Path"])
def test_a_path_is_given_either_way(home: Home, hub: FakeHub, as_path: type[str] | type[Path]) -> None:
    """A str works where a `Path` does: for a custom base, a tier, a folder to adopt and the settings file."""
    hub.add_repo("org/model", FILES)
    elsewhere, old = home.root / "elsewhere", home.root / "old"
    with home.open() as shelf:
        added = shelf.register("m", "org/model", "custom", as_path(home.custom))
        assert (added.base, added.state) == (str(home.custom), "ready")
        assert shelf.move("m", "custom", as_path(elsewhere)).base == str(elsewhere)
        shelf.register("n", "org/model")
        shutil.copytree(home.primary / "hub", old / "hub", symlinks=True)
        assert shelf.adopt(as_path(old), "leave", dry_run=True)["path"] == str(old)
        assert [done["cache_path"] for done in shelf.gc(as_path(home.primary))] == [str(home.primary)]
        assert [done["cache_path"] for done in shelf.dedupe(as_path(home.primary))] == [str(home.primary)]
        assert shelf.reconcile([as_path(old)])["steps"] == []
    home.env_file.write_text(f"PRIMARY_CACHE_PATH={home.primary}\n")
    opened = "import sys, modelshelf\nfrom pathlib import Path\nprint(modelshelf.open({}(sys.argv[1])))"
    assert str(home.primary) in home.python(opened.format(as_path.__name__), str(home.env_file)).checked().out


def test_every_long_verb_tells_how_far_it_is(home: Home, hub: FakeHub, shelf: Shelf) -> None:
    """Every long verb takes the same `progress`, which is called with the running job."""
    hub.add_repo("org/model", {"config.json": b"{}", "model.safetensors": random_bytes(3_000_000)})
    shelf.register("m", "org/model", download=False)
    told: list[Job] = []

    with home.open(SHELF_DOWNLOAD_LIMIT="2 MB") as slow:
        slow.pull("m", progress=told.append)

    assert {(job.kind, job.model_name, job.state) for job in told} == {("pull", "m", "running")}
    assert any(0 < job.done_bytes < 3_000_002 for job in told)
    for verb in LONG_VERBS:
        assert "progress" in inspect.signature(getattr(Shelf, verb)).parameters, verb


def test_each_verb_does_its_work(home: Home, hub: FakeHub, model: modelshelf.Model, shelf: Shelf) -> None:
    """Pin, rename, move, update, verify and remove return the new state, measured on the disk."""
    assert shelf.pin("m", "mine").pinned
    assert not shelf.unpin("m").pinned
    assert shelf.rename("m", "n").model_name == "n"
    moved = shelf.move("n", "secondary")
    newer = hub.add_repo("org/model", FILES | {"more.txt": b"more"})
    updated = shelf.update("n")

    assert (moved.base, updated.commit_hash) == (str(home.secondary), newer)
    assert tree(shelf.path("n"))["more.txt"] == b"more"
    assert list(shelf.verify(["n"]).wrong) == []
    assert [job.kind for job in shelf.jobs(kind="move")] == ["move"]
    assert shelf.jobs(model_name="n", unfinished=True) == []
    assert shelf.job(shelf.jobs()[0].id) == shelf.jobs()[0]
    assert shelf.remove("n", delete_files=True).freed.apparent_bytes >= SIZE
    assert shelf.models() == []


def test_one_text_is_not_read_letter_by_letter(hub: FakeHub, shelf: Shelf) -> None:
    """One pattern or name may be given as such, as huggingface_hub's functions take it."""
    hub.add_repo("org/several", {"a.bin": b"a" * 10, "b.bin": b"b" * 10})

    shelf.register("some", "org/several", allow_patterns="*a.bin")

    assert [file.path for file in shelf.files("some")] == ["a.bin"]
    assert shelf.verify("some").wrong == []
