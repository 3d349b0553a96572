"""Setting up the library: the disks, what to propose on them, and the `.env` that is written once."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from modelshelf.domain.adopt import DEFAULT_PATH
from modelshelf.domain.outcomes import Written
from modelshelf.domain.setup import FLAGS, Disk, Setup, Surroundings, limit_on, settings_text
from modelshelf.errors import Conflict
from modelshelf.services.setup import bases
from modelshelf.services.setup.unadopted import unadopted
from modelshelf.store import fs
from modelshelf.store.mounts import mount_of
from modelshelf.store.probe import is_there
from modelshelf.store.tiers import disks
from modelshelf.units import GB


@dataclass(frozen=True, slots=True)
class FirstSetup:
    """Writes the settings of a new library."""

    env_file: Path
    usual: Path
    """The base that Hugging Face programs use by default."""
    check: Callable[[Path, str], None]
    """Raises BadInput if a text isn't valid as the settings file at that path."""
    exported: Sequence[str]
    """The names of settings in the environment, which override the file."""
    registered_in: Callable[[str], Iterable[str]]
    """Returns the repositories of the models that are registered in the library of a primary base."""
    tools_hub: tuple[str, str]
    """The folder that Hugging Face programs download to, and the variable that sets it."""

    def check_free(self, *, force: bool) -> None:
        """Raise unless the settings file may be written.

        Raises:
            Conflict: There is a file already.
        """
        if is_there(self.env_file) and not force:
            raise Conflict(
                f"{self.env_file} exists already.",
                hint="Edit it, or give --force, which keeps the old file beside the new one.",
                path=str(self.env_file),
            )

    def disks(self, *, measured: bool) -> list[Disk]:
        """Return the disks that this user may write to.

        Args:
            measured: Write, sync and read 64 MB on each to learn its speed, and delete them.
        """
        found = disks.list_disks(self.usual, Path("~").expanduser())
        return [replace(disk, speed=disks.measure(Path(disk.base))) for disk in found] if measured else found

    def limit_for(self, found: Sequence[Disk], base: str) -> int | None:
        """Return the limit to propose for a base; None on an unknown disk."""
        return limit_on(found, mount_of(Path(base)).point)

    def check_limit(self, base: str, limit_gb: float | None) -> float | None:
        """Return a limit that a base's disk can hold; raises as `bases.check_limit` does."""
        bases.check_limit(base, None if limit_gb is None else int(limit_gb * GB))
        return limit_gb

    def plan(self, setup: Setup) -> str:
        """Return the settings' text, checked as a start would check it.

        Raises:
            BadInput: A base or a limit is invalid, the tiers overlap, or a base can't be written.
        """
        text = settings_text(setup)
        self.check(self.env_file, text)
        for choice in filter(None, (setup.primary, setup.secondary)):
            bases.check_writable(choice.base, f"Name folders of yours: shelf init {FLAGS}")
        return text

    def surroundings(self, setup: Setup) -> Surroundings:
        """Return what else is on the machine that concerns a setup."""
        exported, elsewhere = tuple(self.exported), self.tools_elsewhere(setup)
        found = unadopted(self.usual, self.registered_in(setup.primary.base), DEFAULT_PATH)
        return Surroundings(self.env_file, exported, self.usual, found, elsewhere)

    def tools_elsewhere(self, setup: Setup) -> str:
        """Return a sentence if Hugging Face programs download to another disk than the primary's; empty otherwise."""
        (hub, why), base = self.tools_hub, setup.primary.base
        if not hub.startswith("/") or mount_of(Path(hub)).point == mount_of(Path(base)).point:
            return ""
        unset = f"unset {why}; " if why.endswith("HUB_CACHE") else ""
        return (
            f"Hugging Face programs download to {hub} ({why}), on another disk than the primary base. To have them use"
            f" it: {unset}export HF_HOME={shlex.quote(base)}"
        )

    def write(self, text: str, *, force: bool) -> Written:
        """Write the settings, readable for their owner alone, because a token may be added.

        Raises:
            Conflict: There is a file already, and `force` isn't given.
        """
        self.check_free(force=force)
        if is_there(self.env_file):
            backup = fs.back_up(self.env_file.parent, self.env_file)
            fs.write_text(self.env_file.parent, self.env_file, text, 0o600)
            return Written(self.env_file, backup)
        try:
            fs.create_text(self.env_file.parent, self.env_file, text, 0o600)
        except FileExistsError:
            self.check_free(force=False)  # another process was faster
        return Written(self.env_file, None)
