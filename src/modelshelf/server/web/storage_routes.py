"""The home page, and what makes room on a tier."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from modelshelf.domain.eviction import Candidate, EvictionPlan
from modelshelf.domain.job_params import GcParams
from modelshelf.domain.jobs import DONE, JobKind
from modelshelf.domain.tiers import PRIMARY, SECONDARY, Tier
from modelshelf.errors import BadInput, Conflict, OutOfSpace, ShelfError
from modelshelf.schemas.garbage import GcPlanJson
from modelshelf.schemas.tiers import TierJson
from modelshelf.server.web import render, words
from modelshelf.server.web.first_run import FirstRun, first_run
from modelshelf.server.web.room import gc_sheet, room_sheet
from modelshelf.server.web.site import Fields, Site, form, see
from modelshelf.server.web.storage import DAYS, is_free, storage_page
from modelshelf.units import GB, parse_size

_TWINS = (
    ("Terminal", "shelf tiers --json"),
    ("HTTP", "GET /api/cache"),
    ("Over time", "shelf tiers --history"),
    ("Events", "GET /api/events"),
)
_SHOWN = 5
_MOVES = 100
_AT_FIRST = 0.15
"""So much of a limit is asked for at first."""


def _home(request: Request, site: Site) -> Response:
    look = site.look(is_home=True)
    chosen = request.query_params.get("tier", "")
    services = site.shelf.services
    twins = (*_TWINS, ("Measured", f"{words.seconds(site.measured_ago_s)} ago"))
    past = services.history.of_tiers(DAYS), _evicted(site)
    page = storage_page(look, chosen, services.library.files, _coldest(site), *past)
    found = _first_run(site) if page.is_empty else None
    return render.page("storage.html", site.frame(request, "storage", look, twins), page=page, found=found)


def _first_run(site: Site) -> FirstRun:
    """Return what other programs keep here: at the known places, and in a tier where Hugging Face programs download."""
    usual, places = site.around.unadopted(()), site.shelf.services.everything.found()
    is_place = str(Path(usual.path).expanduser().resolve()) in {place.path for place in places}
    return first_run(usual, places, is_place=is_place)


def _evicted(site: Site) -> list[tuple[float, str]]:
    """Return when models were moved away to make room, and which, as far as their jobs are kept."""
    moves = site.shelf.services.registry.jobs(kind=JobKind.MOVE, state=(DONE,), limit=_MOVES)
    return [(job.finished_at, job.model_name) for job in moves if job.parent_id and job.finished_at]


def _coldest(site: Site) -> list[Candidate]:
    """Return the models of the primary in the order in which they would leave; none if they may not."""
    services = site.shelf.services
    tier = services.tiers.settings.primary
    if services.tiers.settings.secondary is None or services.tiers.why_offline(tier):
        return []
    return services.mover.room.next_to_leave(tier, _is_enough)


def _is_enough(known: Sequence[Candidate]) -> bool:
    return sum(map(is_free, known)) >= _SHOWN


def add(router: APIRouter, site: Site) -> None:
    """Add the home page, the routes of the plans that make room, and the one that measures anew."""
    _add_room(router, site)
    _add_gc(router, site)

    @router.get("/")
    def home(request: Request) -> Response:
        """Show the tiers and what is in them."""
        return _home(request, site)

    @router.post("/rescan")
    def rescan(request: Request) -> Response:
        """Measure every file of every tier again."""
        site.look(rescan=True)
        return see(site.back(request, "/"))


def _add_room(router: APIRouter, site: Site) -> None:
    @router.get("/make-room")
    def show_room(request: Request, tier: str = PRIMARY, room: str = "") -> Response:
        """Show what would move so that something fits."""
        return _room(site, request, tier, room)

    @router.post("/make-room")
    def make_room(request: Request, sent: Annotated[Fields, Depends(form)]) -> Response:
        """Move what was shown; what isn't the plan any more is shown anew."""
        tier = site.tier(sent.one("tier"))
        plan = _plan(site, tier, sent.one("room"))
        if not isinstance(plan, EvictionPlan) or plan.model_names != sent.all("model"):
            return _room(site, request, sent.one("tier"), sent.one("room"), status=409)
        for name in plan.model_names:
            site.shelf.services.mover.enqueue(name, SECONDARY, None, keep_source=False)
        return see("/")


def _room(site: Site, request: Request, key: str, room: str, *, status: int = 200) -> Response:
    look, tier = site.look(measure=True), site.tier(key)
    shown = next(one for one in look.tiers if one.cache_path == tier.base)
    wanted = room or _at_first(shown)
    sheet = room_sheet(look, shown, wanted, _plan(site, tier, wanted))
    stale = "The plan changed meanwhile. Look at it again." if status != 200 else ""
    return render.page(
        "sheet.html", site.frame(request, "storage", look, title=sheet.title), status, sheet=sheet, stale=stale, tabs=()
    )


def _at_first(tier: TierJson) -> str:
    return words.limit(int((tier.limit_bytes or 100 * GB) * _AT_FIRST))


def _plan(site: Site, tier: Tier, room: str) -> EvictionPlan | ShelfError | None:
    try:
        need_bytes = parse_size(room.replace(words.NBSP, " "))
        return site.shelf.services.mover.room.plan(tier, need_bytes, model_id=0)
    except ValueError:
        return BadInput(f"“{room:.40}” isn’t a size.", hint="Write it as 15 GB.")
    except (OutOfSpace, Conflict) as err:
        return err


def _add_gc(router: APIRouter, site: Site) -> None:
    @router.get("/gc")
    def show_gc(request: Request, tier: str = PRIMARY) -> Response:
        """Show what nothing on a tier needs."""
        found = site.tier(tier)
        plans = site.shelf.services.collector.plan(GcParams(tier))
        sheet = gc_sheet(tier, words.tier_name(found.location, found.base), [GcPlanJson.of(*plan) for plan in plans])
        return render.page(
            "sheet.html", site.frame(request, "storage", site.look(), title=sheet.title), sheet=sheet, stale="", tabs=()
        )

    @router.post("/gc")
    def collect(sent: Annotated[Fields, Depends(form)]) -> Response:
        """Delete it."""
        site.tier(sent.one("tier"))
        site.shelf.services.collector.enqueue(GcParams(sent.one("tier")))
        return see("/")
