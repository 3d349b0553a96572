"""`python main.py` and `shelf serve`: the library over HTTP until it is told to stop."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from modelshelf.bootstrap.engines import make_pool
from modelshelf.bootstrap.notices import make_notices
from modelshelf.bootstrap.read_only import ServerSettings, server_settings
from modelshelf.bootstrap.shelf import open_shelf
from modelshelf.bootstrap.webhooks import make_couriers
from modelshelf.domain.jobs import A_REQUEST
from modelshelf.errors import Denied
from modelshelf.server.app import create_app
from modelshelf.server.connections import raise_descriptors
from modelshelf.server.late_metrics import LateMetrics
from modelshelf.server.log import log_use, start_logging
from modelshelf.server.restart import start_anew
from modelshelf.server.security import check_listening, reached_on
from modelshelf.server.uvicorn_server import serve as run
from modelshelf.services.events.watch import Watcher
from modelshelf.services.jobs.presence import Presence
from modelshelf.services.services import Services
from modelshelf.services.serving.uses import Ledger
from modelshelf.services.shelf import Shelf

if TYPE_CHECKING:
    from fastapi import FastAPI

    from modelshelf.services.events.courier import Courier
    from modelshelf.services.events.desktop import DesktopNotices

_NEW_OBJECTS = 100_000
"""So many are made before the garbage collector looks among them for cycles: a list of 50,000 files isn't so many."""


def serve(*, host: str | None, port: int | None, announce: Callable[[str], None], preload: Sequence[str] = ()) -> None:
    """Serve until SIGTERM or Ctrl-C; running jobs are then queued again with their progress.

    Asked for on the page, the same command then starts anew in this process, with the settings as they are by then.

    Args:
        host: The address to listen on; None: SHELF_HOST.
        port: The port; None: SHELF_PORT.
        announce: Called with the server's address once it answers; with SHELF_LOG=json only the log tells it.
        preload: The models to load at once.

    Raises:
        NotFound: There is no such model.
        BadInput: The settings are invalid, or the address needs a key that isn't set.
        Unavailable: The primary base isn't mounted, or the registry can't be opened.
    """
    settings = server_settings()
    start_logging(as_json=settings.log_as_json, secrets=settings.secrets)
    reached = _checked(settings, host)
    raise_descriptors()
    with open_shelf() as shelf:
        check_start = partial(_check_start, shelf, host, preload)
        check_start()
        with contextlib.suppress(Denied):  # a registry that can only be read holds nothing of this process
            shelf.services.registry.give_up_owner(shelf.services.runner.owner)  # what it left before it started anew
        app, watcher = _make_app(shelf, settings, reached, preload, check_start)
        with _present(shelf.services, watcher) as begin:

            def tell(url: str) -> None:
                begin(url)
                if not settings.log_as_json:
                    announce(url)
                _leave_out_what_stays()

            port = settings.port if port is None else port
            run(app, host=host or settings.host, port=port, announce=tell, on_stop=watcher.close)
    start_anew()


def _make_app(
    shelf: Shelf, settings: ServerSettings, reached: str, preload: Sequence[str], check_start: Callable[[], None]
) -> tuple[FastAPI, Watcher]:
    """Return the application with engines, and what tells its listeners of changes."""
    metrics = LateMetrics(shelf)
    engines = make_pool(shelf.services, on_load=metrics.load, cause=A_REQUEST)
    ledger = Ledger(shelf.services.registry, settings.uses_days, [metrics.count, log_use])
    watcher = shelf.services.watcher(engines.statuses, ledger.rates)
    app = create_app(
        shelf,
        host=reached,
        api_key=settings.api_key,
        custom_roots=settings.custom_roots,
        watcher=watcher,
        engines=engines,
        preload=preload,
        ledger=ledger,
        metrics=metrics,
        check_start=check_start,
    )
    return app, watcher


def _leave_out_what_stays() -> None:
    """Let the collector of cycles never look again at what the server is made of.

    A request that makes many objects, such as a list of 50,000 files, has it look at everything a few times: also at
    modules, classes and routes, which stay until the end; each such look holds up every stream for 0.04 s.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_NEW_OBJECTS)


@contextmanager
def _present(services: Services, watcher: Watcher) -> Iterator[Callable[[str], None]]:
    """Give what to call with the server's address once it answers; what begins then ends with the context."""
    presence = Presence(services.runner)
    tellers: list[Courier | DesktopNotices] = [*make_couriers(services, watcher), *make_notices(watcher)]

    def begin(url: str) -> None:
        presence.start(url)
        for teller in tellers:
            teller.start()

    try:
        yield begin
    finally:
        for started in (*tellers, presence):
            started.stop()
        services.registry.webhooks.leave(services.runner.owner)


def _check_start(shelf: Shelf, host: str | None, preload: Sequence[str]) -> None:
    """Raise what a start of this command would raise now; see `serve`."""
    for name in preload:
        shelf.services.library.row(name)
    _checked(server_settings(), host)


def _checked(settings: ServerSettings, host: str | None) -> str:
    """Return the address by which others reach a server with these settings.

    Args:
        settings: The settings.
        host: The address to listen on that the command names; None: SHELF_HOST.

    Raises:
        BadInput: The address needs a key that isn't set.
    """
    reached = reached_on(host or settings.host, settings.published_on, settings.api_key)
    check_listening(reached, lambda: bool(settings.api_key) or _has_keys())
    return reached


def _has_keys() -> bool:
    """Return whether the registry, where there is one, has a key for requests."""
    with open_shelf(read_only=True) as shelf:
        return bool(shelf.services.registry.keys.all())
