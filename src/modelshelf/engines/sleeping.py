"""Putting an engine to sleep, and waking it."""

from __future__ import annotations

import http.client
import json
from urllib.parse import urlsplit

from modelshelf.domain.backends import Sleep
from modelshelf.domain.serving import Served
from modelshelf.errors import EngineFailed

_TIMEOUT_S = 300.0
"""It answers once its weights are where they belong: for large ones that is many seconds."""


def turn(served: Served, how: Sleep, *, asleep: bool) -> None:
    """Put an engine to sleep or wake it, and see that it is so; blocking.

    Args:
        served: Where it answers.
        how: What it is asked.
        asleep: Whether it is to sleep.

    Raises:
        EngineFailed: It doesn't answer, refuses, or says otherwise afterwards.
    """
    _ask(served, "POST", how.sleep_path if asleep else how.wake_path)
    try:
        said = json.loads(_ask(served, "GET", how.asleep_path))
    except ValueError:
        said = None
    if not isinstance(said, dict) or said.get("is_sleeping") is not asleep:
        raise EngineFailed(f"{served.backend} says {said!r:.80} when it should {'sleep' if asleep else 'be awake'}.")


def _ask(served: Served, method: str, path: str) -> str:
    at = urlsplit(served.url)
    connection = http.client.HTTPConnection(at.hostname or "", at.port, timeout=_TIMEOUT_S)
    try:
        connection.request(method, at.path + path, headers={"Authorization": f"Bearer {served.key}"})
        answer = connection.getresponse()
        text = answer.read().decode(errors="replace")
    except (OSError, http.client.HTTPException) as err:
        raise EngineFailed(f"{served.backend} doesn't answer {path}: {err}") from err
    finally:
        connection.close()
    if answer.status != http.HTTPStatus.OK:
        raise EngineFailed(f"{served.backend} answers {path} with {answer.status}: {text[:200]}")
    return text
