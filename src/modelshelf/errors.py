"""The error tree: types with fields; sentences are made at the edges.

    ShelfError
    ├── BadInput       400  exit 2   invalid input; nothing was changed
    ├── Denied         403  exit 3   the hub or the operating system refuses
    ├── NotFound       404  exit 4   no such model, repository, revision or file
    ├── Conflict       409  exit 5   valid, but not now: the name is taken, a lease or a job is in the way
    ├── Corrupt        500  exit 6   bytes don't match their digest
    ├── Unavailable    503  exit 7   the hub, a tier or an engine isn't reachable: try again
    │   └── EngineFailed             an engine didn't start, or died; has its last words
    ├── OutOfSpace     507  exit 8   it doesn't fit; says what is needed, what is free, which tier has room
    └── TooMany        429  exit 9   too many requests wait for a model: try again

`Cancelled` isn't a failure: a person or a shutdown stopped the work, and it can be resumed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar


class ShelfError(Exception):
    """Base of every error a caller can act on.

    Args:
        detail: What is wrong, in one sentence.
        hint: What to do about it, in one sentence; empty if there is nothing to do.
        fields: The error's own values, as JSON values (sizes in bytes).
    """

    title: ClassVar[str] = "Error"
    status: ClassVar[int] = 500
    exit_code: ClassVar[int] = 1

    def __init__(self, detail: str, *, hint: str = "", **fields: object) -> None:
        super().__init__(detail)
        self.detail = detail
        self.hint = hint
        self.fields = fields

    @property
    def kind(self) -> str:
        """What kind of error it is, such as `out-of-space`."""
        return "".join(f"-{c.lower()}" if c.isupper() else c for c in type(self).__name__).lstrip("-")

    def to_dict(self) -> dict[str, object]:
        """Return the error as the members of an RFC 9457 problem document."""
        problem: dict[str, object] = {
            "type": f"urn:modelshelf:error:{self.kind}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
        }
        if self.hint:
            problem["hint"] = self.hint
        return problem | self.fields

    @staticmethod
    def from_dict(problem: Mapping[str, Any]) -> ShelfError:
        """Return the error that `to_dict` described, of its own class, or a plain one if that isn't known."""
        fields = {name: value for name, value in problem.items() if name not in ("type", "title", "status", "detail")}
        detail, hint = str(problem.get("detail", "")), str(fields.pop("hint", ""))
        kinds = (kind for child in ShelfError.__subclasses__() for kind in (child, *child.__subclasses__()))
        known = {kind.title: kind for kind in kinds}
        return known.get(str(problem.get("title")), ShelfError)(detail, hint=hint, **fields)


class BadInput(ShelfError):
    """Invalid input; nothing was changed."""

    title = "Bad input"
    status = 400
    exit_code = 2


class Denied(ShelfError):
    """The hub or the operating system refuses: gated repository, bad token, permissions."""

    title = "Denied"
    status = 403
    exit_code = 3


class NotFound(ShelfError):
    """There is no such model, repository, revision or file."""

    title = "Not found"
    status = 404
    exit_code = 4


class Conflict(ShelfError):
    """The request is valid, but something that exists is in the way."""

    title = "Conflict"
    status = 409
    exit_code = 5


class Corrupt(ShelfError):
    """Bytes don't match their digest."""

    title = "Corrupt"
    status = 500
    exit_code = 6


class Unavailable(ShelfError):
    """The hub, a tier or an engine isn't reachable now.

    Args:
        detail: What is wrong, in one sentence.
        hint: What to do about it.
        retry_after_s: How long the other side asked to wait, in seconds; None if it didn't say.
        fields: The error's own values.
    """

    title = "Unavailable"
    status = 503
    exit_code = 7

    def __init__(self, detail: str, *, hint: str = "", retry_after_s: float | None = None, **fields: object) -> None:
        super().__init__(detail, hint=hint, **fields)
        self.retry_after_s = retry_after_s


class EngineFailed(Unavailable):
    """An engine didn't start, or died.

    Args:
        detail: Why, in one sentence.
        hint: What to do about it.
        tail: The last lines that it wrote.
        out_of_memory: Whether it wanted more memory than there was.
        fields: The error's own values.
    """

    title = "Engine failed"

    def __init__(
        self, detail: str, *, hint: str = "", tail: tuple[str, ...] = (), out_of_memory: bool = False, **fields: object
    ) -> None:
        super().__init__(detail, hint=hint, retry_after_s=None, tail=list(tail), **fields)
        self.tail = tail
        self.out_of_memory = out_of_memory


class OutOfSpace(ShelfError):
    """The bytes don't fit within the tier's limit or on its disk."""

    title = "Out of space"
    status = 507
    exit_code = 8


class TooMany(ShelfError):
    """More requests wait for a model than are let in; the same request later may be answered."""

    title = "Too many requests"
    status = 429
    exit_code = 9


class Cancelled(Exception):
    """The work was stopped on request; what arrived stays, and the next run resumes from there."""
