"""Errors at the edge of HTTP: `application/problem+json` (RFC 9457), in one place."""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from modelshelf.errors import ShelfError, Unavailable


class ProblemResponse(JSONResponse):
    """A problem document."""

    media_type = "application/problem+json"


def problem(err: ShelfError) -> ProblemResponse:
    """Return the answer that says what is wrong and what to do."""
    headers = {}
    if isinstance(err, Unavailable) and err.retry_after_s is not None:
        headers["Retry-After"] = str(max(1, round(err.retry_after_s)))
    return ProblemResponse(err.to_dict(), status_code=err.status, headers=headers)


def install(app: FastAPI) -> None:
    """Let the app answer every error of the house as a problem document."""

    async def answer(request: Request, err: Exception) -> ProblemResponse:
        assert isinstance(err, ShelfError)
        return problem(err)

    async def answer_break(request: Request, err: Exception) -> ProblemResponse:
        return problem(ShelfError(f"The server broke on this request: {type(err).__name__}.", hint="See its log."))

    app.add_exception_handler(ShelfError, answer)
    app.add_exception_handler(Exception, answer_break)
