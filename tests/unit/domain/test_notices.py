"""What the person at the desktop is told."""

from __future__ import annotations

import pytest

from modelshelf.domain.notices import Notice, notice_of

JOB = {
    "kind": "pull",
    "model_name": "qwen",
    "state": "done",
    "total_bytes": 4 * 10**9,
    "detail": "",
    "created_at": "2026-11-29T10:00:00Z",
    "finished_at": "2026-11-29T10:05:00Z",
}


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        ({}, Notice("Downloaded qwen", "4.0 GB")),
        ({"state": "failed", "detail": "It is gated."}, Notice("Download of qwen failed", "It is gated.", True)),
        ({"finished_at": "2026-11-29T10:00:59Z"}, None),
        ({"kind": "gc"}, None),
        ({"state": "running", "finished_at": None}, None),
    ],
    ids=["done", "failed", "short", "no download", "running"],
)
def test_a_long_download_is_told_once_it_ends(facts: dict[str, object], told: Notice | None) -> None:
    """A download that took over a minute is told with its size or its failure; anything else isn't."""
    assert notice_of("job", JOB | facts) == told


def test_a_job_that_is_gone_is_no_news() -> None:
    """A job whose row was dropped, of which only the number is told, isn't worth a notice."""
    assert notice_of("job", {"id": 1, "state": "removed"}) is None
