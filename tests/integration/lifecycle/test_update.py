"""A model takes a newer commit of its revision and can be loaded all the time."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelshelf.domain.jobs import UNFINISHED, JobKind
from modelshelf.errors import BadInput, Conflict, Denied, NotFound, OutOfSpace, Unavailable
from modelshelf.services.shelf import Shelf
from modelshelf.store.layout import Base
from modelshelf.store.repos import scan
from modelshelf.store.tiers import sidecars
from tests.fakes.hub import FakeHub
from tests.invariants import violations
from tests.world import MIB, Home, Server, load_offline, random_bytes, tree, wait_until

REPO = "org/name"
SHARED = random_bytes(MIB, 1)
OLD = {
    "config.json": b'{"v": 1}',
    "gone.txt": b"old alone",
    "a.safetensors": SHARED,
    "b.safetensors": random_bytes(2 * MIB, 2),
}
NEW = {
    "config.json": b'{"v": 2}',
    "fresh.txt": b"new alone",
    "a.safetensors": SHARED,
    "b.safetensors": random_bytes(2 * MIB, 3),
}
NEW_BYTES = sum(len(NEW[name]) for name in ("config.json", "fresh.txt", "b.safetensors"))


@pytest.fixture
def behind(hub: FakeHub, shelf: Shelf) -> tuple[str, str]:
    """The model `m` at the old commit, with a new one on the hub; both commits."""
    old = hub.add_repo(REPO, OLD)
    shelf.register("m", REPO)
    return old, hub.add_repo(REPO, NEW)


def test_an_update_brings_the_new_commit_and_lets_the_old_one_go(
    hub: FakeHub, home: Home, shelf: Shelf, behind: tuple[str, str]
) -> None:
    """After an update all tools agree on the new commit, shared files weren't fetched, and nothing old is left."""
    old, new = behind
    before = hub.bytes_sent

    model = shelf.update("m")

    base = Base(home.primary)
    assert (model.state, model.row.commit_hash, hub.bytes_sent - before) == ("ready", new, NEW_BYTES)
    assert tree(Path(model.path or "")) == NEW
    assert load_offline(home, home.primary, REPO) == Path(model.path or "")
    home.hf(home.primary, "cache", "verify", REPO, "--fail-on-missing-files", "--fail-on-extra-files").checked()
    assert scan.snapshots(base.repo(REPO)) == [new]
    assert {path.stat().st_size for path in base.repo(REPO).blobs.iterdir()} == {len(data) for data in NEW.values()}
    assert [(sidecar.model_name, sidecar.commit_hash) for sidecar in sidecars.read_all(base)] == [("m", new)]
    assert model.row.size_bytes == sum(map(len, NEW.values()))
    assert shelf.services.registry.files(REPO, old) == []
    assert shelf.services.registry.reservations.all() == []
    assert violations(shelf) == []


def test_the_plan_says_what_an_update_costs_and_changes_nothing(
    hub: FakeHub, home: Home, behind: tuple[str, str]
) -> None:
    """`--dry-run` shows both commits, the bytes to fetch and the shared ones, and fetches none."""
    old, new = behind
    before = hub.bytes_sent

    said = home.run("update", "m", "--dry-run", "--json").checked().json

    assert said == [
        {
            "model_name": "m",
            "hf_path": REPO,
            "revision": "main",
            "old_commit": old,
            "new_commit": new,
            "is_current": False,
            "size_bytes": sum(map(len, NEW.values())),
            "fetch_bytes": NEW_BYTES,
            "shared_bytes": MIB,
            "keep_old": False,
            "note": "",
        }
    ]
    assert (hub.bytes_sent, home.run("show", "m", "--json").checked().json["commit_hash"]) == (before, old)


def test_the_old_snapshot_serves_until_the_new_one_is_whole(hub: FakeHub, home: Home, behind: tuple[str, str]) -> None:
    """While the new commit arrives, `shelf path` leads to the old one."""
    hub.pause(after_bytes=MIB)
    child = home.start("update", "m")
    wait_until(lambda: list((home.primary / "modelshelf/incoming").glob("*.part")), "the first bytes")

    path = Path(home.run("path", "m").checked().out.strip())

    assert tree(path) == OLD
    hub.resume()
    child.finish().checked()
    assert tree(Path(home.run("path", "m").checked().out.strip())) == NEW


def test_what_another_model_needs_of_the_old_commit_stays(hub: FakeHub, home: Home, shelf: Shelf) -> None:
    """Of two models at one commit, updating one keeps every byte that the other needs."""
    old = hub.add_repo(REPO, OLD)
    shelf.register("m", REPO)
    shelf.register("twin", REPO)
    new = hub.add_repo(REPO, NEW)

    shelf.update("m")

    assert {shelf.model(name).row.commit_hash for name in ("m", "twin")} == {old, new}
    assert tree(shelf.path("twin")) == OLD
    assert tree(shelf.path("m")) == NEW
    assert violations(shelf) == []


def test_the_old_snapshot_stays_when_asked(shelf: Shelf, home: Home, behind: tuple[str, str]) -> None:
    """With `--keep-old` both snapshots are whole afterwards."""
    old, new = behind

    shelf.update("m", keep_old=True)

    assert scan.snapshots(Base(home.primary).repo(REPO)) == sorted([old, new])
    assert tree(Base(home.primary).repo(REPO).snapshot(old)) == OLD
    assert violations(shelf) == []


def test_an_open_file_of_the_old_snapshot_delays_its_end(shelf: Shelf, home: Home, behind: tuple[str, str]) -> None:
    """The old snapshot is deleted once nobody has its files open, and the job says whom it waits for."""
    old, new = behind
    with (shelf.path("m") / "gone.txt").open("rb") as file:
        model = shelf.update("m")
        assert model.row.commit_hash == new
        [job] = [job for job in shelf.services.registry.jobs(state=UNFINISHED) if job.kind == "delete_old_copy"]
        assert "pid" in job.detail
        assert file.read() == OLD["gone.txt"]
    assert scan.snapshots(Base(home.primary).repo(REPO)) == sorted([old, new])

    shelf.services.registry.update_job(job.id, {"due_at": 0})
    shelf.services.runner.run_due(JobKind.DELETE_OLD_COPY)

    assert scan.snapshots(Base(home.primary).repo(REPO)) == [new]


def test_a_model_at_the_newest_commit_is_left_alone(hub: FakeHub, shelf: Shelf) -> None:
    """If nothing is newer, update creates no job and fetches nothing."""
    commit = hub.add_repo(REPO, OLD)
    shelf.register("m", REPO)
    jobs, before = len(shelf.services.registry.jobs()), hub.bytes_sent

    model = shelf.update("m")

    assert (model.row.commit_hash, len(shelf.services.registry.jobs()), hub.bytes_sent) == (commit, jobs, before)


def test_a_model_pinned_to_a_commit_never_changes(hub: FakeHub, home: Home, shelf: Shelf) -> None:
    """A model whose revision is a commit hash is never updated, and the hub isn't asked."""
    commit = hub.add_repo(REPO, OLD)
    shelf.register("m", REPO, revision=commit)
    hub.add_repo(REPO, NEW)
    hub.stop()

    assert shelf.update("m").row.commit_hash == commit
    assert "a commit, which never changes" in home.run("update", "m").checked().err


def test_only_the_patterns_wanted_are_updated(hub: FakeHub, shelf: Shelf) -> None:
    """A model of one file gets that file of the new commit and no other."""
    hub.add_repo(REPO, OLD)
    shelf.register("m", REPO, allow_patterns=["b.*"])
    hub.add_repo(REPO, NEW)

    shelf.update("m")

    assert tree(shelf.path("m")) == {"b.safetensors": NEW["b.safetensors"]}
    assert violations(shelf) == []


@pytest.mark.parametrize(
    ("change", "error"),
    [
        pytest.param(lambda hub: hub.stop(), Unavailable, id="hub-down"),
        pytest.param(lambda hub: hub.fail("*", status=503), Unavailable, id="hub-ill"),
        pytest.param(lambda hub: hub.fail("/api/models/*", status=404), NotFound, id="repo-gone"),
        pytest.param(
            lambda hub: hub.add_repo(REPO, NEW, gated=True) and hub.fail("*", status=403, error_code="GatedRepo"),
            Denied,
            id="gated",
        ),
        pytest.param(lambda hub: hub.add_repo(REPO, {"other.bin": b"x"}), BadInput, id="no-such-file-any-more"),
    ],
)
def test_a_hub_that_says_no_changes_nothing(
    hub: FakeHub, home: Home, shelf: Shelf, change: object, error: type[Exception]
) -> None:
    """Any refusal of the hub is reported, and the model stays loadable at its old commit."""
    hub.add_repo(REPO, OLD)
    shelf.register("m", REPO, allow_patterns=["*.safetensors", "config.json"])
    row = shelf.services.registry.model("m")
    change(hub)  # type: ignore[operator]

    with pytest.raises(error):
        shelf.update("m")

    assert shelf.services.registry.model("m") == row
    assert sorted(tree(shelf.path("m"))) == ["a.safetensors", "b.safetensors", "config.json"]


def test_a_renamed_repository_is_followed_by_the_hubs_redirect(hub: FakeHub, shelf: Shelf) -> None:
    """A repository that was renamed on the hub still updates, as with `hf download`."""
    hub.add_repo(REPO, OLD)
    shelf.register("m", REPO)
    new = hub.add_repo(REPO, NEW)
    hub.rename(REPO, "org/renamed")

    assert shelf.update("m").row.commit_hash == new


def test_a_new_commit_that_does_not_fit_changes_nothing(hub: FakeHub, home: Home) -> None:
    """If old and new commit don't fit side by side, the old one stays."""
    old = hub.add_repo(REPO, OLD)
    with home.open(PRIMARY_CACHE_LIMIT_GB="0.0055", ON_FULL="refuse") as shelf:
        shelf.register("m", REPO)
        hub.add_repo(REPO, NEW)

        with pytest.raises(OutOfSpace):
            shelf.update("m")

        assert (shelf.model("m").state, shelf.model("m").row.commit_hash) == ("ready", old)
        assert tree(shelf.path("m")) == OLD


def test_bytes_that_are_wrong_twice_leave_the_old_commit(hub: FakeHub, shelf: Shelf, behind: tuple[str, str]) -> None:
    """Bytes that are wrong twice end the update, and the model stays at its old commit."""
    from modelshelf.errors import Corrupt

    hub.fail("*/b.safetensors", corrupt_at=1000)

    with pytest.raises(Corrupt):
        shelf.update("m")

    assert tree(shelf.path("m")) == OLD
    assert violations(shelf) == []


def test_a_model_without_a_commit_is_pulled_first(hub: FakeHub, shelf: Shelf) -> None:
    """A model that was registered without the hub is pulled, because it has nothing to update."""
    hub.add_repo(REPO, OLD)
    hub.stop()
    shelf.register("m", REPO, download=False)
    hub.start()

    with pytest.raises(Conflict, match="never downloaded"):
        shelf.update("m")


def test_all_models_are_updated_and_one_that_fails_stops_no_other(hub: FakeHub, home: Home, shelf: Shelf) -> None:
    """`--all` reports a model that fails, updates the others, and ends with that one's exit code."""
    for name in ("a", "b", "c"):
        hub.add_repo(f"org/{name}", OLD)
        shelf.register(name, f"org/{name}")
        hub.add_repo(f"org/{name}", NEW)
    hub.fail("/api/models/org/b/*", status=404)

    done = home.run("update", "--all", "--json")

    assert done.code == NotFound.exit_code
    assert [("error" in said, said["model_name"]) for said in done.json] == [(False, "a"), (True, "b"), (False, "c")]
    assert tree(shelf.path("a")) == tree(shelf.path("c")) == NEW
    assert tree(shelf.path("b")) == OLD


def test_one_has_to_say_which(home: Home) -> None:
    """Update needs a name or `--all`, and not both."""
    assert home.run("update").code == home.run("update", "m", "--all").code == 2


def test_a_move_meanwhile_makes_the_update_start_again(
    hub: FakeHub, home: Home, shelf: Shelf, behind: tuple[str, str]
) -> None:
    """If a model moves during its update, the job waits and continues at the new place."""
    _, new = behind
    hub.pause(after_bytes=MIB)
    child = home.start("update", "m", "--json")
    wait_until(lambda: list((home.primary / "modelshelf/incoming").glob("*.part")), "the first bytes")
    shelf.move("m", "secondary")
    hub.resume()
    assert child.finish().code == Unavailable.exit_code
    assert tree(shelf.path("m")) == OLD

    model = shelf.update("m")

    assert (model.base, model.row.commit_hash) == (str(home.secondary), new)
    assert violations(shelf) == []


def test_http_updates_a_model(hub: FakeHub, home: Home, server: Server) -> None:
    """`POST …/update` answers 202 with the job, and a dry run 200 with the plan."""
    old = hub.add_repo(REPO, OLD)
    server.ask("POST", "/api/models", {"model_name": "m", "hf_path": REPO})
    server.wait_for_state("m", "ready")
    new = hub.add_repo(REPO, NEW)

    plan = server.ask("POST", "/api/models/m/update", {"dry_run": True})
    assert (plan.status, plan.json["old_commit"], plan.json["new_commit"]) == (200, old, new)
    answer = server.ask("POST", "/api/models/m/update")

    assert (answer.status, answer.json["kind"], answer.headers["location"]) == (
        202,
        "update",
        f"/api/jobs/{answer.json['id']}",
    )
    wait_until(lambda: server.get(f"/api/jobs/{answer.json['id']}")["state"] == "done", "the update")
    assert server.get("/api/models/m")["commit_hash"] == new
    assert server.ask("POST", "/api/models/nobody/update").status == 404
