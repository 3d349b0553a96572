"""How far the files of a job are, as text and as value."""

from __future__ import annotations

import pytest

from modelshelf.domain.job_files import JobFile, JobFiles, files_of


def test_what_is_written_is_read() -> None:
    """A row's text gives the same files again, whatever their names are."""
    files = JobFiles(3, 50_000, (JobFile('a "b"/ü.bin', 1, 2), JobFile("c", 0, 10**13)))

    assert files_of(files.to_json()) == files
    assert files_of(JobFiles().to_json()) == JobFiles()


@pytest.mark.parametrize("text", ["{}", "[]", "x", '{"done": 1, "total": 2, "listed": [["a", 1]]}', '{"done": -1}'])
def test_what_cannot_be_read_is_no_file(text: str) -> None:
    """A row that another program wrote stops nothing: its job has no files."""
    assert files_of(text) == JobFiles()
