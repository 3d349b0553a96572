"""Jobs that go on in the background of a use of the library."""

from __future__ import annotations

import threading
from collections.abc import Callable

from modelshelf.services.jobs.running import Running, run_quietly


class BackgroundJobs:
    """Jobs in threads of their own; they end with the process, and the next process takes them up."""

    def __init__(self) -> None:
        self._going: list[tuple[Running, threading.Thread]] = []

    def start(self, run: Callable[[Running], None], running: Running) -> None:
        """Carry out a job in a thread of its own."""
        thread = threading.Thread(target=run_quietly, args=(run, running), name="background-job", daemon=True)
        self._going.append((running, thread))
        thread.start()

    def wait(self) -> None:
        """Return when all of them have ended."""
        for _, thread in self._going:
            thread.join()

    def stop(self) -> None:
        """Put what is going on back into the queue; returns when that is done."""
        for running, _ in self._going:
            running.progress.stop()
        self.wait()
