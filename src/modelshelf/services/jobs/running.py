"""A job that this process runs, and what it tells the registry meanwhile."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from modelshelf.domain.jobs import Job
from modelshelf.domain.ports import Clock
from modelshelf.errors import Cancelled, ShelfError
from modelshelf.registry.registry import Registry
from modelshelf.services.jobs.progress import Counter

_log = logging.getLogger(__name__)
TICK_S = 0.5
_RATE_S = 10.0
_AWAY_S = 30.0
"""How long a job goes on without an answer of its registry, in seconds: half of when others may take it over."""


class Reservation(Protocol):
    """A held reservation, which expires unless it is renewed."""

    def renew(self) -> None:
        """Tell the registry how many bytes remain, and that the owner lives."""


class Rate:
    """The rate of work over the last ten seconds."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def over(self, now_s: float, worked_bytes: int) -> int:
        """Return the bytes per second, and remember the progress.

        >>> rate = Rate()
        >>> [rate.over(now, done) for now, done in ((0, 0), (5, 500), (10, 500), (15, 500), (20, 500), (26, 1100))]
        [0, 100, 50, 0, 0, 100]
        """
        self._seen.append((now_s, worked_bytes))
        while len(self._seen) > 2 and self._seen[0][0] < now_s - _RATE_S:
            self._seen.popleft()
        first_s, first_bytes = self._seen[0]
        return max(0, round((worked_bytes - first_bytes) / max(0.001, now_s - first_s)))


class Running:
    """A job that runs here: its progress, the reservations it holds, and who else is told."""

    def __init__(self, job: Job, on_tick: Callable[[Job], None] | None = None) -> None:
        self.job = job
        self.progress = Counter()
        self.on_tick = on_tick
        self.reservations: list[Reservation] = []
        self.told_files = ""
        """How far its files are, as the registry was told last."""


@contextmanager
def ticking(registry: Registry, clock: Clock, running: Running) -> Iterator[None]:
    """Keep telling the registry a job's progress, and keep its reservations alive."""
    over = threading.Event()
    ticker = threading.Thread(target=_tick_until, args=(registry, clock, running, over), name="job-ticker", daemon=True)
    ticker.start()
    try:
        yield
    finally:
        over.set()
        ticker.join()


def _tick_until(registry: Registry, clock: Clock, running: Running, over: threading.Event) -> None:
    told_at, rate = clock.now(), Rate()
    rate.over(told_at, running.progress.read().worked_bytes)  # what arrives before the first tick has a rate, too
    while not over.wait(TICK_S):
        now = clock.now()
        try:
            tick(registry, running, rate.over(now, running.progress.read().worked_bytes))
            told_at = now
        except ShelfError as err:
            if err.fields.get("registry_away") and now - told_at < _AWAY_S:
                continue
            _log.warning("job_lost", extra={"job_id": running.job.id, "detail": err.detail})
            running.progress.stop()


def tick(registry: Registry, running: Running, rate_bytes_per_s: int) -> None:
    """Tell the registry how far a job is, and stop it where it is another owner's now."""
    reading = running.progress.read()
    values: dict[str, object] = {"phase": reading.phase, "rate_bytes_per_s": rate_bytes_per_s, "detail": reading.detail}
    if reading.total_bytes:  # until then the row has what was known when the job was added
        values |= {"done_bytes": reading.done_bytes, "total_bytes": reading.total_bytes}
    if (files := reading.files.to_json()) != running.told_files:
        values["files"] = running.told_files = files
    job = running.job
    if not registry.update_job(job.id, values, owner=job.owner):
        running.progress.stop()
        return
    for reservation in running.reservations:
        reservation.renew()
    if running.on_tick is not None:
        running.on_tick(registry.job(job.id))


def run_quietly(run: Callable[[Running], None], running: Running) -> None:
    """Run a job whose failure only its row tells."""
    try:
        run(running)
    except (ShelfError, Cancelled) as err:
        _log.info("job_ended", extra={"job_id": running.job.id, "detail": str(err)})
    except Exception:  # noqa: BLE001 - `JobRunner.run` has logged what broke; the worker goes on with the next one
        _log.info("job_ended", extra={"job_id": running.job.id, "detail": "see job_broke"})
