"""The HTTP application over one library."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Any, cast

from anyio import to_thread
from fastapi import APIRouter, FastAPI

from modelshelf import __version__
from modelshelf.bootstrap.change_settings import settings_writer
from modelshelf.bootstrap.doctor_and_setup import open_doctor
from modelshelf.bootstrap.engines import engine_log
from modelshelf.bootstrap.read_only import unadopted_models
from modelshelf.bootstrap.status import open_status
from modelshelf.domain.retention import USES_DAYS
from modelshelf.schemas.status import HealthJson, ReadyJson
from modelshelf.server import errors, pages
from modelshelf.server.answers import Json
from modelshelf.server.api import metrics as metric_routes
from modelshelf.server.bodies import BoundedBodies
from modelshelf.server.doors import PathDoor
from modelshelf.server.fresh_keys import FreshKeys
from modelshelf.server.gateway import routes as v1
from modelshelf.server.gateway.errors import shape_of
from modelshelf.server.gateway.names import Names
from modelshelf.server.gateway.plain_route import StraightWay
from modelshelf.server.gateway.ports import Engines, NoEngines
from modelshelf.server.gateway.relay import Door
from modelshelf.server.heads import HeadsAsGets
from modelshelf.server.hub.paths import PREFIX
from modelshelf.server.late_metrics import LateMetrics
from modelshelf.server.late_routes import LateRoutes, without_pydantic_v1
from modelshelf.server.loads import preloading
from modelshelf.server.log import log_use
from modelshelf.server.openapi import TAGS, Api, answers
from modelshelf.server.security import Gate, needs_key
from modelshelf.server.sessions import Sessions
from modelshelf.services.access.keys import KeyRing
from modelshelf.services.events.watch import Watcher
from modelshelf.services.jobs.worker import Worker
from modelshelf.services.maintenance.rounds import Rounds
from modelshelf.services.serving.uses import Ledger
from modelshelf.services.shelf import Shelf


@without_pydantic_v1()
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
    metrics: LateMetrics | None = None,
    check_start: Callable[[], None] = lambda: None,
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
        metrics: What counts requests and loads; for a caller that tells it of loads.
        check_start: Raises what a new start would raise now.
    """
    watcher = watcher or shelf.services.watcher()
    counted = metrics or LateMetrics(shelf)
    ledger = ledger or Ledger(shelf.services.registry, USES_DAYS, [counted.count, log_use])
    gateway = Door(engines or NoEngines(), Names(shelf.services.library), ledger, shelf.services.clock)
    app = Api(
        title="modelshelf",
        version=__version__,
        openapi_tags=TAGS,
        docs_url=None,
        redoc_url=None,
        lifespan=_lifespan(shelf, watcher, gateway, preload),
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.add_middleware(HeadsAsGets, but=PREFIX)
    app.add_middleware(StraightWay, routes=app.router.routes)
    app.add_middleware(BoundedBodies)
    keys, sessions = FreshKeys(KeyRing(shelf.services.registry.keys, api_key)), Sessions()
    app.add_middleware(Gate, host=host, keys=keys, sessions=sessions)
    errors.install(app, shape_of)
    door = PathDoor(shelf, custom_roots)
    _add_api(app, shelf, door, gateway, counted, watcher)
    _add_health(app, shelf)
    logged_in = (keys, sessions) if needs_key(host, keys.ring) else None
    figures, began_s = (ledger.rates, watcher.courses), shelf.services.clock.now()
    pages.install(app, partial(_make_pages, shelf, gateway.engines, figures, door, logged_in, began_s, check_start))
    return app


def _make_pages(
    shelf: Shelf,
    engines: Engines,
    figures: tuple[Callable[[], Mapping[str, float]], Callable[[], Mapping[int, Sequence[int]]]],
    door: PathDoor,
    logged_in: tuple[FreshKeys, Sessions] | None,
    began_s: float,
    check_start: Callable[[], None],
) -> APIRouter:
    """Return the routes of the pages.

    Args:
        shelf: The library.
        engines: What runs the models.
        figures: What returns how fast models answer, and what returns how fast jobs go.
        door: Checks the paths in forms.
        logged_in: The keys, and who logged in, where a key is needed.
        began_s: When the server began, in seconds since 1970.
        check_start: Raises what a new start would raise now.
    """
    from modelshelf.server.web.routes import create_router
    from modelshelf.server.web.site import Around, Login, Site

    doctors = open_doctor, partial(open_doctor, mend=True)
    around = Around(unadopted_models, *doctors, open_status, partial(settings_writer, shelf), engine_log, check_start)
    login = Login(*logged_in) if logged_in else None
    return create_router(Site(shelf, engines, *figures, around, door, login, began_s))


def _add_api(app: Api, shelf: Shelf, door: PathDoor, gateway: Door, counted: LateMetrics, watcher: Watcher) -> None:
    """Add the routes that programs use."""
    app.add_routes(v1.create_router(gateway))
    app.add_routes(metric_routes.create_router(gateway.engines, gateway.ledger, counted))
    app.router.routes += [
        LateRoutes(partial(_make_api, shelf, door, gateway, watcher), "/api/"),
        LateRoutes(partial(_make_hub_face, shelf), PREFIX),
    ]


def _make_api(shelf: Shelf, door: PathDoor, gateway: Door, watcher: Watcher) -> APIRouter:
    """Return the routes below `/api`."""
    from modelshelf.server.api.router import create_router

    return create_router(shelf, door, gateway, watcher)


def _make_hub_face(shelf: Shelf) -> APIRouter:
    """Return the routes for clients that speak the Hub's protocol."""
    from modelshelf.server.hub.routes import create_router

    return create_router(shelf.services.hub_face())


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


def _steps(shelf: Shelf) -> tuple[Callable[[], object], ...]:
    """Return what each round does; the services are made when it comes to them, not when the server starts."""

    def note_uses() -> None:
        shelf.services.reconciler.note_other_uses()

    def take_strays() -> None:
        shelf.services.adopter.enqueue_strays()

    def mend_views() -> None:
        shelf.services.views.keep_true(look=True)

    return note_uses, take_strays, mend_views


def _lifespan(
    shelf: Shelf, watcher: Watcher, gateway: Door, preload: Sequence[str]
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    rounds = Rounds(_steps(shelf))

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        runner = shelf.services.runner
        worker = Worker(runner, runner.turns.rules.threads)
        worker.start()
        rounds.start()
        watcher.start()
        gateway.ledger.start()
        async with gateway.open(), preloading(shelf.services.load_jobs, gateway.engines, preload):
            yield
        await shelf.services.load_jobs.close()
        await to_thread.run_sync(gateway.ledger.stop)
        await to_thread.run_sync(watcher.stop)
        await to_thread.run_sync(worker.stop)
        await to_thread.run_sync(rounds.stop)

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
