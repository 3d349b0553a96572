"""A server's log: lines for people, or one JSON object per line for a collector; never a secret."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping, Sequence
from typing import Any

from modelshelf.domain.uses import Use
from modelshelf.server.request_ids import current_request_id
from modelshelf.units import rfc3339

_USUAL = frozenset({*vars(logging.makeLogRecord({})), "message", "asctime", "taskName", "color_message"})
"""The fields of every record; all others are its own (`extra=`). uvicorn adds its line in colours."""
_SECRET = re.compile(r"\bhf_[A-Za-z0-9]{16,}|(?<=Bearer )[^\s\"',]+|(?<=://)[^/@\s\"]*:[^/@\s\"]+(?=@)")
_QUIET = ("alembic", "httpx2", "urllib3")
_FLOODED = ("asyncio", "uvicorn.error")
"""Loggers that a client can make repeat themselves."""
_ONCE_IN_S = 60.0
_requests = logging.getLogger("modelshelf.requests")


class LogFormatter(logging.Formatter):
    """Formats records with their extra fields.

    Args:
        as_json: One object per line: time, level, logger, event, the record's extra fields, exception. Else a line of
            text, in which the fields are `name=value`.
        secrets: Texts that are never written, in addition to what looks like a token or a password.
    """

    def __init__(self, *, as_json: bool, secrets: Sequence[str] = ()) -> None:
        super().__init__()
        self._as_json = as_json
        forms = {form for secret in secrets for form in (secret, json.dumps(secret)[1:-1], repr(secret)[1:-1])}
        self._secrets = sorted(forms, key=len, reverse=True)

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        fields = {name: value for name, value in vars(record).items() if name not in _USUAL}
        if request_id := current_request_id():
            fields.setdefault("request_id", request_id)
        line = self._json(record, fields) if self._as_json else self._text(record, fields)
        for secret in self._secrets:
            line = line.replace(secret, "***")
        return _SECRET.sub("***", line)

    def _json(self, record: logging.LogRecord, fields: Mapping[str, Any]) -> str:
        usual = {"time": rfc3339(record.created), "level": record.levelname.lower(), "logger": record.name}
        usual["event"] = record.getMessage()
        written = usual | {name: value for name, value in fields.items() if name not in usual}
        if record.exc_info:
            written["exception"] = self.formatException(record.exc_info)
        return json.dumps(written, ensure_ascii=False, default=str)

    def _text(self, record: logging.LogRecord, fields: Mapping[str, Any]) -> str:
        own = "".join(f" {name}={value!r}" for name, value in fields.items())
        line = f"{record.levelname} {record.name}: {record.getMessage()}{own}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class FloodFilter(logging.Filter):
    """Lets the same message through once a minute, with the number of repeats left out since."""

    def __init__(self) -> None:
        super().__init__()
        self._left_out: dict[tuple[object, ...], int] = {}
        self._last: dict[tuple[object, ...], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a record is written."""
        trace = record.exc_info[2] if record.exc_info else None
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        where = (trace.tb_frame.f_code.co_filename, trace.tb_lineno) if trace else ()
        key = (record.name, str(record.msg).partition("\n")[0], *where)
        if record.created - self._last.get(key, float("-inf")) < _ONCE_IN_S:
            self._left_out[key] = self._left_out.get(key, 0) + 1
            return False
        self._last[key] = record.created
        if left_out := self._left_out.pop(key, 0):
            record.left_out = left_out
        return True


def log_use(use: Use) -> None:
    """Write a line for a request to a model that ended."""
    if _requests.isEnabledFor(logging.INFO):
        told = {name: value for name, value in _fields(use).items() if value not in ("", None)}
        _requests.info("request", extra=told)


def _fields(use: Use) -> dict[str, Any]:
    """Return what the line of a request says."""
    times = {name: getattr(use, name) for name in ("duration_s", "first_token_s", "tokens_per_s")}
    same = ("status", "error", "engine", "prompt_tokens", "completion_tokens", "key_name", "request_id")
    return {
        "started_at": rfc3339(use.at),
        "model": use.model_name,
        "endpoint": use.kind,
        **{name: getattr(use, name) for name in same},
        **{name: None if value is None else round(value, 4) for name, value in times.items()},
    }


def start_logging(*, as_json: bool, secrets: Sequence[str] = ()) -> None:
    """Write this process's log to stderr from now on, from INFO on.

    Args:
        as_json: One object per line.
        secrets: Texts that are never written.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(LogFormatter(as_json=as_json, secrets=secrets))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.captureWarnings(True)
    for flooded in _FLOODED:
        logging.getLogger(flooded).addFilter(FloodFilter())
    if not as_json:  # a line for each request is for collectors
        _requests.setLevel(logging.WARNING)
    for noisy in _QUIET:
        logging.getLogger(noisy).setLevel(logging.WARNING)
