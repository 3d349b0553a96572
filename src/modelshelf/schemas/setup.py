"""What setting up finds and writes, as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from modelshelf.schemas.json_object import JsonObject

if TYPE_CHECKING:
    from modelshelf.domain.outcomes import Ran, Written
    from modelshelf.domain.setup import Disk, Setup, Surroundings
    from modelshelf.domain.systemd_unit import UnitPlan


@dataclass(frozen=True)
class SpeedJson(JsonObject):
    """How fast a disk was."""

    write_bytes_per_s: int
    """One file, written to its end and to the disk."""
    read_bytes_per_s: int
    """The same file, read."""


@dataclass(frozen=True)
class DiskJson(JsonObject):
    """A disk that may hold models."""

    point: str
    """Where it is mounted."""
    kind: str
    """Its file system."""
    base: str
    """The base that a tier would have on it."""
    size_bytes: int
    """Its size."""
    free_bytes: int
    """What it has free for an ordinary user."""
    held_bytes: int
    """What lies in that base already."""
    is_home: bool
    """Whether what Hugging Face programs use by default lies on it."""
    is_network: bool
    """Whether it is another machine's."""
    vanishes: bool
    """Whether it is a container's own layer."""
    speed: SpeedJson | None
    """How fast it was; null where it wasn't measured."""
    limit_gb: int
    """The limit that a tier on it would have."""

    @classmethod
    def of(cls, disk: Disk) -> DiskJson:
        """Return a disk."""
        return cls.like(disk, speed=SpeedJson.like(disk.speed) if disk.speed else None)


@dataclass(frozen=True)
class WishJson(JsonObject):
    """A tier as it shall be."""

    base: str
    """Its base."""
    limit_gb: float | None
    """Its limit; null when only the disk limits it."""


@dataclass(frozen=True)
class SetupJson(JsonObject):
    """What setting up found and wrote."""

    path: str
    """The settings file."""
    written: bool
    """Whether it was written."""
    backup: str | None
    """Where what it held before is kept; null where there was none."""
    text: str
    """What it holds."""
    disks: Sequence[DiskJson]
    """The disks that may hold models."""
    primary: WishJson
    """The fast tier."""
    secondary: WishJson | None
    """The large tier; null without one."""
    environment_wins: Sequence[str]
    """Settings that are in the environment as well, which wins."""
    usual_path: str
    """The base that Hugging Face programs use by default."""
    usual_models: int
    """How many models other programs left there."""
    usual_bytes: int
    """The size of those."""
    tools_elsewhere: str
    """What to say where Hugging Face programs download to another disk than the primary's; empty else."""

    @classmethod
    def of(
        cls, around: Surroundings, disks: Sequence[Disk], setup: Setup, text: str, written: Written | None
    ) -> SetupJson:
        """Return what setting up found and wrote."""
        return cls.like(
            around,
            path=str(around.env_file),
            written=written is not None,
            backup=str(written.backup) if written and written.backup else None,
            text=text,
            disks=[DiskJson.of(disk) for disk in disks],
            primary=WishJson.like(setup.primary),
            secondary=WishJson.like(setup.secondary) if setup.secondary else None,
            environment_wins=[name for name in around.exported if f"{name}=" in text],
            usual_path=str(around.usual),
            usual_models=around.unadopted.models,
            usual_bytes=around.unadopted.size_bytes,
        )


@dataclass(frozen=True)
class CommandJson(JsonObject):
    """A command of systemd."""

    command: Sequence[str]
    """Its words."""
    ran: bool
    """Whether it was run."""


@dataclass(frozen=True)
class UnitJson(JsonObject):
    """What happens to the unit of the server."""

    path: str
    """Its file."""
    text: str
    """What it holds; empty when it is removed."""
    replaces: bool
    """Whether there was one that held something else; it is kept beside the new one."""
    left_out: Sequence[str]
    """Secrets of the environment, which no unit holds."""
    commands: Sequence[CommandJson]
    """What is run, in this order."""

    @classmethod
    def of(cls, plan: UnitPlan, ran: Sequence[Ran] = ()) -> UnitJson:
        """Return what happens to the unit.

        Args:
            plan: What will happen.
            ran: Which of its commands were run.
        """
        done = {step.command for step in ran if step.ran}
        commands = [CommandJson(command, command in done) for command in (*plan.before, *plan.after)]
        return cls.like(plan, commands=commands)
