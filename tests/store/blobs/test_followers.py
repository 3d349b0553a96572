"""The threads that follow the writing of blobs."""

from __future__ import annotations

import threading
from pathlib import Path

from modelshelf.store.blobs.followers import Followers
from modelshelf.store.blobs.partial import IncomingBlob
from modelshelf.store.layout import Base
from tests.builders import digest_of


class Watched(IncomingBlob):
    """A blob that tells when it is synced."""

    def __init__(self, base: Base) -> None:
        super().__init__(base, digest_of("x.bin", b"x"), 1)
        self.flushed = threading.Event()

    def flush_ahead(self) -> None:
        """Tell it."""
        self.flushed.set()


def test_the_thread_that_syncs_wakes_for_much(tmp_path: Path) -> None:
    """The thread that syncs sleeps for 63 pieces, wakes for the 64th, and ends with the writing."""
    blob = Watched(Base(tmp_path))
    with blob:
        followers = Followers(lambda: [blob], lambda: True)
        thread = threading.Thread(target=followers.flush)
        for _ in range(63):
            followers.wrote()
        thread.start()
        assert not blob.flushed.is_set()

        followers.wrote()
        assert blob.flushed.wait(60)
        followers.end()
        thread.join(60)

        assert not thread.is_alive()


def test_a_follower_ends_with_its_owner(tmp_path: Path) -> None:
    """A follower whose owner has failed does nothing more, though pieces were written."""
    blob = Watched(Base(tmp_path))
    with blob:
        followers = Followers(lambda: [blob], lambda: False)
        followers.wrote()

        followers.hash()

        assert blob.missing() == [0]
