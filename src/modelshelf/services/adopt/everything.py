"""Taking everything in: every known place of this machine, in one plan and one job.

Each place is adopted as by itself, with links in the place of the program's files. **Crash:** the same command again
finishes.
"""

from __future__ import annotations

import contextlib
import logging
import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from modelshelf.domain.adopt import AdoptMode, AdoptRequest
from modelshelf.domain.adopt_all import Candidate, Content, PlaceFound, PlaceHeld, PlacePlan, plan_all
from modelshelf.domain.adopt_inventory import FoundModel, Inventory
from modelshelf.domain.file_kinds import is_weights
from modelshelf.domain.job_params import params_of
from modelshelf.domain.jobs import Job
from modelshelf.domain.known_places import KnownPlace
from modelshelf.domain.models import State
from modelshelf.domain.tiers import SECONDARY, Tier
from modelshelf.errors import Cancelled, NotFound, ShelfError
from modelshelf.schemas.adopt import AdoptedAllJson, AdoptedJson, FailedPlaceJson
from modelshelf.schemas.json_object import to_json
from modelshelf.services.adopt.adopt import Adopter
from modelshelf.services.jobs.running import Running
from modelshelf.services.space.tiers import destination
from modelshelf.store.adopt import sample
from modelshelf.store.layout import CacheDir
from modelshelf.store.locks import bounded
from modelshelf.store.probe import is_folder, is_link

_log = logging.getLogger(__name__)
_ANSWER_WITHIN_S = 5.0


@dataclass(frozen=True, slots=True)
class EverythingAdopter:
    """Takes in what is at the known places."""

    adopter: Adopter
    places: Callable[[], Sequence[KnownPlace]]

    def found(self) -> list[PlaceHeld]:
        """Return the known places that hold models; no byte of a model is read. What can't be read holds none."""
        return [held for known in self._there() if (held := _held(self.adopter, known)).models]

    def plan(self, to: str = "primary") -> list[PlacePlan]:
        """Return what happens in each place that holds something; nothing is changed.

        Raises:
            BadInput: There is no such tier.
        """
        found = [place for known in self._there() if (place := self._look(known, to)) is not None]
        sizes = {content.size_bytes for place in found for model in place.models for content in model.contents}
        rooms = {tier.location: max(0, self.adopter.tiers.headroom_bytes(tier)) for tier in self._targets(to)}
        return plan_all(found, frozenset(self._library_keys(sizes)), rooms)

    def enqueue(self, to: str = "primary") -> Job:
        """Return a new job that takes everything in, or the one that a killed process left.

        Raises:
            BadInput: There is no such tier.
        """
        destination(to)
        return self.adopter.runner.enqueue_once(AdoptRequest("", AdoptMode.LINK, to, every=True))

    def run(self, running: Running) -> None:
        """Run an adopt job, of one folder or of every known place; the report becomes its result."""
        wanted = params_of(running.job, AdoptRequest)
        if not wanted.every:
            self.adopter.run(running)
            return
        done, failed = list[AdoptedJson](), list[FailedPlaceJson]()
        for known in self._there():
            try:
                done += self._take_in(known, wanted.to, running)
            except Cancelled:
                raise
            except ShelfError as err:
                _log.warning("place_not_adopted", extra={"path": known.path, "detail": err.detail})
                failed.append(
                    FailedPlaceJson(known.program, known.path, " ".join(filter(None, (err.detail, err.hint))))
                )
        self.adopter.registry.update_job(running.job.id, {"result": to_json(AdoptedAllJson(done, failed))})

    def _take_in(self, known: KnownPlace, to: str, running: Running) -> list[AdoptedJson]:
        """Take in one place; what doesn't fit on the first tier goes to the next."""
        done: list[AdoptedJson] = []
        for tier in self._targets(to):
            wanted, found = self._wanted(known, tier.location if tier.location != "custom" else tier.base)
            with contextlib.suppress(NotFound):  # there is nothing, or nothing left
                done.append(self.adopter.adopt(wanted, running, found))
            if not done or not done[-1].left or wanted.mode is AdoptMode.LEAVE:
                break
        return done

    def _there(self) -> Iterator[KnownPlace]:
        """Yield the known places that exist and aren't in the library, each folder once, and none around another."""
        tiers = {Path(tier.base).resolve() for tier in self.adopter.tiers.all()}
        seen = {Path(tier.base).resolve() for tier in self.adopter.tiers.configured()}
        for known in self.places():
            path = Path(known.path)
            is_halfway = not is_folder(path) and self.adopter.linker.is_halfway(path)
            real = path.resolve()
            is_known = real in seen or any(real in other.parents for other in seen) or (is_link(path) and real in tiers)
            if (is_folder(path) or is_halfway) and not is_known:
                seen.add(real)
                yield KnownPlace(known.program, str(path if is_halfway else real))

    def _targets(self, to: str) -> list[Tier]:
        settings = self.adopter.tiers.settings
        first = settings.resolve(*destination(to))
        return [first, *(tier for tier in settings.configured() if to == "primary" and tier.location == SECONDARY)]

    # --- looking ---

    def _wanted(self, known: KnownPlace, to: str) -> tuple[AdoptRequest, Inventory | None]:
        """Return how a place is taken in, with links, or where it is if a cache can't become one; and what is in it.

        Nothing is, where a killed run renamed the folder and didn't make the link: that is all that is left to do.
        """
        wanted = AdoptRequest(known.path, AdoptMode.LINK, to, merge=True, copy=True)
        if self.adopter.linker.is_halfway(Path(known.path)):
            return wanted, None
        found = self.adopter.planner.look(wanted)
        try:
            self.adopter.planner.plan(wanted, found)
        except ShelfError:
            if not self.adopter.planner.is_foreign(known.path):
                return replace(wanted, mode=AdoptMode.LEAVE, merge=False), found
        return wanted, found

    def _look(self, known: KnownPlace, to: str) -> PlaceFound | None:
        try:
            wanted, found = self._wanted(known, to)
            if found is None:
                return PlaceFound(known.program, known.path, AdoptMode.LINK, trouble=_halfway(known.path))
            plan = self.adopter.planner.sketch(wanted, found)
        except NotFound:
            return None
        except ShelfError as err:
            return PlaceFound(known.program, known.path, AdoptMode.LINK, trouble=err.detail)
        models = tuple(Candidate(adoption, tuple(_contents(adoption.found))) for adoption in plan.models)
        others = tuple(other.thing for other in plan.others if other.thing.kind in ("other", "unreadable", "link"))
        if not models and not others:
            return None
        return PlaceFound(known.program, known.path, wanted.mode, models, others)

    def _library_keys(self, sizes: set[int]) -> Iterator[str]:
        """Yield the keys of the library's files that have one of these sizes."""
        for model in self.adopter.library.models():
            if model.state is State.READY and model.path is not None:
                for file in self.adopter.library.files(model.row):
                    if file.size_bytes in sizes:
                        with contextlib.suppress(OSError):
                            yield sample.key_of(Path(model.path, file.path).resolve())


def _halfway(path: str) -> str:
    return (
        f"Its models are in the library, and a killed run didn't make its link: shelf adopt {shlex.quote(path)} --link"
    )


def _held(adopter: Adopter, known: KnownPlace) -> PlaceHeld:
    wanted = AdoptRequest(known.path, AdoptMode.LEAVE)
    try:
        found = bounded(partial(adopter.planner.look, wanted), Path(known.path), hang_s=_ANSWER_WITHIN_S)
    except (ShelfError, OSError):
        return PlaceHeld(known.program, known.path, 0, 0)
    return PlaceHeld(known.program, known.path, len(found.models), sum(model.size_bytes for model in found.models))


def _contents(found: FoundModel) -> Iterator[Content]:
    """Yield the weights of a model that was found."""
    sources = dict(found.sources)
    folder = None if sources else CacheDir(Path(found.place)).repo(found.repo).snapshot(found.commit)
    for file in found.files:
        if is_weights(file.path):
            path = Path(sources[file.path]) if folder is None else folder / file.path
            with contextlib.suppress(OSError):
                real = path.resolve()
                stated = real.stat()
                yield Content(sample.key_of(real), file.size_bytes, (stated.st_dev, stated.st_ino))
