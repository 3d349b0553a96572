"""What the routes of the page have in common: the library, what stands around a page, and forms."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

from anyio import from_thread
from fastapi import Request
from fastapi.routing import APIRoute
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import RedirectResponse, Response
from starlette.types import Receive, Scope, Send

from modelshelf.domain.jobs import RUNNING
from modelshelf.domain.names import ModelName
from modelshelf.domain.serving import EngineStatus
from modelshelf.domain.tiers import Tier
from modelshelf.domain.unadopted import Unadopted
from modelshelf.errors import BadInput, Cancelled, NotFound, ShelfError
from modelshelf.schemas.tiers import TierJson
from modelshelf.server.doors import PathDoor
from modelshelf.server.errors import stopped
from modelshelf.server.fresh_keys import FreshKeys
from modelshelf.server.gateway.ports import Engines
from modelshelf.server.sessions import Sessions
from modelshelf.server.web import render, words
from modelshelf.server.web.frame import PAGES, Frame, links_of, rail_of
from modelshelf.server.web.look import Look, look_at
from modelshelf.services.doctor.doctor import Doctor
from modelshelf.services.setup.change_settings import SettingsWriter
from modelshelf.services.setup.status import Status
from modelshelf.services.shelf import Shelf
from modelshelf.store.engine_files import LogReader
from modelshelf.store.os_errors import of_os_error

_MOST_FIELDS = 2000
_KEPT_S, _KEPT_UNCHANGED_S = 10.0, 60.0
_SHARE = 10
_COMPRESSED = 5
"""The level: 9 takes four times as long, and saves a fiftieth."""
Twins = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Login:
    """Where a key is needed: the keys, and who logged in."""

    keys: FreshKeys
    sessions: Sessions


@dataclass(frozen=True, slots=True)
class Around:
    """What a page shows beside the library, each made when it is asked for."""

    unadopted: Callable[[Iterable[str]], Unadopted]
    """Finds what other tools downloaded."""
    open_doctor: Callable[[], Doctor]
    mend_doctor: Callable[[], Doctor]
    """Opens one that may mend."""
    open_status: Callable[[], Status]
    open_settings: Callable[[], SettingsWriter]
    engine_log: Callable[[ModelName], LogReader]
    """Returns what reads what the engines of a model wrote."""
    check_start: Callable[[], None]
    """Raises what a new start of the server would raise now."""


@dataclass(frozen=True, slots=True)
class _Measured:
    """What the tiers held at one time: of a large library that takes longer than all else on a page."""

    at_s: float
    took_s: float
    change_id: int
    """The newest change in the registry then."""
    tiers: list[TierJson]


@dataclass(frozen=True, slots=True)
class Site:
    """The pages over one library."""

    shelf: Shelf
    engines: Engines
    rates: Callable[[], Mapping[str, float]]
    """Returns how many tokens a second each model wrote in its last answer that tells."""
    courses: Callable[[], Mapping[int, Sequence[int]]]
    """Returns the rates of each running job in the last minute, by its id."""
    around: Around
    door: PathDoor
    login: Login | None
    """None: no key is asked for."""
    began_s: float
    """When this server began, in seconds since 1970."""
    measured: dict[str, _Measured] = field(default_factory=dict)
    """The last measurement, as `tiers`."""
    seen: dict[str, tuple[int | None, Look | None]] = field(default_factory=dict)
    """The newest change, and the library after it, as `look`."""

    def look(self, *, rescan: bool = False, measure: bool = False, is_home: bool = False) -> Look:
        """Return the library as it is now.

        Args:
            rescan: Measure every file again.
            measure: Measure the tiers now, for a plan.
            is_home: Measure them unless nothing changed in the last minute; else what was measured in the last seconds
                will do, for the sidebar.
        """
        now_s = self.shelf.services.clock.now()
        change_id = self.shelf.services.registry.changes.newest()
        kept = self.measured.get("tiers")
        if rescan or measure or kept is None or not self._may_be_kept(kept, now_s, change_id, is_home=is_home):
            began = time.perf_counter()
            tiers = [TierJson.of(status) for status in self.shelf.tiers(rescan=rescan)]
            kept = _Measured(now_s, time.perf_counter() - began, change_id, tiers)
            self.measured["tiers"] = kept
        seen_id, seen = self.seen.get("look", (None, None))
        look = look_at(self.shelf, change_id, kept.tiers, seen if seen_id == change_id else None)
        self.seen["look"] = (change_id, look)
        return look

    def _may_be_kept(self, kept: _Measured, now_s: float, change_id: int, *, is_home: bool) -> bool:
        """Return whether a measurement will do. While a job runs, measuring takes a tenth of the time at most."""
        age_s = now_s - kept.at_s
        if not is_home and 0 <= age_s < _KEPT_S:
            return True
        if not 0 <= age_s < _KEPT_UNCHANGED_S:
            return False
        if self.shelf.services.registry.jobs(state=(RUNNING,)):
            return age_s < _SHARE * kept.took_s
        return change_id == kept.change_id

    @property
    def measured_ago_s(self) -> float:
        """How long ago the tiers were measured, in seconds."""
        return max(0.0, self.shelf.services.clock.now() - self.measured["tiers"].at_s)

    def running(self) -> list[EngineStatus]:
        """Return the engines; for a handler that runs in a thread."""
        return from_thread.run(self.engines.engines)

    def tier(self, key: str) -> Tier:
        """Return the tier that `words.tier_key` names so.

        Raises:
            NotFound: There is none.
        """
        for tier in self.shelf.services.tiers.all():
            if words.tier_key(tier) == key:
                return tier
        raise NotFound(f"There is no tier {key!r:.200}.", hint="shelf tiers lists them.")

    def back(self, request: Request, default: str) -> str:
        """Return the path of the page from which a form was sent; the default if it is none of ours."""
        origin, came_from = (
            f"{request.url.scheme}://{request.headers.get('host', '')}",
            request.headers.get("referer", ""),
        )
        path = came_from.removeprefix(origin)
        return own_path(path, default) if came_from.startswith(origin) and "/actions" not in path else default

    def frame(self, request: Request, key: str, look: Look, twins: Twins = (), title: str = "") -> Frame:
        """Return what stands around a page.

        Args:
            request: The request for it.
            key: The page's key in `PAGES`.
            look: The library.
            twins: How to get its numbers elsewhere.
            title: Its title; empty: the page's name.
        """
        links, more = links_of(look, sum(1 for _ in self.running()))
        return Frame(
            title=title or PAGES.get(key, (key.capitalize(), ""))[0],
            current=key,
            links=links,
            more=more,
            change_id=look.change_id,
            rail=rail_of(look.tiers),
            theme=render.theme_of(request),
            address=request.headers.get("host", ""),
            can_log_out=self.login is not None,
            twins=twins,
        )


def bare(request: Request, title: str) -> Frame:
    """Return what stands around a page that shows nothing of the library."""
    links, more = links_of(None)
    return Frame(title, "", links, more, theme=render.theme_of(request), address=request.headers.get("host", ""))


class HtmlRoute(APIRoute):
    """A route whose answers are compressed where the browser takes that, and whose errors say what to do."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        await GZipMiddleware(super().handle, minimum_size=1000, compresslevel=_COMPRESSED)(scope, receive, send)

    def get_route_handler(self) -> Callable[[Request], Any]:
        """Return the handler."""
        handle = super().get_route_handler()

        async def handle_html(request: Request) -> Response:
            try:
                return await handle(request)
            except ShelfError as err:
                return _error(request, err)
            except Cancelled:
                return _error(request, stopped())
            except OSError as err:
                return _error(request, of_os_error(err))

        return handle_html


def _error(request: Request, err: ShelfError) -> Response:
    back = request.headers.get("referer", "")
    own = f"{request.url.scheme}://{request.headers.get('host', '')}/"
    return render.page(
        "error.html", bare(request, err.title), err.status, error=err, back=back if back.startswith(own) else "/"
    )


class Fields(dict[str, list[str]]):
    """A form that was sent."""

    def one(self, name: str, default: str = "") -> str:
        """Return a field's value."""
        return self.get(name, [default])[0].strip()

    def all(self, name: str) -> list[str]:
        """Return all values of a field."""
        return self.get(name, [])


async def form(request: Request) -> Fields:
    """Return the form that a browser sent.

    Raises:
        BadInput: It isn't one.
    """
    if not request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        raise BadInput("This page takes forms alone; nothing was changed.", hint="Programs use /api: see /docs.")
    try:
        text = (await request.body()).decode()
        return Fields(parse_qs(text, keep_blank_values=True, max_num_fields=_MOST_FIELDS, errors="strict"))
    except ValueError:
        raise BadInput("The form can't be read; nothing was changed.", hint="Load the page anew.") from None


def own_path(text: str, default: str = "/") -> str:
    r"""Return a path of this site; the default for anything else.

    >>> own_path("/models?q=a"), own_path("//evil.example"), own_path("/\\evil"), own_path("https://x")
    ('/models?q=a', '/', '/', '/')
    """
    is_own = text.startswith("/") and not text.startswith(("//", "/\\")) and text.isprintable()
    return text if is_own else default


def see(path: str) -> Response:
    """Return the answer that sends a browser to a page, after a change."""
    return RedirectResponse(path, 303, {"Cache-Control": "no-store"})
