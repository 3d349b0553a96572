"""Cleaning: which models and snapshots could go, as a list from which a person selects. Pure.

Nothing here deletes: what is selected is removed as `shelf rm --files` removes it.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from modelshelf.domain.models import ModelRow
from modelshelf.domain.names import COMMIT_HASH, CommitHash, RepoId
from modelshelf.domain.plans import UnneededSnapshot
from modelshelf.errors import BadInput
from modelshelf.units import many

UNUSED_S = 90 * 86400.0
"""By default a model is proposed if nobody used it for so long, in seconds."""


class CleanKind(enum.StrEnum):
    """Why something could go."""

    UNUSED = "unused"
    """Nobody used the model for a long time."""
    REVISION = "revision"
    """An old revision, or a second copy, of a registered model, which no model needs."""
    OLDER = "older"
    """The model is registered again at a newer commit."""


@dataclass(frozen=True, slots=True)
class CleanWish:
    """What a person wants to see."""

    unused_s: float | None = UNUSED_S
    """Models that nobody used for so long; None: none of these."""
    revisions: bool = True
    older: bool = True


@dataclass(frozen=True, slots=True)
class CleanItem:
    """One thing that could go."""

    kind: CleanKind
    model_name: str
    """The model; empty for an unregistered snapshot."""
    repo_id: RepoId
    commit_hash: CommitHash
    location: str
    base: str
    why: str
    """In a sentence."""
    free_bytes: int = 0
    snapshot: UnneededSnapshot | None = None
    """What goes, if it isn't a model."""


@dataclass(frozen=True, slots=True)
class CleanPlan:
    """What could go, the largest first, and what is kept."""

    items: tuple[CleanItem, ...]
    kept: tuple[str, ...] = ()
    """Unused or replaced models that stay, and why, in sentences."""

    @property
    def free_bytes(self) -> int:
        """What all of it frees."""
        return sum(item.free_bytes for item in self.items)


def propose(
    rows: Sequence[ModelRow], snapshots: Iterable[UnneededSnapshot], wish: CleanWish, now_s: float
) -> list[CleanItem]:
    """Return what could go; a model is named once, and what it frees isn't known yet.

    Args:
        rows: The registered models: at least those that could go, and all of their and the snapshots' repositories.
        snapshots: Those that no registered model needs.
        wish: What is wanted.
        now_s: The time, in seconds since 1970.
    """
    found: dict[str, CleanItem] = {}
    for row in rows:
        idle_s = now_s - max(row.last_used_at or 0, row.arrived_at)
        if wish.unused_s is not None and idle_s >= wish.unused_s:
            _add(found, row, CleanKind.UNUSED, f"Nobody used it for {many(int(idle_s // 86400), 'day')}.")
    if wish.older:
        for row, newer in _replaced(rows):
            _add(found, row, CleanKind.OLDER, f"{newer.model_name} has a newer commit of the same files.")
    registered = {row.hf_path.lower(): row.model_name for row in rows}
    old = [one for one in snapshots if one.repo_id.lower() in registered] if wish.revisions else []
    return [*found.values(), *(_item_of(one, registered[one.repo_id.lower()]) for one in old)]


def _add(found: dict[str, CleanItem], row: ModelRow, kind: CleanKind, why: str) -> None:
    if row.commit_hash is not None and row.model_name not in found:
        where = row.cache_location, row.cache_path
        found[row.model_name] = CleanItem(kind, row.model_name, row.hf_path, row.commit_hash, *where, why)


def _replaced(rows: Sequence[ModelRow]) -> Iterable[tuple[ModelRow, ModelRow]]:
    """Yield each model that another one of the same repository and files replaced, with that one."""
    alike: dict[tuple[str, tuple[str, ...]], list[ModelRow]] = {}
    for row in rows:
        alike.setdefault((row.hf_path.lower(), row.allow_patterns), []).append(row)
    for row in rows:
        others = alike[row.hf_path.lower(), row.allow_patterns]
        newer = next((other for other in others if other.complete and _is_newer(other, row)), None)
        if newer is not None:
            yield row, newer


def _is_newer(other: ModelRow, row: ModelRow) -> bool:
    """Return whether a model certainly has a newer commit, as far as that can be told without the hub.

    A model that follows a branch is newer than one fixed to a commit. Of two alike the newer one was registered and
    arrived later: an update gives an old registration a new commit, and a move makes an old commit arrive late.
    """
    other_follows, row_follows = (not COMMIT_HASH.fullmatch(one.revision) for one in (other, row))
    is_later = other.created_at > row.created_at and other.arrived_at > row.arrived_at
    return other.commit_hash != row.commit_hash and (is_later if other_follows == row_follows else other_follows)


def _item_of(one: UnneededSnapshot, model_name: str) -> CleanItem:
    why = f"{model_name} doesn't need it."
    where = one.tier.location, one.tier.base
    return CleanItem(CleanKind.REVISION, "", one.repo_id, one.commit_hash, *where, why, one.free_bytes, one)


def with_bytes(item: CleanItem, free_bytes: int) -> CleanItem:
    """Return an item with what it frees, measured."""
    return replace(item, free_bytes=free_bytes)


def largest_first(items: Iterable[CleanItem], kept: Iterable[str]) -> CleanPlan:
    """Return the plan of what could go."""
    return CleanPlan(tuple(sorted(items, key=lambda item: -item.free_bytes)), tuple(kept))


def ticked(text: str, count: int) -> list[int]:
    """Return which of some numbered lines a person selected, from 0.

    >>> ticked("1 3-4", 5), ticked("2,2", 5), ticked("all", 2), ticked("none", 2)
    ([0, 2, 3], [1], [0, 1], [])

    Args:
        text: Numbers and ranges, `all` or `none`.
        count: How many lines there are.

    Raises:
        BadInput: It is something else, or names a line that doesn't exist.
    """
    word = text.strip().lower()
    if word in ("all", "none"):
        return list(range(count)) if word == "all" else []
    chosen: set[int] = set()
    for part in re.split(r"[\s,]+", word):
        match = re.fullmatch(r"(\d{1,6})(?:-(\d{1,6}))?", part)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
        if not 1 <= first <= last <= count:
            raise BadInput(f"{part!r} is none of them.", hint=f"Type numbers from 1 to {count}, all, or none.")
        chosen |= set(range(first - 1, last))
    return sorted(chosen)
