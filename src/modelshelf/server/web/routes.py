"""The pages, each by its path."""

from __future__ import annotations

from fastapi import APIRouter

from modelshelf.server.web import (
    activity_routes,
    add_routes,
    change_routes,
    login_routes,
    model_routes,
    running_routes,
    settings_routes,
    storage_routes,
    tools_routes,
    upkeep_routes,
)
from modelshelf.server.web.site import HtmlRoute, Site


def create_router(site: Site) -> APIRouter:
    """Return the routes of all pages."""
    router = APIRouter(route_class=HtmlRoute, include_in_schema=False)
    login_routes.add(router, site)
    activity_routes.add(router, site)
    add_routes.add(router, site)
    storage_routes.add(router, site)
    model_routes.add(router, site)
    running_routes.add(router, site)
    settings_routes.add(router, site)
    tools_routes.add(router, site)
    upkeep_routes.add(router, site)
    change_routes.add(router, site)
    return router
