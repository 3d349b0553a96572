"""Finding who answers for a model: the running server of its library, or an engine of this process."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from modelshelf.domain.engine_kinds import Endpoint
from modelshelf.domain.serving import Served
from modelshelf.settings import Settings, load_settings

if TYPE_CHECKING:
    from modelshelf.services.services import Services
    from modelshelf.services.serving.conversation import Partner, Turn
    from modelshelf.store.chat_history import ChatHistory

_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}
"""Where a server listens, and where it is found then."""
_ANSWERS_WITHIN_S = 2.0
_LOOK_AGAIN_S = 0.2


@contextlib.contextmanager
def open_partner(model_name: str, told: Callable[[str], None]) -> Iterator[Partner]:
    """Give who answers for a model, which is loaded and unloaded in this process where no server runs.

    Args:
        model_name: The model; a server knows it by other names too.
        told: Told what is waited for.

    Raises:
        NotFound, BadInput, Conflict, Unavailable: No engine can be started for it.
    """
    from modelshelf.bootstrap.shelf import open_shelf
    from modelshelf.services.serving.conversation import Partner

    settings = load_settings()
    with open_shelf(settings=settings, begins=False) as shelf:
        if url := server_url(shelf.services):
            yield Partner(url, model_name, settings.api_key or "")
            return
        told(f"loading {model_name}")
        with _own_engine(shelf.services, settings, model_name) as served:
            told("")
            with _written_down(shelf.services, settings, served) as note:
                yield Partner(served.url, served.upstream_model, served.key, note)


@contextlib.contextmanager
def _written_down(services: Services, settings: Settings, served: Served) -> Iterator[Callable[[Turn], None]]:
    """Give what notes a question in the ledger of uses, as a server does."""
    from modelshelf.domain.uses import Use, rate_of
    from modelshelf.services.serving.uses import Ledger

    def note(turn: Turn) -> None:
        use = Use(
            served.model_name,
            Endpoint.CHAT.value,
            services.clock.now() - turn.duration_s,
            turn.duration_s,
            turn.status,
            turn.error,
            served.backend,
            served.cache_location,
            turn.prompt_tokens,
            turn.completion_tokens,
            turn.first_s,
            rate_of(turn.completion_tokens, turn.first_s, turn.duration_s),
        )
        ledger.add(lambda: use)

    ledger = Ledger(services.registry, settings.uses_days)
    ledger.start()
    try:
        yield note
    finally:
        ledger.stop()


def open_history() -> ChatHistory:
    """Return what this user typed into conversations.

    Raises:
        BadInput: The settings are wrong.
    """
    from modelshelf.store.chat_history import ChatHistory

    return ChatHistory(load_settings().state_home)


@contextlib.contextmanager
def _own_engine(services: Services, settings: Settings, model_name: str) -> Iterator[Served]:
    """Give where an engine of this process answers; its pool lives in a thread."""
    from anyio import CancelScope, sleep_forever
    from anyio.from_thread import start_blocking_portal

    from modelshelf.bootstrap.engines import make_pool

    pool, ready = make_pool(services, settings), Future[Served]()

    async def hold() -> None:
        await pool.start()
        try:
            with await pool.use(model_name, Endpoint.CHAT, patient=True) as served:
                ready.set_result(served)
                await sleep_forever()
        finally:
            with CancelScope(shield=True):  # what runs here is cancelled at the end; the engine ends all the same
                await pool.stop()
                await services.load_jobs.close()

    with start_blocking_portal() as portal:
        holding = portal.start_task_soon(hold)
        either: list[Future[Any]] = [ready, holding]
        try:
            while not ready.done():  # in short waits: a signal that another thread was handed ends none
                if holding in wait(either, _LOOK_AGAIN_S, FIRST_COMPLETED).done:
                    holding.result()
            yield ready.result()
        finally:
            holding.cancel()


def server_url(services: Services) -> str:
    """Return the URL of a server of this library that answers; empty without one."""
    from modelshelf.services.jobs.process import is_alive

    urls = [server.url for server in services.registry.servers.all() if is_alive(server.owner) is not False]
    return next((url for url in map(_reachable, urls) if _answers(url)), "")


def _reachable(url: str) -> str:
    """Return where a server is found that listens at a URL."""
    host, _, port = urlsplit(url).netloc.rpartition(":")
    return f"http://{_EVERYWHERE.get(host, host)}:{port}"


def _answers(url: str) -> bool:
    from urllib3 import request
    from urllib3.exceptions import HTTPError

    try:
        return request("GET", f"{url}/healthz", retries=False, redirect=False, timeout=_ANSWERS_WITHIN_S).status == 200
    except HTTPError:
        return False
