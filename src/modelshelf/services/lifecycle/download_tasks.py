"""What the streams of a download share: the blobs on their way, and the segments of them to ask for."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from modelshelf.domain.plans import SEGMENT_BYTES, BlobNeed
from modelshelf.store.blobs.partial import IncomingBlob, Run


@dataclass(slots=True, eq=False)
class Download:
    """One blob on its way, with the locks that it holds."""

    need: BlobNeed
    incoming: IncomingBlob
    held: contextlib.ExitStack


@dataclass(slots=True)
class Task:
    """Some neighbouring segments of a blob to ask for, by one stream."""

    download: Download
    first: int
    last: int
    """The segment after the last one."""
    run: Run | None = None
    """What is on its way, and where it stands; it goes on there after a cut."""
    opens: bool = False
    """Whether it has yet to learn about ranges; until then no other stream works on this blob."""

    def next_run(self) -> Run | None:
        """Return what is on its way, or what is to be asked for next; None when all is there."""
        if self.run is None or self.run.at == self.run.stop:
            self.run = self.download.incoming.gap(self.first, self.last)
        return self.run

    def at(self) -> int:
        """Return where it stands, in bytes from the beginning of the blob."""
        return self.run.at if self.run else self.first * SEGMENT_BYTES


def is_large(need: BlobNeed) -> bool:
    """Return whether a blob takes the line for a while; of a small one the round trip is what takes time."""
    return need.size_bytes > SEGMENT_BYTES
