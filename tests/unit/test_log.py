"""A server's log lines hold the record's fields and no secret."""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

import pytest

from modelshelf.server.log import FloodFilter, LogFormatter

KEY = 'a "quoted" key'


def line(message: str, *, as_json: bool, failed: bool = False, **extra: Any) -> str:
    """Return the line for a record."""
    record = logging.makeLogRecord({"name": "modelshelf.x", "levelno": 30, "levelname": "WARNING", "created": 0.0})
    record.msg = message
    record.__dict__.update(extra)
    if failed:
        try:
            raise ValueError("broken")
        except ValueError:
            record.exc_info = sys.exc_info()
    return LogFormatter(as_json=as_json, secrets=(KEY,)).format(record)


def test_a_record_is_one_object_on_one_line() -> None:
    """A line is one JSON object: time, level, logger, event and the record's fields, with line breaks escaped."""
    written = line("job_broke", as_json=True, failed=True, job_id=7, path="a\nb")

    assert "\n" not in written
    told = json.loads(written)
    assert told.pop("exception").splitlines()[-1] == "ValueError: broken"
    usual = {"time": "1970-01-01T00:00:00.000Z", "level": "warning", "logger": "modelshelf.x", "event": "job_broke"}
    assert told == usual | {"job_id": 7, "path": "a\nb"}
    assert list(told)[:4] == list(usual)


def test_an_extra_field_hides_nothing() -> None:
    """An extra field with a standard field's name doesn't replace it."""
    assert json.loads(line("registered", as_json=True, level="of a tier", event="x"))["event"] == "registered"


def test_a_line_for_people_has_the_fields_too() -> None:
    """A line for people has level, logger, event, and each field by its name."""
    assert line("making_room", as_json=False, tier="primary", free_bytes=5) == (
        "WARNING modelshelf.x: making_room tier='primary' free_bytes=5"
    )


@pytest.mark.parametrize("as_json", [False, True], ids=["text", "json"])
@pytest.mark.parametrize(
    ("text", "secret"),
    [
        pytest.param(f"asked with {KEY}", "quoted", id="a setting"),
        pytest.param("token hf_AbCdEfGhIjKlMnOp1234 refused", "AbCdEfGhIjKlMnOp1234", id="a token nobody told of"),
        pytest.param("Authorization: Bearer s3cret", "s3cret", id="a header"),
        pytest.param("postgresql://me:s3cret@db/shelf is down", "s3cret", id="a database's password"),
    ],
)
@pytest.mark.parametrize("where", ["message", "field", "nested"])
def test_no_line_holds_a_secret(as_json: bool, text: str, secret: str, where: str) -> None:
    """A token, key or password is left out wherever it is in a record; the rest is written."""
    extra = {"message": {}, "field": {"detail": text}, "nested": {"headers": {"a": [text]}}}[where]

    written = line(text if where == "message" else "x", as_json=as_json, **extra)

    assert secret not in written
    assert "***" in written
    assert "hf_path" in line("hf_path", as_json=as_json)
    assert not as_json or json.loads(written)


def written(flood: FloodFilter, message: str, at_s: float, exc_info: object = None) -> int | None:
    """Return how many repeats were left out before this message, or None if it is left out itself."""
    record = logging.makeLogRecord({"msg": message, "created": at_s, "exc_info": exc_info})
    return getattr(record, "left_out", 0) if flood.filter(record) else None


def test_what_repeats_is_written_once_a_minute() -> None:
    """A repeated message is written once a minute with the number left out; another message is written at once."""
    flood = FloodFilter()

    assert [written(flood, "same", at_s) for at_s in (0, 1, 59.9)] == [0, None, None]
    assert written(flood, "other", 1) == 0
    assert [written(flood, "same", at_s) for at_s in (61, 62, 122)] == [2, None, 1]


def test_breaks_in_two_places_are_not_one() -> None:
    """Two failures with the same message from different lines are both written."""
    flood, seen = FloodFilter(), []
    try:
        int("x")
    except ValueError:
        seen += [written(flood, "broke", 0, sys.exc_info()), written(flood, "broke", 0, sys.exc_info())]
    try:
        int("y")
    except ValueError:
        seen.append(written(flood, "broke", 0, sys.exc_info()))

    assert seen == [0, None, 0]
