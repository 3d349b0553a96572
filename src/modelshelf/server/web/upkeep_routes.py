"""What is wrong and its repair, and what other tools downloaded."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from modelshelf.domain.adopt import AdoptMode, AdoptRequest
from modelshelf.schemas.adopt import AdoptAllPlanJson, AdoptPlanJson
from modelshelf.schemas.reports import DoctorReportJson
from modelshelf.server.web import render
from modelshelf.server.web.adopt_sheets import everything_sheet, mark_of, register_sheet
from modelshelf.server.web.doctor_page import fix_sheet
from modelshelf.server.web.sheet import Sheet
from modelshelf.server.web.site import Fields, Site, form, see
from modelshelf.services.adopt.folder import folder_of


def add(router: APIRouter, site: Site) -> None:
    """Add the routes."""
    _add_doctor(router, site)
    _add_adopt(router, site)
    _add_small(router, site)


def _add_doctor(router: APIRouter, site: Site) -> None:
    @router.get("/doctor")
    def doctor(request: Request) -> Response:
        """Show what is wrong, the worst first."""
        with site.around.open_doctor() as found:
            return _doctor(site, request, DoctorReportJson.of(found.examine(), found.where))

    @router.get("/doctor/fix")
    def show_fix(request: Request) -> Response:
        """Show what would be mended."""
        with site.around.open_doctor() as found:
            sheet = fix_sheet(DoctorReportJson.of(found.examine(), found.where))
        frame = site.frame(request, "doctor", site.look(), title=sheet.title)
        return render.page("sheet.html", frame, sheet=sheet, stale="", tabs=())

    @router.post("/doctor")
    def fix(request: Request, sent: Annotated[Fields, Depends(form)]) -> Response:
        """Fix what is safe to fix, and show what was done."""
        with site.around.mend_doctor() as found:
            return _doctor(site, request, DoctorReportJson.of(found.fix(), found.where))


def _doctor(site: Site, request: Request, report: DoctorReportJson) -> Response:
    twins = (("Terminal", "shelf doctor --json"), ("HTTP", "GET /api/doctor"), ("To fix", "shelf doctor --fix"))
    wrong = [one for one in report.findings if one.severity in ("error", "warning")]
    known = [one for one in report.findings if one.severity == "info"]
    well = [one for one in report.findings if one.severity == "ok"]
    fixable = sum(one.fixable for one in report.findings)
    frame = site.frame(request, "doctor", site.look(), twins)
    return render.page("doctor.html", frame, report=report, wrong=wrong, known=known, well=well, fixable=fixable)


def _add_adopt(router: APIRouter, site: Site) -> None:
    @router.get("/adopt")
    def show_adopt(request: Request, *, everything: Annotated[bool, Query(alias="all")] = False) -> Response:
        """Show what of other tools would be registered where it is, or taken in from every known place."""
        if everything:
            return _show(site, request, everything_sheet(_plan_of_all(site)))
        return _show(
            site, request, register_sheet(AdoptPlanJson.of(site.shelf.services.adopter.planner.plan(_request(site))))
        )

    @router.post("/adopt")
    def adopt(request: Request, sent: Annotated[Fields, Depends(form)]) -> Response:
        """Do it; where other files would be taken in than were shown, they are shown first."""
        services = site.shelf.services
        if not sent.one("all"):
            services.adopter.enqueue(_request(site))
        elif mark_of(plan := _plan_of_all(site)) == sent.one("seen"):
            services.everything.enqueue()
        else:
            return _show(site, request, everything_sheet(plan), "What is here changed meanwhile. Look at it again.")
        return see("/activity")


def _plan_of_all(site: Site) -> AdoptAllPlanJson:
    return AdoptAllPlanJson.of(site.shelf.services.everything.plan())


def _show(site: Site, request: Request, sheet: Sheet, stale: str = "") -> Response:
    frame = site.frame(request, "storage", site.look(), title=sheet.title)
    return render.page("sheet.html", frame, 409 if stale else 200, sheet=sheet, stale=stale, tabs=())


def _request(site: Site) -> AdoptRequest:
    """Return the request to register, where it is, what the page tells of."""
    path = folder_of(site.around.unadopted(()).path)
    return AdoptRequest(str(path), AdoptMode.LEAVE, "primary", False, False, "")


def _add_small(router: APIRouter, site: Site) -> None:
    @router.get("/more")
    def more(request: Request) -> Response:
        """Show the pages that a phone's bar has no room for."""
        return render.page("more.html", site.frame(request, "more", site.look(), title="More"))

    @router.get("/keys")
    def keys(request: Request) -> Response:
        """List the keys."""
        return render.page("keys.html", site.frame(request, "more", site.look(), title="Keys"))
