"""Fetching blobs over several streams at once, within a file and across files.

A blob begins with one request, whose answer tells whether the hub honours ranges; its other runs of segments follow
on as many streams as the line is worth. A blob that another process is fetching is left until that process is done,
then found on the disk. A connection that brings nothing is dropped for a new one, which continues at the same byte.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from modelshelf.domain.jobs import backoff_s
from modelshelf.domain.made_up_commits import check_real
from modelshelf.domain.plans import MOST_RUN_SEGMENTS, SEGMENT_BYTES, BlobNeed, PullPlan, plan_runs, segment_count
from modelshelf.domain.ports import ByteStream, Clock, Hub, Progress
from modelshelf.errors import Cancelled, Corrupt, Unavailable
from modelshelf.services.lifecycle.download_tasks import Download, Task, is_large
from modelshelf.services.lifecycle.line import Line
from modelshelf.services.lifecycle.open_hours import OpenHours
from modelshelf.services.lifecycle.open_streams import OpenStreams
from modelshelf.services.lifecycle.rate_limit import Throttle
from modelshelf.services.lifecycle.sources import Sources
from modelshelf.store.blobs.followers import Followers
from modelshelf.store.blobs.lent_pieces import Buffer
from modelshelf.store.blobs.partial import IncomingBlob, Run
from modelshelf.store.layout import Base
from modelshelf.store.locks import try_lock
from modelshelf.store.repos import scan

_log = logging.getLogger(__name__)

MAX_ATTEMPTS = 6
"""After so many failures in a row, a pull to which the line brought nothing yet ends; its job tries again later."""
_AWAY_S = 180.0
"""How long after a segment the line may be away, as when a router restarts, before that ends a pull, in seconds."""
_LONGEST_PAUSE_S = 15.0
_POLL_S = 0.2


@dataclass(slots=True, eq=False)
class Fetcher:
    """Fetches the blobs of one plan.

    **Concurrency:** `streams` threads share the queue below; everything in it is touched under `_changed`. Two more
    threads hash and sync what those write.
    **Crash:** what arrived is in `incoming/`, and the next fetch resumes from there.
    """

    hub: Hub
    peers: Sequence[Hub]
    """LAN hubs, which are asked for bytes first."""
    base: Base
    plan: PullPlan
    progress: Progress
    clock: Clock
    streams: int
    throttle: Throttle
    hours: OpenHours
    """Work stops when these hours end."""
    on_written: Callable[[int], None]
    """Called with the number of reserved bytes that are now on the disk."""
    most_segments: int = MOST_RUN_SEGMENTS
    """How many segments a request asks for at most: few where somebody reads the file while it arrives."""
    _sources: Sources = field(init=False)
    _waiting: deque[BlobNeed] = field(default_factory=deque)
    _tasks: deque[Task] = field(default_factory=deque)
    _open: set[Download] = field(default_factory=set)
    _opening: int = 0
    _line: Line = field(default_factory=Line)
    _worth: int = 1
    """How many streams the line is worth."""
    _in_hand: int = 0
    """How many large blobs, or parts of them, are being asked for."""
    _good_at: float | None = None
    """When a segment last arrived."""
    _failed_digests: set[str] = field(default_factory=set)
    _working: set[threading.Thread] = field(default_factory=set)
    _fetching: int = 0
    """How many of them are streams; the others follow what these write."""
    _followers: Followers = field(init=False)
    _error: BaseException | None = None
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _streams: OpenStreams = field(init=False)

    def __post_init__(self) -> None:
        """Start with every LAN hub."""
        self._followers = Followers(self._blobs, self._goes_on)
        self._sources = Sources(self.hub, self.peers)
        self._streams = OpenStreams(self._changed)

    def run(self) -> None:
        """Fetch everything.

        Raises:
            NotFound: The commit was made up when it was adopted: no hub is asked.
            Cancelled: The work was stopped.
            Corrupt: A blob arrived twice with other bytes than its digest says.
            OutOfSpace: The disk is full.
            Unavailable: The hub isn't reachable any more, or the hours for downloads ended.
        """
        check_real(self.plan.repo_id, self.plan.commit_hash)
        self._waiting.extend(self.plan.fetch)
        count = max(1, min(self.streams, sum(max(1, segment_count(need.size_bytes)) for need in self.plan.fetch)))
        self._fetching = count
        work = {f"fetch-{i}": self._work for i in range(count)}
        work |= {"fetch-hash": self._followers.hash, "fetch-flush": self._followers.flush}
        threads = [
            threading.Thread(target=self._guard, args=(does,), name=name, daemon=True) for name, does in work.items()
        ]
        self._working.update(threads)
        for thread in threads:
            thread.start()
        self._wait_for_all()
        for download in list(self._open):
            self._close(download)
        if self._error is not None:
            raise self._error

    def _wait_for_all(self) -> None:
        """Wait until all is done; on a failure or a stop, end what the streams wait for.

        A thread that waits for a silent hub is left behind: it finds `_error` set and touches nothing.
        """
        try:
            while self._wait_while(lambda: self._error is None and bool(self._working)):
                self.progress.check()
                self.hours.check()
                self._look_after_streams()
        except (Cancelled, KeyboardInterrupt, Unavailable) as err:
            self._fail(err)
        self.progress.note("")
        while self._wait_while(lambda: bool(self._working - self._streams.asking)):
            self._streams.abort()

    def _look_after_streams(self) -> None:
        """Drop connections that bring nothing, or all after the machine slept, and report the state of the line."""
        self._streams.abort_silent(woke=self._line.woke())
        self._look_at_line()
        self.progress.note(self._line.silence())

    def _look_at_line(self) -> None:
        """Let as many streams run as the line is worth."""
        worth = self._line.streams(self.streams)
        if worth != self._worth:
            with self._changed:
                self._worth = worth
                self._changed.notify_all()

    def _wait_while(self, condition: Callable[[], bool]) -> bool:
        """Return whether a condition still holds after a moment's wait."""
        with self._changed:
            return not self._changed.wait_for(lambda: not condition(), _POLL_S)

    def _goes_on(self) -> bool:
        """Return whether nothing has failed yet."""
        return self._error is None

    def _blobs(self) -> list[IncomingBlob]:
        """Return the blobs in progress."""
        with self._changed:
            return [download.incoming for download in self._open]

    def _check(self) -> None:
        """Raise if the work was stopped or has failed in another thread."""
        self.progress.check()
        self._check_failed()

    def _check_failed(self) -> None:
        if self._error is not None:
            raise Cancelled

    def _check_here(self) -> None:
        """Raise likewise while not waiting for the line."""
        self._line.is_busy()
        self._check()

    def _fail(self, err: BaseException) -> None:
        with self._changed:
            self._error = self._error or err
            self._changed.notify_all()
        self._followers.end()

    def _guard(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as err:  # noqa: BLE001 - it is raised again where the threads are waited for
            self._fail(err)
        finally:
            with self._changed:
                self._working.discard(threading.current_thread())
                self._changed.notify_all()

    def _work(self) -> None:
        buffer = Buffer()
        while task := self._next_task():
            self._carry_out(task, buffer)
            self._let_go(task.download.need)
        with self._changed:
            self._fetching -= 1
        if not self._fetching:
            self._followers.end()

    def _next_task(self) -> Task | None:
        """Wait for the next task; None if all is done or lost."""
        while True:
            self.progress.check()
            with self._changed:
                if self._error is not None or not (self._tasks or self._waiting or self._open or self._opening):
                    return None
                if self._tasks and self._in_hand < self._worth:
                    self._in_hand += 1
                    return self._tasks.popleft()
                need = self._take_need()
                if need is None:
                    self._changed.wait(_POLL_S)
                    continue
                self._in_hand += is_large(need)
                self._opening += 1
            task = None
            try:
                task = self._open_blob(need)
            finally:
                if task is None:
                    self._let_go(need)
                with self._changed:
                    self._opening -= 1
                    self._changed.notify_all()
            if task is not None:
                return task

    def _take_need(self) -> BlobNeed | None:
        """Return the next blob to begin with: the largest if the line is worth one more stream, else a small one."""
        if self._waiting and self._in_hand < self._worth:
            return self._waiting.popleft()
        return self._waiting.pop() if self._waiting and not is_large(self._waiting[-1]) else None

    def _let_go(self, need: BlobNeed) -> None:
        with self._changed:
            self._in_hand -= is_large(need)
            self._changed.notify_all()

    def _open_blob(self, need: BlobNeed) -> Task | None:
        """Take a blob's locks and return its first task; None if it is there, or another process fetches it."""
        held = contextlib.ExitStack()
        locks = (self.base.part_lock(need.digest), self.base.hub_lock(self.plan.repo_id, need.digest))
        if not held.enter_context(try_lock(self.base.path, *locks)):
            held.close()
            with self._changed:
                self._waiting.append(need)
                self._changed.wait(_POLL_S)
            return None
        with contextlib.ExitStack() as undo:
            undo.push(held)
            if scan.has_blob(self.base.repo(self.plan.repo_id), need.digest, need.size_bytes):  # since the plan
                self.progress.of(need.path).skip(need.size_bytes)
                self.on_written(need.size_bytes)
                return None
            incoming = held.enter_context(IncomingBlob(self.base, need.digest, need.size_bytes, self._check_here))
            undo.pop_all()
        download = Download(need, incoming, held, self.progress.of(need.path))
        with self._changed:
            self._open.add(download)
        download.progress.skip(incoming.arrived_bytes())
        missing = incoming.missing()
        if not missing:
            self._finish(download)
            return None
        return Task(download, *plan_runs(missing, self.streams, self.most_segments)[0], opens=True)

    def _carry_out(self, task: Task, buffer: Buffer) -> None:
        """Ask for a task's segments until they are all there; after a segment's worth a cut costs no pause."""
        failures, good = 0, task.at()
        while self._error is None and (run := task.next_run()):
            try:
                self._ask(task, run, buffer)
            except Unavailable as err:
                came = task.at()
                failures, good = (0, came) if came - good >= SEGMENT_BYTES else (failures + 1, good)
                if failures >= MAX_ATTEMPTS and not self._may_come_back():
                    raise
                _log.info("stream_retry", extra={"digest": task.download.need.digest, "detail": err.detail})
                if err.retry_after_s:
                    self._pause(backoff_s(failures, err.retry_after_s) / 4)
                elif failures:
                    self._pause(min(backoff_s(failures) / 4, _LONGEST_PAUSE_S))

    def _may_come_back(self) -> bool:
        """Return whether the line brought something in this run, and recently."""
        return self._good_at is not None and self.clock.now() - self._good_at < _AWAY_S

    def _ask(self, task: Task, run: Run, buffer: Buffer) -> None:
        """Make one request and store what it brings.

        What the answer's head says about ranges is recorded before its body can break.
        """
        need = task.download.need
        plan = self.plan
        answer = self._sources.open_range(plan.repo_id, plan.commit_hash, need, run.at, run.stop)
        with self._streams.opening(answer, self._check_failed) as stream:
            if task.opens and stream.ranged:
                self._spread(task)
            elif task.opens:
                task.first, task.last = 0, segment_count(need.size_bytes)
                run = task.download.incoming.gap(task.first, task.last) or run
                task.run = run
            task.opens = False
            at = stream.start
            while next_run := task.next_run():
                self._skip(need, next_run.at - at, stream, buffer)
                self._take(task.download, next_run, stream, buffer)
                at = next_run.stop

    def _spread(self, task: Task) -> None:
        """Give the rest of a blob to the other streams."""
        missing = [i for i in task.download.incoming.missing() if not task.first <= i < task.last]
        with self._changed:
            runs = plan_runs(missing, self.streams, self.most_segments)
            self._tasks.extend(Task(task.download, *run) for run in runs)
            self._changed.notify_all()

    def _skip(self, need: BlobNeed, count: int, stream: ByteStream, buffer: Buffer) -> None:
        """Skip bytes that are there or another stream's, if an answer begins before the requested byte."""
        while count:
            got = self._read(need, buffer.view[:count], stream)
            self.throttle(got, self._check_here)
            count -= got

    def _take(self, download: Download, run: Run, stream: ByteStream, buffer: Buffer) -> None:
        """Read a run to its end and store it; each segment has one writer."""
        while run.at < run.stop:
            got = self._read(download.need, buffer.view[: run.stop - run.at], stream)
            before = run.at
            is_whole = run.write(buffer.view[:got], buffer)
            if run.at // SEGMENT_BYTES > before // SEGMENT_BYTES:
                self._good_at = self.clock.now()
            download.progress.advance(got)
            self.on_written(got)
            self._followers.wrote()
            if is_whole:
                self._finish(download)
            self.throttle(got, self._check_here)

    def _read(self, need: BlobNeed, view: memoryview, stream: ByteStream) -> int:
        """Read the next bytes of an answer; return how many."""
        self._check()
        got = self._streams.read_into(view, stream)
        if not got:
            raise Unavailable(f"The hub's answer for {need.path} ended early.", endpoint=self.hub.endpoint)
        self._line.came(got)
        self._look_at_line()
        return got

    def _finish(self, download: Download) -> None:
        """Publish a whole blob; one with the wrong digest is fetched once more from its beginning."""
        need = download.need
        try:
            download.incoming.publish(self.base.repo(self.plan.repo_id).blob(need.digest))
        except Corrupt:
            if need.digest in self._failed_digests:
                raise
            _log.warning("digest_mismatch", extra={"digest": need.digest, "path": need.path})
            self._failed_digests.add(need.digest)
            self._sources.distrust(need.digest)
            download.progress.skip(-need.size_bytes)
            self.on_written(-need.size_bytes)
            with self._changed:
                self._waiting.append(need)
        finally:
            self._close(download)

    def _close(self, download: Download) -> None:
        with self._changed:
            self._open.discard(download)
            self._changed.notify_all()
        download.held.close()

    def _pause(self, duration_s: float) -> None:
        while duration_s > 0:
            self._check()
            self.clock.sleep(min(duration_s, 0.5))
            duration_s -= 0.5
