"""A blob that is read while it arrives: only what is there and right, and the end of it only once all is verified."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelshelf.domain.plans import SEGMENT_BYTES, segment_count, segment_range
from modelshelf.errors import Corrupt
from modelshelf.store.blobs.arriving import ArrivingBlob
from modelshelf.store.blobs.partial import IncomingBlob, Run
from modelshelf.store.layout import Base
from tests.builders import digest_of
from tests.world import random_bytes

DATA = random_bytes(18 * SEGMENT_BYTES + 1000)
DIGEST = digest_of("x.bin", DATA)
LAST = segment_count(len(DATA)) - 1
HELD_AT = LAST * SEGMENT_BYTES


@pytest.fixture
def base(tmp_path: Path) -> Base:
    """An empty base."""
    return Base(tmp_path)


def write(incoming: IncomingBlob, *indices: int, data: bytes = DATA) -> None:
    """Write some segments."""
    for index in indices:
        start, stop = segment_range(index, len(DATA))
        Run(incoming, start, stop).write(memoryview(data)[start:stop])


def incoming_blob(base: Base) -> IncomingBlob:
    """Return the part, to write to."""
    return IncomingBlob(base, DIGEST, len(DATA))


def arriving(base: Base) -> ArrivingBlob:
    """Return the part, to read from."""
    return ArrivingBlob(base, DIGEST, len(DATA))


def test_there_is_nothing_to_read_before_a_part(base: Base) -> None:
    """Without a part there is no file."""
    with pytest.raises(FileNotFoundError):
        arriving(base)


def test_bytes_are_read_as_far_as_they_are_there(base: Base) -> None:
    """A reader gets the segments up to the first gap, from any offset, at most 1 MiB at once."""
    with incoming_blob(base) as incoming:
        write(incoming, 0, 1, 3)
        with arriving(base) as reader:
            assert reader.read(0, len(DATA)) == DATA[: 2 * SEGMENT_BYTES]
            assert reader.read(1000, 2000) == DATA[1000:2000]
            assert reader.read(2 * SEGMENT_BYTES, len(DATA)) == b""
            assert reader.read(3 * SEGMENT_BYTES + 7, len(DATA)) == DATA[3 * SEGMENT_BYTES + 7 : 4 * SEGMENT_BYTES]
            write(incoming, 2, *range(4, 18))
            assert reader.read(0, len(DATA)) == DATA[: 2**20]
            assert not reader.is_whole()


def test_the_end_is_held_back_until_all_is_verified(base: Base) -> None:
    """The last segment is given away only by the whole file, which has its name."""
    with incoming_blob(base) as incoming, arriving(base) as reader:
        write(incoming, *range(LAST + 1))
        assert reader.read(HELD_AT, len(DATA)) == b""
        assert not reader.is_whole()
        incoming.publish(base.hub / "blob")
        assert reader.is_whole()
        with reader.duplicate() as whole:
            assert whole.read() == DATA


def test_damaged_bytes_are_discarded(base: Base) -> None:
    """A reader of bytes with the wrong digest is told so when they are deleted."""
    wrong = b"?" + DATA[1:]
    with incoming_blob(base) as incoming, arriving(base) as reader:
        write(incoming, *range(LAST + 1), data=wrong)
        with pytest.raises(Corrupt):
            incoming.publish(base.hub / "blob")
        with pytest.raises(Corrupt):
            reader.is_whole()


def test_a_claim_is_not_believed(base: Base) -> None:
    """Bytes that a power cut took from under their claim aren't given away, nor are those that the part lacks."""
    with incoming_blob(base) as incoming:
        write(incoming, 0, 1, 2)
    with base.part(DIGEST).open("r+b") as part:
        part.seek(SEGMENT_BYTES + 5)
        part.write(b"lost")
    with arriving(base) as reader:
        assert reader.read(0, len(DATA)) == DATA[:SEGMENT_BYTES]
    with base.part(DIGEST).open("r+b") as part:
        part.truncate(100)
    with arriving(base) as reader:
        assert reader.read(0, len(DATA)) == b""


def test_a_part_without_a_map_is_none(base: Base) -> None:
    """A part whose map isn't there yet can't be read yet, and nothing stays open."""
    with incoming_blob(base):
        pass
    base.part_map(DIGEST).unlink()

    with pytest.raises(FileNotFoundError):
        arriving(base)
