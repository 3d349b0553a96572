"""Reservations and jobs, on which processes agree through the registry."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa

from modelshelf.domain.job_rules import JobRules
from modelshelf.domain.jobs import (
    CANCELLED,
    DONE,
    FAILED,
    PAUSED,
    QUEUED,
    RUNNING,
    UNFINISHED,
    WAITING,
    Cause,
    Job,
    ReservedRow,
)
from modelshelf.domain.models import ModelRow, Registration
from modelshelf.errors import NotFound, OutOfSpace
from modelshelf.registry import tables
from modelshelf.registry.registry import Registry
from modelshelf.registry.tables import jobs


@pytest.fixture
def row(registry: Registry) -> ModelRow:
    """A registered model."""
    return registry.add_model(Registration("qwen", "Qwen/Qwen2.5-3B", "primary"), "/mnt/fast")


@pytest.fixture
def tier(registry: Registry) -> str:
    """A known tier's id."""
    registry.bases.remember("tier-1", "primary", "/mnt/fast")
    return "tier-1"


def at_once(count: int, call: Callable[[int], Any]) -> list[Any]:
    """Return a function's results from so many threads that start together."""
    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(call, range(count)))


def age(database: sa.Engine, column: sa.Column[float]) -> None:
    """Set a time in every row back."""
    with database.begin() as connection:
        connection.execute(sa.update(column.table).values({column: column - 3600}))


def test_a_reservation_is_seen_by_all(registry: Registry, tier: str) -> None:
    """A reservation is listed with tier, disk, owner and bytes still to be written."""
    reservation_id = registry.reservations.add(tier, "disk-1", "me", lambda _: 5 * 10**12)

    assert registry.reservations.all() == [ReservedRow(reservation_id, tier, "disk-1", 5 * 10**12, "me", expired=False)]


def test_the_decision_sees_what_is_promised(registry: Registry, tier: str) -> None:
    """The decision gets every reservation of the moment in which it decides."""
    seen: list[Sequence[ReservedRow]] = []

    def decide(now: Sequence[ReservedRow]) -> int:
        seen.append(list(now))
        return 5

    registry.reservations.add(tier, "d", "me", decide)
    registry.reservations.add(tier, "d", "me", decide)

    assert [[reservation.remaining_bytes for reservation in now] for now in seen] == [[], [5]]


def test_a_refused_reservation_changes_nothing(registry: Registry, tier: str, database: sa.Engine) -> None:
    """If the decision refuses, its error passes through and the transaction is undone."""

    def refuse(now: Sequence[ReservedRow]) -> int:
        raise OutOfSpace("No.")

    with pytest.raises(OutOfSpace):
        registry.reservations.add(tier, "d", "me", refuse)

    assert registry.reservations.all() == []
    with database.connect() as connection:
        assert connection.scalar(sa.select(tables.tiers.c.admissions)) == 0
    assert registry.reservations.add(tier, "d", "me", lambda _: 1)


def test_no_sum_of_reservations_passes_the_limit(registry: Registry, tier: str) -> None:
    """However many threads reserve at once, the sum never exceeds the limit."""

    def within_30(now: Sequence[ReservedRow]) -> int:
        if sum(reservation.remaining_bytes for reservation in now) + 10 > 30:
            raise OutOfSpace("Full.")
        return 10

    def reserve(number: int) -> bool:
        try:
            return bool(registry.reservations.add(tier, "d", f"owner-{number}", within_30))
        except OutOfSpace:
            return False

    assert sorted(at_once(8, reserve)) == [False] * 5 + [True] * 3
    assert sum(reservation.remaining_bytes for reservation in registry.reservations.all()) == 30


def test_a_reservation_that_nobody_renews_expires(registry: Registry, tier: str, database: sa.Engine) -> None:
    """A reservation expires by the database's clock; renewing it, even late, makes it valid."""
    reservation_id = registry.reservations.add(tier, "d", "me", lambda _: 10)
    age(database, tables.reservations.c.expires_at)

    assert [reservation.expired for reservation in registry.reservations.all()] == [True]
    assert registry.reservations.shrink(reservation_id, 4)
    assert [(r.expired, r.remaining_bytes) for r in registry.reservations.all()] == [(False, 4)]


def test_a_reservation_is_never_negative(registry: Registry, tier: str) -> None:
    """Writing more than was reserved leaves a reservation of zero."""
    reservation_id = registry.reservations.add(tier, "d", "me", lambda _: 10)

    registry.reservations.shrink(reservation_id, -3)

    assert [reservation.remaining_bytes for reservation in registry.reservations.all()] == [0]


def test_a_reservation_that_is_gone_is_not_renewed(registry: Registry, tier: str) -> None:
    """Renewing a deleted reservation tells its owner, and releasing it twice raises nothing."""
    reservation_id = registry.reservations.add(tier, "d", "me", lambda _: 10)

    registry.reservations.release(reservation_id)
    registry.reservations.release(reservation_id)

    assert not registry.reservations.shrink(reservation_id, 5)
    assert registry.reservations.all() == []


def test_a_job_is_enqueued_once(registry: Registry, row: ModelRow) -> None:
    """Enqueuing the same work twice gives one job; other work, or the same once it is done, gives another."""
    job = registry.enqueue("pull", row, {"force": True})

    assert registry.enqueue("pull", row) == job
    assert (job.state, job.kind, job.model_name, job.params) == (QUEUED, "pull", "qwen", '{"force": true}')
    assert registry.enqueue("verify", row).id != job.id
    registry.finish_job(job.id, DONE)
    assert registry.enqueue("pull", row).id != job.id


def test_a_job_asked_for_by_many_at_once_is_one(registry: Registry, row: ModelRow) -> None:
    """Many threads that enqueue the same work at once get one job."""
    assert len({job.id for job in at_once(8, lambda _: registry.enqueue("pull", row))}) == 1


def test_one_of_many_gets_a_job(registry: Registry, row: ModelRow) -> None:
    """Of many threads that claim at once, one gets the job."""
    job = registry.enqueue("pull", row)

    won = [found for found in at_once(8, lambda number: registry.claim(f"owner-{number}")) if found]

    assert [found.id for found in won] == [job.id]
    assert registry.job(job.id) == won[0]
    assert (won[0].state, won[0].attempts) == (RUNNING, 1)


def test_the_oldest_job_that_is_due_comes_first(registry: Registry, row: ModelRow, database: sa.Engine) -> None:
    """The oldest due job is claimed first; one that waits for its time is skipped."""
    jobs = [registry.add_job("gc", name, {}) for name in ("a", "b")]
    registry.claim("me")
    registry.postpone_job(jobs[0].id, 600, "The hub is away.")

    claimed = [registry.claim("me"), registry.claim("me")]
    age(database, tables.jobs.c.due_at)
    later = registry.claim("me")

    assert [job and job.id for job in claimed] == [jobs[1].id, None]
    assert later is not None
    assert (later.id, later.attempts, later.detail) == (jobs[0].id, 2, "")


def test_a_job_that_waits_can_be_taken_by_its_id(registry: Registry, row: ModelRow) -> None:
    """A waiting job can be claimed by its id before its time; one that is running or done can't."""
    job = registry.enqueue("pull", row)
    registry.postpone_job(job.id, 600, "")

    assert registry.claim("me", job.id) is not None
    assert registry.claim("you", job.id) is None
    registry.finish_job(job.id, DONE)
    assert registry.claim("you", job.id) is None
    assert registry.claim("you", 10**6) is None


def test_a_job_whose_owner_is_silent_is_taken_over(registry: Registry, row: ModelRow, database: sa.Engine) -> None:
    """A running job without a heartbeat, by the database's clock, can be claimed by another process."""
    job = registry.enqueue("pull", row)
    registry.claim("dead")
    age(database, tables.jobs.c.heartbeat_at)
    registry.update_job(job.id, {"phase": "downloading"})
    assert registry.claim("me") is None
    age(database, tables.jobs.c.heartbeat_at)

    found = registry.claim("me")

    assert found is not None
    assert (found.id, found.owner, found.attempts) == (job.id, "me", 2)


def test_what_a_dead_owner_had_is_given_up(registry: Registry, row: ModelRow, tier: str) -> None:
    """A dead owner's jobs are queued again and its reservations deleted; other owners' stay."""
    jobs = [registry.add_job("gc", name, {}) for name in ("mine", "yours", "done")]
    for owner in ("dead", "you", "dead"):
        registry.claim(owner)
        registry.reservations.add(tier, "d", owner, lambda _: 1)
    registry.finish_job(jobs[2].id, FAILED)

    registry.give_up_owner("dead")

    assert [(registry.job(job.id).state, registry.job(job.id).owner) for job in jobs] == [
        (QUEUED, ""),
        (RUNNING, "you"),
        (FAILED, ""),
    ]
    assert [reservation.owner for reservation in registry.reservations.all()] == ["you"]


@pytest.mark.parametrize(
    ("state", "phase", "done_bytes"), [(DONE, "", 9), (FAILED, "linking", 4), (CANCELLED, "linking", 4)]
)
def test_a_finished_job_says_how_it_ended(
    registry: Registry, row: ModelRow, state: str, phase: str, done_bytes: int
) -> None:
    """A finished job has a result, no owner, and all of its bytes only if it is done."""
    job = registry.enqueue("pull", row)
    registry.claim("me")
    registry.update_job(job.id, {"phase": "linking", "done_bytes": 4, "total_bytes": 9})

    registry.finish_job(job.id, state, detail="So it was.", error="{}")

    found = registry.job(job.id)
    assert (found.state, found.phase, found.done_bytes) == (state, phase, done_bytes)
    assert (found.detail, found.error, found.owner) == ("So it was.", "{}", "")
    assert found.finished_at is not None


def test_jobs_are_listed_newest_first(registry: Registry, row: ModelRow) -> None:
    """Jobs are listed newest first: all, or the unfinished ones."""
    ids = [registry.add_job("gc", str(number), {}).id for number in range(4)]
    registry.finish_job(ids[1], DONE)
    registry.postpone_job(ids[2], 600, "")

    assert [job.id for job in registry.jobs()] == ids[::-1]
    assert [(job.id, job.state) for job in registry.jobs(state=UNFINISHED)] == [
        (ids[3], QUEUED),
        (ids[2], WAITING),
        (ids[0], QUEUED),
    ]


def test_a_job_that_nobody_knows_is_not_found(registry: Registry) -> None:
    """An unknown job is NotFound, and the error has the number."""
    with pytest.raises(NotFound, match="There is no job 7") as caught:
        registry.job(7)
    assert caught.value.fields == {"job_id": 7}


@pytest.mark.parametrize("params", ["", "[]", "[" * 100_000, "NaN", '{"a": 1, "a": 2}'])
def test_a_job_that_cannot_be_understood_stops_no_listing(registry: Registry, row: ModelRow, params: str) -> None:
    """A job whose row can't be parsed is left out of the list."""
    broken, good = registry.add_job("move", "m", {}), registry.add_job("move", "m", {"a": 1})
    registry.update_job(broken.id, {"params": params})

    assert [job.id for job in registry.jobs()] == [good.id]


def test_jobs_are_asked_for_by_kind_model_and_state(registry: Registry, row: ModelRow) -> None:
    """Jobs can be filtered by kind, model and state, newest first."""
    pull, move = registry.enqueue("pull", row), registry.enqueue("move", row)
    gc, older = registry.add_job("gc", "", {}), registry.add_job("gc", "", {})
    registry.finish_job(gc.id, DONE)

    def ids(**asked: Any) -> list[int]:
        return [job.id for job in registry.jobs(**asked)]

    assert ids() == [older.id, gc.id, move.id, pull.id]
    assert ids(kind="gc") == [older.id, gc.id]
    assert ids(kind="gc", state=UNFINISHED) == [older.id]
    assert ids(model_id=row.id) == [move.id, pull.id]
    assert ids(model_id=row.id, kind="pull") == [pull.id]
    assert ids(state=(DONE,)) == [gc.id]
    assert ids(model_id=row.id, state=(DONE,)) == []


def test_a_job_names_what_caused_it(registry: Registry, row: ModelRow) -> None:
    """A job keeps its reason after its cause is deleted; a job that a person asked for has none."""
    other = registry.add_model(Registration("other", "org/other", "primary"), "/mnt/fast")
    pull = registry.enqueue("pull", row)
    move = registry.enqueue("move", other, {}, Cause("Makes room.", pull.id))
    assert (pull.parent_id, pull.reason) == (None, "")
    assert (move.parent_id, move.reason) == (pull.id, "Makes room.")

    registry.delete_model(row.id)

    assert (registry.job(move.id).parent_id, registry.job(move.id).reason) == (None, "Makes room.")


def test_an_eviction_is_noted_with_the_change(registry: Registry, row: ModelRow) -> None:
    """An eviction marks the model incomplete and adds a finished job with the reason, which nobody can claim."""
    registry.set_complete(row.id, "signature")

    registry.evict(row, Cause("Makes room."))

    found = registry.model(row.model_name)
    [job] = registry.jobs(model_id=row.id)
    assert found is not None
    assert not found.complete
    assert (job.kind, job.state, job.reason) == ("evict", DONE, "Makes room.")
    assert registry.claim("me") is None


def test_a_paused_job_is_nobodys_until_it_is_resumed(registry: Registry, row: ModelRow) -> None:
    """A paused job is due for no process, and what its former owner still writes changes nothing."""
    job = registry.enqueue("pull", row)
    registry.claim("me")

    assert registry.pause_job(job.id)

    assert (registry.due(), registry.claim("you", job.id)) == ([], None)
    assert not registry.update_job(job.id, {"detail": "Going on."}, owner="me")
    registry.postpone_job(job.id, 1, "The hub is away.", owner="me")
    assert not registry.finish_job(job.id, FAILED, owner="me")
    paused = registry.job(job.id)
    assert (paused.state, paused.detail, paused.owner) == (PAUSED, "Paused.", "")
    assert not registry.pause_job(job.id)
    assert registry.requeue_job(paused)
    assert [due.id for due in registry.due()] == [job.id]
    assert not registry.requeue_job(paused)


def test_what_a_job_caused_is_steered_with_it(registry: Registry, row: ModelRow) -> None:
    """A pull's eviction is paused, resumed and cancelled with the pull, and the deletion of an old copy is not."""
    pull = registry.enqueue("pull", row)
    registry.claim("me", pull.id)
    move = registry.enqueue("move", row, cause=Cause("Makes room.", pull.id))
    registry.claim("me", move.id)
    old_copy = registry.enqueue("delete_old_copy", row, cause=Cause("Deletes what the move left.", pull.id))

    def states() -> list[str]:
        return [registry.job(job.id).state for job in (pull, move, old_copy)]

    registry.pause_job(pull.id)
    assert (states(), registry.claim("you", move.id)) == ([PAUSED, PAUSED, QUEUED], None)
    registry.requeue_job(registry.job(pull.id))
    assert states() == [QUEUED, QUEUED, QUEUED]
    registry.cancel_job(pull.id)
    assert states() == ["cancelled", "cancelled", QUEUED]
    assert not registry.cancel_job(pull.id)


def test_what_a_paused_job_causes_begins_paused(registry: Registry, row: ModelRow) -> None:
    """An eviction that a pull queues in the instant in which it is paused doesn't begin."""
    pull = registry.enqueue("pull", row)
    registry.pause_job(pull.id)

    assert registry.enqueue("move", row, cause=Cause("Makes room.", pull.id)).state == PAUSED
    assert registry.enqueue("update", row, cause=Cause("Without a parent.")).state == QUEUED


@pytest.mark.parametrize("is_resumed", [False, True], ids=["paused", "resumed"])
def test_a_job_that_is_done_in_the_instant_of_a_pause_is_done(
    registry: Registry, row: ModelRow, is_resumed: bool
) -> None:
    """A job whose work ended before it saw that it was paused is done, unless another process has it by now."""
    job = registry.enqueue("pull", row)
    registry.claim("me")
    registry.pause_job(job.id)
    if is_resumed:
        registry.requeue_job(registry.job(job.id))

    assert registry.finish_job(job.id, DONE, owner="me")

    assert registry.job(job.id).state == DONE
    other = registry.enqueue("move", row)
    registry.claim("me", other.id)
    registry.pause_job(other.id)
    registry.requeue_job(registry.job(other.id))
    registry.claim("you", other.id)
    assert not registry.finish_job(other.id, DONE, owner="me")


def test_a_claimed_job_says_nothing_of_before(registry: Registry, row: ModelRow) -> None:
    """A job that begins doesn't show what it waited for, or the phase in which it was stopped."""
    job = registry.enqueue("pull", row)
    registry.claim("me")
    registry.update_job(job.id, {"phase": "downloading"}, owner="me")
    registry.postpone_job(job.id, 0, "The hub isn't reachable.", owner="me")

    claimed = registry.claim("you", job.id)

    assert claimed is not None
    assert (claimed.state, claimed.detail, claimed.phase) == (RUNNING, "", "")


def test_asking_for_a_paused_job_again_resumes_it(registry: Registry, row: ModelRow) -> None:
    """Who asks for the same work again gets the paused job, and it goes on; other work leaves it paused."""
    job = registry.enqueue("move", row, {"to": "a"})
    registry.pause_job(job.id)

    assert registry.enqueue("move", row, {"to": "b"}).state == PAUSED
    assert registry.enqueue("move", row, {"to": "a"}).state == QUEUED


def test_one_process_tells_a_webhook(registry: Registry, database: sa.Engine) -> None:
    """A webhook begins with what comes, has one teller, and is another's once that one leaves or is silent."""
    registry.changes.note("tier", "/base")
    begins = registry.webhooks.take("a", "me")
    assert begins == registry.changes.newest()
    assert registry.webhooks.take("a", "you") is None
    registry.webhooks.told("a", "you", begins + 7)
    registry.webhooks.told("a", "me", begins + 1)
    assert (registry.webhooks.take("a", "me"), registry.webhooks.owner("a")) == (begins + 1, "me")
    registry.webhooks.leave("me")
    assert (registry.webhooks.take("a", "you"), registry.webhooks.owner("b")) == (begins + 1, "")
    age(database, tables.webhooks.c.expires_at)
    assert registry.webhooks.take("a", "me") == begins + 1


@pytest.mark.parametrize("state", [DONE, FAILED, CANCELLED])
def test_an_ended_job_ends_once(registry: Registry, row: ModelRow, state: str) -> None:
    """A job that has ended can't be paused or cancelled, and its end stays."""
    job = registry.enqueue("pull", row)
    registry.finish_job(job.id, state, detail="So it was.")

    assert not registry.pause_job(job.id)
    assert not registry.finish_job(job.id, CANCELLED, detail="Too late.")
    assert (registry.job(job.id).state, registry.job(job.id).detail) == (state, "So it was.")


def test_jobs_come_in_pages(registry: Registry, row: ModelRow) -> None:
    """A page holds so many jobs, newest first, and the next one those older than its last."""
    ids = [registry.add_job("gc", str(number), {}).id for number in range(5)]
    registry.finish_job(ids[0], DONE)

    assert [job.id for job in registry.jobs(limit=2)] == [ids[4], ids[3]]
    assert [job.id for job in registry.jobs(limit=2, after=ids[3])] == [ids[2], ids[1]]
    assert [job.id for job in registry.jobs(after=ids[1], state=(DONE,))] == [ids[0]]


def test_old_finished_jobs_are_dropped_a_few_at_once(registry: Registry, row: ModelRow, database: sa.Engine) -> None:
    """Jobs that ended long ago go, the oldest first and not too many at once; unfinished and later ones stay."""
    ids = [registry.add_job("gc", str(number), {}).id for number in range(5)]
    for job_id in ids[:4]:
        registry.finish_job(job_id, DONE)
    with database.begin() as connection:
        old = sa.update(jobs).where(jobs.c.id.in_(ids[:3])).values(finished_at=jobs.c.finished_at - 31 * 86400.0)
        connection.execute(old)
        connection.execute(sa.update(jobs).where(jobs.c.id == ids[4]).values(created_at=0.0))

    assert [registry.drop_old_jobs(30, 2) for _ in range(3)] == [2, 1, 0]
    assert [job.id for job in registry.jobs()] == [ids[4], ids[3]]


def in_turn(registry: Registry, job_id: int, owner: str = "me") -> Job | None:
    """Claim a job where two pulls at once may run."""
    rules, job = JobRules(max_downloads=2), registry.job(job_id)
    return registry.claim_in_turn(owner, job_id, "8:0", partial(rules.why_not_yet, job, None))


def test_no_more_jobs_run_than_take_turns(registry: Registry, row: ModelRow) -> None:
    """Of many claims at once, as many get their job as may run side by side; what a job caused doesn't count."""
    waiting = [registry.add_job("pull", str(number), {}).id for number in range(6)]
    eviction = registry.enqueue("pull", row, None, Cause("Makes room.", waiting[0]))
    assert registry.claim("other", eviction.id) is not None

    claimed = at_once(6, lambda number: in_turn(registry, waiting[number], f"owner {number}"))

    running = [job for job in claimed if job is not None]
    assert len(running) == 2
    assert {job.disk for job in running} == {"8:0"}
    registry.finish_job(running[0].id, DONE)
    left = next(job_id for job_id in waiting if registry.job(job_id).state == QUEUED)
    assert in_turn(registry, left) is not None
    assert in_turn(registry, left) is None


def test_who_stands_ready_for_a_job_is_seen_by_all(registry: Registry, row: ModelRow, database: sa.Engine) -> None:
    """A job that a process stands ready for is told apart from one that nobody runs, for a few seconds."""
    first, second = (registry.add_job("pull", name, {}) for name in ("a", "b"))
    registry.note_wait(first, "Waits for its turn.", "8:0")
    registry.note_wait(second, "Waits for a tier.")
    running = registry.enqueue("pull", row)
    registry.claim("me", running.id)

    before = registry.contenders()
    age(database, tables.jobs.c.ready_at)

    assert [[(job.id, job.disk) for job in some] for some in before] == [[(running.id, "")], [(first.id, "8:0")]]
    assert [job.id for job in registry.contenders()[0]] == [running.id]
    assert registry.contenders()[1] == []


def test_a_job_is_put_first_or_last(registry: Registry, row: ModelRow) -> None:
    """The queue is by priority, then by age; a job is put before or behind all others until it has ended."""
    ids = [registry.add_job("gc", name, {}).id for name in ("a", "b", "c")]

    assert registry.reorder_job(ids[2], first=True)
    assert registry.reorder_job(ids[0], first=False)
    assert [job.id for job in registry.due()] == [ids[2], ids[1], ids[0]]
    assert registry.reorder_job(ids[1], first=True)
    claimed = registry.claim("me")
    assert claimed is not None
    assert (claimed.id, [job.id for job in registry.due()]) == (ids[1], [ids[2], ids[0]])
    registry.finish_job(ids[1], DONE)
    assert not registry.reorder_job(ids[1], first=True)
