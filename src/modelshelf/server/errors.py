"""Errors at the edge of HTTP: `application/problem+json` (RFC 9457) for every status, in one place."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.routing import Match

from modelshelf.errors import BadInput, Cancelled, Conflict, Denied, NotFound, ShelfError, Unavailable
from modelshelf.server.answers import Json
from modelshelf.server.request_ids import current_request_id
from modelshelf.store.os_errors import of_os_error

Shape = Callable[[ShelfError], dict[str, Any]]
"""Returns an error as the clients of a protocol read it."""
_MOST_FAULTS = 20
_JSON = "application/json"
_WHERE = (
    "This is a modelshelf server: OpenAI's and Anthropic's protocols are below /v1, Ollama's below /api, the Hub's"
    " below /hf, also in HF_ENDPOINT."
)
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")


class Unauthorized(Denied):
    """The server's key is missing or wrong."""

    title = "Unauthorized"
    status = 401


class ProblemResponse(Json):
    """A problem document."""

    media_type = "application/problem+json"


def problem(err: ShelfError) -> ProblemResponse:
    """Return the answer with what is wrong and what to do; clients of the Hub read it in a header."""
    headers = {"X-Error-Message": header_line(err.detail)}
    if isinstance(err, Unauthorized):
        headers["WWW-Authenticate"] = 'Bearer realm="modelshelf"'
    return ProblemResponse(err.to_dict(), status_code=err.status, headers=headers | retry_after(err))


def retry_after(err: ShelfError) -> dict[str, str]:
    """Return the header that says when to ask again, if that is known."""
    if not isinstance(err, Unavailable) or err.retry_after_s is None:
        return {}
    return {"Retry-After": str(max(1, round(err.retry_after_s)))}


def plain_problem(
    status: int, detail: str, headers: Mapping[str, str] | None = None, **fields: object
) -> ProblemResponse:
    """Return the answer for an invalid request.

    Args:
        status: Its HTTP status, whose phrase is the title.
        detail: What is wrong, in one sentence.
        headers: Further headers.
        fields: Further members.
    """
    usual = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    return ProblemResponse({**usual, **fields}, status_code=status, headers=headers)


def stopped() -> Conflict:
    """Return the error of a request whose job somebody ended meanwhile, or the end of the server."""
    return Conflict("Its job was stopped.", hint="shelf jobs shows it; the same request again goes on.")


def header_line(text: str) -> str:
    """Return a text as a header's value, which is one line of ASCII."""
    return "".join(char if " " <= char <= "~" else "?" for char in text)[:400]


def install(app: FastAPI, shape_of: Callable[[str], Shape | None]) -> None:
    """Make the app answer every error as a problem document.

    Args:
        app: The app.
        shape_of: Returns what shapes the framework's refusals below a path, for clients of another protocol.
    """
    answers: dict[type[Exception], Callable[[Request, Any], Json]] = {
        ShelfError: lambda request, err: problem(err),
        Cancelled: lambda request, err: problem(stopped()),
        RequestValidationError: lambda request, err: _malformed(request, err.errors()),
        HTTPException: lambda request, err: _refused(request, err, shape_of(request.url.path)),
        OSError: lambda request, err: problem(of_os_error(err)),
        Exception: lambda request, err: _broken(err),
    }
    for kind, answer in answers.items():
        app.add_exception_handler(kind, _handler(answer))


def _handler(answer: Callable[[Request, Any], Json]) -> Callable[[Request, Exception], Any]:
    async def handle(request: Request, err: Exception) -> Json:
        return answer(request, err)

    return handle


def _malformed(request: Request, faults: Sequence[Mapping[str, Any]]) -> ProblemResponse:
    """Return the answer to a malformed request; what was sent isn't repeated, because it may be a secret."""
    kind = request.headers.get("Content-Type", "").partition(";")[0]
    is_all = len(faults) == 1 and tuple(faults[0]["loc"]) == ("body",)
    if is_all and kind.strip().lower() != _JSON:
        faults = [{"loc": ("body",), "msg": f"It must be sent with the header Content-Type: {_JSON}"}]
    named = [{"at": ".".join(map(str, fault["loc"])), "what": fault["msg"]} for fault in faults[:_MOST_FAULTS]]
    detail = f"{named[0]['at']}: {named[0]['what']}." if named else "The request is malformed."
    return plain_problem(422, detail, errors=named)


def _refused(request: Request, err: HTTPException, shape: Shape | None) -> Json:
    """Return the answer to what the framework refuses."""
    detail, headers = _why_refused(request, err)
    if shape is None:
        return plain_problem(err.status_code, detail, headers)
    kind = NotFound if err.status_code == HTTPStatus.NOT_FOUND else BadInput
    return Json(shape(kind(detail)), err.status_code, dict(headers))


def _why_refused(request: Request, err: HTTPException) -> tuple[str, Mapping[str, str]]:
    """Return the sentence, and the headers that go with it."""
    if err.status_code == HTTPStatus.NOT_FOUND:
        detail = f"There is no such page. {_WHERE}"
        return detail, {"X-Error-Message": detail}
    if err.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        known = [method for method in _METHODS if _is_known(request, method)]
        return f"This page accepts only {', '.join(known)}.", {"Allow": ", ".join(known)}
    return str(err.detail).rstrip(".") + ".", err.headers or {}


def _is_known(request: Request, method: str) -> bool:
    scope = {**request.scope, "method": method}
    is_known = any(route.matches(scope)[0] is Match.FULL for route in request.app.router.routes)
    return is_known or (method == "HEAD" and _is_known(request, "GET"))


def _broken(err: Exception) -> ProblemResponse:
    detail = f"The server failed on this request: {type(err).__name__}."
    return plain_problem(500, detail, hint="See its log.", request_id=current_request_id())
