"""Loads as jobs: a row tells every process how far a load is, and who cancels the row ends the load.

A load lives in the process that started it, so its row is never queued, claimed or paused; when that process dies, the
row says so.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import logging
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

from sqlalchemy.exc import SQLAlchemyError

from modelshelf.domain.jobs import CANCELLED, DONE, FAILED, Cause, Job
from modelshelf.domain.serving import EngineState, Wanted
from modelshelf.errors import ShelfError
from modelshelf.registry.registry import Registry
from modelshelf.services.jobs.running import TICK_S

_log = logging.getLogger(__name__)
_T = TypeVar("_T")
_WAITS_FOR_ROOM = "waiting for room"
_THREADS = 2
"""They only write rows; a download that a load waits for has a thread of its own."""
Told = Callable[[EngineState], None]
"""Is told of each state on the way; of STOPPED if somebody cancelled the job, so that the load is to be ended."""


@dataclass(slots=True)
class _Loading:
    """A load that goes on."""

    wanted: Wanted
    job: asyncio.Task[Job]
    """Writes its row, and has that."""
    phase: str = ""
    ends: list[Callable[[], object]] = field(default_factory=list)
    """What ends it: one for the start of its engine, one for each person who asked for it before that was over."""
    error: BaseException | None = None
    """What it ended with; None: it is loaded."""
    over: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def has_no_row(self) -> bool:
        """Whether the registry took no row of it."""
        return self.job.done() and self.job.exception() is not None


class LoadJobs:
    """Keeps a row for each load of this process.

    A registry that is away, or full, holds up no load that a request asks for: that one then has no row.

    **Concurrency:** one event loop owns it; the registry is asked in threads.

    Args:
        registry: Where the rows are.
        owner: This process.
    """

    def __init__(self, registry: Registry, owner: str) -> None:
        self._registry, self._owner = registry, owner
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="load-jobs")
        self._open: dict[int, _Loading] = {}
        """By the ids of their models; one that was cancelled isn't there any more."""
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closing = asyncio.Event()

    async def run(
        self, wanted: Wanted, work: Callable[[Told], Coroutine[Any, Any, _T]], told: Told, cause: Cause
    ) -> _T:
        """Return what a load returns; meanwhile there is a job for it.

        Args:
            wanted: The model.
            work: Loads it, and tells of each state on the way. Cancelled, it leaves nothing behind.
            told: Told of each state, too; see `Told`.
            cause: Why, unless a job for it is open already.
        """
        loading = self._begin(wanted, cause)

        def tell(state: EngineState) -> None:
            loading.phase = state.value
            told(state)

        with self._held(loading, lambda: told(EngineState.STOPPED)):
            return await work(tell)

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
        loading.phase = loading.phase or _WAITS_FOR_ROOM
        self._spawn(self._alone(loading, work))
        return await asyncio.shield(loading.job)

    async def close(self) -> None:
        """Return once the rows of all loads say how they ended, or can't; the loads have been ended before."""
        self._closing.set()
        if self._tasks:
            await asyncio.wait(self._tasks)
        self._closing.clear()

    async def _alone(self, loading: _Loading, work: Callable[[], Coroutine[Any, Any, object]]) -> None:
        me = asyncio.current_task()
        assert me is not None
        try:
            with self._held(loading, me.cancel):
                await asyncio.shield(loading.job)
                await work()
        except (ShelfError, SQLAlchemyError) as err:
            _log.error("model_not_loaded", extra={"model": loading.wanted.model_name, "detail": str(err)})

    def _begin(self, wanted: Wanted, cause: Cause) -> _Loading:
        loading = self._open.get(wanted.model_id)
        if loading is None or loading.has_no_row:
            job = self._spawn(self._ask(self._registry.begin_load, wanted.model_id, self._owner, cause))
            loading = self._open[wanted.model_id] = _Loading(wanted, job)
            self._spawn(self._write(loading))
        return loading

    @contextlib.contextmanager
    def _held(self, loading: _Loading, end: Callable[[], object]) -> Iterator[None]:
        """Take part in a load: the last one to leave says how it ended."""
        loading.ends.append(end)
        try:
            yield
        except BaseException as err:
            loading.error = err
            raise
        else:
            loading.error = None
        finally:
            loading.ends.remove(end)
            if not loading.ends:
                self._forget(loading)
                loading.over.set()

    def _forget(self, loading: _Loading) -> None:
        if self._open.get(loading.wanted.model_id) is loading:
            del self._open[loading.wanted.model_id]

    async def _write(self, loading: _Loading) -> None:
        """Keep the row of a load true until it is over."""
        try:
            job = await asyncio.shield(loading.job)
        except (ShelfError, SQLAlchemyError) as err:
            _log.warning("load_has_no_job", extra={"model": loading.wanted.model_name, "detail": str(err)})
            return
        while not await _within(TICK_S, loading.over):
            if not await self._tell(job, loading.phase):
                self._forget(loading)
                for end in tuple(loading.ends):
                    end()
                return
        while not await self._finish(job, loading.error):
            if await _within(TICK_S, self._closing):
                return

    async def _tell(self, job: Job, phase: str) -> bool:
        """Write how far a load is; return whether it is still ours, or that can't be told."""
        try:
            return await self._ask(self._registry.update_job, job.id, {"phase": phase}, owner=self._owner)
        except (ShelfError, SQLAlchemyError):
            return True

    async def _finish(self, job: Job, error: BaseException | None) -> bool:
        """Write how a load ended; return whether that could be written."""
        state, detail, problem = _end_of(error)
        try:
            await self._ask(self._registry.finish_job, job.id, state, detail=detail, error=problem, owner=self._owner)
        except (ShelfError, SQLAlchemyError) as err:
            _log.warning("load_not_ended", extra={"job_id": job.id, "detail": str(err)})
            return False
        return True

    async def _ask(self, call: Callable[..., _T], *args: object, **more: object) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, functools.partial(call, *args, **more))

    def _spawn(self, work: Coroutine[Any, Any, _T]) -> asyncio.Task[_T]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


async def _within(seconds: float, event: asyncio.Event) -> bool:
    try:
        await asyncio.wait_for(event.wait(), seconds)
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
