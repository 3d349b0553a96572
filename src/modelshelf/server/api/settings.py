"""`/api/settings`: the settings file."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from fastapi import APIRouter

from modelshelf.domain.setting_changes import parse_wanted
from modelshelf.schemas.setting_changes import SettingsFileJson, SettingsPlanJson
from modelshelf.server.answers import Json
from modelshelf.server.api.requests import ChangeSettings
from modelshelf.server.doors import PathDoor
from modelshelf.server.openapi import CHANGING, LOOKING, answers, problems

if TYPE_CHECKING:
    from modelshelf.services.setup.change_settings import SettingsWriter


def create_router(open_settings: Callable[[], SettingsWriter], door: PathDoor) -> APIRouter:
    """Return the routes over a service that is created for each request, because the file may be another one now."""
    router = APIRouter(prefix="/api/settings", tags=["health"])

    @router.get("", responses=answers(SettingsFileJson, "The settings.") | problems(*LOOKING))
    def look() -> Json:
        """Show the settings that may be changed, and whether secrets are set.

        A secret itself is never shown.
        """
        found = open_settings()
        return Json(SettingsFileJson.of(found.path, found.written_at(), found.now(), found.secrets()))

    @router.put("", responses=answers(SettingsPlanJson, "What was changed.") | problems(400, *CHANGING))
    def change(wanted: ChangeSettings) -> Json:
        """Change settings in the file, which is validated as a whole and keeps its comments and order.

        The file before the last change stays beside it. With `dry_run` show what each change would cause. A running
        server takes most changes from its next start on.
        """
        said = parse_wanted({name: text or "" for name, text in wanted.settings.items()})
        door.check_settings(said)
        found = open_settings()
        plan = found.plan(said)
        is_done = plan.changes and not wanted.dry_run
        return Json(SettingsPlanJson.of(plan, found.write(plan) if is_done else None))

    return router
