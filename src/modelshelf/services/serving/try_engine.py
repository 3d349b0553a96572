"""Trying a model out through its engine: it is started, asked one question, and ended."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, TypeVar

from modelshelf.domain.jobs import A_PERSON
from modelshelf.domain.outcomes import Trial
from modelshelf.domain.serving import EngineState, Wanted
from modelshelf.engines.ask import ask
from modelshelf.errors import Unavailable
from modelshelf.services.serving.load_jobs import LoadJobs, Told
from modelshelf.services.serving.start import Starter

_T = TypeVar("_T")


def try_engine(starter: Starter, wanted: Wanted, question: str) -> Trial:
    """Return what starting a model and asking it one question took.

    Args:
        starter: What starts engines.
        wanted: The model.
        question: What it is asked.

    Raises:
        EngineFailed: It didn't start, or doesn't answer.
        BadInput: It is a model that answers no question.
        Unavailable: Somebody cancelled the job.
    """
    return _unless_cancelled(wanted, _try(starter, wanted, question))


def try_program(loads: LoadJobs, wanted: Wanted, command: Sequence[str], environment: Mapping[str, str]) -> bytes:
    """Return what a program writes that loads a model, asks it, and ends.

    Args:
        loads: Keeps the job of it.
        wanted: The model.
        command: The program with its arguments.
        environment: Its environment.

    Raises:
        Unavailable: It failed, or somebody cancelled the job.
    """
    return _unless_cancelled(wanted, _run(loads, wanted, command, environment))


def _unless_cancelled(wanted: Wanted, work: Coroutine[Any, Any, _T]) -> _T:
    try:
        return asyncio.run(work)
    except asyncio.CancelledError:
        raise Unavailable(f"The load of {wanted.model_name} was cancelled.", hint="shelf jobs lists it.") from None


def _ending_this() -> Told:
    """Return what ends the task that calls this, once somebody cancelled the job."""
    me = asyncio.current_task()
    assert me is not None

    def told(state: EngineState) -> None:
        if state is EngineState.STOPPED:
            me.cancel()

    return told


async def _run(loads: LoadJobs, wanted: Wanted, command: Sequence[str], environment: Mapping[str, str]) -> bytes:
    async def run(told: Told) -> bytes:
        told(EngineState.STARTING)
        program = await asyncio.create_subprocess_exec(*command, env=environment, stdout=asyncio.subprocess.PIPE)
        try:
            written, _ = await program.communicate()
        except asyncio.CancelledError:
            program.kill()
            await program.wait()
            raise
        if program.returncode:
            detail = (
                f"{wanted.model_name} could not be loaded: its process exited with {program.returncode}, see above."
            )
            raise Unavailable(detail)
        return written

    try:
        return await loads.run(wanted, run, _ending_this(), A_PERSON)
    finally:
        await loads.close()


async def _try(starter: Starter, wanted: Wanted, question: str) -> Trial:
    try:
        engine = await starter.start(wanted, _ending_this())
    finally:
        await starter.loads.close()
    try:
        asked_s = time.monotonic()
        answer = await asyncio.to_thread(ask, engine.served, wanted.kind, question, talks=not wanted.no_template)
        answered_s = time.monotonic()
        return Trial(engine.load_s, answered_s - asked_s, engine.memory_bytes(), question, answer)
    finally:
        await engine.stop()
