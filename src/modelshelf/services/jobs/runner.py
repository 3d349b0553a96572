"""Running jobs: whoever claims one carries it out, tells the registry how far it is, and leaves it in a true state."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Protocol

from modelshelf.domain.jobs import CANCELLED, DONE, FAILED, QUEUED, RUNNING, Job, backoff_s
from modelshelf.domain.ports import Clock
from modelshelf.errors import Cancelled, ShelfError, Unavailable
from modelshelf.registry.registry import Registry
from modelshelf.services.jobs.progress import Counter
from modelshelf.store.os_errors import of_os_error

_log = logging.getLogger(__name__)
TICK_S = 0.5
_AWAY_S = 30.0
"""So long a job goes on whose registry does not answer: half of what it leaves to others to take the job over."""


class Reservation(Protocol):
    """A reservation in hand, which expires unless it is renewed."""

    def renew(self) -> None:
        """Tell the registry what remains, and that the owner lives."""


class Running:
    """A job being carried out here: its progress, the reservations it holds, and who else wants to know."""

    def __init__(self, job: Job, on_tick: Callable[[Job], None] | None = None) -> None:
        self.job = job
        self.progress = Counter()
        self.on_tick = on_tick
        self.reservations: list[Reservation] = []


Handler = Callable[[Running], None]


@dataclass(frozen=True, slots=True)
class Jobs:
    """Carries out jobs of this process and shows those of all."""

    registry: Registry
    owner: str
    handlers: Mapping[str, Handler]
    clock: Clock
    why_not: Callable[[Job], str] = lambda job: ""
    """Says why this process cannot carry out a job, of whose bases it may have none; see `Reach`."""

    def claim(self, job: Job) -> Job | None:
        """Take a job for this process; None where another one is at it, it has ended, or it is not for this one."""
        return None if self.why_not(job) else self.registry.claim(self.owner, job.id)

    def claim_next(self) -> Job | None:
        """Take the oldest job that is due and for this process; the others wait, and say for what."""
        for job in self.registry.due():
            reason = self.why_not(job)
            if not reason:
                if (mine := self.registry.claim(self.owner, job.id)) is not None:
                    return mine
            elif job.detail != reason:
                self.registry.note_wait(job, reason)
        return None

    def check_reach(self, job: Job) -> None:
        """Do nothing where this process can carry out a job, or another one is at it; else the job waits.

        Raises:
            Unavailable: It works on a base that is not here.
        """
        reason = "" if job.state == RUNNING or job.finished_at is not None else self.why_not(job)
        if reason:
            self.registry.postpone_job(job.id, backoff_s(job.attempts), reason)
            raise Unavailable(reason, hint="It waits for a process that has that base among its tiers.", job_id=job.id)

    def all(self) -> list[Job]:
        """Return all jobs, newest first; of one that no process runs, the detail says what it waits for."""
        return [self._with_wait(job) for job in self.registry.jobs()]

    def _with_wait(self, job: Job) -> Job:
        if job.state != QUEUED or job.detail:
            return job
        return replace(job, detail=self.why_not(job) or "Waits for a running server, or for the same command again.")

    def run(self, running: Running) -> None:
        """Carry out a job that this process has claimed.

        Raises:
            ShelfError: It failed, or waits for something; the registry says so too.
            Cancelled: It was stopped; it is back in the queue.
        """
        job = running.job
        try:
            with self._ticking(running):
                self.handlers[job.kind](running)
        except Unavailable as err:
            self.registry.postpone_job(job.id, backoff_s(job.attempts, err.retry_after_s), err.detail)
            raise
        except (Cancelled, KeyboardInterrupt):
            self._leave(job)
            raise
        except ShelfError as err:
            self._fail(job, err.detail, err.to_dict())
            raise
        except OSError as err:  # of a disk, behind a library that does not know our errors
            known = of_os_error(err)
            _log.warning("job_stopped_by_the_disk", extra={"job_id": job.id}, exc_info=err)
            self._fail(job, known.detail, known.to_dict())
            raise known from err
        except Exception as err:
            _log.exception("job_broke", extra={"job_id": job.id})
            self._fail(job, f"{type(err).__name__}: {err}", {"type": "urn:modelshelf:error:internal", "status": 500})
            raise
        self.registry.finish_job(job.id, DONE)

    def cancel(self, job_id: int) -> Job:
        """End a job; whoever runs it stops within a second. What arrived stays for the next try."""
        job = self.registry.job(job_id)
        if job.finished_at is None:
            self.registry.finish_job(job_id, CANCELLED, detail="Cancelled.")
        return self.registry.job(job_id)

    def _leave(self, job: Job) -> None:
        if self.registry.job(job.id).finished_at is None:
            self.registry.update_job(job.id, {"state": QUEUED, "owner": "", "rate_bytes_per_s": 0})

    def _fail(self, job: Job, detail: str, problem: dict[str, object]) -> None:
        self.registry.finish_job(job.id, FAILED, detail=detail, error=json.dumps(problem))

    @contextmanager
    def _ticking(self, running: Running) -> Iterator[None]:
        """Keep telling the registry how far the job is, and keep its reservations alive."""
        over = threading.Event()
        ticker = threading.Thread(target=self._tick_until, args=(running, over), name="job-ticker", daemon=True)
        ticker.start()
        try:
            yield
        finally:
            over.set()
            ticker.join()

    def _tick_until(self, running: Running, over: threading.Event) -> None:
        told_at = last_at = self.clock.now()
        last_bytes, rate = 0, 0.0
        while not over.wait(TICK_S):
            reading, now = running.progress.read(), self.clock.now()
            rate = 0.7 * rate + 0.3 * max(0, reading.done_bytes - last_bytes) / max(0.001, now - last_at)
            last_at, last_bytes = now, reading.done_bytes
            try:
                self._tick(running, int(rate))
                told_at = now
            except ShelfError as err:
                if err.fields.get("registry_away") and now - told_at < _AWAY_S:
                    continue
                _log.warning("job_lost", extra={"job_id": running.job.id, "detail": err.detail})
                running.progress.stop()

    def _tick(self, running: Running, rate_bytes_per_s: int) -> None:
        reading = running.progress.read()
        values = {
            "phase": reading.phase,
            "done_bytes": reading.done_bytes,
            "total_bytes": reading.total_bytes,
            "rate_bytes_per_s": rate_bytes_per_s,
        }
        job = self.registry.job(running.job.id)
        if job.owner != self.owner:
            running.progress.stop()
            return
        self.registry.update_job(job.id, values)
        for reservation in running.reservations:
            reservation.renew()
        if running.on_tick is not None:
            running.on_tick(self.registry.job(job.id))


class BackgroundJobs:
    """Jobs that go on behind a use of the library; they end with the process, and are taken up by the next one."""

    def __init__(self) -> None:
        self._going: list[tuple[Running, threading.Thread]] = []

    def start(self, jobs: Jobs, running: Running) -> None:
        """Carry out a job in a thread of its own."""
        thread = threading.Thread(target=_run_quietly, args=(jobs, running), name="behind", daemon=True)
        self._going.append((running, thread))
        thread.start()

    def stop(self) -> None:
        """Put what is going on back into the queue; returns when that is done."""
        for running, thread in self._going:
            running.progress.stop()
            thread.join()


class Worker:
    """Threads that take jobs as they come due, for a server.

    Args:
        jobs: What to take them from.
        recover: Called now and then to free what dead processes hold.
        threads: How many jobs run side by side.
    """

    def __init__(self, jobs: Jobs, recover: Callable[[], None], threads: int = 2) -> None:
        self._jobs = jobs
        self._recover = recover
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._loop, name=f"worker-{i}", daemon=True) for i in range(threads)]
        self._mutex = threading.Lock()
        self._running: set[Running] = set()

    def start(self) -> None:
        """Begin to take jobs."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop: what runs is put back into the queue where it stands; returns when that is done."""
        self._stop.set()
        with self._mutex:
            for running in self._running:
                running.progress.stop()
        for thread in self._threads:
            thread.join()

    def _loop(self) -> None:
        while not self._stop.is_set():
            job = self._take()
            if job is None:
                self._stop.wait(TICK_S)
                continue
            self._carry_out(Running(job))

    def _take(self) -> Job | None:
        """Return a job that is due now and ours; none, too, while the registry cannot be asked."""
        try:
            self._recover()
            return self._jobs.claim_next()
        except Exception:  # noqa: BLE001 - a worker that ended here would leave every later job undone
            _log.exception("registry_unreachable")
            return None

    def _carry_out(self, running: Running) -> None:
        with self._mutex:
            self._running.add(running)
            if self._stop.is_set():
                running.progress.stop()
        try:
            _run_quietly(self._jobs, running)
        finally:
            with self._mutex:
                self._running.discard(running)


def _run_quietly(jobs: Jobs, running: Running) -> None:
    """Carry out a job whose failure is told by its row and by nothing else."""
    try:
        jobs.run(running)
    except (ShelfError, Cancelled) as err:
        _log.info("job_ended", extra={"job_id": running.job.id, "detail": str(err)})
    except Exception:  # noqa: BLE001 - `Jobs.run` has logged what broke; the worker goes on with the next one
        _log.info("job_ended", extra={"job_id": running.job.id, "detail": "see job_broke"})
