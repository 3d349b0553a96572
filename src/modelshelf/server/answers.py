"""JSON answers, whatever bytes a file's name has."""

from __future__ import annotations

from typing import Any

from fastapi.responses import JSONResponse

from modelshelf.schemas.jobs import JobJson
from modelshelf.schemas.json_object import to_json


class Json(JSONResponse):
    """JSON in UTF-8; a lone surrogate in a name becomes a question mark."""

    def render(self, content: Any) -> bytes:
        """Return the body."""
        return to_json(content, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode(errors="replace")


def accepted(job: JobJson) -> Json:
    """Return the answer to a request for long work: 202 with the job, and the URL with its progress."""
    return Json(job, 202, {"Location": f"/api/jobs/{job.id}"})
