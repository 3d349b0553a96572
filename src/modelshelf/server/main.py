"""`python main.py` and `shelf serve`: the library over HTTP until it is told to stop."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from modelshelf.bootstrap.engines import make_pool
from modelshelf.bootstrap.notices import make_notices
from modelshelf.bootstrap.read_only import server_settings
from modelshelf.bootstrap.shelf import open_shelf
from modelshelf.bootstrap.webhooks import make_couriers
from modelshelf.domain.jobs import A_REQUEST
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

if TYPE_CHECKING:
    from modelshelf.services.events.courier import Courier
    from modelshelf.services.events.desktop import DesktopNotices


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
    host, port = host or settings.host, settings.port if port is None else port
    reached = reached_on(host, settings.published_on, settings.api_key)
    check_listening(reached, lambda: bool(settings.api_key) or _has_keys())
    raise_descriptors()
    with open_shelf() as shelf:
        for name in preload:
            shelf.services.library.row(name)
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
        )
        with _present(shelf.services, watcher) as begin:

            def tell(url: str) -> None:
                begin(url)
                gc.freeze()  # a look at all that the start made, for garbage, would hold every stream up for 0.04 s
                if not settings.log_as_json:
                    announce(url)
                leave_out_what_stays()

            run(app, host=host, port=port, announce=tell, on_stop=watcher.close)
    start_anew()


def leave_out_what_stays() -> None:
    """Let the collector of cycles never look again at what the server is made of.

    A request that makes many objects, such as a list of 50,000 files, has it look at everything a few times: also at
    modules, classes and routes, which stay until the end.
    """
    gc.collect()
    gc.freeze()


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


def _has_keys() -> bool:
    """Return whether the registry, where there is one, has a key for requests."""
    with open_shelf(read_only=True) as shelf:
        return bool(shelf.services.registry.keys.all())
