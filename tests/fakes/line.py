"""A line between a client and a hub: a process on loopback with a rate, a delay, cuts and stalls.

    python -m tests.fakes.line HOST:PORT [--rate BYTES_PER_S] [--delay S] [--cut-every-s S] [--cut-every-bytes N]
        [--stall-after-bytes N --stalls N]

It prints its port, and after SIGTERM how many bytes it sent to the client over how many connections. All connections
share the rate towards the client; each takes the delay, a round trip, to open, and half of it each way.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import threading
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass

_LEAST_CHUNK_BYTES = 16 * 2**10
_LATE_S = 0.1
"""A busy machine's delay of up to this much is made up for, in seconds."""
_QUEUED = 64
"""How many chunks are in flight at most: a MiB, as in the buffers of a home router."""


@dataclass(slots=True)
class Faults:
    """A line's faults."""

    rate_bytes_per_s: float = 0
    """0: unlimited."""
    delay_s: float = 0
    """The round trip."""
    cut_every_s: float = 0
    cut_every_bytes: int = 0
    """Bytes of each connection."""
    stall_after_bytes: int = 0
    """How many bytes of a connection come through before it stalls."""
    stalls: int = 0
    """How many connections stall."""


class Line:
    """A line that is open from `start` on."""

    def __init__(self, host: str, port: int, faults: Faults) -> None:
        self.faults = faults
        self._chunk_bytes = max(_LEAST_CHUNK_BYTES, int(faults.rate_bytes_per_s / 1000))
        self.port = 0
        self.connections = 0
        self.down_bytes = 0
        """Bytes sent to the client."""
        self._to = host, port
        self._server: asyncio.Server | None = None
        self._free_at = 0.0
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Start to listen."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=self._chunk_bytes)
        self.port = self._server.sockets[0].getsockname()[1]
        if self.faults.cut_every_s:
            self._spawn(self._cut_now_and_then())

    async def stop(self) -> None:
        """Cut every connection."""
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def url(self) -> str:
        """The address that a client uses instead of the hub's."""
        return f"http://127.0.0.1:{self.port}"

    async def _cut_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(self.faults.cut_every_s)
            for writer in list(self._writers):
                writer.transport.abort()

    def _accept(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        self._spawn(self._serve(client, to_client))

    async def _serve(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        self.connections += 1
        stalls = self.faults.stalls > 0
        self.faults.stalls -= stalls
        await asyncio.sleep(self.faults.delay_s)
        with contextlib.suppress(OSError):
            hub, to_hub = await asyncio.open_connection(*self._to, limit=self._chunk_bytes)
            ends = {to_client, to_hub}
            self._writers |= ends
            try:
                async with asyncio.TaskGroup() as both:
                    both.create_task(self._carry(client, to_hub, ends, down=False, stalls=False))
                    both.create_task(self._carry(hub, to_client, ends, down=True, stalls=stalls))
            except* OSError:
                pass  # one end closed, or was cut
            finally:
                self._writers -= ends
                for writer in ends:
                    writer.transport.abort()

    async def _carry(
        self,
        source: asyncio.StreamReader,
        target: asyncio.StreamWriter,
        ends: set[asyncio.StreamWriter],
        *,
        down: bool,
        stalls: bool,
    ) -> None:
        """Forward bytes in one direction until an end closes."""
        on_the_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_QUEUED)
        loop, came = asyncio.get_running_loop(), 0
        delivering = self._spawn(self._deliver(on_the_way, target))
        try:
            while data := await source.read(self._chunk_bytes):
                came += len(data)
                if stalls and came > self.faults.stall_after_bytes:
                    await asyncio.sleep(3600)
                if down:
                    await self._keep_rate(len(data))
                    self.down_bytes += len(data)
                await on_the_way.put((loop.time() + self.faults.delay_s / 2, data))
                if down and 0 < self.faults.cut_every_bytes <= came:
                    break
            await on_the_way.put((0, b""))
            await delivering
        finally:
            delivering.cancel()
        for writer in ends:
            writer.close()
        raise ConnectionError

    async def _deliver(self, on_the_way: asyncio.Queue[tuple[float, bytes]], target: asyncio.StreamWriter) -> None:
        while True:
            due_at, data = await on_the_way.get()
            if not data:
                return
            await asyncio.sleep(max(0.0, due_at - asyncio.get_running_loop().time()))
            target.write(data)
            with contextlib.suppress(OSError):
                await target.drain()

    async def _keep_rate(self, count_bytes: int) -> None:
        if self.faults.rate_bytes_per_s:
            now = asyncio.get_running_loop().time()
            self._free_at = max(now - _LATE_S, self._free_at) + count_bytes / self.faults.rate_bytes_per_s
            await asyncio.sleep(max(0.0, self._free_at - now))

    def _spawn(self, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


@contextlib.contextmanager
def line_to(url: str, faults: Faults) -> Iterator[Line]:
    """Open a line to a hub in a thread of this process."""
    host, _, port = url.partition("://")[2].partition(":")
    line, loop = Line(host, int(port), faults), asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    asyncio.run_coroutine_threadsafe(line.start(), loop).result()
    try:
        yield line
    finally:
        asyncio.run_coroutine_threadsafe(line.stop(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def main() -> None:
    """Open a line until the process ends."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("to")
    parser.add_argument("--rate", type=float, default=0)
    parser.add_argument("--delay", type=float, default=0)
    parser.add_argument("--cut-every-s", type=float, default=0)
    parser.add_argument("--cut-every-bytes", type=int, default=0)
    parser.add_argument("--stall-after-bytes", type=int, default=0)
    parser.add_argument("--stalls", type=int, default=0)
    args = parser.parse_args()
    host, _, port = args.to.partition(":")
    faults = Faults(args.rate, args.delay, args.cut_every_s, args.cut_every_bytes, args.stall_after_bytes, args.stalls)

    async def run() -> None:
        line = Line(host, int(port), faults)
        await line.start()
        print(line.port, flush=True)
        over = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, over.set)
        await over.wait()
        print(line.down_bytes, line.connections, flush=True)
        await line.stop()

    asyncio.run(run())


if __name__ == "__main__":
    main()
