"""Counting the progress of a job and of its files."""

from __future__ import annotations

from modelshelf.domain.job_files import MOST_LISTED, JobFile, JobFiles
from modelshelf.services.jobs.progress import Counter


def test_a_file_counts_for_the_whole() -> None:
    """What arrives of a file is in its figures and in those of the whole; what was there isn't in the rate."""
    counter = Counter()
    counter.phase("downloading", 30)
    counter.files({"a": 20, "b": 10, "empty": 0})

    counter.of("a").skip(5)
    counter.of("a").advance(10)
    counter.of("b").advance(10)
    now = counter.read()

    assert (now.done_bytes, now.worked_bytes) == (25, 20)
    assert now.files == JobFiles(2, 3, (JobFile("a", 15, 20), JobFile("b", 10, 10), JobFile("empty", 0, 0)))


def test_a_file_that_turned_out_bad_is_not_whole_any_more() -> None:
    """Bytes that are taken back are taken back of the file, too."""
    counter = Counter()
    counter.files({"a": 20})
    counter.of("a").advance(20)

    counter.of("a").skip(-20)

    assert counter.read().files == JobFiles(0, 1, (JobFile("a", 0, 20),))


def test_of_many_files_those_in_work_are_told() -> None:
    """Of 50,000 files a bounded number is told: those that are being worked on."""
    counter = Counter()
    counter.files({f"f{number}": 2 for number in range(50_000)})
    for number in range(40_000):
        counter.of(f"f{number}").advance(2)
    for number in range(40_000, 40_100):
        counter.of(f"f{number}").advance(1)

    files = counter.read().files

    assert (files.done, files.total, len(files.listed)) == (40_000, 50_000, MOST_LISTED)
    assert files.listed[0] == JobFile("f40000", 1, 2)
    assert len(files.to_json()) < 5_000


def test_a_new_phase_has_its_own_files() -> None:
    """A phase with bytes begins without files, and a late count of the one before changes nothing."""
    counter = Counter()
    counter.files({"a": 20})
    late = counter.of("a")

    counter.phase("verifying", 7)
    late.advance(1)

    assert (counter.read().files, counter.read().done_bytes) == (JobFiles(), 1)
