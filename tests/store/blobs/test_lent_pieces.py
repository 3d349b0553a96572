"""Pieces that are lent in memory to whoever hashes a blob, who reads the others again."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from modelshelf.domain.plans import SEGMENT_BYTES, segment_count
from modelshelf.store.blobs import lent_pieces
from modelshelf.store.blobs.lent_pieces import PIECE_BYTES, Buffer
from modelshelf.store.blobs.partial import IncomingBlob, Run
from modelshelf.store.layout import Base
from tests.builders import digest_of
from tests.world import random_bytes

PIECES = 24
DATA = random_bytes(PIECES * PIECE_BYTES + 1000)
DIGEST = digest_of("x.bin", DATA)


@pytest.fixture
def base(tmp_path: Path) -> Base:
    """An empty base."""
    return Base(tmp_path)


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The offsets at which files are read."""
    offsets, preadv = list[int](), os.preadv
    monkeypatch.setattr(os, "preadv", lambda fd, views, at: offsets.append(at) or preadv(fd, views, at))
    return offsets


def write(run: Run, count: int, buffer: Buffer) -> None:
    """Write the next bytes of a run out of a buffer that may be lent."""
    piece = memoryview(DATA)[run.at : min(run.at + count, run.stop)]
    buffer.view[: piece.nbytes] = piece
    run.write(buffer.view[: piece.nbytes], buffer)


def finish(base: Base, incoming: IncomingBlob) -> bytes:
    """Publish a blob and return its bytes."""
    target = base.repo("org/name").blob(DIGEST)
    incoming.publish(target)
    return target.read_bytes()


def test_what_is_hashed_at_once_is_not_read_again(base: Base, read: list[int]) -> None:
    """Where hashing keeps up with writing, no byte of the part is read."""
    with IncomingBlob(base, DIGEST, len(DATA)) as incoming:
        run, buffer = Run(incoming, 0, len(DATA)), Buffer()
        while run.at < run.stop:
            write(run, PIECE_BYTES, buffer)
            incoming.hash_ahead()

        assert finish(base, incoming) == DATA
    assert read == []


def test_what_has_no_room_in_memory_is_read_again(base: Base, read: list[int]) -> None:
    """A writer that is ahead of the hashing by more than what fits in memory leaves the rest to be read."""
    with IncomingBlob(base, DIGEST, len(DATA)) as incoming:
        run, buffer = Run(incoming, 0, len(DATA)), Buffer()
        while run.at < run.stop:
            write(run, PIECE_BYTES, buffer)

        assert finish(base, incoming) == DATA
    assert read == [number * PIECE_BYTES for number in range(lent_pieces.MOST_LENT, PIECES + 1)]


def test_pieces_of_any_size_and_order_make_the_digest(base: Base) -> None:
    """However large the pieces are, in whatever order they come and whenever they are hashed, the digest is right."""
    chance = random.Random(5)
    with IncomingBlob(base, DIGEST, len(DATA)) as incoming:
        middle = 7 * SEGMENT_BYTES
        runs = [Run(incoming, 0, middle), Run(incoming, middle, len(DATA))]
        buffers = [Buffer(), Buffer()]
        while left := [index for index, run in enumerate(runs) if run.at < run.stop]:
            index = chance.choice(left)
            write(runs[index], chance.choice([1000, SEGMENT_BYTES, 5 * SEGMENT_BYTES, PIECE_BYTES]), buffers[index])
            if chance.random() < 0.3:
                incoming.hash_ahead()

        assert incoming.missing() == []
        assert segment_count(len(DATA)) == len(incoming._done)
        assert finish(base, incoming) == DATA
