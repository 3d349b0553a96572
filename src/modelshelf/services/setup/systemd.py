"""Keeping the server running: a systemd unit of the user's, written, enabled and started; or removed again."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from modelshelf.domain.outcomes import Ran
from modelshelf.domain.systemd_unit import MARK, UnitPlan, plan_install, plan_uninstall, unit_text
from modelshelf.errors import Conflict, NotFound, Unavailable
from modelshelf.store import fs

_PATIENCE_S = 60


@dataclass(frozen=True, slots=True)
class UnitService:
    """The unit of one user's server."""

    path: Path
    """The folder of the user's units."""
    folder: Path
    """The server's working directory: the folder of its `.env`."""
    command: Sequence[str]
    """The command that starts it."""
    environment: Mapping[str, str]
    """Settings that aren't in a `.env`."""
    secrets: Sequence[str] = ()
    """The names of settings that a unit must not contain."""

    def plan_install(self) -> UnitPlan:
        """Return what installing will do.

        Raises:
            Conflict: There is a unit of this name that isn't ours.
        """
        text = unit_text(self.command, str(self.folder), self.environment)
        return plan_install(str(self.path), text, self._present(), self.secrets)

    def plan_uninstall(self) -> UnitPlan:
        """Return what uninstalling will do.

        Raises:
            NotFound: There is no unit.
            Conflict: It isn't ours.
        """
        if self._present() is None:
            raise NotFound(f"There is no {self.path}: nothing is installed.", path=str(self.path))
        return plan_uninstall(str(self.path))

    def execute(self, plan: UnitPlan) -> list[Ran]:
        """Run a plan; return its commands, and which of them were run.

        If systemd isn't reachable, the file is written or removed all the same, and no command is run.

        Raises:
            Unavailable: systemd refused; the hint says what is left to do.
        """
        answers = _systemd_answers()
        ran = _run_all(plan.before, answers)
        if plan.replaces:
            fs.back_up(self.path.parent, self.path)
        if plan.text:
            fs.write_text(self.path.parent, self.path, plan.text)
        else:
            fs.remove_file(self.path.parent, self.path)
        return ran + _run_all(plan.after, answers)

    def _present(self) -> str | None:
        """Return the text of the existing unit; None without one."""
        try:
            text = self.path.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return None
        if not text.startswith(MARK):
            hint = "To replace it, move it away first."
            raise Conflict(f"{self.path} was not written by shelf install-service.", hint=hint, path=str(self.path))
        return text


def _systemd_answers() -> bool:
    """Return whether this user's systemd is reachable."""
    if shutil.which("systemctl") is None:
        return False
    return _run(("systemctl", "--user", "show", "--property=Version")).returncode == 0


def _run_all(commands: Sequence[tuple[str, ...]], answers: bool) -> list[Ran]:
    for command in commands if answers else ():
        done = _run(command)
        if done.returncode:
            raise Unavailable(
                f"{' '.join(command)} ended with {done.returncode}: {done.stderr.strip() or 'no message'}",
                hint="systemctl --user status modelshelf and journalctl --user -u modelshelf tell more.",
                command=list(command),
            )
    return [Ran(command, answers) for command in commands]


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as err:
        return subprocess.CompletedProcess(command, 1, "", str(err))
