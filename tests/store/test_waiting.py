"""A base that doesn't answer blocks a few threads at most."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from modelshelf.errors import Unavailable
from modelshelf.store.waiting import Turnstile, turnstile

BASE = Path("/base")


@contextmanager
def hanging(stile: Turnstile, count: int) -> Iterator[threading.Event]:
    """Let so many threads wait inside until the event is set."""
    answer, came_in = threading.Event(), threading.Barrier(count + 1)

    def look() -> None:
        with stile.inside():
            came_in.wait()
            answer.wait()

    with ThreadPoolExecutor(count) as threads:
        looks = [threads.submit(look) for _ in range(count)]
        came_in.wait()
        try:
            yield answer
        finally:
            answer.set()
        for done in looks:
            done.result()


def test_who_comes_too_late_is_refused_with_the_reason() -> None:
    """If all places are taken for long, the next call is refused with the name of the base; later it works again."""
    stile = Turnstile(BASE, at_once=2, patience_s=0.05)

    with hanging(stile, 2), pytest.raises(Unavailable) as refused, stile.inside():
        pass

    assert "/base does not answer: 2 others wait" in refused.value.detail
    with stile.inside():
        pass


def test_who_finds_no_place_waits_for_one() -> None:
    """A call that finds no place waits for one while the disk answers."""
    stile = Turnstile(BASE, at_once=2)

    with hanging(stile, 2) as answer, ThreadPoolExecutor(1) as threads:

        def look() -> str:
            with stile.inside(), stile.inside():
                return "seen"

        seen = threads.submit(look)
        answer.set()
        assert seen.result() == "seen"


def test_a_base_has_one_turnstile() -> None:
    """All calls for one base share one turnstile."""
    assert turnstile(BASE) is turnstile(BASE)
    assert turnstile(BASE) is not turnstile(BASE / "other")
