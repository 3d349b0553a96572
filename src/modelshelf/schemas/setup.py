"""What `shelf init` and the service find and write, as JSON."""

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
    """A disk's rates."""

    write_bytes_per_s: int
    """Of one file, with its fsync."""
    read_bytes_per_s: int
    """Of the same file."""


@dataclass(frozen=True)
class DiskJson(JsonObject):
    """A disk that may hold models."""

    point: str
    """Where it is mounted."""
    kind: str
    """Its file system."""
    base: str
    """The base of a tier on it."""
    size_bytes: int
    """Its size."""
    free_bytes: int
    """Bytes free for an ordinary user."""
    held_bytes: int
    """Bytes already in that base."""
    is_home: bool
    """Whether the folder that Hugging Face programs use by default is on it."""
    is_network: bool
    """Whether it is a network mount."""
    vanishes: bool
    """Whether it is a container's own layer."""
    speed: SpeedJson | None
    """Its rates; null if it wasn't measured."""
    limit_gb: int
    """The limit of a tier on it."""

    @classmethod
    def of(cls, disk: Disk) -> DiskJson:
        """Return the object for a disk."""
        return cls.like(disk, speed=SpeedJson.like(disk.speed) if disk.speed else None)


@dataclass(frozen=True)
class WishJson(JsonObject):
    """A tier to set up."""

    base: str
    """Its base."""
    limit_gb: float | None
    """Its limit; null if only the disk limits it."""


@dataclass(frozen=True)
class SetupJson(JsonObject):
    """What setting up found and wrote."""

    path: str
    """The settings file."""
    written: bool
    """Whether it was written."""
    backup: str | None
    """The path of the earlier content; null if there was none."""
    text: str
    """Its content."""
    disks: Sequence[DiskJson]
    """The disks that may hold models."""
    primary: WishJson
    """The fast tier."""
    secondary: WishJson | None
    """The large tier; null without one."""
    environment_wins: Sequence[str]
    """Settings in the environment that override the file."""
    usual_path: str
    """The base that Hugging Face programs use by default."""
    usual_models: int
    """How many models of other programs are there."""
    usual_bytes: int
    """The total size of these."""
    tools_elsewhere: str
    """A sentence if Hugging Face programs download to another disk than the primary's; empty otherwise."""

    @classmethod
    def of(
        cls, around: Surroundings, disks: Sequence[Disk], setup: Setup, text: str, written: Written | None
    ) -> SetupJson:
        """Return the object for a setup."""
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
    """What happens to the server's unit."""

    path: str
    """Its file."""
    text: str
    """Its content; empty if it is removed."""
    replaces: bool
    """Whether there was a different one, which is kept beside the new one."""
    left_out: Sequence[str]
    """Secrets in the environment, which no unit holds."""
    commands: Sequence[CommandJson]
    """The commands, in order."""

    @classmethod
    def of(cls, plan: UnitPlan, ran: Sequence[Ran] = ()) -> UnitJson:
        """Return the object for a unit.

        Args:
            plan: The plan.
            ran: Which of its commands were run.
        """
        done = {step.command for step in ran if step.ran}
        commands = [CommandJson(command, command in done) for command in (*plan.before, *plan.after)]
        return cls.like(plan, commands=commands)
