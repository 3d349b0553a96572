"""Errors are types with fields."""

from __future__ import annotations

import pytest

from modelshelf import errors

TABLE = [
    (errors.BadInput, 400, 2, "bad-input"),
    (errors.Denied, 403, 3, "denied"),
    (errors.NotFound, 404, 4, "not-found"),
    (errors.Conflict, 409, 5, "conflict"),
    (errors.Corrupt, 500, 6, "corrupt"),
    (errors.Unavailable, 503, 7, "unavailable"),
    (errors.OutOfSpace, 507, 8, "out-of-space"),
    (errors.TooMany, 429, 9, "too-many"),
]


@pytest.mark.parametrize(("kind", "status", "exit_code", "slug"), TABLE, ids=[row[3] for row in TABLE])
def test_an_error_is_a_problem_document(kind: type[errors.ShelfError], status: int, exit_code: int, slug: str) -> None:
    """Each error class has its own status and exit code, and its fields are members beside those of RFC 9457."""
    err = kind("It is so.", hint="Do that.", needed_bytes=7)

    assert (err.status, err.exit_code, str(err)) == (status, exit_code, "It is so.")
    assert err.to_dict() == {
        "type": f"urn:modelshelf:error:{slug}",
        "title": kind.title,
        "status": status,
        "detail": "It is so.",
        "hint": "Do that.",
        "needed_bytes": 7,
    }


def test_the_table_has_every_class() -> None:
    """Every direct subclass of ShelfError is in the table, and no two rows share an exit code."""
    assert {row[0] for row in TABLE} == set(errors.ShelfError.__subclasses__())
    assert len({row[2] for row in TABLE}) == len(TABLE)


def test_without_a_hint_there_is_none_in_the_document() -> None:
    """A problem document has no empty hint."""
    assert "hint" not in errors.NotFound("There is none.").to_dict()


def test_unavailable_keeps_what_the_other_side_asked_to_wait() -> None:
    """The time to wait that the other side asked for is in the error and not in the document."""
    err = errors.Unavailable("Busy.", retry_after_s=2.5, endpoint="x")

    assert err.retry_after_s == 2.5
    assert err.fields == {"endpoint": "x"}
    assert errors.Unavailable("Busy.").retry_after_s is None


def test_being_cancelled_is_no_failure() -> None:
    """Code that catches our failures doesn't catch a cancellation."""
    assert not issubclass(errors.Cancelled, errors.ShelfError)
