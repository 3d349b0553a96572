"""Promotion: whether a model that was just loaded from a slower tier moves to the primary. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from modelshelf.domain.eviction import Candidate, EvictionPlan, listed, plan_eviction
from modelshelf.domain.tiers import PromoteMode, Room
from modelshelf.domain.watermarks import Watermarks
from modelshelf.errors import Conflict, OutOfSpace
from modelshelf.units import format_size

WINDOW_S = 7 * 86400.0
"""A model used before within this time, in seconds, is in regular use; one load may be a trial."""


@dataclass(frozen=True, slots=True)
class PromotionDecision:
    """Whether a model moves to the primary, and what that costs."""

    promote: bool
    why: str
    """In a sentence, for a person."""
    cost_bytes: int
    """Bytes to copy, its own and the victims'; 0 if it stays."""
    eviction: EvictionPlan | None
    """What makes room for it; None if it stays."""


def should_promote(
    mode: PromoteMode,
    uses_at: Iterable[float],
    now_s: float,
    size_bytes: int,
    room: Room,
    candidates: Sequence[Candidate],
    marks: Watermarks,
    *,
    protect: Collection[int] = (),
    same_disk: bool = False,
) -> PromotionDecision:
    """Decide about a model that is loaded now from a slower tier.

    `always` promotes whenever room can be made. `auto` has two conditions:

    - This is at least the second load within seven days: a model that is only tried never moves anything.
    - It fits, if need be by evicting *colder* models: those whose last use is strictly older than the use of
      this model *before* the present load. The present load itself proves nothing, because by it every model on the
      slow disk would be the hottest at the moment of its decision.

    Why two models don't bounce: let A be on the primary and B not, and use them in turns. When B is loaded, A was
    used since B's previous use, so A is hotter and stays; B keeps loading from its tier, and A from the
    primary. Half of the loads are fast and nothing is copied, while promoting would copy both models each time to
    make *no* load fast. Equal times aren't older: of two models used in step the one on the primary stays. Only
    if it is used twice in a row does B evict A, and then `marks.min_stay_s` keeps it for that long, in either mode. So
    two models swap at most once per minimum stay, and in any such span at most the limit is written.

    Args:
        mode: The setting PROMOTE.
        uses_at: When this model was used on its tier before the present load, in seconds since 1970, in any order.
        now_s: When it is loaded, in seconds since 1970; uses at this time or later are ignored.
        size_bytes: How many bytes will be written to the primary.
        room: The primary's numbers.
        candidates: The placements there.
        marks: The watermarks and the minimum stay.
        protect: Ids of models that are never evicted.
        same_disk: Whether evicted models stay on the same file system.

    Returns:
        The decision; a refusal is one too, with its reason.
    """
    if mode == "never":
        return _stays("PROMOTE is never.")
    previous_s = max((used_s for used_s in uses_at if used_s < now_s), default=None)
    if mode == "auto" and (previous_s is None or previous_s < now_s - WINDOW_S):
        return _stays("This is its first load from there within seven days.")

    def plan(over: Iterable[Candidate]) -> EvictionPlan:
        return plan_eviction(size_bytes, room, over, marks, now_s, protect=protect, same_disk=same_disk)

    try:
        most = plan(candidates)
    except (Conflict, OutOfSpace) as err:
        return _stays(err.detail)
    if mode == "always" or previous_s is None:
        return _goes(size_bytes, most)
    try:
        return _goes(size_bytes, plan(c for c in candidates if c.last_used_at < previous_s))
    except (Conflict, OutOfSpace):
        hotter = [c.model_name for c in most.victims if c.last_used_at >= previous_s]
        return _stays(f"It would evict models that were used more recently: {listed(hotter)}.")


def _stays(why: str) -> PromotionDecision:
    return PromotionDecision(False, why, 0, None)


def _goes(size_bytes: int, eviction: EvictionPlan) -> PromotionDecision:
    why = "It fits."
    if eviction.victims:
        names = listed([c.model_name for c in eviction.victims])
        why = f"It fits if {format_size(eviction.free_bytes)} are evicted that were used less recently: {names}."
    return PromotionDecision(True, why, size_bytes + eviction.free_bytes, eviction)
