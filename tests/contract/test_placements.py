"""Changes of where models are, on every database: they apply only if the model is as it was read."""

from __future__ import annotations

from dataclasses import replace

import pytest

from modelshelf.domain.job_params import OldCopy, params_of
from modelshelf.domain.jobs import UNFINISHED
from modelshelf.domain.models import FileEntry, Mirrored, ModelRow, Registration
from modelshelf.domain.names import BasePath, CommitHash, RepoId
from modelshelf.domain.sidecars import Sidecar
from modelshelf.domain.weight_files import WeightFormat
from modelshelf.registry.placements import Arrival
from modelshelf.registry.registry import Registry

REPO = "org/name"
OLD, NEW = "1" * 40, "2" * 40
OLD_COPY = OldCopy(BasePath("/usb"), "", RepoId(REPO), CommitHash(OLD), ())
FILES = (FileEntry("a.bin", 7, "a" * 64), FileEntry("b.txt", 3, "b" * 40))
SIDECAR = Sidecar("m", REPO, "main", NEW, ("*.bin",), True, "mine", FILES)


@pytest.fixture
def row(registry: Registry) -> ModelRow:
    """A whole model at the old commit."""
    added = registry.add_model(Registration("m", REPO, "primary", allow_patterns=("*.bin",)), "/fast")
    registry.set_manifest(added, OLD, FILES)
    registry.set_complete(added.id, "1:2")
    return _now(registry)


def _now(registry: Registry) -> ModelRow:
    found = registry.model("m")
    assert found is not None
    return found


def test_a_model_is_added_as_its_sidecar_says(registry: Registry) -> None:
    """A model is added with its sidecar's name, pin, patterns, commit, files and size; the name is then taken."""
    assert registry.placements.add([Arrival(SIDECAR, "secondary", "/slow", complete=True, signature="3:4")]) == [True]
    row = _now(registry)

    assert (row.commit_hash, row.pinned, row.pin_reason, row.allow_patterns) == (NEW, True, "mine", ("*.bin",))
    assert (row.cache_location, row.cache_path, row.complete, row.signature) == ("secondary", "/slow", True, "3:4")
    assert (row.size_bytes, registry.files(REPO, NEW)) == (7, list(FILES))
    assert registry.placements.add([Arrival(SIDECAR, "primary", "/fast", complete=True)]) == [False]
    assert _now(registry) == row


def test_of_models_that_are_added_together_each_needs_a_free_name(registry: Registry, row: ModelRow) -> None:
    """A model whose name is taken isn't added and changes nothing, while those that are added with it are."""
    names = ("b", row.model_name, "c")
    arrivals = [Arrival(replace(SIDECAR, model_name=name), "secondary", "/slow", complete=True) for name in names]

    assert registry.placements.add(arrivals) == [True, False, True]
    assert [found.model_name for found in registry.models()] == ["b", "c", "m"]
    assert _now(registry) == row
    assert registry.files(REPO, NEW) == list(FILES)


def test_a_model_is_placed_elsewhere_at_another_commit(registry: Registry, row: ModelRow) -> None:
    """When a model is placed at another commit, a list of files that nothing needs is deleted."""
    assert registry.placements.place(row, Arrival(SIDECAR, "secondary", "/slow", complete=True, signature="3:4"))

    now = _now(registry)
    assert (now.id, now.commit_hash, now.cache_path, now.signature) == (row.id, NEW, "/slow", "3:4")
    assert (registry.files(REPO, OLD), registry.files(REPO, NEW)) == ([], list(FILES))


def test_a_model_that_is_placed_incomplete_keeps_its_signature(registry: Registry, row: ModelRow) -> None:
    """A model placed incomplete keeps its signature, which says that it lost files."""
    assert registry.placements.place(row, Arrival(SIDECAR, "custom", "/usb", complete=False, signature=""))

    assert (_now(registry).complete, _now(registry).signature) == (False, "1:2")


def test_a_model_that_lost_files_is_not_complete(registry: Registry, row: ModelRow) -> None:
    """A model that lost files becomes incomplete, and nothing else of it changes."""
    assert registry.placements.lose(row)

    assert _now(registry) == replace(row, complete=False)


def test_a_newer_commit_and_the_end_of_the_old_one_are_one_change(registry: Registry, row: ModelRow) -> None:
    """Switching to a newer commit adds the job that deletes the old snapshot in the same transaction."""
    taken = registry.placements.take_commit(row, NEW, FILES, 7, "5:6", OLD_COPY)

    now = _now(registry)
    assert taken
    assert (now.commit_hash, now.size_bytes, now.signature, now.complete) == (NEW, 7, "5:6", True)
    assert (registry.files(REPO, OLD), registry.files(REPO, NEW)) == ([], list(FILES))
    [job] = registry.jobs(state=UNFINISHED)
    assert (job.kind, job.model_id, params_of(job, OldCopy)) == ("delete_old_copy", None, OLD_COPY)
    assert not registry.placements.take_commit(row, NEW, FILES, 7, "5:6", OLD_COPY)
    assert len(registry.jobs()) == 1


def test_the_old_commit_stays_without_a_job(registry: Registry, row: ModelRow) -> None:
    """Without that job the old commit's list of files stays while another model needs it."""
    twin = registry.add_model(Registration("twin", REPO, "primary"), "/fast")
    registry.set_manifest(twin, OLD, FILES)

    assert registry.placements.take_commit(row, NEW, FILES, 7, "5:6", None)

    assert (registry.jobs(), registry.files(REPO, OLD)) == ([], list(FILES))


@pytest.mark.parametrize("change", ["moved", "updated", "renamed", "removed", "busy"])
def test_what_changed_since_is_left_alone(registry: Registry, row: ModelRow, change: str) -> None:
    """A row that another process changed in the meantime isn't overwritten."""
    if change == "moved":
        job = registry.enqueue("move", row, {})
        registry.placements.switch(row.id, "secondary", "/slow", "7:8", None, job_id=job.id)
    elif change == "updated":
        registry.placements.take_commit(row, NEW, FILES, 7, "5:6", None)
    elif change == "renamed":
        registry.rename(row.id, "n")
    elif change == "removed":
        registry.delete_model(row.id)
    else:
        registry.enqueue("pull", row)
    before = registry.models()

    assert not registry.placements.place(row, Arrival(SIDECAR, "custom", "/usb", complete=True, signature=""))
    assert not registry.placements.lose(row)

    assert registry.models() == before


def test_a_model_that_is_forgotten_can_leave_a_job_behind(registry: Registry, row: ModelRow) -> None:
    """Forgetting a model can add a job that tidies up when its drive is back."""
    registry.delete_model(row.id, OLD_COPY)
    registry.delete_model(row.id, OLD_COPY)

    [job] = registry.jobs()
    assert (job.kind, job.model_name, job.model_id) == ("delete_old_copy", "m", None)


def test_what_clients_brought_is_told_apart(registry: Registry, row: ModelRow) -> None:
    """A repository is open or gated as its mirrored models are, and neither where a person registered it as well."""
    wanted = Registration("x", "Org/X", "primary", mirrored=Mirrored.OPEN)
    mirrored = registry.add_model(wanted, "/fast")
    registry.add_model(replace(wanted, model_name="too", hf_path=REPO, mirrored=Mirrored.GATED), "/fast")
    registry.set_manifest(mirrored, NEW, FILES)

    registry.placements.grow(mirrored.id, ["b.txt"], 3, "5:6", WeightFormat("GGUF", "Q4_1"))

    (grown,) = registry.models(repo_id="Org/X")
    assert (grown.complete, grown.allow_patterns, grown.size_bytes, grown.signature) == (True, ("b.txt",), 3, "5:6")
    assert (grown.format, grown.quantisation) == ("GGUF", "Q4_1")
    assert registry.placements.mirrored() == {"org/x": Mirrored.OPEN, REPO: Mirrored.NO}
    assert [one.model_name for one in registry.placements.mirrored_on("primary")] == ["too", "x"]
    assert [one[0] for one in registry.placements.by_last_use("primary", mirrored=True)] == ["Org/X"]
    assert len(registry.placements.by_last_use("primary")) == 2

    registry.placements.close_mirrored("org/x")
    assert registry.placements.mirrored()["org/x"] is Mirrored.GATED
