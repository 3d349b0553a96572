"""A look that led to a job, for that job."""

from __future__ import annotations

import json

from modelshelf.domain.adopt import AdoptMode, AdoptRequest
from modelshelf.domain.adopt_inventory import Inventory
from modelshelf.domain.job_params import params_of
from modelshelf.domain.jobs import JobKind
from modelshelf.services.adopt.fresh_looks import FreshLooks
from tests.fakes.clock import FakeClock
from tests.unit.web.looks import job

WANTED = AdoptRequest("/theirs", AdoptMode.LEAVE)
OTHER = AdoptRequest("/theirs", AdoptMode.MOVE)
SEEN = Inventory("/theirs")


def test_the_job_takes_its_look_once() -> None:
    """A job gets what was seen when it was asked for, and looks itself if it runs again."""
    looks = FreshLooks(FakeClock())
    looks.keep(WANTED, SEEN)
    same = params_of(job(JobKind.ADOPT, params=json.dumps(WANTED.to_json())), AdoptRequest)

    assert (looks.take(OTHER), looks.take(same), looks.take(same)) == (None, SEEN, None)


def test_a_look_of_a_while_ago_counts_no_more() -> None:
    """A job that waited for its turn looks anew."""
    clock = FakeClock()
    looks = FreshLooks(clock)
    looks.keep(WANTED, SEEN)
    clock.now_s += 11

    assert looks.take(WANTED) is None
