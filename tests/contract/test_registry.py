"""The registry on every database, with each of its readers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from modelshelf.domain.engine_choice import EngineChoice
from modelshelf.domain.job_params import OldCopy
from modelshelf.domain.jobs import UNFINISHED, Cause
from modelshelf.domain.listing import Listing, Order
from modelshelf.domain.models import FileEntry, ModelRow, Registration
from modelshelf.domain.names import BasePath, RepoId
from modelshelf.domain.ports import Reader
from modelshelf.domain.weight_files import WeightFormat
from modelshelf.errors import Conflict
from modelshelf.registry.fast_read import SqliteReader
from modelshelf.registry.registry import Registry

COMMIT = "c" * 40
QWEN = Registration("qwen", "Qwen/Qwen2.5-3B", "primary", allow_patterns=("*.json", "w.bin"), pinned=True)
FILES = [
    FileEntry("config.json", 20, "1" * 40),
    FileEntry("w.bin", 5 * 10**9, "2" * 64),
    FileEntry("copy.json", 20, "1" * 40),
    FileEntry("other.gguf", 7, "3" * 64),
]


@pytest.fixture(params=["sqlite", "sqlite read fast", "postgresql"])
def library(
    request: pytest.FixtureRequest, tmp_path: Path, new_postgres: Callable[[], str]
) -> Iterator[tuple[Registry, Reader]]:
    """A registry to write with, and each reader of it."""
    path = tmp_path / "registry.db"
    registry = Registry(new_postgres() if request.param == "postgresql" else f"sqlite:///{path}")
    yield registry, SqliteReader(path) if request.param == "sqlite read fast" else registry
    registry.close()


def add(registry: Registry, model_name: str = "qwen", **values: Any) -> ModelRow:
    """Register a model of the same repository."""
    return registry.add_model(Registration(model_name, "Qwen/Qwen2.5-3B", "primary", **values), "/mnt/fast")


def sorted_files() -> list[FileEntry]:
    """Return the manifest as the registry gives it."""
    return sorted(FILES, key=lambda file: file.path)


def test_a_fresh_registry_is_empty(library: tuple[Registry, Reader]) -> None:
    """A fresh registry is empty, and reading it raises nothing."""
    _, reader = library

    assert reader.models() == []
    assert reader.model("qwen") is None
    assert reader.files("Qwen/Qwen2.5-3B", COMMIT) == []
    assert reader.tier_ids() == {}
    assert reader.leaving() == set()


def test_a_registered_model_is_read_as_it_was_written(library: tuple[Registry, Reader]) -> None:
    """A model is read back with every column's type: tuples, booleans, and None for what isn't known."""
    registry, reader = library

    added = registry.add_model(QWEN, "/mnt/fast")
    row = reader.model("qwen")

    assert row == added
    assert row is not None
    assert (row.model_name, row.hf_path, row.revision) == ("qwen", "Qwen/Qwen2.5-3B", "main")
    assert (row.cache_location, row.cache_path, row.allow_patterns) == ("primary", "/mnt/fast", ("*.json", "w.bin"))
    assert (row.pinned, row.complete, row.signature, row.size_bytes) == (True, False, "", 0)
    assert (row.commit_hash, row.last_used_at, row.uses, row.job_id, row.job_state) == (None, None, 0, None, "")
    assert row.created_at > 1_700_000_000
    assert type(row.pinned) is type(row.complete) is bool


def test_models_are_listed_by_name(library: tuple[Registry, Reader]) -> None:
    """Models are listed by name, whatever the order of registration."""
    registry, reader = library
    for name in ("c", "a", "b"):
        add(registry, name)

    assert [row.model_name for row in reader.models()] == ["a", "b", "c"]


def test_a_manifest_is_kept_with_the_commit(library: tuple[Registry, Reader]) -> None:
    """A manifest lists files by path, and the model's size is that of the distinct blobs it selects."""
    registry, reader = library
    row = registry.add_model(QWEN, "/mnt/fast")

    registry.set_manifest(row, COMMIT, FILES)

    found = reader.model("qwen")
    assert found is not None
    assert (found.commit_hash, found.size_bytes, found.complete) == (COMMIT, 5 * 10**9 + 20, False)
    assert reader.files("Qwen/Qwen2.5-3B", COMMIT) == sorted(FILES, key=lambda file: file.path)
    assert reader.files("Qwen/Qwen2.5-3B", "d" * 40) == reader.files("org/other", COMMIT) == []


def test_all_manifests_are_read_at_once(library: tuple[Registry, Reader]) -> None:
    """Each commit has the files that it has when it is asked for alone."""
    registry, reader = library
    other, their_files = Registration("other", "org/other", "primary"), [FileEntry("a.bin", 1, "a" * 64)]
    registry.set_manifest(registry.add_model(QWEN, "/mnt/fast"), COMMIT, FILES)
    registry.set_manifest(registry.add_model(other, "/mnt/fast"), COMMIT, their_files)

    found = reader.manifests()

    assert found.keys() == {("Qwen/Qwen2.5-3B", COMMIT), ("org/other", COMMIT)}
    assert all(registry.files(*commit) == files for commit, files in found.items())


def test_a_model_tells_how_its_weights_are_written(library: tuple[Registry, Reader]) -> None:
    """The manifest's names tell the format until the files themselves were read."""
    registry, reader = library
    row = add(registry)
    registry.set_manifest(row, COMMIT, [FileEntry("m-q4_k_m.gguf", 1, "1" * 64)])
    before = reader.model("qwen")

    registry.set_complete(row.id, "1:2", WeightFormat("GGUF", "IQ4_XS"))

    after = reader.model("qwen")
    assert before is not None
    assert after is not None
    assert (before.format, before.quantisation) == ("GGUF", "Q4_K_M")
    assert (after.format, after.quantisation) == ("GGUF", "IQ4_XS")


def test_a_complete_model_stops_being_so_with_a_new_manifest(library: tuple[Registry, Reader]) -> None:
    """A new manifest, even an empty one, makes a complete model incomplete."""
    registry, reader = library
    row = add(registry)
    registry.set_manifest(row, COMMIT, FILES)
    registry.set_complete(row.id, "1:2")
    complete = reader.model("qwen")

    registry.set_manifest(row, COMMIT, [])

    found = reader.model("qwen")
    assert complete is not None
    assert (complete.complete, complete.signature) == (True, "1:2")
    assert found is not None
    assert (found.complete, found.signature, found.size_bytes) == (False, "", 0)
    assert reader.files("Qwen/Qwen2.5-3B", COMMIT) == []


def test_the_newest_job_stands_beside_its_model(library: tuple[Registry, Reader]) -> None:
    """A model is listed with its newest job, and not with older ones or other models' jobs."""
    registry, reader = library
    row = add(registry)
    registry.finish_job(registry.enqueue("pull", row).id, "failed", detail="old")
    job = registry.enqueue("move", row)
    registry.update_job(job.id, {"done_bytes": 7, "total_bytes": 9, "detail": "new"})
    registry.enqueue("pull", add(registry, "other"))

    found = reader.model("qwen")

    assert found is not None
    assert (found.job_id, found.job_kind, found.job_state, found.job_detail) == (job.id, "move", "queued", "new")
    assert (found.job_done_bytes, found.job_total_bytes) == (7, 9)


def test_each_load_is_counted(library: tuple[Registry, Reader]) -> None:
    """Each load is counted, and the last use is by the database's clock."""
    registry, reader = library
    row = add(registry)
    for _ in range(3):
        registry.add_use(row.id, "load", 0.5)

    found = reader.model("qwen")

    assert found is not None
    assert found.uses == 3
    assert found.last_used_at is not None
    assert abs(found.last_used_at - row.created_at) < 60


def test_the_same_registration_twice_is_one(registry: Registry) -> None:
    """Registering the same model twice returns the existing one."""
    assert registry.add_model(QWEN, "/mnt/fast") == registry.add_model(QWEN, "/elsewhere")
    assert len(registry.models()) == 1


@pytest.mark.parametrize(
    "other",
    [
        Registration("qwen", "org/other", "primary", allow_patterns=QWEN.allow_patterns),
        Registration("qwen", QWEN.hf_path, "primary", allow_patterns=("*.gguf",)),
        Registration("qwen", QWEN.hf_path, "primary", revision="v2", allow_patterns=QWEN.allow_patterns),
    ],
    ids=["repository", "files", "revision"],
)
def test_a_name_that_means_something_else_is_taken(registry: Registry, other: Registration) -> None:
    """A name that another model has is a conflict, and the error says what has it."""
    registry.add_model(QWEN, "/mnt/fast")

    with pytest.raises(Conflict, match=r"The name qwen is taken by Qwen/Qwen2\.5-3B") as caught:
        registry.add_model(other, "/mnt/fast")

    assert caught.value.fields == {"model_name": "qwen", "hf_path": "Qwen/Qwen2.5-3B"}
    assert [row.hf_path for row in registry.models()] == [QWEN.hf_path]


def test_a_model_on_another_tier_is_moved_not_removed(registry: Registry) -> None:
    """The same registration for another tier is a conflict whose hint moves the model."""
    registry.add_model(QWEN, "/mnt/fast")

    with pytest.raises(Conflict, match=r"^Qwen/Qwen2\.5-3B is registered as qwen, on primary\.$") as caught:
        registry.add_model(replace(QWEN, cache_location="secondary"), "/mnt/slow")

    assert caught.value.hint == "To move it: shelf move qwen secondary"


def test_a_model_can_be_renamed(registry: Registry) -> None:
    """A model can be renamed to a free name; a taken one is a conflict and changes nothing."""
    row = add(registry, "old")
    add(registry, "taken")

    registry.rename(row.id, "new")
    with pytest.raises(Conflict, match="The name taken is taken"):
        registry.rename(row.id, "taken")

    assert [(found.id, found.model_name) for found in registry.models()][:1] == [(row.id, "new")]


def test_a_pin_is_kept_with_its_reason(registry: Registry) -> None:
    """A pin is stored with its reason, and can be removed."""
    row = add(registry)

    for pinned, reason in ((True, "demo on Friday"), (False, "")):
        registry.set_pin(row.id, pinned=pinned, reason=reason)
        [found] = registry.models()
        assert (found.pinned, found.pin_reason) == (pinned, reason)


def test_a_persons_choice_of_an_engine_is_kept(registry: Registry) -> None:
    """A model has no choice of its own until a person makes one, which the row then has, and may take back."""
    row = add(registry)

    for choice in (EngineChoice("llama", ("--threads=2",), trust_remote_code=True), EngineChoice()):
        registry.set_engine(row.id, choice)
        [found] = registry.models()
        assert found.engine == choice
    assert row.engine == EngineChoice()


def test_a_manifest_goes_with_its_last_model(registry: Registry) -> None:
    """A manifest is deleted with the last of its models."""
    one, two = add(registry, "one"), add(registry, "two")
    for row in (one, two):
        registry.set_manifest(row, COMMIT, FILES)

    registry.delete_model(one.id)
    assert len(registry.files("Qwen/Qwen2.5-3B", COMMIT)) == len(FILES)
    registry.delete_model(two.id)
    assert registry.files("Qwen/Qwen2.5-3B", COMMIT) == []


def test_a_manifest_of_another_repository_waits_for_gc(registry: Registry) -> None:
    """A removal looks at the manifests of its own repository; what a full disk left of another one goes by gc."""
    gone, other = add(registry, "gone"), Registration("other", "org/other", "primary")
    left = registry.add_model(other, "/mnt/fast")
    registry.set_manifest(gone, COMMIT, FILES)
    registry.set_manifest(left, "d" * 40, FILES)
    registry.set_manifest(left, "e" * 40, FILES)

    registry.delete_model(gone.id)
    assert (registry.files(gone.hf_path, COMMIT), registry.files(left.hf_path, "d" * 40)) == ([], sorted_files())

    registry.drop_manifests()
    assert (registry.files(left.hf_path, "d" * 40), registry.files(left.hf_path, "e" * 40)) == ([], sorted_files())


def test_jobs_go_with_their_model(registry: Registry) -> None:
    """A model's jobs are deleted with it, and other models' stay with their uses."""
    one, two = add(registry, "one"), add(registry, "two")
    for row in (one, two):
        registry.enqueue("pull", row)
        registry.add_use(row.id, "load", 1.0)

    registry.delete_model(one.id)

    assert [job.model_name for job in registry.jobs()] == ["two"]
    assert [(row.model_name, row.uses) for row in registry.models()] == [("two", 1)]


def test_a_base_is_remembered_with_its_id(library: tuple[Registry, Reader]) -> None:
    """A base's id is stored with its path, so a drive that is mounted elsewhere keeps its id."""
    registry, reader = library

    registry.bases.remember("id-1", "primary", "/mnt/fast")
    registry.bases.remember("id-2", "custom", "/mnt/usb")
    registry.bases.remember("id-2", "custom", "/media/usb")

    assert reader.tier_ids() == {"/mnt/fast": "id-1", "/media/usb": "id-2"}


def test_old_copies_are_read_until_they_are_deleted(library: tuple[Registry, Reader]) -> None:
    """An old copy is listed with its base and repository while its deletion isn't over, without anything slow."""
    registry, reader = library
    (job,) = registry.delete_model(add(registry).id, OLD_COPY)

    assert reader.leaving() == {("/mnt/usb", "org/name")}
    registry.finish_job(job.id, "done")
    assert reader.leaving() == set()


def test_damage_is_read_as_it_was_noted(library: tuple[Registry, Reader]) -> None:
    """Damage is listed without importing anything slow."""
    registry, reader = library
    registry.verified.add_damage("id-1", {"d" * 64: "3:4"})

    assert reader.damage() == {("id-1", "d" * 64): "3:4"}


def test_a_base_that_was_started_afresh_has_one_id(registry: Registry) -> None:
    """A base that was reset has only its new id; reservations on the old one are deleted, others stay."""
    for tier_id, base in (("old", "/mnt/fast"), ("other", "/mnt/slow")):
        registry.bases.remember(tier_id, "primary", base)
        registry.reservations.add(tier_id, "disk", "me", lambda _: 5)

    registry.bases.remember("new", "primary", "/mnt/fast")

    assert registry.tier_ids() == {"/mnt/fast": "new", "/mnt/slow": "other"}
    assert [reservation.tier_id for reservation in registry.reservations.all()] == ["other"]


OLD_COPY = OldCopy(BasePath("/mnt/usb"), "", RepoId("org/name"), None, ())


def test_a_switched_model_resolves_to_its_new_tier(registry: Registry) -> None:
    """Switching a model to its new tier ends the move and adds the job that deletes the old copy in one transaction."""
    row = add(registry)
    moves = []
    for location, base, old in (("custom", "/mnt/usb", None), ("secondary", "/mnt/slow", OLD_COPY)):
        moves.append(registry.enqueue("move", row, {}).id)
        job_id = registry.placements.switch(row.id, location, base, "3:4", old, job_id=moves[-1])
        assert (job_id is None) is (old is None)

    [found] = registry.models()
    assert (found.cache_location, found.cache_path, found.signature) == ("secondary", "/mnt/slow", "3:4")
    assert found.complete
    assert [(job.id, job.kind, job.model_id) for job in registry.jobs(state=UNFINISHED)] == [
        (job_id, "delete_old_copy", None)
    ]
    assert [registry.job(move).state for move in moves] == ["done", "done"]


def test_the_last_moves_of_a_model_are_read_with_their_causes(library: tuple[Registry, Reader]) -> None:
    """A model's finished moves are listed newest first with their causes; an eviction that deleted has no tier."""
    registry, reader = library
    row, other = add(registry), add(registry, "other")
    pull = registry.enqueue("pull", other)
    move = registry.enqueue("move", row, {"cache_location": "secondary"}, Cause("Makes room.", pull.id))
    assert reader.moves(row.id) == []
    registry.finish_job(move.id, "done")
    registry.evict(row, Cause("Makes room."))
    registry.enqueue("move", row, {"cache_location": "primary"})
    registry.finish_job(registry.enqueue("move", other, {}).id, "done")

    found = reader.moves(row.id)

    assert [(moved.cache_location, str(moved.cause)) for moved in found] == [
        ("", "Makes room."),
        ("secondary", f"Makes room (job {pull.id})."),
    ]
    assert found[1].job_id == move.id
    assert found[0].at >= found[1].at > 1_700_000_000
    assert reader.moves(other.id) == []


def test_models_are_asked_for_by_repository_location_and_id(library: tuple[Registry, Reader]) -> None:
    """Models can be filtered by repository, location and id."""
    registry, reader = library
    row = add(registry, "b")
    add(registry, "a")
    other = registry.add_model(Registration("other", "org/name", "custom", "/mnt/usb"), "/mnt/usb")

    assert [found.model_name for found in reader.models(repo_id="Qwen/Qwen2.5-3B")] == ["a", "b"]
    assert reader.models(cache_location="custom") == [other]
    assert reader.models(model_id=row.id) == [row]
    assert reader.models(model_id=row.id, repo_id="org/name") == []


def test_a_repository_is_found_in_upper_and_lower_case(library: tuple[Registry, Reader]) -> None:
    """Where it doesn't matter how an id is written, the models of the repository are found all the same."""
    registry, reader = library
    add(registry)

    assert [row.model_name for row in reader.models(any_case="qwen/QWEN2.5-3b")] == ["qwen"]
    assert reader.models(any_case="qwen/other") == []
    assert reader.names() == {"qwen": "Qwen/Qwen2.5-3B"}


def test_adapters_are_told_by_their_files(library: tuple[Registry, Reader]) -> None:
    """A model counts as an adapter when the commit that it is at has the configuration of one."""
    registry, reader = library
    config = FileEntry("adapter_config.json", 20, "1" * 40)
    registry.set_manifest(add(registry, "adapter"), COMMIT, [config])
    registry.set_manifest(add(registry, "moved-on"), "d" * 40, FILES)

    assert [row.model_name for row in reader.adapters()] == ["adapter"]


def test_idle_models_are_found_and_those_that_share_a_repository(library: tuple[Registry, Reader]) -> None:
    """Models that neither came nor were used since a time are found, and however idle those of one repository."""
    registry, _ = library
    rows = [
        registry.add_model(Registration(name, repo_id, "primary"), "/mnt/fast")
        for name, repo_id in (
            ("idle", "org/idle"),
            ("came", "org/c"),
            ("used", "org/u"),
            ("a", "org/X"),
            ("b", "org/x"),
        )
    ]
    with registry._engine.begin() as connection:
        for row in rows:
            arrived, used = (900, 0) if row.model_name == "came" else (1, 900 if row.model_name == "used" else 2)
            change = f"UPDATE models SET arrived_at = {arrived}, last_used_at = {used} WHERE id = {row.id}"
            connection.exec_driver_sql(change)

    assert [row.model_name for row in registry.idle_or_shared(100.0)] == ["a", "b", "idle"]
    assert [row.model_name for row in registry.idle_or_shared(-1.0)] == ["a", "b"]


def test_models_are_listed_as_a_person_wants_to_see_them(library: tuple[Registry, Reader]) -> None:
    """Models are listed in one of three orders, and filtered by a text in name or repository."""
    registry, reader = library
    for name, repo_id, size_bytes in (("b", "org/Small", 10), ("a", "org/small-too", 10), ("Big_1", "org/large", 30)):
        row = registry.add_model(Registration(name, repo_id, "primary"), "/mnt/fast")
        registry.set_manifest(row, COMMIT, [FileEntry("w.bin", size_bytes, "2" * 64)])
    used = registry.model("b")
    assert used is not None
    registry.add_use(used.id, "run", 1.0)

    def names(text: str = "", order: Order = Order.NAME) -> list[str]:
        return [row.model_name for row in reader.listed(Listing(text, order))]

    assert sorted(names()) == ["Big_1", "a", "b"]
    assert names(order=Order.SIZE) == ["Big_1", "a", "b"]
    assert names(order=Order.USED)[0] == "b"
    assert names("SMALL") == ["a", "b"]
    assert [names("big_"), names("b_g"), names("%"), names("large")] == [["Big_1"], [], [], ["Big_1"]]


@pytest.mark.parametrize("order", Order)
def test_models_are_listed_in_pages(library: tuple[Registry, Reader], order: Order) -> None:
    """Pages give every model once and in order, each beginning after the last model of the one before."""
    registry, reader = library
    for number in range(7):
        row = registry.add_model(Registration(f"m{number}", f"org/{number}", "primary"), "/mnt/fast")
        registry.set_manifest(row, COMMIT, [FileEntry("w.bin", 10 + number % 3, f"{number}" * 64)])
        if number % 2:
            registry.add_use(row.id, "run", 1.0)

    pages, after = [], ""
    while page := [row.model_name for row in reader.listed(Listing("ORG/", order, after, limit=3))]:
        pages.append(page)
        after = page[-1]

    assert [len(page) for page in pages] == [3, 3, 1]
    assert [name for page in pages for name in page] == [r.model_name for r in reader.listed(Listing(order=order))]


def test_the_models_of_many_repositories_come_at_once(registry: Registry) -> None:
    """One statement returns the models of some repositories, and none of others."""
    other = Registration("other", "org/other", "primary")
    add(registry)
    add(registry, "twin")
    registry.add_model(other, "/mnt/fast")

    found = registry.models_of({"Qwen/Qwen2.5-3B", "org/none"})

    assert {repo: [row.model_name for row in rows] for repo, rows in found.items()} == {
        "Qwen/Qwen2.5-3B": ["qwen", "twin"]
    }
    assert registry.models_of(()) == {}


def test_the_manifests_of_many_repositories_come_at_once(registry: Registry) -> None:
    """One statement returns the files of some repositories' commits, and none of others."""
    row = add(registry)
    registry.set_manifest(row, COMMIT, FILES)

    assert registry.manifests_of({row.hf_path, "org/none"}) == {
        (row.hf_path, COMMIT): sorted(FILES, key=lambda file: file.path)
    }
    assert registry.manifests_of({"org/none"}) == registry.manifests_of(()) == {}
