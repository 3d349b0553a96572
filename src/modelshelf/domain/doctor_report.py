"""One answer to "why does it not work?": what is wrong, how bad it is, and the command that fixes it."""

from __future__ import annotations

import enum
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

DOCTOR_FIX = "shelf doctor --fix"


class Severity(enum.StrEnum):
    """How bad something is, worst first."""

    ERROR = "error"
    """Something does not work, or will be lost."""
    WARNING = "warning"
    """It works, and not as it seems to."""
    INFO = "info"
    """Worth knowing: bytes that can be had back, copies, other tools."""
    OK = "ok"


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One thing that was looked at."""

    severity: Severity
    topic: str
    """`settings`, `base`, `registry`, `environment`, `tool`, `layout`, `files`, `copies`, `token`, `hub`, `engine`."""
    detail: str
    """What is so, in a sentence."""
    command: str = ""
    """The command that fixes it; empty when nothing is to be fixed, or only a person knows how."""
    path: str = ""
    """The file or folder that it is about; empty for what has none."""
    size_bytes: int = 0
    """The bytes that it is about."""
    fix: str = ""
    """The repair that `shelf doctor --fix` runs for it; empty for what it leaves to a person."""


def of_strange(paths: Sequence[str]) -> Iterator[Diagnosis]:
    """Yield what lies in a base under our names and cannot be understood."""
    for path in paths:
        detail = f"{path} cannot be understood: shelf ignores it and leaves it there."
        yield Diagnosis(Severity.WARNING, "files", detail, f"ls -ld {shlex.quote(path)}", path)


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that was looked at, the worst first."""

    found: tuple[Diagnosis, ...]
    fixed: tuple[str, ...] = ()
    """What was fixed, in sentences."""

    @property
    def errors(self) -> int:
        """How many of them are errors."""
        return self.count(Severity.ERROR)

    def count(self, severity: Severity) -> int:
        """Return how many are that bad."""
        return sum(diagnosis.severity is severity for diagnosis in self.found)


def ordered(found: Sequence[Diagnosis]) -> tuple[Diagnosis, ...]:
    """Return diagnoses, the worst first and otherwise as they came."""
    ranks = {severity: rank for rank, severity in enumerate(Severity)}
    return tuple(sorted(found, key=lambda diagnosis: ranks[diagnosis.severity]))


def many(count: int, one: str, several: str = "") -> str:
    """Return a count with its noun.

    >>> many(1, "file"), many(2, "file"), many(0, "stale lock or folder", "stale locks and folders")
    ('1 file', '2 files', '0 stale locks and folders')
    """
    return f"{count} {one if count == 1 else several or f'{one}s'}"
