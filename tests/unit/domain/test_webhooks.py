"""What webhooks send, and how it is signed."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from pathlib import Path
from typing import Any

from modelshelf.domain.webhooks import payload_of, signed_headers


def test_a_message_is_signed_as_the_standard_says() -> None:
    """The signature covers id, time and body, with the bytes of the secret as the key."""
    headers = signed_headers("whsec_aGVsbG8=", "m-1", 1700000000, b'{"a": 1}')

    signed = hmac.new(b"hello", b'm-1.1700000000.{"a": 1}', hashlib.sha256).digest()
    assert headers["webhook-signature"] == f"v1,{base64.b64encode(signed).decode()}"
    assert (headers["webhook-id"], headers["webhook-timestamp"]) == ("m-1", "1700000000")


def test_the_documented_check_accepts_what_is_sent() -> None:
    """The Python of docs/http.md accepts a message and refuses one that was changed, or is old."""
    page = (Path(__file__).parents[3] / "docs/http.md").read_text(encoding="utf-8")
    [code] = re.findall(r"```python\n(import base64.*?)```", page, re.DOTALL)
    found: dict[str, Any] = {}
    exec(compile(code, "docs/http.md", "exec"), found)
    check, now_s = found["is_from_my_library"], int(found["time"].time())

    assert check("secret", signed_headers("secret", "m-1", now_s, b"{}"), b"{}")
    assert not check("secret", signed_headers("secret", "m-1", now_s, b"{}"), b"{ }")
    assert not check("other", signed_headers("secret", "m-1", now_s, b"{}"), b"{}")
    assert not check("secret", signed_headers("secret", "m-1", now_s - 3600, b"{}"), b"{}")


def test_without_a_secret_nothing_is_signed() -> None:
    """A message without a secret has its id and its time alone."""
    assert "webhook-signature" not in signed_headers("", "m-1", 1700000000, b"")


def test_a_failure_is_told_without_its_words() -> None:
    """An error is told by its type, because its sentence may name paths."""
    error = {"type": "urn:modelshelf:error:denied", "title": "Denied", "status": 403, "detail": "/home/me", "hint": "x"}
    told = payload_of("job", {"id": 1, "state": "failed", "detail": "/home/me", "error": error})

    assert told == {"id": 1, "state": "failed", "error": {key: error[key] for key in ("type", "title", "status")}}
    assert payload_of("job", {"id": 1, "error": None}) == {"id": 1}
    assert payload_of("resync", {}) == {}
