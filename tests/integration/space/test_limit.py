"""No concurrent work exceeds a tier's limit, and a refusal has the numbers."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelshelf.domain.models import FileEntry
from modelshelf.domain.names import Digest
from modelshelf.domain.plans import beside_bytes
from modelshelf.errors import OutOfSpace
from modelshelf.services.shelf import Shelf
from modelshelf.store.layout import Base
from tests.builders import put
from tests.fakes.hub import FakeHub
from tests.invariants import du, violations
from tests.world import MIB, Child, Home, random_bytes, tree, wait_until

SIZE = 10 * MIB
LIMIT = 62_000_000
"""Five models of `SIZE` fit beside the registry and its write-ahead log, and six don't."""
BESIDE = beside_bytes([FileEntry("model.safetensors", SIZE, "")])
"""The most that such a model takes beside its weights."""
NAMES = [f"m{i}" for i in range(10)]


@pytest.fixture
def home(home: Home) -> Home:
    """A home with limits on both tiers."""
    home.extra = {"PRIMARY_CACHE_LIMIT_GB": f"{LIMIT / 1e9}", "SECONDARY_CACHE_LIMIT_GB": "1", "ON_FULL": "refuse"}
    return home


@contextlib.contextmanager
def watched(base: Path) -> Iterator[list[int]]:
    """Measure a base again and again inside the context; yield the apparent bytes."""
    found, over = [0], threading.Event()

    def watch() -> None:
        while not over.is_set():
            found.append(lstat_sum(base))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield found
    finally:
        over.set()
        watcher.join()


def lstat_sum(base: Path) -> int:
    """Return the bytes written below a base as quickly as possible; a hole in a part doesn't count."""
    total = 0
    for folder, _, names in os.walk(base):
        for path in (Path(folder), *(Path(folder, name) for name in names)):
            with contextlib.suppress(FileNotFoundError):  # it was renamed meanwhile
                found = path.lstat()
                total += min(found.st_size, found.st_blocks * 512) if path.suffix == ".part" else found.st_size
    return total


def add_models(hub: FakeHub, shelf: Shelf) -> None:
    """Register ten models that don't fit together, without downloading."""
    for i, name in enumerate(NAMES):
        hub.add_repo(f"org/{name}", {"model.safetensors": random_bytes(SIZE, seed=i)})
        shelf.register(name, f"org/{name}", download=False)


def test_what_does_not_fit_is_refused_before_the_first_byte(hub: FakeHub, home: Home) -> None:
    """A pull that doesn't fit ends with 8, every number and a tier with room, before anything is fetched."""
    hub.add_repo("org/big", {"model.safetensors": random_bytes(LIMIT)})

    refused = home.run("add", "big", "org/big", "--json")

    problem = refused.problem
    assert (refused.code, refused.out, hub.bytes_sent) == (OutOfSpace.exit_code, "", 0)
    assert problem["needed_bytes"] == LIMIT + beside_bytes([FileEntry("model.safetensors", LIMIT, "")])
    assert problem["limit_bytes"] == LIMIT
    assert problem["headroom_bytes"] == LIMIT - problem["usage_bytes"] - problem["reserved_bytes"]
    assert (problem["cache_location"], problem["would_hold"]) == ("primary", ["secondary"])
    with home.open() as shelf:
        assert (shelf.models(), shelf.services.registry.reservations.all()) == ([], [])
    assert not (home.primary / "hub").exists()


def test_a_refusal_reads_well(hub: FakeHub, home: Home) -> None:
    """A refusal says to a person what is needed, what is free, and what to do."""
    hub.add_repo("org/big", {"model.safetensors": random_bytes(LIMIT)})

    refused = home.run("add", "big", "org/big")

    assert (refused.code, refused.out) == (OutOfSpace.exit_code, "")
    assert "error: Need 62.7 MB, primary has" in refused.err
    assert "of 62.0 MB" in refused.err
    assert "hint: secondary has room: --to secondary" in refused.err


def test_what_was_refused_goes_where_it_fits(hub: FakeHub, home: Home, shelf: Shelf) -> None:
    """The tier that the refusal's hint names takes the model."""
    files = {"model.safetensors": random_bytes(LIMIT)}
    hub.add_repo("org/big", files)
    with pytest.raises(OutOfSpace):
        shelf.register("big", "org/big")

    shelf.register("big", "org/big", "secondary")

    assert tree(shelf.path("big")) == files
    assert violations(shelf) == []


def test_nothing_would_hold_it(hub: FakeHub, home: Home) -> None:
    """If no tier has room, the error names none."""
    hub.add_repo("org/big", {"model.safetensors": random_bytes(LIMIT)})

    with home.open(SECONDARY_CACHE_LIMIT_GB="0.05") as shelf, pytest.raises(OutOfSpace) as refused:
        shelf.register("big", "org/big")

    assert refused.value.fields["would_hold"] == []


def test_ten_processes_stay_below_the_limit_together(hub: FakeHub, home: Home, shelf: Shelf) -> None:
    """Of ten processes that pull at once those that fit succeed, the others are refused, and `du` keeps the limit."""
    add_models(hub, shelf)

    with watched(home.primary) as sizes:
        ended = [child.finish() for child in [home.start("pull", name) for name in NAMES]]

    assert sorted(result.code for result in ended) == [0] * 5 + [OutOfSpace.exit_code] * 5
    assert max(sizes) <= LIMIT
    assert len(sizes) > 20
    assert shelf.services.registry.reservations.all() == []
    assert hub.bytes_sent == 5 * SIZE
    assert violations(shelf) == []


def test_ten_threads_stay_below_the_limit_together(hub: FakeHub, home: Home, shelf: Shelf) -> None:
    """Ten threads with a library each keep the limit too, and refused pulls fetch nothing."""
    add_models(hub, shelf)
    outcomes: list[str] = []

    def pull(name: str) -> None:
        with home.open() as mine:
            try:
                outcomes.append(mine.pull(name).state)
            except OutOfSpace:
                outcomes.append("refused")

    threads = [threading.Thread(target=pull, args=(name,)) for name in NAMES]
    with watched(home.primary) as sizes:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert sorted(outcomes) == ["ready"] * 5 + ["refused"] * 5
    assert max(sizes) <= LIMIT
    assert shelf.services.registry.reservations.all() == []
    assert hub.bytes_sent == 5 * SIZE
    assert violations(shelf) == []


def start_holding(hub: FakeHub, home: Home, names: list[str]) -> list[Child]:
    """Start processes that hold a reservation and wait for a silent hub."""
    hub.pause()
    children = [home.start("pull", name) for name in names]
    with home.open() as shelf:
        wait_until(lambda: len(shelf.services.registry.reservations.all()) == len(names), "every reservation")
    return children


def test_what_is_promised_to_others_is_not_given_away(hub: FakeHub, home: Home, shelf: Shelf) -> None:
    """Bytes that others reserved count as used before they are written."""
    add_models(hub, shelf)
    children = start_holding(hub, home, NAMES[:5])

    with pytest.raises(OutOfSpace) as refused:
        shelf.pull(NAMES[5])

    assert refused.value.fields["reserved_bytes"] == 5 * (SIZE + BESIDE)
    assert shelf.tiers()[0].reserved_bytes == 5 * (SIZE + BESIDE)
    hub.resume()
    assert [child.finish().code for child in children] == [0] * 5
    assert shelf.tiers()[0].reserved_bytes == 0


def test_a_killed_process_gives_its_room_to_the_next(hub: FakeHub, home: Home, shelf: Shelf) -> None:
    """If a process is killed, the next one gets its reserved room at once."""
    add_models(hub, shelf)
    children = start_holding(hub, home, NAMES[:5])
    children[0].kill()

    hub.resume()
    shelf.pull(NAMES[5])

    assert [child.finish().code for child in children[1:]] == [0] * 4
    assert shelf.model(NAMES[5]).state == "ready"
    assert shelf.services.registry.reservations.all() == []
    assert violations(shelf) == []


def test_what_is_there_already_needs_no_room(hub: FakeHub, home: Home, shelf: Shelf) -> None:
    """A second model of bytes that are on a full tier needs no room."""
    hub.add_repo("org/m", {"model.safetensors": random_bytes(LIMIT - 5_000_000)})
    shelf.register("m", "org/m")

    again = shelf.register("again", "org/m")

    assert (again.state, hub.bytes_sent) == ("ready", LIMIT - 5_000_000)


def test_removing_a_model_makes_room(hub: FakeHub, home: Home, shelf: Shelf) -> None:
    """Removing a model with its files makes room for one that was refused, and the freed bytes are what `du` says."""
    hub.add_repo("org/first", {"model.safetensors": random_bytes(40_000_000)})
    second = {"model.safetensors": random_bytes(40_000_000, seed=1)}
    hub.add_repo("org/second", second)
    shelf.register("first", "org/first")
    with pytest.raises(OutOfSpace):
        shelf.register("second", "org/second")
    places = (home.primary / "hub", Base(home.primary).sidecars)
    before = [du(place) for place in places]

    freed = shelf.remove("first", delete_files=True).freed

    after = [du(place) for place in places]
    gone = [sum(old[i] - new[i] for old, new in zip(before, after, strict=True)) for i in (0, 1)]
    assert [freed.apparent_bytes, freed.allocated_bytes] == gone
    assert freed.apparent_bytes >= 40_000_000
    shelf.register("second", "org/second")
    assert tree(shelf.path("second")) == second
    assert violations(shelf) == []


def test_the_warning_comes_at_the_threshold(hub: FakeHub, home: Home, shelf: Shelf) -> None:
    """A tier has a warning from the configured share of its limit on."""
    hub.add_repo("org/m", {"model.safetensors": random_bytes(LIMIT // 2)})
    shelf.register("m", "org/m")

    assert [status.warning for status in shelf.tiers()] == [False, False]
    with home.open(CACHE_WARNING_THRESHOLD="0.4") as careful:
        assert [status.warning for status in careful.tiers()] == [True, False]


def test_what_a_download_was_promised_counts_once(home: Home, shelf: Shelf) -> None:
    """The hole in a part counts once, as the reservation."""
    services, base = shelf.services, Base(home.primary)
    tier, digest = services.tiers.all()[0], Digest("d" * 64)
    held_bytes, headroom_bytes = services.tiers.status(tier).held_bytes, services.tiers.headroom_bytes(tier)

    with services.registrar.room.admission.reserve(tier, services.tiers.check_writable(tier), lambda: LIMIT // 2):
        put(base.part(digest), b"")
        os.truncate(base.part(digest), LIMIT // 2)
        status, left_bytes = services.tiers.status(tier, rescan=True), services.tiers.headroom_bytes(tier)

    assert status.held_bytes - held_bytes == pytest.approx(LIMIT // 2, abs=100_000)
    assert headroom_bytes - left_bytes == pytest.approx(LIMIT // 2, abs=100_000)
    assert not status.warning


def test_a_model_that_fits_to_the_byte_stays_below_the_limit(hub: FakeHub, home: Home, shelf: Shelf) -> None:
    """What a model takes beside its blobs is within the limit that admits it."""
    hub.add_repo("org/m", {f"f{i}.safetensors": random_bytes(10_000, seed=i) for i in range(100)})
    shelf.register("m", "org/m", download=False)
    limit_bytes, ready = du(home.primary)[0] + 1_000_000, False

    while not ready:
        limit_bytes += 40_000
        with home.open(PRIMARY_CACHE_LIMIT_GB=f"{limit_bytes / 1e9:.9f}") as limited:
            with contextlib.suppress(OutOfSpace):
                limited.pull("m")
            ready = limited.model("m").state == "ready"

    assert du(home.primary)[0] <= limit_bytes


def test_what_arrived_of_a_model_is_no_orphan(hub: FakeHub, home: Home) -> None:
    """A blob that waits for the rest of its model counts as a partial download; once nobody wants it, as an orphan."""
    weights = random_bytes(30_000)
    hub.add_repo("org/waits", {"config.json": b"{}", "model.safetensors": weights})
    with home.open() as shelf:
        shelf.register("m", "org/waits", download=False)
        blob = Base(home.primary).repo("org/waits").blob(Digest(hashlib.sha256(weights).hexdigest()))
        blob.parent.mkdir(parents=True)
        blob.write_bytes(weights)

        waiting = shelf.tiers()[0].usage.breakdown
        shelf.remove("m")
        forgotten = shelf.tiers()[0].usage.breakdown

    assert (waiting["partial"], waiting["orphans"]) == (30_000, 0)
    assert (forgotten["partial"], forgotten["orphans"]) == (0, 30_000)


def test_a_row_that_cannot_be_understood_stops_no_measuring(hub: FakeHub, home: Home) -> None:
    """A model whose repository somebody overwrote in the registry is left out where tiers are measured."""
    hub.add_repo("org/waits", {"config.json": b"{}"})
    with home.open() as shelf:
        shelf.register("m", "org/waits", download=False)
        with contextlib.closing(sqlite3.connect(home.primary / "modelshelf/registry.db")) as registry, registry:
            registry.execute("UPDATE models SET hf_path = '../../x'")

        assert shelf.tiers()[0].online
