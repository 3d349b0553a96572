"""What is set, and changing it: the plan first, then the file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from modelshelf.domain.setting_changes import BY_NAME, SettingsPlan, Wanted, parse_wanted
from modelshelf.errors import BadInput, Conflict, Denied, ShelfError
from modelshelf.schemas.setting_changes import SettingsFileJson, SettingsPlanJson
from modelshelf.server.restart import restart
from modelshelf.server.web import render
from modelshelf.server.web.settings_page import settings_form, settings_sheet
from modelshelf.server.web.site import Fields, Site, form, see
from modelshelf.services.setup.change_settings import SettingsWriter
from modelshelf.services.setup.tools import engines

_TWINS = (("Terminal", "shelf config --json"), ("HTTP", "GET /api/settings"), ("In use", "shelf status --json"))


def add(router: APIRouter, site: Site) -> None:
    """Add the routes."""

    @router.get("/settings")
    def settings(request: Request) -> Response:
        """Show what is set, and fields to change it."""
        return _page(site, request, {}, None)

    @router.get("/settings/plan")
    def plan(request: Request) -> Response:
        """Show what a change would cause; mistakes are shown at their fields."""
        entered = {name: text for name, text in request.query_params.items() if name in BY_NAME}
        return _answer(site, request, entered)

    @router.post("/settings")
    def change(request: Request, sent: Annotated[Fields, Depends(form)]) -> Response:
        """Write what was shown; a file that changed meanwhile is shown anew."""
        entered = {name: sent.one(name) for name in sent if name in BY_NAME}
        writer = site.around.open_settings()
        try:
            found = writer.plan(_wanted(site, entered))
            if found.seen != sent.one("seen"):
                return _answer(site, request, entered, is_stale=True)
            writer.write(found)
        except Conflict:
            return _answer(site, request, entered, is_stale=True)
        except (BadInput, Denied) as err:
            return _page(site, request, entered, err)
        return see("/settings")

    @router.post("/restart")
    def begin_anew(sent: Annotated[Fields, Depends(form)]) -> Response:
        """Start the server again, with the settings as they are now; those with which it can't start are refused."""
        site.around.check_start()
        restart()
        return see("/settings")


def _wanted(site: Site, entered: Mapping[str, str]) -> Wanted:
    """Return what of the fields differs from the file; a variable that stands there may stay."""
    there = {one.setting.name: one.in_file for one in site.around.open_settings().now()}
    wanted = parse_wanted({name: text for name, text in entered.items() if text.strip() != there[name]})
    site.door.check_settings(wanted)
    return wanted


def _answer(site: Site, request: Request, entered: Mapping[str, str], *, is_stale: bool = False) -> Response:
    writer = site.around.open_settings()
    try:
        plan = writer.plan(_wanted(site, entered))
    except (BadInput, Denied) as err:
        return _page(site, request, entered, err)
    stale = "The settings file was changed meanwhile. Look at it again." if is_stale else ""
    return _sheet(site, request, plan, stale)


def _sheet(site: Site, request: Request, plan: SettingsPlan, stale: str) -> Response:
    sheet = settings_sheet(SettingsPlanJson.of(plan, None), plan.seen)
    frame = site.frame(request, "settings", site.look(), title=sheet.title)
    return render.page("sheet.html", frame, 409 if stale else 200, sheet=sheet, stale=stale, tabs=())


def _page(site: Site, request: Request, entered: Mapping[str, str], err: ShelfError | None) -> Response:
    with site.around.open_status() as now:
        status = now.read()
    writer, look = site.around.open_settings(), site.look()
    found = _of(writer)
    problems: Sequence[Mapping[str, str]] = err.fields.get("problems", ()) if err is not None else ()  # type: ignore[assignment]
    shown = settings_form(found, entered, problems)
    written_s = datetime.fromisoformat(found.written_at).timestamp() if found.written_at else 0.0
    frame = site.frame(request, "settings", look, _TWINS)
    return render.page(
        "settings.html",
        frame,
        200 if err is None else 400,
        found=status,
        look=look,
        file=found,
        form=shown,
        error=err,
        needs_restart=written_s > site.began_s,
        engines=engines(),
        keys=site.shelf.services.registry.keys.all().values(),
    )


def _of(writer: SettingsWriter) -> SettingsFileJson:
    return SettingsFileJson.of(writer.path, writer.written_at(), writer.now(), writer.secrets())
