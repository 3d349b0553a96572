"""The HTTP application over one library."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Any, cast

from anyio import to_thread
from fastapi import FastAPI

from modelshelf import __version__
from modelshelf.bootstrap.change_settings import settings_writer
from modelshelf.bootstrap.doctor_and_setup import open_doctor
from modelshelf.bootstrap.engines import engine_log
from modelshelf.bootstrap.read_only import unadopted_models
from modelshelf.bootstrap.status import open_status
from modelshelf.domain.uses import USES_DAYS
from modelshelf.schemas.status import HealthJson, ReadyJson
from modelshelf.server import errors, pages
from modelshelf.server.answers import Json
from modelshelf.server.api import cache, doctor, events, jobs, metrics, models, settings, status, uses, views
from modelshelf.server.api import engines as engine_routes
from modelshelf.server.bodies import BoundedBodies
from modelshelf.server.doors import PathDoor
from modelshelf.server.gateway import ollama_routes
from modelshelf.server.gateway import routes as v1
from modelshelf.server.gateway.errors import shape_of
from modelshelf.server.gateway.names import Names
from modelshelf.server.gateway.ports import Engines, NoEngines
from modelshelf.server.gateway.relay import Door
from modelshelf.server.hub import routes
from modelshelf.server.loads import preloading
from modelshelf.server.log import log_use
from modelshelf.server.metrics import Meters
from modelshelf.server.openapi import EVERYWHERE, TAGS, Api, answers, problems
from modelshelf.server.security import Gate, needs_key
from modelshelf.server.sessions import Sessions
from modelshelf.server.web import routes as web
from modelshelf.server.web.site import Around, Login, Site
from modelshelf.services.access.keys import KeyRing
from modelshelf.services.events.watch import Watcher
from modelshelf.services.jobs.worker import Worker
from modelshelf.services.serving.uses import Ledger
from modelshelf.services.shelf import Shelf


def create_app(
    shelf: Shelf,
    *,
    host: str,
    api_key: str | None,
    custom_roots: Sequence[str] | None = None,
    watcher: Watcher | None = None,
    engines: Engines | None = None,
    preload: Sequence[str] = (),
    ledger: Ledger | None = None,
    meters: Meters | None = None,
) -> FastAPI:
    """Return the application, which runs the library's jobs while it runs.

    Args:
        shelf: The library.
        host: The address by which others reach the server.
        api_key: The required key; None: none.
        custom_roots: Folders below which a request may name a path; None: where drives are mounted.
        watcher: Tells listeners of changes; for a caller that has to close it before the server ends.
        engines: What runs the models; None: nothing does.
        preload: The models to load at once.
        ledger: What notes requests; for a caller that asks it how fast the models answer.
        meters: What counts requests and loads; for a caller that tells it of loads.
    """
    watcher = watcher or shelf.services.watcher()
    meters = meters or Meters()
    ledger = ledger or Ledger(shelf.services.registry, USES_DAYS, [meters.count, log_use])
    gateway = Door(engines or NoEngines(), Names(shelf.services.library), ledger, shelf.services.clock)
    app = Api(
        title="modelshelf",
        version=__version__,
        openapi_tags=TAGS,
        docs_url=None,
        redoc_url=None,
        lifespan=_lifespan(shelf, watcher, gateway, preload),
        responses=problems(*EVERYWHERE),
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.add_middleware(BoundedBodies)
    keys, sessions = KeyRing(shelf.services.registry.keys, api_key), Sessions()
    app.add_middleware(Gate, host=host, keys=keys, sessions=sessions)
    errors.install(app, shape_of)
    door = PathDoor(shelf, custom_roots)
    _add_api(app, shelf, door, gateway, meters, watcher)
    _add_health(app, shelf)
    login = Login(keys, sessions) if needs_key(host, keys) else None
    doctors = open_doctor, partial(open_doctor, mend=True)
    around = Around(unadopted_models, *doctors, open_status, partial(settings_writer, shelf), engine_log)
    figures = ledger.rates, watcher.courses
    site = Site(shelf, gateway.engines, *figures, around, door, login, shelf.services.clock.now())
    app.include_router(web.create_router(site))
    pages.install(app)
    return app


def _add_api(app: FastAPI, shelf: Shelf, door: PathDoor, gateway: Door, meters: Meters, watcher: Watcher) -> None:
    """Add the routes that programs use."""
    app.include_router(v1.create_router(gateway))
    app.include_router(ollama_routes.create_router(gateway, shelf.services.clock))
    app.include_router(models.create_router(shelf, door))
    app.include_router(engine_routes.create_router(shelf.services, gateway.engines, gateway.ledger))
    app.include_router(uses.create_router(shelf, gateway.ledger))
    app.include_router(metrics.create_router(shelf, gateway.engines, gateway.ledger, meters))
    app.include_router(cache.create_router(shelf, door))
    app.include_router(views.create_router(shelf, door))
    app.include_router(jobs.create_router(shelf))
    app.include_router(events.create_router(watcher))
    app.include_router(doctor.create_router(open_doctor, partial(open_doctor, mend=True)))
    app.include_router(status.create_router(open_status))
    app.include_router(settings.create_router(partial(settings_writer, shelf), door))
    app.include_router(routes.create_router(shelf.services.hub_face()))


def describe() -> dict[str, Any]:
    """Return the OpenAPI document of the whole API without a library, as a server's `/openapi.json` answers."""
    return create_app(cast("Shelf", _NoLibrary()), host="127.0.0.1", api_key=None).openapi()


class _NoLibrary:
    """Stands in for a library in routes that are only described."""

    def __getattr__(self, name: str) -> _NoLibrary:
        """Return itself as any part."""
        return self

    def __call__(self) -> _NoLibrary:
        """Return itself as any result."""
        return self


def _lifespan(
    shelf: Shelf, watcher: Watcher, gateway: Door, preload: Sequence[str]
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    def hourly() -> None:
        """Look after what other programs did; the services are made when they are asked for, not when it starts."""
        shelf.services.reconciler.note_other_uses()
        shelf.services.adopter.enqueue_strays()
        shelf.services.views.keep_true()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        runner = shelf.services.runner
        worker = Worker(runner, runner.turns.rules.threads, hourly)
        worker.start()
        watcher.start()
        gateway.ledger.start()
        async with gateway.open(), preloading(shelf.services.load_jobs, gateway.engines, preload):
            yield
        await shelf.services.load_jobs.close()
        await to_thread.run_sync(gateway.ledger.stop)
        await to_thread.run_sync(watcher.stop)
        await to_thread.run_sync(worker.stop)

    return lifespan


def _add_health(app: FastAPI, shelf: Shelf) -> None:
    @app.get("/healthz", tags=["health"], responses=answers(HealthJson, "It runs."))
    async def healthz() -> Json:
        """Say that the process runs."""
        return Json(HealthJson("ok", __version__))

    @app.get("/readyz", tags=["health"], responses=answers(ReadyJson, "It answers."))
    def readyz() -> Json:
        """Say that the registry answers."""
        shelf.services.check()
        return Json(ReadyJson("ok"))
