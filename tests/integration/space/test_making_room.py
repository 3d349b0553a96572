"""A pull that doesn't fit evicts the least recently used models; nothing is lost, and a refusal moves nothing."""

from __future__ import annotations

import os
import threading
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
from tests.world import DEADLINE_S, MIB, Home, random_bytes, tree, wait_until

SIZE = 6 * MIB
LIMIT = 24_000_000
"""Three models of `SIZE` fit, even below the low watermark, and four don't."""
NAMES = ("a", "b", "c", "d")


@pytest.fixture
def home(tmp_path: Path, hub: FakeHub) -> Iterator[FarHome]:
    """A home with a small primary on another file system than the secondary, and the registry elsewhere."""
    with far_home(tmp_path / "user", hub.url) as far:
        far.extra = {
            "PRIMARY_CACHE_LIMIT_GB": str(LIMIT / 1e9),
            "SECONDARY_CACHE_LIMIT_GB": "0.1",
            "DATABASE_URL": f"sqlite:///{far.root}/registry.db",
            "PROMOTE": "never",
        }
        yield far


def files(name: str) -> dict[str, bytes]:
    """Return a model's files."""
    return {"config.json": b"{}", "model.safetensors": random_bytes(SIZE, seed=ord(name))}


@pytest.fixture
def full(hub: FakeHub, shelf: Shelf) -> Shelf:
    """The library with a, b and c on a full primary, used in this order, and d not downloaded."""
    for name in NAMES:
        hub.add_repo(f"org/{name}", files(name))
        shelf.register(name, f"org/{name}", download=False) if name == "d" else shelf.register(name, f"org/{name}")
    for name in ("a", "b", "c"):
        use(shelf, name)
    return shelf


class Clock(SystemClock):
    """Real time; at the first sleep something happens instead."""

    def __init__(self, hook: Callable[[], None]) -> None:
        self._hook: Callable[[], None] | None = hook

    def sleep(self, duration_s: float) -> None:
        """Let it happen, or sleep."""
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
    """Return the tier of each whole model, and assert that its bytes are there."""
    found: dict[str, str] = {}
    for model in shelf.models():
        if model.state in ("ready", "moving"):
            assert tree(Path(model.path or "")) == files(model.row.model_name)
            found[model.row.model_name] = "primary" if model.base == str(home.primary) else "secondary"
    return found


def check_limit(shelf: Shelf) -> None:
    """Assert the invariants, and that the primary is within its limit."""
    assert violations(shelf) == []
    assert shelf.tiers()[0].usage.apparent_bytes <= LIMIT
    assert shelf.services.registry.reservations.all() == []


def test_a_pull_pushes_out_what_was_used_least_recently(home: Home, full: Shelf) -> None:
    """A pull evicts by uses; an access time from before a file was written is none."""
    for name, days in (("a", 0), ("b", 900), ("c", 990)):
        blobs = Base(home.primary).repo(f"org/{name}").blobs
        for path in blobs.iterdir():
            os.utime(path, (1_700_000_000 - days * 86400, path.stat().st_mtime))

    full.pull("d")

    assert places(full, home) == {"a": "secondary", "b": "primary", "c": "primary", "d": "primary"}
    check_limit(full)


def test_an_eviction_names_the_pull_that_caused_it(home: Home, full: Shelf) -> None:
    """`shelf jobs`, `shelf show` and HTTP say when and why a model was evicted, and by which pull."""
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


def test_pausing_a_pull_pauses_its_eviction(full: Shelf, home: Home) -> None:
    """A pull that is paused while it makes room stops within a second, and resumed it makes the room and goes on."""
    runner, began = full.services.runner, threading.Event()
    move, ended = runner.handlers[JobKind.MOVE], list[Conflict]()

    def held(running: Running) -> None:
        began.set()
        while True:
            running.progress.check()
            full.services.clock.sleep(0.02)

    def pull() -> None:
        with pytest.raises(Conflict) as refused:
            full.pull("d")
        ended.append(refused.value)

    runner.handlers[JobKind.MOVE] = held
    thread = threading.Thread(target=pull)
    thread.start()
    assert began.wait(DEADLINE_S)
    job = full.jobs(kind=JobKind.PULL, unfinished=True)[0]
    full.services.steering.pause(job.id)
    thread.join(DEADLINE_S)
    paused = [(other.kind, other.state) for other in full.jobs(unfinished=True)]
    runner.handlers[JobKind.MOVE] = move
    runner.finish(full.services.steering.resume(job.id))

    assert paused == [("move", "paused"), ("pull", "paused")]
    assert ended[0].hint == f"shelf jobs resume {job.id}"
    assert full.jobs(unfinished=True) == []
    assert places(full, home)["d"] == "primary"
    assert violations(full) == []


def test_the_plan_is_shown_first(hub: FakeHub, home: Home, full: Shelf) -> None:
    """`shelf add --dry-run` names the victims and bytes, and the real run evicts exactly these and says so."""
    hub.add_repo("org/e", files("e"))

    plan = home.run("add", "e", "org/e", "--dry-run", "--json").checked().json
    added = home.run("add", "e", "org/e").checked()

    assert [victim["model_name"] for victim in plan["makes_room"]] == ["a"]
    assert SIZE <= plan["makes_room"][0]["free_bytes"] <= SIZE + 10_000
    assert "Evicting a (6.3 MB) to secondary" in added.err
    assert places(full, home) == {"a": "secondary", "b": "primary", "c": "primary", "e": "primary"}
    check_limit(full)


def test_who_was_on_the_way_out_goes_when_room_is_reserved_next(hub: FakeHub, home: Home, full: Shelf) -> None:
    """A demotion whose process was killed ends with the next pull, even if that fits without it."""
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
    """A damaged model is never a victim; the next one is evicted in its place."""
    [weights] = [path for path in Base(home.primary).repo("org/a").blobs.iterdir() if path.stat().st_size > 10**6]
    with weights.open("r+b") as file:
        file.write(bytes(8))
    home.run("verify", "a")

    full.pull("d")

    assert places(full, home) == {"b": "secondary", "c": "primary", "d": "primary"}
    assert full.model("a").state == "damaged"


def test_a_move_to_a_full_primary_makes_room(home: Home, full: Shelf) -> None:
    """Moving a model to a full primary evicts colder ones."""
    full.move("a", "secondary")
    full.pull("d")

    full.move("a", "primary")

    assert places(full, home) == {"a": "primary", "b": "secondary", "c": "primary", "d": "primary"}
    check_limit(full)


def test_the_room_for_a_move_is_shown_first(home: Home, full: Shelf) -> None:
    """`shelf move --dry-run` names the victims and moves nothing; the real run names them too."""
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
    """A PATCH that moves a model answers with the victims, and repeating it answers with the same job."""
    full.move("a", "secondary")
    full.pull("d")

    with home.serve() as server:
        answer = server.ask("PATCH", "/api/models/a", {"cache_location": "primary"})
        server.wait_for_state("a", "ready")

    assert (answer.status, answer.json["kind"]) == (202, "move")
    assert [victim["model_name"] for victim in answer.json["makes_room"]] == ["b"]
    assert places(full, home) == {"a": "primary", "b": "secondary", "c": "primary", "d": "primary"}


def test_what_another_is_deleting_is_waited_for(home: Home, full: Shelf) -> None:
    """A pull that needs an old copy's room waits for its deletion and evicts nothing else."""
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
    """`shelf move --dry-run` to a tier that can't make room ends with the move's error and exit code."""
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
    """With ON_FULL=refuse the error has the numbers, and everything stays."""
    with home.open(ON_FULL="refuse") as strict, pytest.raises(OutOfSpace) as refused:
        strict.pull("d")

    assert refused.value.fields["would_hold"] == ["secondary"]
    assert places(full, home) == {"a": "primary", "b": "primary", "c": "primary"}
    check_limit(full)


@pytest.mark.parametrize("held", ["pinned", "leased", "open", "busy"])
def test_what_is_held_is_no_victim(home: Home, full: Shelf, held: str) -> None:
    """A model that is pinned, leased, open or in a job is skipped, and the next colder one is evicted."""
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
    """`shelf lease --release --json` prints the released lease as JSON."""
    lease = full.services.leaser.hold("a", 600, "a person")

    answer = home.run("lease", "--release", str(lease.id), "--json").checked().json

    assert (answer, full.services.leaser.live()) == ({"released": lease.id}, [])


def test_the_lease_of_a_dead_process_holds_nothing(home: Home, full: Shelf) -> None:
    """The lease of a killed process doesn't protect the coldest model."""
    row = full.services.library.row("a")
    dead = full.services.runner.owner.rpartition(":")[0] + ":0.00"
    full.services.registry.leases.take(row.id, str(home.primary), kind="run", holder="dead", owner=dead, ttl_s=600)

    full.pull("d")

    assert places(full, home)["a"] == "secondary"


def test_everything_pinned_is_a_conflict(home: Home, full: Shelf) -> None:
    """If everything is pinned, the error names the pins and what to do, and nothing is moved or fetched."""
    for name in ("a", "b", "c"):
        full.pin(name)

    refused = home.run("pull", "d", "--json")

    assert refused.code == Conflict.exit_code
    assert [held["model_name"] for held in refused.problem["blocked"]] == ["a", "b", "c"]
    assert "shelf unpin a" in refused.problem["hint"]
    assert places(full, home) == {"a": "primary", "b": "primary", "c": "primary"}
    check_limit(full)


def test_what_is_bigger_than_the_tier_moves_nothing(hub: FakeHub, home: Home, full: Shelf) -> None:
    """A model larger than the tier is refused without an eviction."""
    hub.add_repo("org/huge", {"model.safetensors": random_bytes(LIMIT + 1)})

    with pytest.raises(OutOfSpace, match="nothing was moved"):
        full.register("huge", "org/huge")

    assert places(full, home) == {"a": "primary", "b": "primary", "c": "primary"}
    check_limit(full)


def test_a_full_secondary_loses_nothing(home: Home, full: Shelf) -> None:
    """If the secondary is full too, everything stays, and the error is out of space."""
    refused = home.run("pull", "d", "--json", SECONDARY_CACHE_LIMIT_GB="0.001")

    assert refused.code == OutOfSpace.exit_code
    assert refused.problem["cache_location"] == "secondary"
    assert places(full, home) == {"a": "primary", "b": "primary", "c": "primary"}
    assert files_of(home.secondary) == []
    check_limit(full)


def test_a_secondary_deletes_only_what_the_hub_has(hub: FakeHub, home: Home, full: Shelf) -> None:
    """With ON_SECONDARY_FULL=remove-unpinned the files of one model that the hub has are deleted, and nothing else."""
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
    """If the hub isn't reachable, nothing is deleted from a full secondary."""
    full.move("a", "secondary")
    full.move("b", "secondary")
    hub.stop()
    small = {"SECONDARY_CACHE_LIMIT_GB": "0.015", "ON_SECONDARY_FULL": "remove-unpinned"}

    with home.open(**small) as limited, pytest.raises(OutOfSpace):
        limited.move("c", "secondary")

    assert places(full, home) == {"a": "secondary", "b": "secondary", "c": "primary"}


def test_two_models_of_one_snapshot_leave_together(home: Home, full: Shelf) -> None:
    """Two models of one snapshot are evicted together, because one alone would free nothing."""
    full.register("a2", "org/a")
    use(full, "b", "c")

    full.pull("d")

    assert {name: full.model(name).base for name in ("a", "a2")} == dict.fromkeys(("a", "a2"), str(home.secondary))
    assert not [path for path in files_of(home.primary) if path.startswith("hub/models--org--a/")]
    check_limit(full)


def test_a_pin_on_one_of_two_names_holds_both(home: Home, full: Shelf) -> None:
    """A pin on one of two models of a snapshot protects both."""
    full.register("a2", "org/a")
    full.pin("a2")
    use(full, "b", "c")

    full.pull("d")

    assert places_of(full, "a", "a2", "b") == [str(home.primary), str(home.primary), str(home.secondary)]
    check_limit(full)


def places_of(shelf: Shelf, *names: str) -> list[str]:
    """Return the models' bases."""
    return [shelf.model(name).base for name in names]


def test_a_victim_that_is_damaged_is_not_deleted(home: Home, full: Shelf) -> None:
    """A demotion that finds wrong bytes ends the pull, names the model, and deletes nothing."""
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
    """An old copy that waits to be deleted goes before a victim is chosen."""
    lease = full.services.leaser.hold("c", 600, "a person")
    full.move("c", "secondary")
    full.services.leaser.release(lease.id)
    assert Base(home.primary).repo("org/c").path.exists()

    full.pull("d")

    assert places(full, home) == {"a": "primary", "b": "primary", "c": "secondary", "d": "primary"}
    check_limit(full)


def test_the_warning_ends_when_room_was_made(home: Home, full: Shelf) -> None:
    """A full tier has a warning until room is made."""
    with home.open(CACHE_WARNING_THRESHOLD="0.75") as careful:
        assert careful.tiers()[0].warning
        assert "% of its limit" in careful.tiers()[0].detail

        careful.move("a", "secondary")

        assert not careful.tiers()[0].warning


@pytest.mark.parametrize(
    ("mode", "uses", "goes"), [("never", 3, False), ("auto", 1, False), ("auto", 2, True), ("always", 1, True)]
)
def test_promotion(home: Home, full: Shelf, mode: str, uses: int, goes: bool) -> None:
    """A used model on the secondary is promoted never, from its second load on (auto), or always."""
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


def test_one_use_does_not_undo_a_move(home: Home, full: Shelf) -> None:
    """Uses that began before a person moved a model to the secondary don't count: it comes back at its second there."""
    use(full, "a", "a")
    with full.services.leaser.using("a", "engine", "a test"):
        full.move("a", "secondary")
    full.services.runner.run_due(JobKind.DELETE_OLD_COPY)
    with home.open(PROMOTE="auto") as shelf:
        use(shelf, "a")
        assert shelf.services.registry.jobs(kind=JobKind.MOVE, state=UNFINISHED) == []
        assert places(shelf, home)["a"] == "secondary"
        use(shelf, "a")
        wait_until(lambda: places(shelf, home)["a"] == "primary", "the promotion")


def test_a_promotion_pushes_out_nothing_hotter(home: Home, full: Shelf) -> None:
    """If everything on the primary was used since the model's previous use, the model isn't promoted."""
    full.move("a", "secondary")
    full.pull("d")
    use(full, "a", "b", "c", "d")

    with home.open(PROMOTE="auto") as shelf:
        use(shelf, "a")

    assert places(full, home) == {"a": "secondary", "b": "primary", "c": "primary", "d": "primary"}
    assert full.services.registry.jobs(state=UNFINISHED) == []


def test_a_promotion_does_not_push_out_what_just_came(home: Home, full: Shelf) -> None:
    """Even with `always` a promotion respects the minimum stay, so two models don't bounce."""
    full.move("a", "secondary")
    full.pull("d")

    with home.open(PROMOTE="always") as shelf:
        use(shelf, "a")

    assert places(full, home)["a"] == "secondary"


def test_the_use_does_not_wait_for_the_promotion(home: Home, full: Shelf) -> None:
    """A use doesn't wait for its promotion, and the old copy goes when the use has ended."""
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
    """A promotion that a process left is queued, and the next use continues it."""
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


def test_a_pull_evicts_another_file_of_its_own_repository(hub: FakeHub, shelf: Shelf) -> None:
    """A model that is being pulled stays where it is, though a model of the same snapshot leaves for it."""
    hub.add_repo("org/gguf", {"m-Q4_K_M.gguf": random_bytes(SIZE), "m-Q8_0.gguf": random_bytes(3 * SIZE, 1)})
    shelf.register("q4", "org/gguf", allow_patterns=["*Q4_K_M.gguf"])
    shelf.register("q8", "org/gguf", allow_patterns=["*Q8_0.gguf"])

    assert {name: shelf.model(name).row.cache_location for name in ("q4", "q8")} == {"q4": "secondary", "q8": "primary"}
    assert not violations(shelf)
