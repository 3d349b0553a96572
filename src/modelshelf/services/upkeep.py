"""The verbs of upkeep of the Python API: what reads, tidies and takes in whole tiers."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from modelshelf.domain.jobs import Job, result_of
from modelshelf.services.catalog.meant import row_meant
from modelshelf.services.jobs.recovery import recover_dead_owners
from modelshelf.services.services import Services

if TYPE_CHECKING:
    from modelshelf.domain.verify_report import VerifyReport

AnyPath = str | os.PathLike[str]
ShowProgress = Callable[[Job], None]
"""Called about twice a second with the job."""


class Upkeep:
    """The verbs of `services.shelf.Shelf` that work on tiers more than on one model."""

    __slots__ = ("services",)

    def __init__(self, services: Services) -> None:
        self.services = services

    def _name_meant(self, asked: str) -> str:
        """Return the name of the model that is meant; raises as `row_meant` does."""
        return row_meant(self.services.library, asked).model_name

    def verify(
        self,
        model_names: str | Sequence[str] = (),
        *,
        max_age_s: float | None = None,
        rate_bytes_per_s: int | None = None,
        repair: bool = False,
        progress: ShowProgress | None = None,
    ) -> VerifyReport:
        """Read models, or everything on every tier, and return what is wrong with them.

        Args:
            model_names: The models, or one; without one everything, registered or not.
            max_age_s: Skip blobs that were verified within this time and not written since.
            rate_bytes_per_s: How much to read in a second; None: unlimited.
            repair: Set damage aside, and bring good bytes from another tier, else from the hub.
            progress: See `Shelf`.

        Raises:
            NotFound: There is no such model.
            Unavailable: Its tier is offline.
        """
        from modelshelf.services.maintenance.verify import read_report

        names = [self._name_meant(asked) for asked in each_of(model_names)]
        job = self.services.verifier.enqueue(
            names, max_age_s=max_age_s, rate_bytes_per_s=rate_bytes_per_s, repair=repair
        )
        return read_report(self.services.runner.finish(job, progress).result)

    def gc(
        self, tier: AnyPath | None = None, *, quarantine: bool = False, progress: ShowProgress | None = None
    ) -> list[dict[str, Any]]:
        """Delete what nothing references; returns what was deleted on each tier, as in JSON.

        Args:
            tier: `primary`, `secondary` or a base; None: every online tier.
            quarantine: Delete the quarantine too.
            progress: See `Shelf`.

        Raises:
            BadInput: There is no such tier.
            Unavailable: It is offline.
        """
        from modelshelf.domain.job_params import GcParams
        from modelshelf.services.maintenance.gc import tiers_of

        params = GcParams(path_text(tier), quarantine)
        return tiers_of(self.services.runner.finish(self.services.collector.enqueue(params), progress))

    def dedupe(self, tier: AnyPath | None = None, *, progress: ShowProgress | None = None) -> list[dict[str, Any]]:
        """Let identical blobs of a tier share their bytes; returns what was done on each tier, as in JSON.

        Args:
            tier: `primary`, `secondary` or a base; None: every online tier.
            progress: See `Shelf`.

        Raises:
            BadInput: There is no such tier.
            Unavailable: It is offline.
        """
        from modelshelf.domain.job_params import DedupeParams
        from modelshelf.services.maintenance.gc import tiers_of

        params = DedupeParams(path_text(tier))
        return tiers_of(self.services.runner.finish(self.services.deduper.enqueue(params), progress))

    def reconcile(
        self, bases: AnyPath | Sequence[AnyPath] = (), *, progress: ShowProgress | None = None
    ) -> dict[str, Any]:
        """Bring registry and disks together; returns what was done, as in JSON.

        Args:
            bases: Bases to scan beside the known ones, or one.
            progress: See `Shelf`.

        Raises:
            BadInput: One of them isn't a base.
        """
        job = self.services.reconciler.enqueue(each_of(bases))
        return result_of(self.services.runner.finish(job, progress))

    def adopt(
        self,
        path: AnyPath,
        mode: str,
        to: AnyPath = "primary",
        *,
        merge: bool = False,
        copy: bool = False,
        repo_id: str = "",
        dry_run: bool = False,
        progress: ShowProgress | None = None,
    ) -> dict[str, Any]:
        """Adopt what other tools downloaded; returns the report, or with `dry_run` the plan.

        Args:
            path: The folder, such as `~/.cache/huggingface`.
            mode: `leave` it, `move` it, or move it and `link` the old path to the new base.
            to: Where models go: `primary`, `secondary`, or the path of a base.
            merge: Delete second copies of registered models once the first is verified.
            copy: Copy another program's files that can't be linked.
            repo_id: The repository of a `local_dir`, whose metadata doesn't name it.
            dry_run: Change nothing that was found.
            progress: See `Shelf`.

        Raises:
            BadInput, NotFound, Conflict, Denied, OutOfSpace: Refused; nothing was changed.
            Unavailable: A tier is offline, or a model is in use; the same call later finishes.
        """
        from modelshelf.domain.adopt import AdoptRequest, adopt_mode_of
        from modelshelf.schemas.adopt import AdoptPlanJson

        wanted = AdoptRequest(os.fspath(path), adopt_mode_of(mode), os.fspath(to), merge, copy, repo_id)
        if dry_run:
            return asdict(AdoptPlanJson.of(self.services.adopter.planner.plan(wanted)))
        recover_dead_owners(self.services.registry)
        return result_of(self.services.runner.finish(self.services.adopter.enqueue(wanted), progress))

    def adopt_all(self, to: str = "primary", *, progress: ShowProgress | None = None) -> dict[str, Any]:
        """Adopt what is at every known place of this machine, with links where programs look; returns the report.

        Args:
            to: Where models go: `primary`, then the secondary; or `secondary`, or the path of a base.
            progress: See `Shelf`.

        Raises:
            BadInput: There is no such tier.
        """
        recover_dead_owners(self.services.registry)
        return result_of(self.services.runner.finish(self.services.everything.enqueue(to), progress))


def each_of(one_or_more: AnyPath | Sequence[AnyPath]) -> list[str]:
    """Return texts or paths as texts; one of them isn't read letter by letter."""
    if isinstance(one_or_more, str | os.PathLike):
        return [os.fspath(one_or_more)]
    return [os.fspath(one) for one in one_or_more]


def path_text(path: AnyPath | None) -> str | None:
    """Return a path as text; None for none."""
    return None if path is None else os.fspath(path)
