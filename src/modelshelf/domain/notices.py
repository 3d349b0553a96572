"""What a desktop tells the person at it: long downloads that ended, and what there is to warn of. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from modelshelf.domain.jobs import DONE, FAILED, JobKind
from modelshelf.units import format_size

LONG_S = 60.0
"""Who waits for less than that still looks at the terminal or the page, in seconds."""
_TITLES = {
    "over_threshold": "Disk limit nearly reached",
    "nearly_full": "Drive nearly full",
    "offline": "Drive not there",
}


@dataclass(frozen=True, slots=True)
class Notice:
    """What is told."""

    title: str
    text: str
    is_urgent: bool = False


def notice_of(kind: str, data: Mapping[str, object]) -> Notice | None:
    """Return what to tell of an event; None for one that isn't worth it.

    Args:
        kind: The kind of event.
        data: The object, as the API shows it.

    >>> notice_of("warning", {"warning": "offline", "state": "on", "detail": "/mnt/usb isn't mounted."})
    Notice(title='Drive not there', text="/mnt/usb isn't mounted.", is_urgent=True)
    >>> notice_of("warning", {"warning": "offline", "state": "removed"}), notice_of("model", {})
    (None, None)
    """
    if kind == "warning" and data["state"] == "on":
        return Notice(_TITLES.get(str(data["warning"]), "modelshelf"), str(data["detail"]), is_urgent=True)
    is_download = kind == "job" and data.get("kind") in (JobKind.PULL, JobKind.UPDATE)
    if not is_download or data["state"] not in (DONE, FAILED) or _took_s(data) < LONG_S:
        return None
    if data["state"] == DONE:
        return Notice(f"Downloaded {data['model_name']}", format_size(int(str(data["total_bytes"]))))
    return Notice(f"Download of {data['model_name']} failed", str(data["detail"]), is_urgent=True)


def _took_s(job: Mapping[str, object]) -> float:
    asked, ended = (datetime.fromisoformat(str(job[key])) for key in ("created_at", "finished_at"))
    return (ended - asked).total_seconds()
