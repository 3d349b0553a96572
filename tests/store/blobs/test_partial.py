"""A blob as it arrives: in any order, taken up again, and published only when it is right."""

from __future__ import annotations

import os
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from xxhash import xxh3_64_hexdigest

from modelshelf.domain.names import Digest
from modelshelf.domain.plans import SEGMENT_BYTES, segment_count, segment_range
from modelshelf.errors import Corrupt
from modelshelf.store import fs
from modelshelf.store.blobs.partial import IncomingBlob, file_agrees, written_bytes
from modelshelf.store.layout import Base
from tests.builders import digest_of, put
from tests.world import random_bytes

DATA = random_bytes(3 * SEGMENT_BYTES + 1000)
DIGEST = digest_of("x.bin", DATA)
COUNT = segment_count(len(DATA))


@pytest.fixture
def base(tmp_path: Path) -> Base:
    """An empty base."""
    return Base(tmp_path)


def segment(index: int, data: bytes = DATA) -> memoryview:
    """Return the bytes of one segment."""
    start, stop = segment_range(index, len(data))
    return memoryview(data)[start:stop]


def arrive(base: Base, *indices: int) -> None:
    """Let some segments arrive, as a process that is killed then."""
    with IncomingBlob(base, DIGEST, len(DATA)) as incoming:
        for index in indices:
            incoming.write(index, [segment(index)])


def finish(base: Base) -> list[int]:
    """Take a part up, fetch what is missing and publish it; returns what was missing."""
    with IncomingBlob(base, DIGEST, len(DATA)) as incoming:
        missing = incoming.missing()
        for index in missing:
            incoming.write(index, [segment(index)])
        incoming.publish(target(base))
    assert target(base).read_bytes() == DATA
    return missing


def target(base: Base) -> Path:
    """Return where the blob belongs."""
    return base.repo("org/name").blob(DIGEST)


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2]], ids=["forwards", "backwards", "mixed"])
def test_segments_arrive_in_any_order(base: Base, order: list[int]) -> None:
    """The last one missing says so; the blob is whole under its name and nothing of the part is left."""
    with IncomingBlob(base, DIGEST, len(DATA)) as incoming:
        is_last = [incoming.write(index, [segment(index)]) for index in order]
        incoming.publish(target(base))

    assert is_last == [False, False, False, True]
    assert target(base).read_bytes() == DATA
    assert list(base.incoming.iterdir()) == []


def test_threads_bring_segments_at_once(base: Base) -> None:
    """However they overlap, exactly one is told that it was the last."""
    order = random.Random(7).sample(range(COUNT), COUNT) * 2
    with IncomingBlob(base, DIGEST, len(DATA)) as incoming, ThreadPoolExecutor(4) as threads:
        is_last = list(threads.map(lambda index: incoming.write(index, [segment(index)]), order))
        incoming.publish(target(base))

    assert sum(is_last) == 1
    assert target(base).read_bytes() == DATA


def test_a_part_is_taken_up_where_it_was_left(base: Base) -> None:
    """What arrived is not asked for again, and counts as arrived."""
    arrive(base, 0, 3)

    with IncomingBlob(base, DIGEST, len(DATA)) as incoming:
        assert incoming.missing() == [1, 2]
        assert [incoming.has(index) for index in range(COUNT)] == [True, False, False, True]
        assert incoming.arrived_bytes() == SEGMENT_BYTES + 1000
    assert finish(base) == [1, 2]


def test_a_segment_that_comes_twice_counts_once(base: Base) -> None:
    """A retry that overlaps is no progress."""
    with IncomingBlob(base, DIGEST, len(DATA)) as incoming:
        incoming.write(0, [segment(0)])
        assert not incoming.write(0, [segment(0)])
        assert incoming.arrived_bytes() == SEGMENT_BYTES


@pytest.mark.parametrize(
    ("line", "lost"),
    [("2 12345", [1, 2]), ("2", [1, 2]), ("2 1 1", [1, 2]), ("x y", [1, 2]), ("99 1", [1, 2]), ("\0\0\0", [1, 2])],
    ids=["another checksum", "torn", "two lines in one", "no numbers", "no such segment", "zeros of a power cut"],
)
def test_a_line_of_the_map_that_claims_nothing_true_is_ignored(base: Base, line: str, lost: list[int]) -> None:
    """The map is a claim; the bytes decide."""
    arrive(base, 0, 3)
    with base.part_map(DIGEST).open("a") as file:
        file.write(line)

    assert finish(base) == lost


def test_bytes_that_a_power_cut_lost_are_fetched_again(base: Base) -> None:
    """A map that survived its bytes costs the segments, not the blob."""
    arrive(base, 0, 1, 2)
    with base.part(DIGEST).open("r+b") as file:
        file.seek(SEGMENT_BYTES)
        file.write(bytes(SEGMENT_BYTES))
        file.truncate(2 * SEGMENT_BYTES + 5)

    assert finish(base) == [1, 2, 3]


def test_bytes_that_a_map_does_not_claim_are_fetched_again(base: Base) -> None:
    """A part without a map is as good as none."""
    put(base.part(DIGEST), DATA)

    assert finish(base) == [0, 1, 2, 3]


def test_wrong_bytes_are_never_published(base: Base) -> None:
    """They are thrown away, so that the next try begins anew."""
    wrong = bytes(SEGMENT_BYTES)
    with IncomingBlob(base, DIGEST, len(DATA)) as incoming:
        for index in range(COUNT):
            incoming.write(index, [segment(index) if index != 1 else memoryview(wrong)])
        with pytest.raises(Corrupt, match="don't match its digest") as caught:
            incoming.publish(target(base))

    assert caught.value.fields == {"digest": DIGEST}
    assert not target(base).exists()
    assert finish(base) == [0, 1, 2, 3]


def test_a_part_that_is_longer_than_its_blob_is_cut(base: Base) -> None:
    """Bytes behind the end are none of the blob's."""
    put(base.part(DIGEST), DATA + b"x" * 99)
    base.part_map(DIGEST).write_text("".join(f"{i} {xxh3_64_hexdigest(segment(i))}\n" for i in range(COUNT)))

    assert finish(base) == []


@pytest.mark.parametrize("name", ["empty.bin", "empty.txt"], ids=["sha256", "sha1"])
def test_an_empty_blob_is_whole_at_once(base: Base, name: str) -> None:
    """It has no segment to wait for, and its digest is checked all the same."""
    digest = digest_of(name, b"")
    with IncomingBlob(base, digest, 0) as incoming:
        assert incoming.missing() == []
        incoming.publish(base.repo("org/name").blob(digest))

    assert base.repo("org/name").blob(digest).read_bytes() == b""


@pytest.mark.parametrize("name", ["w.bin", "config.json"], ids=["sha256", "sha1"])
def test_a_file_agrees_with_its_digest(tmp_path: Path, name: str) -> None:
    """Both kinds of digest are computed as the Hub does, and one flipped bit is seen."""
    data = random_bytes(3 * 2**20 + 17)
    path = put(tmp_path / name, data)
    digest = digest_of(name, data)

    assert file_agrees(path, digest)
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert not file_agrees(path, digest)
    path.write_bytes(data[:-1])
    assert not file_agrees(path, digest)


def test_only_the_written_bytes_of_a_part_count(base: Base) -> None:
    """A segment far behind leaves a hole before it, which is still to be written."""
    arrive(base, 3)
    part = base.part(DIGEST)

    assert part.stat().st_size == len(DATA)
    assert 1000 <= written_bytes(part) < SEGMENT_BYTES
    assert written_bytes(base.part("0" * 64)) == 0


def test_hashing_is_left_to_whoever_is_at_it(base: Base) -> None:
    """A thread that finds another one hashing goes on fetching, and the digest is complete in the end."""
    with IncomingBlob(base, DIGEST, len(DATA)) as incoming:
        with incoming._hashing:
            for index in range(COUNT):
                incoming.write(index, [segment(index)])
                incoming.hash_ahead()
        incoming.publish(target(base))

    assert target(base).read_bytes() == DATA


def test_what_is_much_is_brought_to_the_disk_meanwhile(base: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each sixteenth segment lets one thread wait for the disk; a part that was published is let alone."""
    flushed: list[Path] = []
    monkeypatch.setattr(fs, "flush", lambda fd, path: flushed.append(path) or os.fdatasync(fd))
    data = bytes(16 * SEGMENT_BYTES)
    with IncomingBlob(base, digest_of("x.bin", data), len(data)) as incoming:
        for index in range(15):
            incoming.write(index, [segment(index, data)])
        incoming.flush_ahead()
        assert flushed == []

        incoming.write(15, [segment(15, data)])
        with incoming._flushing:
            incoming.flush_ahead()
        assert flushed == []
        incoming.flush_ahead()
        incoming.flush_ahead()
        assert len(flushed) == 1

        incoming.publish(target(base))
        incoming.flush_ahead()
        assert len(flushed) == 1


@pytest.mark.timeout(30)
def test_a_map_that_is_none_claims_nothing(tmp_path: Path) -> None:
    """A fifo in place of the map of a part holds nobody up: the blob arrives from its beginning."""
    base, digest = Base(tmp_path), Digest("0" * 64)
    base.incoming.mkdir(parents=True)
    os.mkfifo(base.part_map(digest))

    with IncomingBlob(base, digest, 10) as blob:
        assert blob.missing() == [0]
