"""Jobs in the background of a use of the library."""

from __future__ import annotations

import threading
from collections.abc import Callable

from modelshelf.services.jobs.running import Running, run_quietly


class BackgroundJobs:
    """Jobs in their own threads; they end with the process, and the next process resumes them."""

    def __init__(self) -> None:
        self._going: list[tuple[Running, threading.Thread]] = []
        self._mutex = threading.Lock()

    def start(self, run: Callable[[Running], None], running: Running) -> None:
        """Run a job in its own thread."""
        thread = threading.Thread(target=run_quietly, args=(run, running), name="background-job", daemon=True)
        with self._mutex:
            thread.start()
            self._going = [(one, other) for one, other in self._going if other.is_alive()] + [(running, thread)]

    def wait(self) -> None:
        """Return when all of them have ended."""
        for _, thread in self._going:
            thread.join()

    def stop(self) -> None:
        """Put the running jobs back into the queue; returns when that is done."""
        for running, _ in self._going:
            running.progress.stop()
        self.wait()
