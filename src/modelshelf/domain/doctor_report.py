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
    """Something doesn't work, or will be lost."""
    WARNING = "warning"
    """It works, but not as it seems to."""
    INFO = "info"
    """Worth knowing: bytes that can be freed, copies, other tools."""
    OK = "ok"


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One finding of the doctor."""

    severity: Severity
    topic: str
    """`settings`, `base`, `registry`, `environment`, `tool`, `layout`, `files`, `copies`, `token`, `hub`, `engine`."""
    detail: str
    """What is the case, in a sentence."""
    command: str = ""
    """The command that fixes it; empty if there is nothing to fix, or only a person knows how."""
    path: str = ""
    """The file or folder that it is about; empty without one."""
    size_bytes: int = 0
    """The bytes that it is about."""
    fix: str = ""
    """The repair that `shelf doctor --fix` runs for it; empty if that is left to a person."""


def of_strange(paths: Sequence[str]) -> Iterator[Diagnosis]:
    """Yield files in a base under our names that can't be understood."""
    for path in paths:
        detail = f"{path} cannot be understood: shelf ignores it and leaves it there."
        yield Diagnosis(Severity.WARNING, "files", detail, f"ls -ld {shlex.quote(path)}", path)


@dataclass(frozen=True, slots=True)
class Report:
    """All findings, the worst first."""

    found: tuple[Diagnosis, ...]
    fixed: tuple[str, ...] = ()
    """What was fixed, in sentences."""

    @property
    def errors(self) -> int:
        """How many of them are errors."""
        return self.count(Severity.ERROR)

    def count(self, severity: Severity) -> int:
        """Return the number of findings with this severity."""
        return sum(diagnosis.severity is severity for diagnosis in self.found)


def ordered(found: Sequence[Diagnosis]) -> tuple[Diagnosis, ...]:
    """Return findings, the worst first and otherwise in the order found."""
    ranks = {severity: rank for rank, severity in enumerate(Severity)}
    return tuple(sorted(found, key=lambda diagnosis: ranks[diagnosis.severity]))
