"""What can go wrong at the fake hub, and the meter that counts and holds the bytes of its files.

A rule is a pattern of URL paths and its faults. Only the first rule that matches a request acts on it, so two rules
with `times=1` for the same path act on the first and on the second request.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


@dataclass(frozen=True)
class ByteRange:
    """A Range header with one part, before the size of the file is known."""

    first: int | None
    """First byte, or None for "the last `last` bytes"."""
    last: int | None
    """Last byte, included; None for "to the end"."""

    @classmethod
    def parse(cls, header: str | None) -> ByteRange | None:
        """Read a Range header; None if there is none, or one to ignore (several parts, malformed)."""
        found = _RANGE.fullmatch(header.strip()) if header else None
        if found is None or found.group() == "bytes=-":
            return None
        first, last = (int(text) if text else None for text in found.groups())
        if first is not None and last is not None and last < first:
            return None
        return cls(first, last)

    def covers(self, offset: int) -> bool:
        """Return whether the byte at `offset` can be part of the answer."""
        if self.first is None:
            return True
        return self.first <= offset and (self.last is None or offset <= self.last)

    def clip(self, size_bytes: int) -> range | None:
        """Return the range's offsets in a file of `size_bytes`, or None for 416."""
        if self.first is None:
            span = range(max(0, size_bytes - (self.last or 0)), size_bytes)
        else:
            end = size_bytes if self.last is None else min(size_bytes, self.last + 1)
            span = range(self.first, end)
        return span if len(span) > 0 else None


@dataclass(frozen=True)
class Faults:
    """What a rule does to an answer; by default nothing."""

    status: int | None = None
    """Answer this status instead of the real answer."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """More headers for that answer, such as Retry-After."""
    error_code: str | None = None
    """X-Error-Code of that answer."""
    body: bytes | None = None
    """Answer with this body, with `status` (default 200) and `headers`, instead of the real answer."""
    cut_after: int | None = None
    """Close the connection after this many body bytes, whatever Content-Length says."""
    corrupt_at: int | None = None
    """Flip every bit of the byte at this absolute offset of the file."""
    delay_s: float = 0.0
    """Wait before answering, in seconds."""
    rate_bytes_per_s: int | None = None
    """Write the body at most this fast."""
    no_ranges: bool = False
    """Answer a Range with 200 and the whole file, and don't announce Accept-Ranges."""
    redirect_to: str | None = None
    """Redirect `resolve` with 302 to this place. `{digest}` stands for the blob's name. A path is taken at the
    CDN's origin (another port), an address unchanged.
    """
    no_size: bool = False
    """Leave the size out of HEAD, and give it as null in listings."""
    truncate: bool = False
    """Serve the first half of the file to GET as if it were all of it, in a well-formed answer."""


NO_FAULTS = Faults()


@dataclass
class Rule:
    """Faults for requests that match one path pattern."""

    pattern: str
    """fnmatch pattern of the percent-decoded URL path; `*` crosses slashes."""
    method: str | None
    """The only HTTP method that it applies to; None for all."""
    left: int | None
    """How often it still acts; None for always."""
    faults: Faults

    def matches(self, method: str, path: str) -> bool:
        """Return whether the rule still acts and applies to this method and path."""
        return self.left != 0 and self.method in (None, method) and fnmatchcase(path, self.pattern)

    def concerns(self, method: str, path: str, asked: ByteRange | None) -> bool:
        """Return whether the rule would change the answer, so that `times` counts only changed answers."""
        if not self.matches(method, path):
            return False
        faults = self.faults
        resolves = "/resolve/" in path
        is_file = resolves or path.startswith("/cdn/")
        is_listing = path.startswith("/api/") and ("/tree/" in path or "/paths-info/" in path)
        has_body = method != "HEAD"
        at = faults.corrupt_at
        return any(
            (
                faults.status is not None,
                faults.body is not None,
                faults.delay_s > 0,
                faults.no_ranges and is_file,
                faults.redirect_to is not None and resolves,
                faults.no_size and (is_listing or (is_file and not has_body)),
                faults.cut_after is not None and has_body,
                faults.rate_bytes_per_s is not None and has_body,
                faults.truncate and is_file and has_body,
                at is not None and is_file and has_body and (asked is None or asked.covers(at)),
            )
        )


class RuleBook:
    """The active rules, in the order in which they were added."""

    def __init__(self) -> None:
        """Start without rules."""
        self._rules: list[Rule] = []
        self._lock = threading.Lock()

    def add(self, rule: Rule) -> None:
        """Add `rule` after the others."""
        if rule.faults == NO_FAULTS:
            raise ValueError(f"the rule for {rule.pattern!r} names no fault")
        with self._lock:
            self._rules.append(rule)

    def clear(self) -> None:
        """Forget every rule."""
        with self._lock:
            self._rules.clear()

    def take(self, method: str, path: str, asked: ByteRange | None) -> Faults:
        """Return the faults for a request and count their rule as used."""
        with self._lock:
            for rule in self._rules:
                if rule.concerns(method, path, asked):
                    if rule.left is not None:
                        rule.left -= 1
                    return rule.faults
        return NO_FAULTS

    def hides_size(self, path: str) -> bool:
        """Return whether listings leave out the size of the file at this `resolve` path; counts nothing as used."""
        with self._lock:
            return any(rule.faults.no_size and rule.matches("GET", path) for rule in self._rules)


class BodyMeter:
    """Counts the files' bytes that were sent, and holds the writers while paused.

    **Concurrency:** every answer of the hub shares one meter; waiting costs no polling.
    """

    def __init__(self) -> None:
        """Start at zero and not paused."""
        self._changed = threading.Condition()
        self._sent_bytes = 0
        self._allowance_bytes: int | None = None
        self._stopped = False

    @property
    def sent_bytes(self) -> int:
        """Bytes sent since the hub was made."""
        with self._changed:
            return self._sent_bytes

    def pause(self, after_bytes: int) -> None:
        """Let exactly `after_bytes` more through, all answers together, and hold the rest."""
        with self._changed:
            self._allowance_bytes = after_bytes

    def resume(self) -> None:
        """Let everything through again."""
        with self._changed:
            self._allowance_bytes = None
            self._changed.notify_all()

    def take(self, wanted_bytes: int) -> int:
        """Wait until something may be written, and return how much of `wanted_bytes`.

        Raises:
            ConnectionAbortedError: the hub was stopped meanwhile.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or self._allowance_bytes != 0)
            if self._stopped:
                raise ConnectionAbortedError("the hub was stopped")
            if self._allowance_bytes is None:
                return wanted_bytes
            granted = min(wanted_bytes, self._allowance_bytes)
            self._allowance_bytes -= granted
            return granted

    def add(self, written_bytes: int) -> None:
        """Count bytes that were written."""
        with self._changed:
            self._sent_bytes += written_bytes
            self._changed.notify_all()

    def wait_for(self, total_bytes: int, timeout_s: float) -> None:
        """Block until `total_bytes` were written.

        Raises:
            TimeoutError: they were not, within `timeout_s`.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._sent_bytes >= total_bytes, timeout_s):
                raise TimeoutError(f"{self._sent_bytes} of {total_bytes} bytes after {timeout_s} s")

    def set_stopped(self, stopped: bool) -> None:
        """Release the writers that wait, with an error, or admit new ones."""
        with self._changed:
            self._stopped = stopped
            self._changed.notify_all()
