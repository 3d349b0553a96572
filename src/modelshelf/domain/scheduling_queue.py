"""Who waits for one model, in which order they are granted, and who is one too many: fair between keys."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from modelshelf.domain.scheduling_events import Asked


@dataclass(slots=True)
class FairQueue:
    """The requests that wait for a model, oldest first."""

    limit: int
    asked: list[Asked] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.asked)

    def add(self, asked: Asked) -> Asked | None:
        """Let a request wait; returns the one that is too many then, which may be this one; None as long as all fit.

        Of a full queue the key that has most requests in it gives up its newest one to a key that has fewer.
        """
        self.asked.append(asked)
        if len(self.asked) <= self.limit:
            return None
        waiting = Counter(each.key for each in self.asked)
        most = max(waiting.values())
        extra = next(each for each in reversed(self.asked) if waiting[each.key] == most)
        self.asked.remove(extra)
        return extra

    def take(self, running: Iterable[str]) -> Asked:
        """Take out who comes next: the oldest request of those keys that are answered least.

        Args:
            running: The keys of the requests that are answered now.
        """
        if len(self.asked) == 1:
            return self.asked.pop()
        answered = Counter(running)
        chosen = min(self.asked, key=lambda each: answered[each.key])
        self.asked.remove(chosen)
        return chosen

    def drop(self, ticket: int) -> None:
        """Let a request leave."""
        self.asked = [each for each in self.asked if each.ticket != ticket]

    def take_all(self) -> list[Asked]:
        """Take all out."""
        taken, self.asked = self.asked, []
        return taken
