"""Uses by other programs, told from when the files of models were last read. Pure.

The kernel notes when a file is read, unless its mount says `noatime`; with `relatime`, the default, it does so at the
first reading after a change and then once a day at most. That is fine enough to tell which model was used last, if
three other readers are told apart: shelf itself, which mostly reads without leaving a trace and writes down when it
does; a backup or an index, which reads most of a tier at once; and whoever read the files before they came here.

Source: Linux `mount(8)`, `noatime`, `relatime` and `strictatime`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

SLACK_S = 60.0
"""By so much a clock, or the seconds between an opening and its record, may differ."""
MAPPED_AGAIN_S = 3600.0
"""A model that a program keeps in memory is used again so long after the last time that this was noted."""
_SLOW_BYTES_PER_S = 50e6
"""The rate of a slow backup; at least so fast it goes on from one model to the next."""
_SEVERAL = 3
"""So many models read one after the other can be a backup, though not each of their files was read."""

USED = "Another program read it."
NOT_READ = "Its files weren't read since they were written."
KNOWN = "It wasn't read since the last look."
BEFORE = "It was read before it came here."
OURS = "shelf read it, or a program that shelf started."
AT_ONCE = "Most of its tier was read at the same time, as a backup does."
IN_FUTURE = "Its access time is in the future."


def why_not_kept(options: Collection[str], *, is_network: bool) -> str:
    """Return why access times say nothing on a mount, in a sentence; empty if they do.

    Args:
        options: The mount's options, as the mount table has them.
        is_network: Whether the file system is another machine's, with its own clock, behind a cache.

    >>> why_not_kept({"rw", "relatime"}, is_network=False)
    ''
    """
    if "noatime" in options:
        return "Its mount keeps no access times (noatime)."
    if "ro" in options:
        return "Its mount is read-only: a reading leaves no trace."
    return "Another machine keeps its access times." if is_network else ""


class FileTimes(NamedTuple):
    """When a blob was last read and written, in seconds since 1970."""

    read_at: float
    written_at: float
    size_bytes: int

    @property
    def was_read(self) -> bool:
        """Whether it was read after it was written."""
        return self.read_at > self.written_at


@dataclass(frozen=True)
class PlacementReads:
    """What is known of the readers of one placement."""

    files: tuple[FileTimes, ...]
    """Its blobs; none where access times say nothing."""
    arrived_at: float
    """When it came to its tier."""
    judged_at: float = 0.0
    """The last reading that was looked at before, whoever's it was; 0 for none."""
    ours: tuple[tuple[float, float], ...] = ()
    """From when to when shelf read it, or a program that shelf started."""
    is_mapped: bool = False
    """Whether a program has a file of it in memory."""
    is_leased: bool = False
    """Whether it is shelf that uses it now."""

    @cached_property
    def read_at(self) -> float:
        """When the last of its files was read; 0 if none was."""
        return max((file.read_at for file in self.files if file.was_read), default=0.0)

    @property
    def size_bytes(self) -> int:
        """What reading all of it reads."""
        return sum(file.size_bytes for file in self.files)

    @property
    def was_read_whole(self) -> bool:
        """Whether the last reader read every file, as no program does that loads a model with a README."""
        began_at = self.read_at - SLACK_S - self.size_bytes / _SLOW_BYTES_PER_S
        return all(file.was_read and file.read_at >= began_at for file in self.files if file.size_bytes)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the evidence of one placement comes to."""

    used_at: float | None
    """When another program used it, in seconds since 1970; None: none did since the last look."""
    read_at: float
    """The last reading that was judged, now or before, so that nobody judges it again; 0 for none."""
    why: str
    """In a sentence."""


def judge(placements: Sequence[PlacementReads], now_s: float) -> list[Verdict]:
    """Return for each placement of a tier whether another program used it since the last look.

    Args:
        placements: All whole placements of the tier: only together they show a backup.
        now_s: Seconds since 1970.
    """
    at_once = _read_at_once(placements)
    return [_verdict(one, now_s, at_once=number in at_once) for number, one in enumerate(placements)]


def judge_alone(one: PlacementReads, now_s: float) -> Verdict | None:
    """Return what `judge` says of a placement whatever others are on its tier; None where it depends on them.

    Args:
        one: The placement.
        now_s: Seconds since 1970.
    """
    found = _verdict(one, now_s, at_once=False)
    return found if found == _verdict(one, now_s, at_once=True) else None


def _verdict(one: PlacementReads, now_s: float, *, at_once: bool) -> Verdict:
    is_use = one.is_mapped and not one.is_leased and now_s - one.judged_at >= MAPPED_AGAIN_S
    read_at = now_s if is_use else one.read_at
    reasons = (
        (NOT_READ, not read_at),
        (IN_FUTURE, read_at > now_s + SLACK_S),
        (KNOWN, read_at <= one.judged_at),
        (BEFORE, read_at <= one.arrived_at),
        (OURS, one.is_leased or any(start <= read_at <= end for start, end in one.ours)),
        (AT_ONCE, at_once and not is_use),
    )
    why = next((why for why, holds in reasons if holds), USED)
    judged_at = one.judged_at if why in (NOT_READ, IN_FUTURE, KNOWN) else read_at
    return Verdict(read_at if why == USED else None, judged_at, why)


def _read_at_once(placements: Sequence[PlacementReads]) -> set[int]:
    """Return the numbers of the placements that were read one after the other with most of their tier."""
    known = [number for number, one in enumerate(placements) if one.files]
    in_order = sorted((n for n in known if placements[n].read_at), key=lambda n: placements[n].read_at)
    runs: list[list[int]] = [in_order[:1]]
    for before, after in pairwise(in_order):
        one, other = placements[before], placements[after]
        pause_s = SLACK_S + (one.size_bytes + other.size_bytes) / _SLOW_BYTES_PER_S
        if other.read_at - one.read_at > pause_s:
            runs.append([])
        runs[-1].append(after)
    return {number for run in runs if _is_backup([placements[n] for n in run], len(known)) for number in run}


def _is_backup(run: Sequence[PlacementReads], of_tier: int) -> bool:
    """Return whether what was read in a row is too much for the user of a model.

    Half of a tier is, from three models on. Two are only if there are no more, and each of their files was read.
    """
    if len(run) >= _SEVERAL:
        return 2 * len(run) >= of_tier
    return len(run) == of_tier > 1 and all(one.was_read_whole for one in run)
