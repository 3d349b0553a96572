"""Loads as jobs: a row tells every process how far a load is, and who cancels the row ends the load.

A load lives in the process that started it, so its row is never queued, claimed or paused; when that process dies, the
row says so.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

from sqlalchemy.exc import SQLAlchemyError

from modelshelf.domain.jobs import CANCELLED, DONE, FAILED, Cause, Job
from modelshelf.domain.serving import EngineState, Wanted
from modelshelf.errors import ShelfError, Unavailable
from modelshelf.registry.registry import Registry
from modelshelf.services.jobs.running import TICK_S

_log = logging.getLogger(__name__)
_T = TypeVar("_T")
Told = Callable[[EngineState], None]
"""Is told of each state on the way."""


@dataclass(slots=True)
class _Loading:
    """A load that goes on."""

    wanted: Wanted
    cause: Cause
    holders: int = 0
    """How many wait for its end: the start of its engine, and a person who asked for it before that began."""
    phase: str = ""
    error: BaseException | None = None
    """What it ended with; None: it is loaded."""
    job: asyncio.Future[Job] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    over: asyncio.Event = field(default_factory=asyncio.Event)


class LoadJobs:
    """Keeps a row for each load of this process.

    A registry that is away, or full, holds up no load: that one then has no row.

    **Concurrency:** one event loop owns it; the registry is asked in threads.

    Args:
        registry: Where the rows are.
        owner: This process.
    """

    def __init__(self, registry: Registry, owner: str) -> None:
        self._registry, self._owner = registry, owner
        self._open: dict[int, _Loading] = {}
        """By the ids of their models."""
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(
        self, wanted: Wanted, work: Callable[[Told], Coroutine[Any, Any, _T]], told: Told, cause: Cause
    ) -> _T:
        """Return what a load returns; meanwhile there is a job for it.

        Args:
            wanted: The model.
            work: Loads it, and tells of each state on the way. Cancelled, it leaves nothing behind.
            told: Told of each state, too.
            cause: Why, unless a job for it is open already.

        Raises:
            Unavailable: Somebody cancelled the job.
        """
        loading = self._begin(wanted, cause)

        def tell(state: EngineState) -> None:
            loading.phase = state.value
            told(state)

        return await self._hold(loading, work(tell))

    async def begin(self, wanted: Wanted, work: Callable[[], Coroutine[Any, Any, object]], cause: Cause) -> Job:
        """Let a load go on by itself, and return its job.

        Args:
            wanted: The model.
            work: See `run`; what it raises is in the job.
            cause: See `run`.

        Raises:
            ShelfError: The registry takes no job; nothing is loaded.
        """
        loading = self._begin(wanted, cause)
        going = self._spawn(self._alone(loading, work))
        try:
            return await asyncio.shield(loading.job)
        except (ShelfError, SQLAlchemyError):
            going.cancel()
            raise

    async def close(self) -> None:
        """Return once the rows of all loads say how they ended; they have been ended before."""
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _alone(self, loading: _Loading, work: Callable[[], Coroutine[Any, Any, object]]) -> None:
        try:
            await self._hold(loading, work())
        except ShelfError as err:
            _log.error("model_not_loaded", extra={"model": loading.wanted.model_name, "detail": err.detail})

    def _begin(self, wanted: Wanted, cause: Cause) -> _Loading:
        loading = self._open.get(wanted.model_id)
        if loading is None:
            loading = self._open[wanted.model_id] = _Loading(wanted, cause)
            self._spawn(self._write(loading))
        loading.holders += 1
        return loading

    async def _hold(self, loading: _Loading, work: Coroutine[Any, Any, _T]) -> _T:
        try:
            result = await _unless(loading, asyncio.get_running_loop().create_task(work))
        except BaseException as err:
            loading.error = err
            raise
        else:
            loading.error = None
            return result
        finally:
            loading.holders -= 1
            if not loading.holders:
                self._open.pop(loading.wanted.model_id, None)
                loading.over.set()

    async def _write(self, loading: _Loading) -> None:
        """Keep the row of a load true until it is over."""
        wanted = loading.wanted
        try:
            job = await asyncio.to_thread(self._registry.begin_load, wanted.model_id, self._owner, loading.cause)
        except (ShelfError, SQLAlchemyError) as err:
            _log.warning("load_has_no_job", extra={"model": wanted.model_name, "detail": str(err)})
            loading.job.set_exception(err)
            loading.job.exception()  # whether or not somebody waits for it
            return
        loading.job.set_result(job)
        while not await _within(TICK_S, loading.over):
            if not await self._tell(job, loading.phase):
                loading.cancelled.set()
        await self._finish(job, loading)

    async def _tell(self, job: Job, phase: str) -> bool:
        """Write how far a load is; return whether it is still ours, or that can't be told."""
        values = {"phase": phase}
        try:
            return await asyncio.to_thread(self._registry.update_job, job.id, values, owner=self._owner)
        except (ShelfError, SQLAlchemyError):
            return True

    async def _finish(self, job: Job, loading: _Loading) -> None:
        state, detail, error = _end_of(loading.error)
        try:
            await asyncio.to_thread(
                self._registry.finish_job, job.id, state, detail=detail, error=error, owner=self._owner
            )
        except (ShelfError, SQLAlchemyError) as err:
            _log.warning("load_not_ended", extra={"job_id": job.id, "detail": str(err)})

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


async def _unless(loading: _Loading, work: asyncio.Task[_T]) -> _T:
    """Return what a load comes to; once somebody cancels it, it is ended, unless it is ready in that moment."""
    cancelled = asyncio.ensure_future(loading.cancelled.wait())
    either: list[asyncio.Future[Any]] = [work, cancelled]
    try:
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    except asyncio.CancelledError:
        work.cancel()
        await asyncio.wait([work])
        if work.cancelled() or work.exception() is not None:
            raise
    finally:
        cancelled.cancel()
    if not work.done():
        work.cancel()
        await asyncio.wait([work])
    if work.cancelled():
        raise Unavailable(f"The load of {loading.wanted.model_name} was cancelled.", hint="Ask again: it loads anew.")
    return work.result()


async def _within(seconds: float, over: asyncio.Event) -> bool:
    try:
        await asyncio.wait_for(over.wait(), seconds)
    except TimeoutError:
        return False
    return True


def _end_of(error: BaseException | None) -> tuple[str, str, str]:
    """Return the last state of a load, why in a sentence, and the problem document."""
    if error is None:
        return DONE, "", ""
    if isinstance(error, ShelfError):
        return FAILED, error.detail, json.dumps(error.to_dict())
    if isinstance(error, asyncio.CancelledError):
        return CANCELLED, "It was unloaded before it was ready, or its process ended.", ""
    return FAILED, f"{type(error).__name__}: {error}", ""
