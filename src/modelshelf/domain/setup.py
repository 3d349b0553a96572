"""Setting up the library: which disk for which tier, with which limit, and the `.env` that says so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from modelshelf.domain.env_text import quoted
from modelshelf.domain.unadopted import Unadopted
from modelshelf.errors import BadInput
from modelshelf.units import GB, parse_size

_AS_FAST = 0.5
"""A disk with this fraction of the best rate counts as fast: two runs on one busy disk differ that much."""
_OF_SIZE, _OF_FREE = 0.8, 0.9
_WORTH_GB = 5
"""A disk with less room isn't proposed if there is another one."""
FLAGS = "--primary PATH --primary-limit-gb N --secondary PATH --secondary-limit-gb N"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a setup finds on the machine."""

    env_file: Path
    """The settings file that it writes."""
    exported: tuple[str, ...]
    """The names of settings in the environment, which override the file."""
    usual: Path
    """The base that Hugging Face programs use by default."""
    unadopted: Unadopted
    """The models that other programs left there."""
    tools_elsewhere: str
    """A sentence if Hugging Face programs download to another disk than the primary's; empty otherwise."""


@dataclass(frozen=True, slots=True)
class Speed:
    """A disk's rates with one file, in bytes per second."""

    write_bytes_per_s: int
    """Sequentially, with the fsync."""
    read_bytes_per_s: int
    """Sequentially, from the disk if the system drops its cache."""

    @property
    def surely_bytes_per_s(self) -> int:
        """The smaller of the two: a cache behind the disk makes reading look faster than it is, but not an fsync."""
        return min(self.write_bytes_per_s, self.read_bytes_per_s)


@dataclass(frozen=True, slots=True)
class Disk:
    """A file system that this user may write to, in bytes."""

    point: str
    """Where it is mounted."""
    kind: str
    base: str
    """The base that a tier would have on it."""
    size_bytes: int
    free_bytes: int
    """Bytes free for an ordinary user."""
    held_bytes: int = 0
    """Bytes already in that base."""
    is_home: bool = False
    """Whether the folder that Hugging Face programs use by default is on it."""
    is_network: bool = False
    vanishes: bool = False
    """Whether it is a container's own layer."""
    speed: Speed | None = None
    """None if it wasn't measured."""

    @property
    def limit_gb(self) -> int:
        """The limit for a tier on it: most of the disk, or most of what is free plus what it holds."""
        room_bytes = min(_OF_SIZE * self.size_bytes, _OF_FREE * self.free_bytes + self.held_bytes)
        return max(1, int(room_bytes / GB))


@dataclass(frozen=True, slots=True)
class TierChoice:
    """One tier to set up."""

    base: str
    limit_gb: float | None
    """None: only the disk limits it."""


@dataclass(frozen=True, slots=True)
class Setup:
    """The tiers to set up."""

    primary: TierChoice
    secondary: TierChoice | None = None


def propose(disks: Sequence[Disk]) -> Setup:
    """Return which disks to use: first the fast one, second the one with the most room.

    Network mounts and a container's own layer come last, whatever their speed.

    Raises:
        BadInput: There is no disk.
    """
    if not disks:
        raise BadInput("You can't write to any disk here.", hint=f"Name the folders: shelf init {FLAGS}")
    worth = [disk for disk in disks if disk.limit_gb >= _WORTH_GB] or list(disks)
    lasting = [disk for disk in worth if not disk.vanishes] or worth
    near = [disk for disk in lasting if not disk.is_network] or lasting
    first = _fast(near)
    others = [disk for disk in lasting if disk is not first and not disk.vanishes]
    second = max(others, key=lambda disk: (disk.limit_gb, disk.base), default=None)
    return Setup(_choice(first), _choice(second) if second else None)


def _fast(disks: Sequence[Disk]) -> Disk:
    """Return the fastest disk: of several as fast the smallest; unmeasured, the one used by default."""
    rates = [disk.speed.surely_bytes_per_s if disk.speed else 0 for disk in disks]
    fast = [disk for disk, rate in zip(disks, rates, strict=True) if rate >= _AS_FAST * max(rates)]
    if not any(rates):
        fast = [disk for disk in fast if disk.is_home] or fast
    return min(fast, key=lambda disk: (disk.size_bytes, disk.base))


def _choice(disk: Disk) -> TierChoice:
    return TierChoice(disk.base, disk.limit_gb)


def limit_on(disks: Sequence[Disk], point: str) -> int | None:
    """Return the limit for a tier on a mount; None if that disk isn't known."""
    return next((disk.limit_gb for disk in disks if disk.point == point), None)


def parse_limit(text: str) -> float | None:
    """Return a limit in GB; None for `none`.

    >>> parse_limit("0.7"), parse_limit("700 MB"), parse_limit("500GB")
    (0.7, 0.7, 500.0)

    Raises:
        BadInput: It isn't a number above 0.
    """
    if text.strip().lower() in ("", "none"):
        return None
    try:
        limit_gb = parse_size(text) / GB if text.strip()[-1].isalpha() else float(text)
    except ValueError:
        limit_gb = -1
    if not 0 < limit_gb < float("inf"):
        raise BadInput(f"{text!r} isn't a number of GB above 0.", hint="Such as 100 or 0.5; none for no limit.")
    return limit_gb


def settings_text(setup: Setup) -> str:
    """Return the `.env` for a setup.

    >>> print(settings_text(Setup(TierChoice("/fast/my models", 100))))
    # Written by shelf init. Every setting: .env.example in the repository.
    # For other machines: SHELF_HOST=0.0.0.0 and SHELF_API_KEY=hf_ with 34 letters or digits after it.
    PRIMARY_CACHE_PATH='/fast/my models'
    PRIMARY_CACHE_LIMIT_GB=100
    <BLANKLINE>
    """
    lines = [
        "# Written by shelf init. Every setting: .env.example in the repository.",
        "# For other machines: SHELF_HOST=0.0.0.0 and SHELF_API_KEY=hf_ with 34 letters or digits after it.",
    ]
    for name, choice in (("PRIMARY", setup.primary), ("SECONDARY", setup.secondary)):
        if choice is not None:
            lines.append(f"{name}_CACHE_PATH={quoted(choice.base)}")
            lines += [f"{name}_CACHE_LIMIT_GB={choice.limit_gb:.15g}"] if choice.limit_gb is not None else []
    return "\n".join(lines) + "\n"
