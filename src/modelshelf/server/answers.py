"""Answers as JSON, whatever bytes a file's name has."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from fastapi.responses import JSONResponse

from modelshelf.domain.jobs import Job
from modelshelf.schemas.views import job_view


class Json(JSONResponse):
    """JSON in UTF-8; what is none in a name (a lone surrogate) becomes a question mark."""

    def render(self, content: Any) -> bytes:
        """Return the body."""
        text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return text.encode(errors="replace")


def accepted(job: Job, more: Mapping[str, object] | None = None) -> Json:
    """Return the answer to who asked for long work: 202 with the job, and where it is told how far that is.

    Args:
        job: The job.
        more: Further members.
    """
    return Json({**job_view(job), **(more or {})}, 202, {"Location": f"/api/jobs/{job.id}"})
