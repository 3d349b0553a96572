"""Logging in with a key, which becomes a cookie that no script can read; a key is never part of an address."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from modelshelf.server.sessions import COOKIE
from modelshelf.server.web import render
from modelshelf.server.web.site import Fields, Login, Site, bare, form, own_path, see

_MOST_KEY = 500


def add(router: APIRouter, site: Site) -> None:
    """Add the routes."""
    login = site.login

    @router.get("/login")
    def ask(request: Request, next: str = "/") -> Response:
        """Ask for a key."""
        return see(own_path(next)) if login is None else _form(request, own_path(next))

    @router.post("/login")
    async def enter(request: Request, sent: Annotated[Fields, Depends(form)]) -> Response:
        """Begin a session."""
        where = own_path(sent.one("next"))
        if login is None:
            return see(where)
        key = sent.one("key").encode()
        if not await _is_known(login, key):
            return _form(request, where, wrong=True)
        answer = see(where)
        secure = request.url.scheme == "https"
        login.sessions.end(request.cookies.get(COOKIE, ""))
        token = login.sessions.start(key)
        answer.set_cookie(COOKIE, token, httponly=True, samesite="strict", secure=secure, path="/")
        return answer

    @router.post("/logout")
    def leave(request: Request) -> Response:
        """End a session."""
        if login is not None:
            login.sessions.end(request.cookies.get(COOKIE, ""))
        answer = see("/login")
        answer.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict")
        return answer


async def _is_known(login: Login, key: bytes) -> bool:
    await login.keys.refresh()
    return 0 < len(key) <= _MOST_KEY and await login.keys.find(key) is not None


def _form(request: Request, where: str, *, wrong: bool = False) -> Response:
    return render.page("login.html", bare(request, "Log in"), 401 if wrong else 200, next=where, wrong=wrong)
