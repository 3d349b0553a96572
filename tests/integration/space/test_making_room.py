"""What does not fit pushes out what was used least recently; nothing is lost, and a refusal moves nothing."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from modelshelf.bootstrap.shelf import SystemClock
from modelshelf.domain.job_params import MoveParams
from modelshelf.domain.jobs import UNFINISHED, JobKind
from modelshelf.errors import Conflict, Corrupt, OutOfSpace
from modelshelf.services.jobs.running import Running
from modelshelf.services.shelf import Shelf
from modelshelf.store.layout import Base
from tests.disks import FarHome, far_home, files_of
from tests.fakes.hub import FakeHub
from tests.invariants import violations
from tests.world import MIB, Home, random_bytes, tree, wait_until

SIZE = 6 * MIB
LIMIT = 24_000_000
"""Three models of `SIZE` fit, even below the low watermark, and four do not."""
NAMES = ("a", "b", "c", "d")


@pytest.fixture
def home(tmp_path: Path, hub: FakeHub) -> Iterator[FarHome]:
    """A home with a small primary, on another file system than the secondary; the registry lies beside both."""
    with far_home(tmp_path / "user", hub.url) as far:
        far.extra = {
            "PRIMARY_CACHE_LIMIT_GB": str(LIMIT / 1e9),
            "SECONDARY_CACHE_LIMIT_GB": "0.1",
            "DATABASE_URL": f"sqlite:///{far.root}/registry.db",
            "PROMOTE": "never",
        }
        yield far


def files(name: str) -> dict[str, bytes]:
    """Return the files of a model."""
    return {"config.json": b"{}", "model.safetensors": random_bytes(SIZE, seed=ord(name))}


@pytest.fixture
def full(hub: FakeHub, shelf: Shelf) -> Shelf:
    """The library with a, b and c on a full primary, used in this order, and d not downloaded yet."""
    for name in NAMES:
        hub.add_repo(f"org/{name}", files(name))
        shelf.register(name, f"org/{name}", download=False) if name == "d" else shelf.register(name, f"org/{name}")
    for name in ("a", "b", "c"):
        use(shelf, name)
    return shelf


class Clock(SystemClock):
    """Real time; at the first wait something happens instead."""

    def __init__(self, hook: Callable[[], None]) -> None:
        self._hook: Callable[[], None] | None = hook

    def sleep(self, duration_s: float) -> None:
        """Let it happen, or wait."""
        hook, self._hook = self._hook, None
        if hook is None:
            super().sleep(duration_s)
        else:
            hook()


def use(shelf: Shelf, *names: str) -> None:
    """Use models, one after the other."""
    for name in names:
        with shelf.services.leaser.using(name, "load", "a test"):
            pass


def places(shelf: Shelf, home: Home) -> dict[str, str]:
    """Return where the models are that are whole, and check that each has its bytes."""
    found = {}
    for model in shelf.models():
        if model.state in ("ready", "moving"):
            assert tree(Path(model.path or "")) == files(model.row.model_name)
            found[model.row.model_name] = "primary" if model.base == str(home.primary) else "secondary"
    return found


def check_limit(shelf: Shelf) -> None:
    """Check the invariants, and that the primary is within its limit."""
    assert violations(shelf) == []
    assert shelf.tiers()[0].usage.apparent_bytes <= LIMIT
    assert shelf.services.registry.reservations.all() == []


def test_a_pull_pushes_out_what_was_used_least_recently(home: Home, full: Shelf) -> None:
    """The ledger of uses decides, and never the time that the file system has of a read."""
    for name, days in (("a", 0), ("b", 900), ("c", 990)):
        blobs = Base(home.primary).repo(f"org/{name}").blobs
        for path in blobs.iterdir():
            os.utime(path, (1_700_000_000 - days * 86400, path.stat().st_mtime))

    full.pull("d")

    assert places(full, home) == {"a": "secondary", "b": "primary", "c": "primary", "d": "primary"}
    check_limit(full)


def test_an_eviction_names_the_pull_that_caused_it(home: Home, full: Shelf) -> None:
    """`shelf jobs` and `shelf show` say when and why a model left, over HTTP and as JSON too."""
    full.pull("d")
    [pull] = full.jobs(kind="pull", model_name="d")
    full.close()

    shown = home.run("show", "a").checked().out
    listed = home.run("jobs").checked().out
    view = home.run("show", "a", "--json").checked().json
    with home.serve() as server:
        over_http = server.get("/api/models/a")
        jobs = {job["id"]: job for job in server.get("/api/jobs")}

    why = f"Makes room for the pull of d (job {pull.id})."
    assert f"just now to secondary. {why}" in shown
    assert why in listed
    [moved] = view["moves"]
    assert (moved["cache_location"], moved["parent_id"]) == ("secondary", pull.id)
    assert moved["reason"] == "Makes room for the pull of d."
    assert over_http["moves"] == view["moves"]
    assert jobs[moved["job_id"]]["parent_id"] == pull.id


def test_the_plan_is_shown_first(hub: FakeHub, home: Home, full: Shelf) -> None:
    """`shelf add --dry-run` names who would leave and with how many bytes; the real one does just that and says so."""
    hub.add_repo("org/e", files("e"))

    plan = home.run("add", "e", "org/e", "--dry-run", "--json").checked().json
    added = home.run("add", "e", "org/e").checked()

    assert [victim["model_name"] for victim in plan["makes_room"]] == ["a"]
    assert SIZE <= plan["makes_room"][0]["free_bytes"] <= SIZE + 10_000
    assert "Evicting a (6.3 MB) to secondary" in added.err
    assert places(full, home) == {"a": "secondary", "b": "primary", "c": "primary", "e": "primary"}
    check_limit(full)


def test_who_was_on_the_way_out_goes_when_room_is_reserved_next(hub: FakeHub, home: Home, full: Shelf) -> None:
    """A demotion whose process was killed ends with the next pull, though that fits without it."""
    hub.add_repo("org/tiny", {"config.json": b"{}"})
    params = MoveParams("secondary", str(home.secondary), makes_room=True)
    job = full.services.registry.enqueue("move", full.services.library.row("a"), params.to_json())
    theirs = full.services.mover.enqueue("b", "secondary", None, keep_source=False)

    full.register("tiny", "org/tiny")

    bases = {model.row.model_name: model.base for model in full.models() if model.state in ("ready", "moving")}
    near = dict.fromkeys(("b", "c", "tiny"), str(home.primary))
    assert bases == near | {"a": str(home.secondary)}
    assert [full.services.registry.job(n).state for n in (job.id, theirs.id)] == ["done", "queued"]


def test_a_damaged_model_is_no_victim(home: Home, full: Shelf) -> None:
    """Its bytes would be refused on the way; the next one leaves in its place."""
    [weights] = [path for path in Base(home.primary).repo("org/a").blobs.iterdir() if path.stat().st_size > 10**6]
    with weights.open("r+b") as file:
        file.write(bytes(8))
    home.run("verify", "a")

    full.pull("d")

    assert places(full, home) == {"b": "secondary", "c": "primary", "d": "primary"}
    assert full.model("a").state == "damaged"


def test_a_move_to_a_full_primary_makes_room(home: Home, full: Shelf) -> None:
    """What comes up pushes down what is colder."""
    full.move("a", "secondary")
    full.pull("d")

    full.move("a", "primary")

    assert places(full, home) == {"a": "primary", "b": "secondary", "c": "primary", "d": "primary"}
    check_limit(full)


def test_the_room_for_a_move_is_shown_first(home: Home, full: Shelf) -> None:
    """`shelf move --dry-run` names who would leave, and leaves all where they are; the real one says who does."""
    full.move("a", "secondary")
    full.pull("d")
    before = places(full, home)

    plan = home.run("move", "a", "primary", "--dry-run", "--json").checked().json
    shown = home.run("move", "a", "primary", "--dry-run").checked().out
    untouched = places(full, home)
    moved = home.run("move", "a", "primary").checked()

    assert [victim["model_name"] for victim in plan["makes_room"]] == ["b"]
    assert ("evicts b (6.3 MB) to secondary" in shown, untouched) == (True, before)
    assert "Evicting b (6.3 MB) to secondary" in moved.err
    assert places(full, home) == {"a": "primary", "b": "secondary", "c": "primary", "d": "primary"}
    check_limit(full)


def test_a_patch_answers_who_leaves_for_a_move(home: Home, full: Shelf) -> None:
    """As `shelf move` says, and a new model's answer; the same order again answers with the same job."""
    full.move("a", "secondary")
    full.pull("d")

    with home.serve() as server:
        answer = server.ask("PATCH", "/api/models/a", {"cache_location": "primary"})
        server.wait_for_state("a", "ready")

    assert (answer.status, answer.json["kind"]) == (202, "move")
    assert [victim["model_name"] for victim in answer.json["makes_room"]] == ["b"]
    assert places(full, home) == {"a": "primary", "b": "secondary", "c": "primary", "d": "primary"}


def test_what_another_is_deleting_is_waited_for(home: Home, full: Shelf) -> None:
    """A pull that needs the room of an old copy waits for whoever is deleting that, and makes no other model leave."""
    moving = full.services.runner.claim(full.services.mover.enqueue("a", "secondary", None, keep_source=False))
    assert moving is not None
    full.services.runner.run(Running(moving))
    (leaving,) = full.services.registry.jobs(state=UNFINISHED)
    deleting = full.services.runner.claim(leaving)
    assert deleting is not None

    with home.open(clock=Clock(partial(full.services.runner.run, Running(deleting)))) as other:
        other.pull("d")

    assert places(full, home) == {"a": "secondary", "b": "primary", "c": "primary", "d": "primary"}
    check_limit(full)


def test_a_move_that_cannot_be_is_refused_before_it_is_made(home: Home, full: Shelf) -> None:
    """`shelf move --dry-run` to a tier that cannot make room ends with the error and the exit code of the move."""
    full.move("a", "secondary")
    full.pull("d")
    for name in ("b", "c", "d"):
        full.pin(name)

    pinned = home.run("move", "a", "primary", "--dry-run", "--json")
    strict = home.run("move", "a", "primary", "--dry-run", "--json", ON_FULL="refuse")

    assert ([pinned.code, strict.code], pinned.problem["hint"]) == ([5, 8], "shelf unpin b would make room.")
    assert strict.problem["hint"] == "a stays where it is, on secondary."
    check_limit(full)


def test_refuse_moves_nothing(home: Home, full: Shelf) -> None:
    """With ON_FULL=refuse the error says what is needed and what is there, and everything stays where it is."""
    with home.open(ON_FULL="refuse") as strict, pytest.raises(OutOfSpace) as refused:
        strict.pull("d")

    assert refused.value.fields["would_hold"] == ["secondary"]
    assert places(full, home) == {"a": "primary", "b": "primary", "c": "primary"}
    check_limit(full)


@pytest.mark.parametrize("held", ["pinned", "leased", "open", "busy"])
def test_what_is_held_is_no_victim(home: Home, full: Shelf, held: str) -> None:
    """A pinned model, a leased one, one with an open file, one that a job works on: the next colder one leaves."""
    with (full.path("a") / "model.safetensors").open("rb") if held == "open" else Path(os.devnull).open("rb"):
        if held == "pinned":
            full.pin("a", "mine")
        elif held == "leased":
            full.services.leaser.hold("a", 600, "a person")
        elif held == "busy":
            full.services.registry.enqueue("update", full.services.library.row("a"))
        full.pull("d")

    assert places(full, home) == {"a": "primary", "b": "secondary", "c": "primary", "d": "primary"}
    check_limit(full)


def test_giving_a_lease_back_answers_programs(home: Home, full: Shelf) -> None:
    """`shelf lease --release --json` says in JSON which lease is gone."""
    lease = full.services.leaser.hold("a", 600, "a person")

    answer = home.run("lease", "--release", str(lease.id), "--json").checked().json

    assert (answer, full.services.leaser.live()) == ({"released": lease.id}, [])


def test_the_lease_of_a_dead_process_holds_nothing(home: Home, full: Shelf) -> None:
    """A lease whose owner was killed doesn't keep the coldest model."""
    row = full.services.library.row("a")
    dead = full.services.runner.owner.rpartition(":")[0] + ":0.00"
    full.services.registry.leases.take(row.id, str(home.primary), kind="run", holder="dead", owner=dead, ttl_s=600)

    full.pull("d")

    assert places(full, home)["a"] == "secondary"


def test_everything_pinned_is_a_conflict(home: Home, full: Shelf) -> None:
    """The error names what is pinned and what to do; nothing was moved or fetched."""
    for name in ("a", "b", "c"):
        full.pin(name)

    refused = home.run("pull", "d", "--json")

    assert refused.code == Conflict.exit_code
    assert [held["model_name"] for held in refused.problem["blocked"]] == ["a", "b", "c"]
    assert "shelf unpin a" in refused.problem["hint"]
    assert places(full, home) == {"a": "primary", "b": "primary", "c": "primary"}
    check_limit(full)


def test_what_is_bigger_than_the_tier_moves_nothing(hub: FakeHub, home: Home, full: Shelf) -> None:
    """No room is made in vain."""
    hub.add_repo("org/huge", {"model.safetensors": random_bytes(LIMIT + 1)})

    with pytest.raises(OutOfSpace, match="nothing was moved"):
        full.register("huge", "org/huge")

    assert places(full, home) == {"a": "primary", "b": "primary", "c": "primary"}
    check_limit(full)


def test_a_full_secondary_loses_nothing(home: Home, full: Shelf) -> None:
    """Where there is nowhere to go everything stays, and the error is about the space."""
    refused = home.run("pull", "d", "--json", SECONDARY_CACHE_LIMIT_GB="0.001")

    assert refused.code == OutOfSpace.exit_code
    assert refused.problem["cache_location"] == "secondary"
    assert places(full, home) == {"a": "primary", "b": "primary", "c": "primary"}
    assert files_of(home.secondary) == []
    check_limit(full)


def test_a_secondary_deletes_only_what_the_hub_has(hub: FakeHub, home: Home, full: Shelf) -> None:
    """With ON_SECONDARY_FULL=remove-unpinned the files of one model go that can be pulled again, and nothing else."""
    full.move("a", "secondary")
    full.move("b", "secondary")
    hub.fail("*/org/a*", status=404, error_code="RepoNotFound")
    small = {"SECONDARY_CACHE_LIMIT_GB": "0.015", "ON_SECONDARY_FULL": "remove-unpinned"}

    with home.open(**small) as limited:
        limited.move("c", "secondary")

    assert places(full, home) == {"a": "secondary", "c": "secondary"}
    assert full.model("b").state == "registered"
    deleted = full.services.library.moves(full.services.library.row("b"))[0]
    assert (deleted.cache_location, deleted.cause.reason) == ("", "Makes room for the move of c.")
    hub.heal()
    with home.open() as limited:
        limited.pull("b")
    assert places(full, home)["b"] == "secondary"
    assert violations(full) == []


def test_a_secondary_without_the_hub_deletes_nothing(hub: FakeHub, home: Home, full: Shelf) -> None:
    """When the hub cannot be asked nothing is known to be there, so everything stays."""
    full.move("a", "secondary")
    full.move("b", "secondary")
    hub.stop()
    small = {"SECONDARY_CACHE_LIMIT_GB": "0.015", "ON_SECONDARY_FULL": "remove-unpinned"}

    with home.open(**small) as limited, pytest.raises(OutOfSpace):
        limited.move("c", "secondary")

    assert places(full, home) == {"a": "secondary", "b": "secondary", "c": "primary"}


def test_two_models_of_one_snapshot_leave_together(home: Home, full: Shelf) -> None:
    """Either of them alone would free nothing."""
    full.register("a2", "org/a")
    use(full, "b", "c")

    full.pull("d")

    assert {name: full.model(name).base for name in ("a", "a2")} == dict.fromkeys(("a", "a2"), str(home.secondary))
    assert not Base(home.primary).repo("org/a").path.exists()
    check_limit(full)


def test_a_pin_on_one_of_two_names_holds_both(home: Home, full: Shelf) -> None:
    """The snapshot is pinned, whatever it is called."""
    full.register("a2", "org/a")
    full.pin("a2")
    use(full, "b", "c")

    full.pull("d")

    assert places_of(full, "a", "a2", "b") == [str(home.primary), str(home.primary), str(home.secondary)]
    check_limit(full)


def places_of(shelf: Shelf, *names: str) -> list[str]:
    """Return the bases of models."""
    return [shelf.model(name).base for name in names]


def test_a_victim_that_is_damaged_is_not_deleted(home: Home, full: Shelf) -> None:
    """A demotion that finds wrong bytes ends the pull, says which model it was, and leaves everything there."""
    blob = (full.path("a") / "model.safetensors").resolve()
    blob.write_bytes(random_bytes(SIZE, seed=77))

    refused = home.run("pull", "d", "--json")

    assert refused.code == Corrupt.exit_code
    assert refused.problem["detail"].startswith("No room could be made: a, which was to be evicted, is damaged.")
    assert refused.problem["hint"] == "shelf verify a --repair"
    assert places_of(full, "a", "b", "c") == [str(home.primary)] * 3
    assert blob.read_bytes() == random_bytes(SIZE, seed=77)
    assert full.services.registry.reservations.all() == []


def test_an_old_copy_that_waits_goes_before_a_victim_is_chosen(home: Home, full: Shelf) -> None:
    """What a model left behind, because somebody used it, is room that costs no move."""
    lease = full.services.leaser.hold("c", 600, "a person")
    full.move("c", "secondary")
    full.services.leaser.release(lease.id)
    assert Base(home.primary).repo("org/c").path.exists()

    full.pull("d")

    assert places(full, home) == {"a": "primary", "b": "primary", "c": "secondary", "d": "primary"}
    check_limit(full)


def test_the_warning_ends_when_room_was_made(home: Home, full: Shelf) -> None:
    """A full tier is marked; room is made down to a mark below the warning."""
    with home.open(CACHE_WARNING_THRESHOLD="0.75") as careful:
        assert careful.tiers()[0].warning
        assert "% of its limit" in careful.tiers()[0].detail

        careful.move("a", "secondary")

        assert not careful.tiers()[0].warning


@pytest.mark.parametrize(
    ("mode", "uses", "goes"), [("never", 3, False), ("auto", 1, False), ("auto", 2, True), ("always", 1, True)]
)
def test_promotion(home: Home, full: Shelf, mode: str, uses: int, goes: bool) -> None:
    """A model of the secondary moves up behind its use: never, from the second load on, or always."""
    full.remove("d")
    full.register("d", "org/d", "secondary")
    full.move("a", "secondary")
    with home.open(PROMOTE=mode) as shelf:
        for _ in range(uses):
            use(shelf, "d")
        wait_until(
            lambda: not [job for job in shelf.services.registry.jobs(state=UNFINISHED) if job.kind == "move"],
            "the move",
        )
        shelf.services.runner.run_due(JobKind.DELETE_OLD_COPY)

    assert places(full, home)["d"] == ("primary" if goes else "secondary")
    assert any("org--d" in path for path in files_of(home.secondary)) is not goes
    check_limit(full)


def test_a_promotion_pushes_out_nothing_hotter(home: Home, full: Shelf) -> None:
    """Everything on the primary was used since the use before: the model stays, and loads from where it lies."""
    full.move("a", "secondary")
    full.pull("d")
    use(full, "a", "b", "c", "d")

    with home.open(PROMOTE="auto") as shelf:
        use(shelf, "a")

    assert places(full, home) == {"a": "secondary", "b": "primary", "c": "primary", "d": "primary"}
    assert full.services.registry.jobs(state=UNFINISHED) == []


def test_a_promotion_does_not_push_out_what_just_came(home: Home, full: Shelf) -> None:
    """Even `always` respects the minimum stay, so that two models do not bounce."""
    full.move("a", "secondary")
    full.pull("d")

    with home.open(PROMOTE="always") as shelf:
        use(shelf, "a")

    assert places(full, home)["a"] == "secondary"


def test_the_use_does_not_wait_for_the_promotion(home: Home, full: Shelf) -> None:
    """The model is loaded from where it lies; its old copy goes when that use has ended."""
    full.move("a", "secondary")
    with home.open(PROMOTE="always") as shelf:
        with shelf.services.leaser.using("a", "load", "a test") as model:
            assert model.base == str(home.secondary)
            wait_until(lambda: shelf.model("a").base == str(home.primary), "the promotion")
            shelf.services.runner.run_due(JobKind.DELETE_OLD_COPY)
            assert tree(Path(model.path or "")) == files("a")
        shelf.services.runner.run_due(JobKind.DELETE_OLD_COPY)

    assert files_of(home.secondary) == []
    assert places(full, home)["a"] == "primary"


def test_a_promotion_that_was_cut_short_is_taken_up(home: Home, full: Shelf) -> None:
    """A process that ends puts its promotion back into the queue, and the next use goes on with it."""
    full.move("a", "secondary")
    full.services.registry.enqueue(
        "move",
        full.services.library.row("a"),
        MoveParams("primary", str(home.primary)).to_json(),
    )

    with home.open(PROMOTE="always") as shelf:
        use(shelf, "a")
        wait_until(lambda: shelf.model("a").base == str(home.primary), "the promotion")

    assert places(full, home)["a"] == "primary"
