"""All routes below `/api`."""

from __future__ import annotations

from functools import partial

from fastapi import APIRouter

from modelshelf.bootstrap.change_settings import settings_writer
from modelshelf.bootstrap.doctor_and_setup import open_doctor
from modelshelf.bootstrap.status import open_status
from modelshelf.server.api import cache, doctor, engines, events, jobs, models, settings, status, uses, views
from modelshelf.server.doors import PathDoor
from modelshelf.server.gateway import ollama_routes
from modelshelf.server.gateway.relay import Door
from modelshelf.services.events.watch import Watcher
from modelshelf.services.shelf import Shelf


def create_router(shelf: Shelf, door: PathDoor, gateway: Door, watcher: Watcher) -> APIRouter:
    """Return the routes over a library.

    Args:
        shelf: The library.
        door: Checks the paths that requests contain.
        gateway: Hands requests to the engines; also Ollama's, which are below the same path.
        watcher: Tells listeners of changes.
    """
    routers = [
        ollama_routes.create_router(gateway, shelf.services.clock),
        models.create_router(shelf, door),
        engines.create_router(shelf.services, gateway.engines, gateway.ledger),
        uses.create_router(shelf, gateway.ledger),
        cache.create_router(shelf, door),
        views.create_router(shelf, door),
        jobs.create_router(shelf),
        events.create_router(watcher),
        doctor.create_router(open_doctor, partial(open_doctor, mend=True)),
        status.create_router(open_status),
        settings.create_router(partial(settings_writer, shelf), door),
    ]
    every = APIRouter()
    every.routes += [route for router in routers for route in router.routes]
    return every
