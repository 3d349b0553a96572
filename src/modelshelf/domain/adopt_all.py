"""Taking everything in: what of each known place goes where, and what one copy saves. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from modelshelf.domain.adopt import NOT_TAKEN, Act, Adoption, AdoptMode
from modelshelf.domain.adopt_inventory import FoundThing


@dataclass(frozen=True, slots=True)
class Content:
    """A file of weights."""

    key: str
    """Equal for files of equal bytes, as far as their sizes and samples tell."""
    size_bytes: int
    inode: tuple[int, int]
    """Device and inode: two names of one file save nothing."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model that was found, and its weights."""

    adoption: Adoption
    contents: tuple[Content, ...]


@dataclass(frozen=True, slots=True)
class PlaceFound:
    """A known place, and what is there."""

    program: str
    path: str
    mode: AdoptMode
    """`leave` for a cache that fits on no tier as a whole: its models are registered where they are."""
    models: tuple[Candidate, ...] = ()
    others: tuple[FoundThing, ...] = ()
    """What no reader understands."""
    trouble: str = ""
    """Why nothing of it can be taken in, in a sentence."""


@dataclass(frozen=True, slots=True)
class PlaceHeld:
    """A known place that holds models, by their names and sizes alone."""

    program: str
    path: str
    models: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Going:
    """Where a model goes."""

    adoption: Adoption
    location: str
    """`primary`, `secondary`, or empty if it stays where it is, or the library has its files already."""
    saved_bytes: int
    """What its weights occupy and one copy doesn't."""


@dataclass(frozen=True, slots=True)
class PlacePlan:
    """What happens in a known place."""

    place: PlaceFound
    models: tuple[Going, ...]

    @property
    def size_bytes(self) -> int:
        """The bytes of all models there."""
        return sum(going.adoption.found.size_bytes for going in self.models)

    @property
    def saved_bytes(self) -> int:
        """What one copy saves."""
        return sum(going.saved_bytes for going in self.models)

    @property
    def changes(self) -> bool:
        """Whether anything there would be taken in."""
        return any(going.adoption.act not in NOT_TAKEN for going in self.models)


def plan_all(places: Sequence[PlaceFound], library: Collection[str], rooms: Mapping[str, int]) -> list[PlacePlan]:
    """Return what happens in each place: each model goes to the first tier that has room for what is new of it.

    Args:
        places: What was found, in the order in which it is taken in.
        library: The keys of the contents that the library has.
        rooms: The bytes that each tier has left, the first wanted first.
    """
    planning = _Planning(set(library), dict(rooms))
    return [PlacePlan(place, tuple(planning.decide(place, model) for model in place.models)) for place in places]


@dataclass(slots=True)
class _Planning:
    known: set[str]
    rooms: dict[str, int]
    inodes: set[tuple[int, int]] = field(default_factory=set)

    def decide(self, place: PlaceFound, model: Candidate) -> Going:
        if model.adoption.act in NOT_TAKEN:
            return Going(model.adoption, "", 0)
        new = {content.key: content for content in model.contents if content.key not in self.known}
        twins = [content for content in model.contents if content.key in self.known]
        saved_bytes = 0 if place.mode is AdoptMode.LEAVE else self._saved(twins)
        if model.contents and not new and place.mode is not AdoptMode.LEAVE:
            why = "Its weights are in the library then: links take their place."
            return Going(replace(model.adoption, why=why), "", saved_bytes)
        need_bytes = sum(content.size_bytes for content in new.values())
        location = "" if place.mode is AdoptMode.LEAVE else self._tier(need_bytes)
        if not location and place.mode is not AdoptMode.LEAVE:
            return Going(replace(model.adoption, act=Act.STAY, why="No tier has room for it."), "", 0)
        self.known |= new.keys()
        self.inodes |= {content.inode for content in new.values()}
        return Going(model.adoption, location, saved_bytes)

    def _saved(self, twins: Sequence[Content]) -> int:
        fresh = {content.inode: content.size_bytes for content in twins if content.inode not in self.inodes}
        self.inodes |= fresh.keys()
        return sum(fresh.values())

    def _tier(self, need_bytes: int) -> str:
        for location, free_bytes in self.rooms.items():
            if need_bytes <= free_bytes:
                self.rooms[location] -= need_bytes
                return location
        return ""
