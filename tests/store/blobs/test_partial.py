"""A partial blob: written in any order, resumed, and published only when its digest is right."""

from __future__ import annotations

import os
import random
import struct
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from xxhash import xxh3_64_intdigest

from modelshelf.domain.names import Digest
from modelshelf.domain.plans import CLAIM_BYTES, SEGMENT_BYTES, segment_count, segment_range
from modelshelf.errors import Cancelled, Corrupt
from modelshelf.store import fs
from modelshelf.store.blobs.partial import IncomingBlob, Run, file_agrees, written, written_bytes
from modelshelf.store.layout import Base
from tests.builders import digest_of, put
from tests.world import random_bytes, wait_until

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


def write(incoming: IncomingBlob, index: int, data: memoryview | None = None) -> bool:
    """Write a segment; return whether it was the last one missing."""
    start, stop = segment_range(index, incoming.size_bytes)
    return Run(incoming, start, stop).write(segment(index) if data is None else data)


def arrive(base: Base, *indices: int) -> None:
    """Write some segments, as a process does that is then killed."""
    with IncomingBlob(base, DIGEST, len(DATA)) as incoming:
        for index in indices:
            write(incoming, index)


def finish(base: Base) -> list[int]:
    """Resume a part, fetch what is missing and publish it; return what was missing."""
    with IncomingBlob(base, DIGEST, len(DATA)) as incoming:
        missing = incoming.missing()
        for index in missing:
            write(incoming, index)
        incoming.publish(target(base))
    assert target(base).read_bytes() == DATA
    return missing


def target(base: Base) -> Path:
    """Return the blob's final path."""
    return base.repo("org/name").blob(DIGEST)


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2]], ids=["forwards", "backwards", "mixed"])
def test_segments_arrive_in_any_order(base: Base, order: list[int]) -> None:
    """Segments may come in any order; the last one says so, the blob gets its name, and the part is gone."""
    with IncomingBlob(base, DIGEST, len(DATA)) as incoming:
        is_last = [write(incoming, index) for index in order]
        incoming.publish(target(base))

    assert is_last == [False, False, False, True]
    assert target(base).read_bytes() == DATA
    assert list(base.incoming.iterdir()) == []


def test_threads_bring_segments_at_once(base: Base) -> None:
    """If threads write overlapping segments, exactly one is told that it wrote the last."""
    order = random.Random(7).sample(range(COUNT), COUNT) * 2
    with IncomingBlob(base, DIGEST, len(DATA)) as incoming, ThreadPoolExecutor(4) as threads:
        is_last = list(threads.map(lambda index: write(incoming, index), order))
        incoming.publish(target(base))

    assert sum(is_last) == 1
    assert target(base).read_bytes() == DATA


def test_a_part_is_taken_up_where_it_was_left(base: Base) -> None:
    """A resumed part doesn't ask again for segments that are there, and counts them as done."""
    arrive(base, 0, 3)

    with IncomingBlob(base, DIGEST, len(DATA)) as incoming:
        assert incoming.missing() == [1, 2]
        assert incoming.arrived_bytes() == SEGMENT_BYTES + 1000
    assert finish(base) == [1, 2]


def test_a_segment_that_comes_twice_counts_once(base: Base) -> None:
    """A segment that arrives twice counts once."""
    with IncomingBlob(base, DIGEST, len(DATA)) as incoming:
        write(incoming, 0)
        assert not write(incoming, 0)
        assert incoming.arrived_bytes() == SEGMENT_BYTES


def test_a_cut_within_a_segment_goes_on_at_its_byte(base: Base) -> None:
    """Pieces of any size make segments; after a kill only the segment in progress is missing."""
    with IncomingBlob(base, DIGEST, len(DATA)) as incoming:
        run = incoming.gap(0, COUNT)
        assert run is not None
        while run.at < 2 * SEGMENT_BYTES + 17:
            run.write(memoryview(DATA)[run.at : min(run.at + 99_999, 2 * SEGMENT_BYTES + 17)])
        assert (incoming.missing(), incoming.arrived_bytes()) == ([2, 3], 2 * SEGMENT_BYTES)
        run.write(memoryview(DATA)[run.at : 3 * SEGMENT_BYTES])
        assert incoming.missing() == [3]

    assert finish(base) == [3]


def test_gaps_are_found_one_after_the_other(base: Base) -> None:
    """Gaps come in order, each as long as what is missing, within the segments that are asked about."""
    arrive(base, 1)
    with IncomingBlob(base, DIGEST, len(DATA)) as incoming:
        gaps = [incoming.gap(first, last) for first, last in ((0, COUNT), (1, COUNT), (2, 3), (1, 2))]

    found = [gap and (gap.at, gap.stop) for gap in gaps]
    assert found[:2] == [(0, SEGMENT_BYTES), (2 * SEGMENT_BYTES, len(DATA))]
    assert found[2:] == [(2 * SEGMENT_BYTES, 3 * SEGMENT_BYTES), None]


@pytest.mark.parametrize(
    ("at", "claim", "lost"),
    [
        (2 * CLAIM_BYTES, b"12345678", [1, 2]),
        (2 * CLAIM_BYTES, bytes(8), [1, 2]),
        (3 * CLAIM_BYTES, b"1234", [1, 2, 3]),
        (4 * CLAIM_BYTES, b"12345678", [0, 1, 2, 3]),
    ],
    ids=["another checksum", "zeros of a power cut", "torn", "more than the blob has"],
)
def test_a_claim_of_the_map_that_is_not_true_is_ignored(base: Base, at: int, claim: bytes, lost: list[int]) -> None:
    """A map's claims are checked against the bytes, and another blob's map is ignored."""
    arrive(base, 0, 3)
    with base.part_map(DIGEST).open("r+b") as file:
        file.seek(at)
        file.write(claim)

    assert finish(base) == lost


def test_a_torn_map_costs_the_segments_behind_it(base: Base) -> None:
    """A map that is cut off loses only the claims after the cut."""
    arrive(base, 0, 1, 2, 3)
    os.truncate(base.part_map(DIGEST), 2 * CLAIM_BYTES + 3)

    assert finish(base) == [2, 3]


def test_bytes_that_a_power_cut_lost_are_fetched_again(base: Base) -> None:
    """If a power cut kept the map and lost bytes, only their segments are fetched again."""
    arrive(base, 0, 1, 2)
    with base.part(DIGEST).open("r+b") as file:
        file.seek(SEGMENT_BYTES)
        file.write(bytes(SEGMENT_BYTES))
        file.truncate(2 * SEGMENT_BYTES + 5)

    assert finish(base) == [1, 2, 3]


def test_bytes_that_a_map_does_not_claim_are_fetched_again(base: Base) -> None:
    """A part without a map is fetched again as a whole."""
    put(base.part(DIGEST), DATA)

    assert finish(base) == [0, 1, 2, 3]


def test_wrong_bytes_are_never_published(base: Base) -> None:
    """Wrong bytes are never published; they are deleted, so the next try starts again."""
    wrong = bytes(SEGMENT_BYTES)
    with IncomingBlob(base, DIGEST, len(DATA)) as incoming:
        for index in range(COUNT):
            write(incoming, index, memoryview(wrong) if index == 1 else None)
        with pytest.raises(Corrupt, match="don't match its digest") as caught:
            incoming.publish(target(base))

    assert caught.value.fields == {"digest": DIGEST}
    assert not target(base).exists()
    assert finish(base) == [0, 1, 2, 3]


def test_a_part_that_is_longer_than_its_blob_is_cut(base: Base) -> None:
    """A part longer than its blob is cut to size."""
    put(base.part(DIGEST), DATA + b"x" * 99)
    base.part_map(DIGEST).write_bytes(struct.pack("<4Q", *(xxh3_64_intdigest(segment(i)) for i in range(COUNT))))

    assert finish(base) == []


@pytest.mark.parametrize("name", ["empty.bin", "empty.txt"], ids=["sha256", "sha1"])
def test_an_empty_blob_is_whole_at_once(base: Base, name: str) -> None:
    """An empty blob has no segments, and its digest is checked all the same."""
    digest = digest_of(name, b"")
    with IncomingBlob(base, digest, 0) as incoming:
        assert incoming.missing() == []
        incoming.publish(base.repo("org/name").blob(digest))

    assert base.repo("org/name").blob(digest).read_bytes() == b""


@pytest.mark.parametrize("name", ["w.bin", "config.json"], ids=["sha256", "sha1"])
def test_a_file_agrees_with_its_digest(tmp_path: Path, name: str) -> None:
    """Both kinds of digest match the Hub's, and one flipped bit is noticed."""
    data = random_bytes(3 * 2**20 + 17)
    path = put(tmp_path / name, data)
    digest = digest_of(name, data)

    assert file_agrees(path, digest)
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert not file_agrees(path, digest)
    path.write_bytes(data[:-1])
    assert not file_agrees(path, digest)


def test_only_the_written_bytes_of_a_part_count(base: Base) -> None:
    """The hole before a far segment doesn't count as written."""
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
                write(incoming, index)
                incoming.hash_ahead()
        incoming.publish(target(base))

    assert target(base).read_bytes() == DATA


def test_what_is_much_is_brought_to_the_disk_meanwhile(base: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    """For every 128 MiB one thread syncs to the disk; a part that was published is skipped."""
    flushed: list[Path] = []
    monkeypatch.setattr(fs, "flush", lambda fd, path: flushed.append(path) or os.fdatasync(fd))
    data = bytes(128 * 2**20)
    with IncomingBlob(base, digest_of("x.bin", data), len(data)) as incoming:
        run = incoming.gap(0, segment_count(len(data)))
        assert run is not None
        run.write(memoryview(data)[:-1])
        incoming.flush_ahead()
        assert flushed == []

        run.write(memoryview(data)[-1:])
        with incoming._flushing:
            incoming.flush_ahead()
        assert flushed == []
        incoming.flush_ahead()
        incoming.flush_ahead()
        assert len(flushed) == 1

        incoming.publish(target(base))
        incoming.flush_ahead()
        assert len(flushed) == 1


def test_taking_up_and_publishing_can_be_stopped(base: Base) -> None:
    """Resuming and publishing can be stopped before a large part has been read."""
    arrive(base, *range(COUNT))

    def stop() -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        IncomingBlob(base, DIGEST, len(DATA), stop)

    assert finish(base) == []


def test_publishing_waits_for_another_thread_that_hashes(base: Base) -> None:
    """A thread that publishes while another one hashes waits for it, and can be stopped meanwhile."""
    arrive(base, *range(COUNT))
    checks: list[None] = []
    with IncomingBlob(base, DIGEST, len(DATA), lambda: checks.append(None)) as incoming:
        before = len(checks)
        with ThreadPoolExecutor(1) as other:
            with incoming._hashing:
                publishing = other.submit(incoming.publish, target(base))
                wait_until(lambda: len(checks) > before, "the thread to ask whether it goes on")
                assert not publishing.done()
            publishing.result()

    assert target(base).read_bytes() == DATA


def test_a_closed_part_has_nothing_to_hash(base: Base) -> None:
    """A thread that hashes and syncs what others write does nothing once the part was closed."""
    with IncomingBlob(base, DIGEST, len(DATA)) as incoming:
        write(incoming, 0)

    incoming.hash_ahead()
    incoming.flush_ahead()

    assert finish(base) == [1, 2, 3]


@pytest.mark.timeout(30)
def test_a_map_that_is_none_claims_nothing(tmp_path: Path) -> None:
    """A fifo in place of a part's map blocks nobody: the blob is fetched from its beginning."""
    base, digest = Base(tmp_path), Digest("0" * 64)
    base.incoming.mkdir(parents=True)
    os.mkfifo(base.part_map(digest))

    with IncomingBlob(base, digest, 10) as blob:
        assert blob.missing() == [0]
        write(blob, 0, memoryview(b"0123456789"))


def test_a_base_with_a_part_is_told_from_one_without(base: Base) -> None:
    """A part that arrives, or was left, is noticed with its bytes; a lock alone is none."""
    assert written(base) == {}
    put(base.part_lock(DIGEST), b"")
    assert written(base) == {}
    put(base.part(DIGEST), b"x")
    assert written(base) == {DIGEST: 1}
