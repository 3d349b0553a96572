"""What webhooks send: a choice of what the API shows, without paths, sentences and keys, and signed.

Source: Standard Webhooks 1.0.0 (https://www.standardwebhooks.com) for the headers and what is signed.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field

_SECRET = "whsec_"
_TOLD = {
    "job": "id kind model_name state done_bytes total_bytes parent_id created_at finished_at",
    "model": "model_name hf_path revision commit_hash state cache_location size_bytes pinned",
    "engine": "model_name state engine kind cache_location",
    "tier": "cache_location state online warning limit_bytes usage_bytes reserved_bytes free_bytes",
    "warning": "warning state cache_location",
    "resync": "",
}
"""What is told of each kind of event: never a path, an error's sentence or a lease's holder, which may be private."""


@dataclass(frozen=True, slots=True)
class WebhookSettings:
    """Who is told of events over HTTP."""

    urls: tuple[str, ...] = field(default=(), repr=False)
    """WEBHOOK_URL."""
    secret: str = field(default="", repr=False)
    """WEBHOOK_SECRET; empty: nothing is signed."""


def key_of(secret: str) -> bytes:
    """Return the key of a secret: the bytes in base64 behind `whsec_`, as the standard has it, or else the text itself.

    Raises:
        ValueError: What stands behind `whsec_` isn't base64.

    >>> key_of("whsec_aGVsbG8="), key_of("hello")
    (b'hello', b'hello')
    """
    if not secret.startswith(_SECRET):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix(_SECRET), validate=True)
    except binascii.Error:
        raise ValueError(f"What follows {_SECRET} isn't base64.") from None


def payload_of(kind: str, data: Mapping[str, object]) -> dict[str, object] | None:
    """Return what a webhook tells of an event; None for one that it doesn't tell of.

    Args:
        kind: The kind of event.
        data: The object, as the API shows it.

    >>> payload_of("tier", {"cache_location": "primary", "cache_path": "/home/me/llm", "online": False})
    {'cache_location': 'primary', 'online': False}
    >>> payload_of("lease", {"id": 1, "holder": "python train.py"})
    """
    if kind not in _TOLD:
        return None
    told = {name: data[name] for name in _TOLD[kind].split() if name in data}
    error = data.get("error")
    if kind == "job" and isinstance(error, Mapping):
        told["error"] = {name: error[name] for name in ("type", "title", "status") if name in error}
    return told


def signed_headers(secret: str, message_id: str, at_s: int, body: bytes) -> dict[str, str]:
    """Return the headers of a message.

    Args:
        secret: See `key_of`; empty for none.
        message_id: The same however often the message is sent.
        at_s: When it is sent, in seconds since 1970.
        body: What is sent.
    """
    headers = {"webhook-id": message_id, "webhook-timestamp": str(at_s), "Content-Type": "application/json"}
    if secret:
        signed = b".".join((message_id.encode(), str(at_s).encode(), body))
        digest = hmac.new(key_of(secret), signed, hashlib.sha256).digest()
        headers["webhook-signature"] = f"v1,{base64.b64encode(digest).decode()}"
    return headers
