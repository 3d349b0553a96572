"""Using a model: a lease for the duration, and a recorded use."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from modelshelf.domain.leases import Lease
from modelshelf.domain.models import Model
from modelshelf.domain.tiers import Tiers
from modelshelf.errors import Denied, NotFound, OutOfSpace, Unavailable
from modelshelf.registry.registry import Registry
from modelshelf.services.catalog.models import Library
from modelshelf.services.jobs.process import is_alive

_log = logging.getLogger(__name__)
TTL_S = 60.0
"""A lease's holder on another machine or in another container that is silent this long is forgotten, in seconds."""


@dataclass(frozen=True, slots=True)
class Leaser:
    """Takes and shows leases."""

    registry: Registry
    library: Library
    owner: str
    on_use: Callable[[Model], None]
    """Called with a model that is about to be used, before its use is recorded."""

    @contextlib.contextmanager
    def using(self, model_name: str, kind: str, holder: str) -> Iterator[Model]:
        """Hold a model that can be loaded, and record the use if it ends well.

        Args:
            model_name: The model.
            kind: load, run or engine.
            holder: Who uses it, for people.

        Raises:
            NotFound, Conflict, Unavailable: It can't be loaded; see `Library.ready`.
        """
        model, lease_id = self._take_if_possible(model_name, kind, holder)
        started_s = time.monotonic()
        over = threading.Event()
        renewer = threading.Thread(target=self._renew_until, args=(lease_id, over), name="lease", daemon=True)
        renewer.start()
        try:
            self.on_use(model)
            yield model
            with _going_without("use_not_noted"):
                self.registry.add_use(model.row.id, kind, time.monotonic() - started_s)
        finally:
            over.set()
            renewer.join()
            if lease_id is not None:
                with _going_without("lease_left_to_expire"):
                    self.registry.leases.release(lease_id)

    def hold(self, model_name: str, ttl_s: float, holder: str) -> Lease:
        """Hold a model for a time that outlasts this process; return the lease."""
        model, lease_id = self._take(model_name, "manual", holder, ttl_s=ttl_s, owner="")
        return next(lease for lease in self.registry.leases.all() if lease.id == lease_id and model)

    def release(self, lease_id: int) -> None:
        """Release a lease.

        Raises:
            NotFound: There is no such lease.
        """
        if not self.registry.leases.release(lease_id):
            raise NotFound(f"There is no lease {lease_id}.", hint="shelf lease lists them.", lease_id=lease_id)

    def live(self) -> list[Lease]:
        """Return the leases that are still valid."""
        return live(self.registry)

    def _take(
        self, model_name: str, kind: str, holder: str, *, ttl_s: float = TTL_S, owner: str | None = None
    ) -> tuple[Model, int]:
        """Lease a placement; if it moves between the lookup and the lease, look it up again."""
        owner = self.owner if owner is None else owner
        while True:
            model = self.library.ready(model_name)
            lease_id = self.registry.leases.take(
                model.row.id, model.base, kind=kind, holder=holder, owner=owner, ttl_s=ttl_s
            )
            if lease_id is None:
                continue  # it was removed since: the next lookup says so
            if self.library.base_of(self.library.row(model_name)) == model.base:
                return model, lease_id
            self.registry.leases.release(lease_id)

    def _take_if_possible(self, model_name: str, kind: str, holder: str) -> tuple[Model, int | None]:
        """Lease a placement; a registry that can't be written doesn't keep its models from being used."""
        with _going_without("no_lease"):
            return self._take(model_name, kind, holder)
        return self.library.ready(model_name), None

    def _renew_until(self, lease_id: int | None, over: threading.Event) -> None:
        while lease_id is not None and not over.wait(TTL_S / 4):
            with _going_without("lease_not_renewed"):
                self.registry.leases.renew(lease_id, TTL_S)


@contextlib.contextmanager
def _going_without(event: str) -> Iterator[None]:
    """Log what can't be recorded: full or read-only disk, another library's registry, or an unreachable server."""
    try:
        yield
    except (Denied, OutOfSpace) as err:
        _log.warning(event, extra={"detail": err.detail})
    except Unavailable as err:
        if not err.fields.get("registry_away"):
            raise
        _log.warning(event, extra={"detail": err.detail})


def holding(registry: Registry, tiers: Tiers, base: str) -> list[Lease]:
    """Return the valid leases that may hold something in a base.

    A holder in a container may have another path for the base. A lease from elsewhere on a path that means no tier
    here counts for every base: that holds too much for a minute rather than too little.
    """
    ours = {tier.base for tier in tiers.configured()}
    found = []
    for lease in registry.leases.all():
        alive = is_alive(lease.owner)
        elsewhere = alive is None and lease.cache_path not in ours
        if not lease.expired and alive is not False and (lease.cache_path == base or elsewhere):
            found.append(lease)
    return found


def live(registry: Registry) -> list[Lease]:
    """Return the leases that are still valid, in whichever base."""
    leases = registry.leases.all()
    return [lease for lease in leases if not lease.expired and is_alive(lease.owner) is not False]
