"""shelf jobs --follow: a line for each change of a job, from the same changes that `/api/events` tells."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from modelshelf.cli import output
from modelshelf.cli.bars import said
from modelshelf.domain.jobs import RUNNING, UNFINISHED
from modelshelf.errors import NotFound, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from modelshelf.services.events.watch import Event
    from modelshelf.services.shelf import Shelf

_SAY_EVERY_S = 10.0


def follow(shelf: Shelf, *, after: int | None, as_json: bool) -> None:
    """Print the unfinished jobs, then a line for each change of a job until Ctrl-C.

    While the registry doesn't answer nothing is printed; what was missed comes when it is back.

    Args:
        shelf: The library.
        after: The change after which to go on, instead of the unfinished jobs; None: from now on.
        as_json: Print JSON, with the progress of running jobs among it.
    """
    from modelshelf.services.events.watch import LOOK_S, resync

    watch, lines = shelf.services.watch(), _Lines(shelf)
    watch.look()
    events = watch.since(after, watch.position or 0) if after is not None else watch.unfinished_jobs()
    events = [resync(watch.position or 0)] if events is None else events
    while True:
        told = [event for event in events if event.kind in ("job", "resync")]
        for event in told:
            if as_json:
                output.json_line({"id": event.id, "event": event.kind, "data": event.data})
            else:
                lines.say(event, time.monotonic())
        sys.stdout.flush()
        time.sleep(LOOK_S)
        events = _look(watch.look)


def _look(look: Callable[[], list[Event]]) -> list[Event]:
    try:
        return look()
    except Unavailable:
        return []


@dataclass(slots=True)
class _Lines:
    """What was printed of each job."""

    shelf: Shelf
    told: dict[int, tuple[str, str, int]] = field(default_factory=dict)
    """State, phase, and in which ten seconds, by the job's number."""

    def say(self, event: Event, now_s: float) -> None:
        """Print a line if a job is new, changed or has run for another ten seconds.

        Args:
            event: What changed.
            now_s: The time in seconds, by any clock.
        """
        try:
            job = self.shelf.job(int(event.data["id"]))
        except (KeyError, NotFound):  # changes are missing, or the job was dropped
            return
        now = (job.state, job.phase, int(now_s // _SAY_EVERY_S) if job.state == RUNNING else 0)
        if self.told.get(job.id) != now:
            output.line(said(f"{job.id} {job.kind} {job.model_name}".rstrip(), job, job.eta_s))
        self.told[job.id] = now
        if job.state not in UNFINISHED:
            self.told.pop(job.id)
