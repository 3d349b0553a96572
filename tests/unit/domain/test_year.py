"""A simulated year: the policies of making room under a user's habits, and under the worst cases."""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import dataclass, field
from itertools import accumulate, pairwise

import pytest

from modelshelf.domain.eviction import Candidate, EvictionPlan, plan_eviction
from modelshelf.domain.promotion import should_promote
from modelshelf.domain.reads import FileTimes, PlacementReads, judge
from modelshelf.domain.tiers import PromoteMode, Room
from modelshelf.domain.watermarks import Watermarks
from modelshelf.errors import Conflict, OutOfSpace
from modelshelf.units import GB

HOUR_S, DAY_S = 3600.0, 86400.0
DAYS = 365
LIMIT_BYTES = 100 * GB
MARKS = Watermarks()
USES_PER_DAY = 24
SEEDS = (1, 2, 3)


@dataclass(frozen=True, slots=True)
class Load:
    """One use of a model."""

    at_s: float
    model: int
    lasts_s: float
    """How long the model stays in use."""


@dataclass
class Machine:
    """A fast disk of 100 GB and a slow one that holds everything, run by the policies alone."""

    sizes: list[int]
    mode: PromoteMode
    marks: Watermarks = MARKS
    pinned: frozenset[int] = frozenset()
    all_known: bool = False
    """Whether everything was downloaded before; if not, the first use of a model is a pull."""
    arrived: dict[int, float] = field(default_factory=dict)
    """Models on the primary, and when each arrived."""
    uses: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    held_until: dict[int, float] = field(default_factory=dict)
    loads: int = 0
    hits: int = 0
    written: list[tuple[float, int]] = field(default_factory=list)
    """Times and bytes of promotions to the primary."""
    made_way: list[tuple[float, int]] = field(default_factory=list)
    """Times and bytes of evictions for a promotion."""
    pushed: list[tuple[float, int]] = field(default_factory=list)
    """Times and bytes of evictions for a pull."""

    def room(self) -> Room:
        """Return what a meter would; the disk is slightly larger than the limit."""
        usage_bytes = sum(self.sizes[m] for m in self.arrived)
        free_bytes = LIMIT_BYTES + 5 * GB - usage_bytes
        return Room(LIMIT_BYTES, usage_bytes, 0, free_bytes, 0)

    def candidates(self, now_s: float) -> list[Candidate]:
        """Return the placements on the primary."""
        return [
            Candidate(
                f"m{m:02}",
                m,
                self.sizes[m],
                last_used_at=self.uses[m][-1] if self.uses[m] else at_s,
                arrived_at=at_s,
                pinned=m in self.pinned,
                leased=self.held_until.get(m, 0.0) > now_s,
            )
            for m, at_s in self.arrived.items()
        ]

    def bring(self, model: int, now_s: float, plan: EvictionPlan, left: list[tuple[float, int]]) -> None:
        """Carry out a plan and add the model; assert that nothing protected leaves and the limit holds."""
        for victim in plan.victims:
            assert victim.model_id not in self.pinned
            assert self.held_until.get(victim.model_id, 0.0) <= now_s
            del self.arrived[victim.model_id]
            left.append((now_s, victim.free_bytes))
        self.arrived[model] = now_s
        assert sum(self.sizes[m] for m in self.arrived) <= LIMIT_BYTES

    def pull(self, model: int, now_s: float) -> None:
        """Download a model on its first use: to the primary if room can be made, else to the secondary."""
        try:
            plan = plan_eviction(self.sizes[model], self.room(), self.candidates(now_s), self.marks.at_once(), now_s)
        except (Conflict, OutOfSpace):
            return
        self.bring(model, now_s, plan, self.pushed)

    def load(self, load: Load) -> None:
        """Use a model from the primary, or from the secondary with a promotion afterwards."""
        model, now_s = load.model, load.at_s
        known = self.all_known or bool(self.uses[model]) or model in self.arrived
        self.held_until[model] = max(self.held_until.get(model, 0.0), now_s + load.lasts_s)
        if not known:
            self.pull(model, now_s)
        else:
            self.loads += 1
            self.hits += model in self.arrived
        if known and model not in self.arrived:
            lately = self.uses[model][-9:]
            decision = should_promote(
                self.mode, lately, now_s, self.sizes[model], self.room(), self.candidates(now_s), self.marks
            )
            if decision.eviction is not None:
                self.bring(model, now_s, decision.eviction, self.made_way)
                self.written.append((now_s, self.sizes[model]))
        self.uses[model].append(now_s)

    @property
    def moved_bytes(self) -> int:
        """Return the bytes that policy copied between the disks, in both directions."""
        return sum(size for _, size in self.written + self.made_way + self.pushed)


def most_in_a_span(events: list[tuple[float, int]], span_s: float) -> int:
    """Return the most bytes of `events` in any half-open span of that length."""
    most = first = inside = 0
    for at_s, size in events:
        inside += size
        while events[first][0] <= at_s - span_s:
            inside -= events[first][1]
            first += 1
        most = max(most, inside)
    return most


def habits(seed: int) -> tuple[list[int], list[Load]]:
    """Return 60 sizes of 1-40 GB and a year of loads: popularity follows Zipf, and a favourite changes each week."""
    rng = random.Random(seed)
    sizes = [round(rng.uniform(1, 40) * GB) for _ in range(60)]
    ranked = list(range(60))
    rng.shuffle(ranked)
    cumulative = list(accumulate(1 / rank for rank in range(1, 61)))
    loads = []
    for day in range(DAYS):
        if day % 7 == 0:
            ranked.insert(rng.randrange(6), ranked.pop(rng.randrange(60)))
        for at_s in sorted(rng.uniform(0, DAY_S) for _ in range(USES_PER_DAY)):
            model = rng.choices(ranked, cum_weights=cumulative)[0]
            loads.append(Load(day * DAY_S + at_s, model, rng.expovariate(1 / HOUR_S)))
    return sizes, loads


def live(mode: PromoteMode, seed: int, marks: Watermarks = MARKS) -> Machine:
    """Return the machine after a year."""
    sizes, loads = habits(seed)
    pinned = frozenset(sorted(range(60), key=sizes.__getitem__)[20:22])
    machine = Machine(sizes, mode, marks, pinned, arrived=dict.fromkeys(sorted(pinned), -30 * DAY_S))
    for load in loads:
        machine.load(load)
    return machine


def in_turns(mode: PromoteMode, pattern: str, marks: Watermarks = MARKS) -> Machine:
    """Return the machine after a year of two 60 GB models, one load an hour, in this pattern of A and B."""
    machine = Machine([60 * GB, 60 * GB], mode, marks, all_known=True)
    for hour in range(DAYS * 24):
        machine.load(Load(hour * HOUR_S, "AB".index(pattern[hour % len(pattern)]), HOUR_S / 2))
    return machine


@pytest.fixture(scope="module", params=SEEDS, ids="seed {}".format)
def year(request: pytest.FixtureRequest) -> dict[str, Machine]:
    """Live the same year in each mode; `bring` asserts the limit, the pins and the leases at every step."""
    return {mode: live(mode, request.param) for mode in ("never", "auto", "always")}


def test_promotion_makes_loads_fast(year: dict[str, Machine]) -> None:
    """With `auto`, more than twice as many loads come from the fast disk as without promotion."""
    assert year["auto"].loads == year["never"].loads > 8000
    assert year["auto"].hits > 2 * year["never"].hits


def test_auto_is_better_than_always_and_copies_less(year: dict[str, Machine]) -> None:
    """`auto` gives more fast loads than `always`, for fewer bytes."""
    assert year["auto"].hits > year["always"].hits
    assert year["auto"].moved_bytes < 0.85 * year["always"].moved_bytes


def test_no_more_is_moved_in_a_day_than_the_limit_on_average(year: dict[str, Machine]) -> None:
    """In a year of 24 loads a day, policy copies on average less than the limit per day, both directions together."""
    assert year["auto"].moved_bytes < DAYS * LIMIT_BYTES


@pytest.mark.parametrize("mode", ["auto", "always"])
def test_no_more_than_the_limit_makes_way_in_one_minimum_stay(year: dict[str, Machine], mode: str) -> None:
    """In any span of one minimum stay, promotions push out at most the limit, and write at most the limit."""
    machine = year[mode]
    most_pushed_bytes = most_in_a_span(machine.pushed, MARKS.min_stay_s)

    assert 0 < most_in_a_span(machine.made_way, MARKS.min_stay_s) <= LIMIT_BYTES
    assert most_in_a_span(machine.written, MARKS.min_stay_s) <= LIMIT_BYTES + most_pushed_bytes


def test_without_promotion_nothing_is_promoted(year: dict[str, Machine]) -> None:
    """With `never`, only pulls write to the primary."""
    assert (year["never"].written, year["never"].made_way) == ([], [])


def test_a_minimum_stay_of_a_day_is_worth_its_price() -> None:
    """Over three years, a stay of a day copies 52 % of what an hour does, for 1.4 % fewer fast loads."""
    hour, day = ([live("auto", seed, Watermarks(min_stay_s=stay_s)) for seed in SEEDS] for stay_s in (HOUR_S, DAY_S))

    assert sum(m.moved_bytes for m in day) < 0.55 * sum(m.moved_bytes for m in hour)
    assert sum(m.hits for m in day) > sum(m.hits for m in hour) - 0.02 * sum(m.loads for m in hour)


def test_two_models_used_in_turns_never_bounce() -> None:
    """Of two models that each fill 60 % of the tier one is promoted once: 60 GB a year, and half the loads are fast."""
    machine = in_turns("auto", "AB")

    assert machine.moved_bytes == 60 * GB
    assert machine.hits == machine.loads // 2 - 2 + machine.loads % 2


@pytest.mark.parametrize(
    ("mode", "pattern"),
    [("auto", "AABB"), ("auto", "AAAAAABBBBBB"), ("always", "AB"), ("always", "AABB")],
)
def test_two_models_swap_at_most_once_per_minimum_stay(mode: PromoteMode, pattern: str) -> None:
    """In the worst patterns a swap (60 GB out, 60 GB in) comes once a day: at most 120 GB a day, 43.8 TB a year."""
    machine = in_turns(mode, pattern)
    swaps = [at_s for at_s, _ in machine.made_way]

    assert len(swaps) > 100
    assert min(after - before for before, after in pairwise(swaps)) >= MARKS.min_stay_s
    assert machine.moved_bytes <= DAYS * 120 * GB + 60 * GB


def test_without_a_minimum_stay_they_would_bounce() -> None:
    """Without a minimum stay the same worst pattern copies over ten times as much."""
    bouncing = in_turns("auto", "AABB", Watermarks(min_stay_s=0))

    assert bouncing.moved_bytes > 10 * in_turns("auto", "AABB").moved_bytes


@dataclass
class Stock(Machine):
    """A machine whose models are used by programs that know nothing of shelf; a backup reads everything each week."""

    heeds: bool = True
    """Whether what such programs read counts."""
    read_at: dict[int, float] = field(default_factory=dict)
    """What the file system says with relatime: the first reading of a day."""
    judged_at: dict[int, float] = field(default_factory=dict)

    def read(self, model: int, now_s: float) -> None:
        """Read a model, which the file system notes if it was last read a day ago or more."""
        before_s = self.read_at.get(model, 0.0)
        if before_s <= self.arrived.get(model, 0.0) or now_s - before_s >= DAY_S:
            self.read_at[model] = now_s

    def look(self, now_s: float) -> None:
        """Judge what was read since the last look."""
        reads = {
            m: PlacementReads(
                (FileTimes(self.read_at.get(m, 0.0), -40 * DAY_S, self.sizes[m]),), at_s, self.judged_at.get(m, 0.0)
            )
            for m, at_s in self.arrived.items()
        }
        for model, verdict in zip(reads, judge(list(reads.values()), now_s), strict=True):
            self.judged_at[model] = verdict.read_at
            if verdict.used_at is not None and self.heeds:
                self.uses[model].append(verdict.used_at)

    def back_up(self, now_s: float) -> None:
        """Read every model, one after the other at 200 MB a second."""
        for model in self.arrived:
            now_s += self.sizes[model] / 200e6
            self.read(model, now_s)

    def use(self, load: Load) -> None:
        """Let a program read a model: from the primary if it is there, else a person pulls or moves it there."""
        self.loads += 1
        self.hits += load.model in self.arrived
        if load.model not in self.arrived:
            self.look(load.at_s)
            self.pull(load.model, load.at_s)
        self.read(load.model, load.at_s + 1)


def stock_habits(seed: int) -> tuple[list[int], list[Load]]:
    """Return sizes and a year of reading: four favourites, of which one changes each month, and a trial each day."""
    rng = random.Random(seed)
    sizes = [round(rng.uniform(5, 15) * GB) for _ in range(DAYS + 20)]
    favourites, fresh = [0, 1, 2, 3], iter(range(4, len(sizes)))
    loads = []
    for day in range(DAYS):
        if day % 30 == 29:
            favourites[rng.randrange(4)] = next(fresh)
        wanted = [next(fresh), *(model for model in favourites for _ in range(rng.randrange(3)))]
        loads += [Load(day * DAY_S + rng.uniform(8, 22) * HOUR_S, model, 0.0) for model in wanted]
    return sizes, sorted(loads, key=lambda load: load.at_s)


def stock_year(seed: int, *, heeds: bool, backups: bool = True) -> Stock:
    """Return the machine after a year of uses by stock programs."""
    sizes, loads = stock_habits(seed)
    machine = Stock(sizes, "never", heeds=heeds)
    night = 1
    for load in loads:
        if backups and load.at_s > night * 7 * DAY_S:
            machine.look(night * 7 * DAY_S)
            machine.back_up(night * 7 * DAY_S)
            machine.look(night * 7 * DAY_S + 6 * HOUR_S)
            night += 1
        machine.use(load)
    return machine


@pytest.mark.parametrize("seed", SEEDS)
def test_a_year_of_other_programs(seed: int) -> None:
    """Where stock programs' uses count, 96 % of the loads that can be are fast, with backups too; else under 88 %."""
    blind, backed_up, calm = (
        stock_year(seed, heeds=heeds, backups=backups)
        for heeds, backups in ((False, True), (True, True), (True, False))
    )
    possible = calm.loads - len({load.model for load in stock_habits(seed)[1]})

    assert blind.hits < 0.88 * possible
    assert backed_up.hits > 0.96 * possible
    assert backed_up.hits > 0.98 * calm.hits
