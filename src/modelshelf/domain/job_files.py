"""How far the files of a job are, as its row has it."""

from __future__ import annotations

import json
from dataclasses import dataclass

from modelshelf.domain.outside import list_of, object_of, parse_json, sequence_of, size_of, text_of
from modelshelf.errors import BadInput

MOST_LISTED = 50
"""So many files are told one by one: a job's row is written twice a second, and a repository may have 50,000."""


@dataclass(frozen=True, slots=True)
class JobFile:
    """One file."""

    path: str
    done_bytes: int
    total_bytes: int


@dataclass(frozen=True, slots=True)
class JobFiles:
    """The files that a job brings."""

    done: int = 0
    """How many are whole."""
    total: int = 0
    """How many there are; 0 where they aren't told apart."""
    listed: tuple[JobFile, ...] = ()
    """All of them if they are few, else those that are being worked on, at most `MOST_LISTED`."""

    def to_json(self) -> str:
        """Return a text from which `files_of` makes an equal value; empty without files.

        >>> JobFiles().to_json(), JobFiles(0, 1, (JobFile("a", 1, 2),)).to_json()
        ('', '{"done": 0, "total": 1, "listed": [["a", 1, 2]]}')
        """
        if not self.total:
            return ""
        listed = [[file.path, file.done_bytes, file.total_bytes] for file in self.listed]
        return json.dumps({"done": self.done, "total": self.total, "listed": listed})


def files_of(text: str) -> JobFiles:
    """Return the files in a job's row; none if it has none, or nothing that can be read."""
    if not text:
        return JobFiles()
    try:
        said = object_of(parse_json(text))
        return JobFiles(size_of(said["done"]), size_of(said["total"]), list_of(said["listed"], _file_of))
    except (BadInput, KeyError):
        return JobFiles()


def _file_of(value: object) -> JobFile:
    path, done_bytes, total_bytes = sequence_of(value, 3)
    return JobFile(text_of(path), size_of(done_bytes), size_of(total_bytes))
