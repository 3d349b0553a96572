"""Threads of a server that take jobs as they come due."""

from __future__ import annotations

import logging
import threading
import time

from modelshelf.domain.jobs import Job
from modelshelf.errors import ShelfError
from modelshelf.services.jobs.recovery import recover_dead_owners
from modelshelf.services.jobs.runner import JobRunner
from modelshelf.services.jobs.running import TICK_S, Running, run_quietly

_log = logging.getLogger(__name__)
_RECOVERY_S = 5.0
"""How often an idle server looks for jobs of dead processes, in seconds."""
_DROPPING_S = 3600.0
"""How often it looks for jobs that were kept long enough, in seconds."""


class Worker:
    """Threads that take jobs as they come due.

    **Concurrency:** one thread looks for a job at a time; when it has one, the next thread looks.

    Args:
        runner: What runs the jobs.
        threads: How many jobs run side by side.
    """

    def __init__(self, runner: JobRunner, threads: int = 2) -> None:
        self._runner = runner
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._loop, name=f"worker-{i}", daemon=True) for i in range(threads)]
        self._turn = threading.Lock()
        self._recovery_due_at = self._dropping_due_at = 0.0
        self._blind = False
        """Whether the registry couldn't be asked the last time, which is logged once."""
        self._mutex = threading.Lock()
        self._running: set[Running] = set()

    def start(self) -> None:
        """Start taking jobs."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop: running jobs are queued again with their progress; returns when that is done."""
        self._stop.set()
        self._runner.stopping.set()
        with self._mutex:
            for running in self._running:
                running.progress.stop()
        for thread in self._threads:
            thread.join()

    def _loop(self) -> None:
        while True:
            with self._turn:
                job = self._wait_for_job()
            if job is None:
                return
            self._carry_out(Running(job))

    def _wait_for_job(self) -> Job | None:
        """Return the next job; None if the worker stops."""
        while not self._stop.is_set():
            if (job := self._take()) is not None:
                return job
            self._stop.wait(TICK_S)
        return None

    def _take(self) -> Job | None:
        """Claim a due job that this process can run; None, too, if the registry can't be asked."""
        try:
            if time.monotonic() >= self._recovery_due_at:
                self._recovery_due_at = time.monotonic() + _RECOVERY_S
                recover_dead_owners(self._runner.registry)
                self._drop_old()
            job = self._runner.claim_next()
        except Exception as err:  # noqa: BLE001 - a worker that ended here would leave every later job undone
            if not self._blind:
                known = isinstance(err, ShelfError)
                _log.warning("registry_unreachable", extra={"detail": str(err)}, exc_info=None if known else err)
            self._blind = True
            return None
        self._blind = False
        return job

    def _drop_old(self) -> None:
        """Delete what was kept long enough: some of it at each look while there is more, else once an hour."""
        if time.monotonic() >= self._dropping_due_at and not self._runner.drop_old():
            self._dropping_due_at = time.monotonic() + _DROPPING_S

    def _carry_out(self, running: Running) -> None:
        with self._mutex:
            self._running.add(running)
            if self._stop.is_set():
                running.progress.stop()
        try:
            run_quietly(self._runner.run, running)
        finally:
            with self._mutex:
                self._running.discard(running)
