"""With a drive offline or read-only, its models say so, nothing is written or forgotten, and the rest works."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from modelshelf.domain.jobs import UNFINISHED, JobKind
from modelshelf.errors import Denied, OutOfSpace, Unavailable
from modelshelf.store.layout import Base
from modelshelf.store.tiers import sidecars
from tests.fakes.hub import FakeHub
from tests.invariants import violations
from tests.world import Home, random_bytes, tree, wait_until

NEAR, FAR = "org/near", "org/far"
FILES = {"config.json": b"{}", "a.safetensors": random_bytes(300_000, 1)}
NEWER = FILES | {"config.json": b'{"newer": 1}'}


@pytest.fixture
def library(hub: FakeHub, home: Home) -> Home:
    """`near` on the primary, `far` on the secondary, `usb` on a custom base, all whole."""
    hub.add_repo(NEAR, FILES)
    hub.add_repo(FAR, FILES)
    with home.open() as shelf:
        shelf.register("near", NEAR)
        shelf.register("far", FAR, "secondary")
        shelf.register("usb", FAR, "custom", str(home.custom))
    return home


@contextmanager
def unmounted(base: Path) -> Iterator[None]:
    """Unmount a drive: its empty mount point is left, and is still empty at the end."""
    aside = base.with_name(f"{base.name}-drive")
    base.rename(aside)
    base.mkdir()
    try:
        yield
        assert list(base.iterdir()) == []
    finally:
        shutil.rmtree(base)
        aside.rename(base)


@contextmanager
def read_only(base: Path) -> Iterator[None]:
    """Remount a base read-only; skip the test where that isn't allowed."""
    if os.geteuid() != 0:
        pytest.skip("mounting a base read-only needs root")
    if subprocess.run(["mount", "--bind", str(base), str(base)], check=False).returncode != 0:
        pytest.skip("bind mounts are not allowed here")
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", str(base)], check=True)
        yield
    finally:
        subprocess.run(["umount", str(base)], check=True)


def states(home: Home) -> dict[str, str]:
    """Return the models' states from `shelf ls`."""
    return {model["model_name"]: model["state"] for model in home.run("ls", "--json").checked().json}


READY = {"near": "ready", "far": "ready", "usb": "ready"}


def test_models_on_a_drive_that_is_away_say_so(library: Home) -> None:
    """`ls`, `show` and `tiers` name the offline drive; once it is back, everything is as before."""
    with unmounted(library.secondary):
        assert states(library) == READY | {"far": "offline"}
        shown = library.run("show", "far", "--json").checked().json
        assert str(library.secondary) in shown["detail"]
        tiers = {t["cache_location"]: t for t in library.run("tiers", "--json", "--rescan").checked().json}
        assert [tiers[name]["online"] for name in ("primary", "secondary", "custom")] == [True, False, True]
        assert str(library.secondary) in tiers["secondary"]["detail"]
    assert states(library) == READY


@pytest.mark.parametrize(
    "words",
    [
        ("path", "far"),
        ("env", "far"),
        ("run", "far", "--", "true"),
        ("load", "far"),
        ("pull", "far"),
        ("update", "far"),
        ("move", "far", "primary"),
        ("move", "near", "secondary"),
        ("rm", "far", "--files"),
        ("add", "new", NEAR, "--to", "secondary"),
        ("add", "new", NEAR, "--to", "secondary", "--no-download"),
    ],
    ids=" ".join,
)
def test_what_needs_a_drive_that_is_away_is_unavailable(library: Home, words: tuple[str, ...]) -> None:
    """What needs an offline drive ends with 7 and names it; no model changes and no byte is written."""
    with unmounted(library.secondary):
        done = library.run(*words)
        assert (done.code, str(library.secondary) in done.err) == (7, True), done
        assert states(library).keys() == READY.keys()
    assert states(library) == READY
    with library.open() as shelf:
        assert violations(shelf) == []


@pytest.mark.parametrize(
    "words",
    [
        ("add", "new", FAR),
        ("path", "near"),
        ("run", "near", "--", "true"),
        ("update", "near"),
        ("move", "near", "PATH"),
        ("rm", "near", "--files"),
        ("jobs",),
        ("reconcile",),
        ("verify", "near"),
        ("verify", "--all"),
        ("gc",),
        ("dedupe",),
    ],
    ids=" ".join,
)
def test_everything_else_goes_on(library: Home, words: tuple[str, ...]) -> None:
    """Commands that need only other drives work, and write nothing to the empty mount point."""
    with unmounted(library.secondary):
        library.run(*(str(library.root / "other") if word == "PATH" else word for word in words)).checked()
        assert states(library)["far"] == "offline"
    assert states(library)["far"] == "ready"


def test_a_primary_that_is_away_is_never_taken_for_a_fresh_one(library: Home) -> None:
    """If the primary with the registry is offline, every command says what to mount, and none creates a new library."""
    with unmounted(library.primary):
        for words in (("ls",), ("path", "far"), ("tiers",), ("add", "x", NEAR), ("reconcile",)):
            done = library.run(*words)
            assert (done.code, str(library.primary) in done.err) == (7, True), done
        assert library.start_program("python", "-m", "modelshelf", "serve").finish().code == 7
    assert states(library) == READY


def test_a_pull_that_waits_for_a_drive_goes_on_when_it_is_back(hub: FakeHub, library: Home) -> None:
    """A pull that waits for a drive stays queued, and a server runs it once the drive is back."""
    blob = next(Base(library.secondary).repo(FAR).blobs.iterdir())
    blob.unlink()
    with unmounted(library.secondary):
        assert library.run("pull", "far").code == 7
        [job] = [job for job in library.run("jobs", "--json").json if job["state"] == "waiting"]
        assert str(library.secondary) in job["detail"]
    with library.serve() as server:
        server.wait_for_state("far", "ready")
    assert tree(Path(library.run("path", "far").checked().out.strip())) == FILES


def test_a_model_forgotten_while_its_drive_was_away_stays_forgotten(library: Home) -> None:
    """If a model is forgotten while its drive is offline, its sidecar goes later, and reconcile doesn't register it."""
    with unmounted(library.custom):
        library.run("rm", "usb").checked()
    assert [sidecar.model_name for sidecar in sidecars.read_all(Base(library.custom))] == ["usb"]

    library.run("reconcile").checked()

    assert states(library) == {"near": "ready", "far": "ready"}
    assert sidecars.read_all(Base(library.custom)) == []
    with library.open() as shelf:
        for job in shelf.services.registry.jobs(state=UNFINISHED):
            shelf.services.registry.update_job(job.id, {"due_at": 0})
        shelf.services.runner.run_due(JobKind.DELETE_OLD_COPY)
        assert shelf.services.registry.jobs(state=UNFINISHED) == []
    assert tree(Base(library.custom).repo(FAR).snapshots) != {}


def test_another_drive_in_its_place_is_not_written_to(library: Home) -> None:
    """If another drive is at a base's path, it is refused, and no job deletes anything on it."""
    with library.open() as shelf, (shelf.path("usb") / "config.json").open("rb"):
        shelf.move("usb", "primary")
        [waiting] = [job for job in shelf.services.registry.jobs(state=UNFINISHED) if job.kind == "delete_old_copy"]
    other = library.root / "other"
    shutil.copytree(library.custom, other, symlinks=True)
    Base(other).marker.write_text(json.dumps({"format": 1, "id": "f" * 32}))
    library.custom.rename(library.root / "drive")
    other.rename(library.custom)
    before = tree(library.custom)

    with library.open() as shelf:
        shelf.services.registry.update_job(waiting.id, {"due_at": 0})
        shelf.services.runner.run_due(JobKind.DELETE_OLD_COPY)
        assert "another tier" in shelf.services.registry.job(waiting.id).detail
        with pytest.raises(Unavailable, match="another tier"):
            shelf.move("near", "custom", str(library.custom))

    assert tree(library.custom) == before


def test_an_emptied_drive_can_start_afresh(library: Home) -> None:
    """After `--reset-marker` an emptied drive is a tier again; its models are missing and can be pulled or removed."""
    shutil.rmtree(library.secondary)
    library.secondary.mkdir()
    assert states(library)["far"] == "offline"

    library.run("tiers", "--reset-marker", str(library.secondary)).checked()

    assert states(library)["far"] == "missing"
    library.run("pull", "far").checked()
    assert states(library) == READY
    with library.open() as shelf:
        assert violations(shelf) == []


def test_a_marker_that_cannot_be_read_is_replaced_when_asked(library: Home) -> None:
    """A base with a marker of zeros, as after a power cut, is offline until a person resets the marker."""
    Base(library.secondary).marker.write_bytes(bytes(40))
    assert states(library)["far"] == "offline"

    library.run("tiers", "--reset-marker", str(library.secondary)).checked()

    assert states(library) == READY


def test_an_emptied_primary_starts_afresh_and_learns_of_the_rest(library: Home) -> None:
    """After resetting an emptied primary, reconcile finds the models of the other drives."""
    shutil.rmtree(library.primary)
    library.primary.mkdir()
    assert library.run("ls").code == 7

    library.run("tiers", "--reset-marker", str(library.primary)).checked()
    library.run("reconcile").checked()

    assert states(library) == {"far": "ready", "usb": "ready"}


def test_no_base_that_is_there_can_start_afresh(library: Home) -> None:
    """--reset-marker is refused for a good marker and for a folder that isn't a tier."""
    assert library.run("tiers", "--reset-marker", str(library.secondary)).code == 2
    assert library.run("tiers", "--reset-marker", str(library.root / "nothing")).code == 2


def test_a_full_primary_does_not_demote_to_a_drive_that_is_away(hub: FakeHub, library: Home) -> None:
    """If the secondary is offline, a pull that doesn't fit the full primary is refused at once."""
    hub.add_repo("org/big", {"b.bin": random_bytes(900_000, 9)})
    with unmounted(library.secondary), library.open(PRIMARY_CACHE_LIMIT_GB="0.001") as shelf:
        with pytest.raises(OutOfSpace):
            shelf.register("big", "org/big")
        assert shelf.model("near").state == "ready"


def test_the_hub_face_never_denies_what_is_only_away(library: Home) -> None:
    """The hub face answers 503 if a repository's drive is offline, because clients remember a 404."""
    library.views = ""  # the view in the primary keeps the lists; see the next test
    with library.open() as shelf:
        shelf.remove("usb", delete_files=True)
    with library.serve() as server:
        assert server.ask("HEAD", f"/hf/{FAR}/resolve/main/config.json").status == 200
        with unmounted(library.secondary):
            for path in ("api/models/org/far", "org/far/resolve/main/config.json", "api/models/org/far/tree/main"):
                answer = server.ask("GET", f"/hf/{path}")
                assert (answer.status, "x-error-code" in answer.headers) == (503, False), path
            assert server.ask("GET", "/hf/api/models/org/far/refs").status == 503
            assert server.ask("GET", "/hf/api/models/org/nobody").status == 404
            assert server.ask("HEAD", f"/hf/{NEAR}/resolve/main/config.json").status == 200
            assert server.get("/api/models/far")["state"] == "offline"
            client = "import sys; from huggingface_hub import HfApi; HfApi().model_info(sys.argv[1])"
            asked = library.python(client, FAR, HF_ENDPOINT=f"{server.url}/hf", HF_HOME=str(library.root / "client"))
            assert asked.code != 0
            assert "503" in asked.err
            assert "RepositoryNotFound" not in asked.err
        assert server.ask("HEAD", f"/hf/{FAR}/resolve/main/config.json").status == 200


def test_a_view_has_the_lists_of_what_is_away(library: Home) -> None:
    """Where a view in the primary shows a repository whose drive is away, its lists are told, and its files are 503."""
    with library.open() as shelf:
        shelf.remove("usb", delete_files=True)
    with library.serve() as server, unmounted(library.secondary):
        about = server.ask("GET", "/hf/api/models/org/far")
        file = server.ask("GET", f"/hf/{FAR}/resolve/main/config.json")
        pinned = server.ask("GET", f"/hf/{FAR}/resolve/{about.json['sha']}/config.json")

        assert (about.status, about.json["id"]) == (200, FAR)
        assert [(answer.status, "x-error-code" in answer.headers) for answer in (file, pinned)] == [(503, False)] * 2
        assert server.ask("GET", "/hf/api/models/org/nobody").status == 404


def test_a_file_that_only_a_drive_that_is_away_may_have_is_not_denied(hub: FakeHub, library: Home) -> None:
    """If a whole copy is offline, the hub face answers 503 for its files and 404 for those that no list has."""
    with library.open() as shelf:
        shelf.remove("usb", delete_files=True)
        shelf.register("part", FAR, allow_patterns=["config.json"])
    Base(library.primary).repo(FAR).tree(shelf.services.registry.model("part").commit_hash).unlink()  # type: ignore[union-attr]
    with library.serve() as server, unmounted(library.secondary):
        assert server.ask("HEAD", f"/hf/{FAR}/resolve/main/config.json").status == 200
        assert server.ask("HEAD", f"/hf/{FAR}/resolve/main/a.safetensors").status == 503


def test_a_model_on_a_read_only_base_is_loaded_and_says_so(library: Home) -> None:
    """`path`, `run` and the hub face read a model on a read-only base; `tiers` and `show` say read-only."""
    with read_only(library.custom):
        assert states(library) == READY
        assert "read-only" in library.run("show", "usb", "--json").checked().json["detail"]
        assert "read-only" in library.run("tiers").checked().out
        tiers = {t["cache_path"]: t for t in library.run("tiers", "--json", "--rescan").checked().json}
        assert (tiers[str(library.custom)]["online"], tiers[str(library.custom)]["writable"]) == (True, False)
        assert tree(Path(library.run("path", "usb").checked().out.strip())) == FILES
        library.run("run", "usb", "--", "cat", "{path}/config.json").checked()
        library.run("reconcile").checked()
        for words in (("verify", "--all"), ("gc",), ("dedupe",)):
            library.run(*words).checked()


@pytest.mark.parametrize(
    "words",
    [
        ("add", "new", NEAR, "--to", "USB"),
        ("add", "new", NEAR, "--to", "USB", "--no-download"),
        ("pull", "usb"),
        ("update", "usb"),
        ("move", "near", "USB"),
        ("move", "near", "USB", "--dry-run"),
        ("rm", "usb", "--files"),
    ],
    ids=" ".join,
)
def test_writing_to_a_read_only_base_is_denied_before_anything_changes(
    hub: FakeHub, library: Home, words: tuple[str, ...]
) -> None:
    """Writing to a read-only base ends with exit code 3 before anything changes."""
    hub.add_repo(FAR, NEWER)
    before = library.run("ls", "--json").json
    with read_only(library.custom):
        done = library.run(*(str(library.custom) if word == "USB" else word for word in words))
        assert (done.code, "read-only" in done.err) == (Denied.exit_code, True), done
    after = library.run("ls", "--json").json
    for model in (*before, *after):
        model.pop("job_id")
    assert after == before


def test_moving_off_a_read_only_base_copies_and_says_that_the_source_stays(library: Home) -> None:
    """A move from a read-only base copies; the source stays, and no job waits to delete it."""
    before = tree(library.custom)
    with read_only(library.custom):
        planned = library.run("move", "usb", "primary", "--dry-run", "--json").checked().json
        assert planned["keep_source"] is True
        done = library.run("move", "usb", "primary").checked()
        assert "read-only" in done.err
        assert library.run("show", "usb", "--json").json["cache_location"] == "primary"
        with library.open() as shelf:
            assert shelf.services.registry.jobs(state=UNFINISHED) == []
            assert tree(shelf.path("usb")) == FILES
    assert tree(library.custom) == before
    library.run("reconcile").checked()
    assert sidecars.read_all(Base(library.custom)) == []


def test_forgetting_a_model_on_a_read_only_base_leaves_its_files(library: Home) -> None:
    """Forgetting a model on a read-only base deletes its row now and its sidecar later; a pin changes only the row."""
    with read_only(library.custom):
        library.run("pin", "usb").checked()
        library.run("unpin", "usb").checked()
        library.run("rm", "usb").checked()
        assert "usb" not in states(library)
        library.run("reconcile").checked()
        assert "usb" not in states(library)
    with library.open() as shelf:
        [waiting] = [job for job in shelf.services.registry.jobs(state=UNFINISHED) if job.kind == "delete_old_copy"]
        assert "read-only here" in waiting.detail
        shelf.services.registry.update_job(waiting.id, {"due_at": 0})
    with library.serve():
        wait_until(lambda: not sidecars.read_all(Base(library.custom)), "the sidecar to go")
    assert tree(Base(library.custom).repo(FAR).snapshots) != {}
