"""What processes that died hold goes back: their reservations, and their jobs into the queue."""

from __future__ import annotations

import contextlib

from modelshelf.domain.jobs import UNFINISHED
from modelshelf.errors import Denied
from modelshelf.registry.registry import Registry
from modelshelf.services.jobs.process import is_alive


def recover_dead_owners(registry: Registry) -> None:
    """Free what processes that died had reserved, and put their jobs back into the queue."""
    held = {reservation.owner for reservation in registry.reservations.all()}
    held |= {job.owner for job in registry.jobs(state=UNFINISHED) if job.owner}
    for owner in held:
        if is_alive(owner) is False:
            with contextlib.suppress(Denied):  # of a registry that is only read nobody waits for what they hold
                registry.give_up_owner(owner)
