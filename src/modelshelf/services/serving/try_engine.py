"""Trying a model out through its engine: it is started, asked one question, and ended."""

from __future__ import annotations

import asyncio
import time

from modelshelf.domain.outcomes import Trial
from modelshelf.domain.serving import Wanted
from modelshelf.engines.ask import ask
from modelshelf.services.serving.start import Starter


def try_engine(starter: Starter, wanted: Wanted, question: str) -> Trial:
    """Return what starting a model and asking it one question took.

    Args:
        starter: What starts engines.
        wanted: The model.
        question: What it is asked.

    Raises:
        EngineFailed: It didn't start, or doesn't answer.
        BadInput: It is a model that answers no question.
    """
    return asyncio.run(_try(starter, wanted, question))


async def _try(starter: Starter, wanted: Wanted, question: str) -> Trial:
    engine = await starter.start(wanted, lambda _: None)
    try:
        asked_s = time.monotonic()
        answer = await asyncio.to_thread(ask, engine.served, wanted.kind, question)
        answered_s = time.monotonic()
        return Trial(engine.load_s, answered_s - asked_s, engine.memory_bytes(), question, answer)
    finally:
        await engine.stop()
