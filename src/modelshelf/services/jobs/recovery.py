"""Releases what dead processes hold: their reservations, and their jobs, which go back into the queue."""

from __future__ import annotations

import contextlib

from modelshelf.domain.jobs import UNFINISHED
from modelshelf.errors import Denied
from modelshelf.registry.registry import Registry
from modelshelf.services.jobs.process import is_alive


def recover_dead_owners(registry: Registry) -> None:
    """Delete dead processes' reservations, and queue their jobs again."""
    held = {reservation.owner for reservation in registry.reservations.all()}
    held |= {job.owner for job in registry.jobs(state=UNFINISHED) if job.owner}
    for owner in held:
        if is_alive(owner) is False:
            with contextlib.suppress(Denied):  # nobody waits for what they hold in a registry that is read-only
                registry.give_up_owner(owner)
