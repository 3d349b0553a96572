"""What a download's streams share: the blobs in progress, and their segments to ask for."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from modelshelf.domain.plans import SEGMENT_BYTES, BlobNeed
from modelshelf.domain.ports import Progress
from modelshelf.store.blobs.partial import IncomingBlob, Run

_SMALL_BYTES = 256 * 2**10
"""A blob of at most this size costs mostly the round trip."""


@dataclass(slots=True, eq=False)
class Download:
    """One blob in progress, with its locks."""

    need: BlobNeed
    incoming: IncomingBlob
    held: contextlib.ExitStack
    progress: Progress


@dataclass(slots=True)
class Task:
    """Some adjacent segments of a blob for one stream to ask for."""

    download: Download
    first: int
    last: int
    """The index after the last segment's."""
    run: Run | None = None
    """The run in progress and its position, from which it continues after a cut."""
    opens: bool = False
    """Whether it has yet to learn about ranges; until then no other stream works on this blob."""

    def next_run(self) -> Run | None:
        """Return the run in progress, or the next one to ask for; None if all is there."""
        if self.run is None or self.run.at == self.run.stop:
            self.run = self.download.incoming.gap(self.first, self.last)
        return self.run

    def at(self) -> int:
        """Return its position, in bytes from the beginning of the blob."""
        return self.run.at if self.run else self.first * SEGMENT_BYTES


def is_large(need: BlobNeed) -> bool:
    """Return whether a blob occupies the line for a while."""
    return need.size_bytes > _SMALL_BYTES
