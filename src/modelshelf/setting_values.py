"""The meaning of one setting's text. Each function raises ValueError, or BadInput, if the text is invalid."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar, get_args
from urllib.parse import urlsplit

from modelshelf.domain.download_hours import DownloadHours
from modelshelf.domain.engine_wishes import EngineSettings, parse_wishes
from modelshelf.domain.job_rules import JobRules
from modelshelf.domain.mirror import MirrorSettings
from modelshelf.domain.names import BasePath
from modelshelf.domain.network import Proxy
from modelshelf.domain.scheduling_rules import Rules
from modelshelf.domain.tiers import PromoteMode
from modelshelf.domain.view_kinds import DEFAULT_KINDS, ViewKind
from modelshelf.domain.webhooks import WebhookSettings, key_of
from modelshelf.units import GB, LARGEST_INT, parse_duration, parse_size

T = TypeVar("T")
HUB_ENDPOINT = "https://huggingface.co"
TRUE = frozenset({"1", "ON", "YES", "TRUE"})
"""What huggingface_hub takes for yes."""
_FALSE = frozenset({"0", "OFF", "NO", "FALSE"})


@dataclass(frozen=True, slots=True)
class Value:
    """The text of one setting and its origin."""

    text: str
    origin: str
    """Where it was set: `/home/me/.env:3` or `environment`."""
    folder: Path
    """What a relative path is relative to."""


class Reading(Protocol):
    """Reads one setting after the other."""

    def __call__(self, name: str, parse: Callable[[Value], T], default: T) -> T:
        """Return what the text of a setting means; the default where it isn't set, or means nothing."""


def base(value: Value) -> BasePath:
    """Return a base as an absolute path; `hub` and unset variables are refused."""
    if unset := re.search(r"\$(?:\{\w+\}|[A-Za-z_]\w*)", value.text):
        raise ValueError(f"{unset[0]} in {value.text} isn't set.")
    return BasePath(os.path.normpath(value.folder / value.text) if "://" not in value.text else value.text)


def limit(value: Value) -> int | None:
    """Return a limit in bytes from a number of GB (10^9 bytes)."""
    try:
        limit_gb = float(value.text)
    except ValueError:
        raise ValueError(f"{value.text!r} isn't a number of GB (10^9 bytes), such as 100 or 0.5.") from None
    limit_bytes = limit_gb * GB
    if not limit_bytes > 0.5:
        raise ValueError(f"{value.text} isn't above 0. Leave it empty for no limit.")
    if limit_bytes > LARGEST_INT:
        raise ValueError(f"{value.text:.80} is more than any disk holds. Leave it empty for no limit.")
    return round(limit_bytes)


def fraction(value: Value) -> float:
    """Return a fraction above 0 and at most 1."""
    try:
        number = float(value.text)
    except ValueError:
        number = -1
    if not 0 < number <= 1:
        raise ValueError(f"{value.text!r} isn't a fraction above 0 and at most 1, such as 0.9.")
    return number


def one_of(*words: str) -> Callable[[Value], str]:
    """Return a parser for one of these words."""

    def parse(value: Value) -> str:
        if value.text not in words:
            raise ValueError(f"{value.text!r} isn't one of {', '.join(words)}.")
        return value.text

    return parse


def views(value: Value) -> frozenset[ViewKind]:
    """Return the kinds of views that need no folder of their own, from a list with commas; empty or `none` for none."""
    words = {word.strip() for word in value.text.split(",")} - {"", "none"}
    if wrong := words - set(DEFAULT_KINDS):
        raise ValueError(f"{min(wrong)!r} isn't one of {', '.join(DEFAULT_KINDS)}, or none.")
    return frozenset(map(ViewKind, words))


def promote(value: Value) -> PromoteMode:
    """Return when a used model is promoted."""
    for mode in get_args(PromoteMode):
        if value.text == mode:
            return mode  # type: ignore[no-any-return]  # one of the three words
    raise ValueError(f"{value.text!r} isn't one of {', '.join(get_args(PromoteMode))}.")


def yes_or_no(value: Value) -> bool:
    """Return yes or no, as huggingface_hub reads it."""
    if value.text.upper() not in TRUE | _FALSE:
        raise ValueError(f"{value.text!r} is neither 1 nor 0.")
    return value.text.upper() in TRUE


def port(value: Value) -> int:
    """Return a TCP port."""
    number = _whole(value.text)
    if number is None or not 0 < number < 65536:
        raise ValueError(f"{value.text!r:.80} isn't a port from 1 to 65535.")
    return number


def published_host(value: Value) -> str:
    """Return the address on which Compose publishes a port: `127.0.0.1:8000`, `[::1]:8000`; all for only a port.

    Source: the Compose specification, `ports`, short syntax `[HOST:]CONTAINER`.
    """
    return value.text.rpartition(":")[0].strip("[]") or "0.0.0.0"


def rate(value: Value) -> int:
    """Return bytes a second."""
    rate_bytes_per_s = parse_size(re.sub(r"(/s|ps)$", "", value.text))
    if rate_bytes_per_s <= 0:
        raise ValueError(f"{value.text} isn't above 0. Leave it empty for no limit.")
    return rate_bytes_per_s


def hours(value: Value) -> DownloadHours:
    """Return the hours in which downloads may run."""
    return DownloadHours.parse(value.text)


def url(value: Value) -> str:
    """Return a hub's address, without a slash at its end; one with a password is refused without showing it."""
    try:
        parts = urlsplit(value.text)
        has_host = bool(parts.hostname) and parts.port != 0
    except ValueError:
        has_host = False
    if "@" in value.text:
        raise ValueError(
            "It holds a user or a password. Leave them out, and set HF_TOKEN, or SHELF_PEER_KEY for a LAN hub."
        )
    if not has_host or not re.fullmatch(r"https?://[^\s?#\\]+", value.text):
        raise ValueError(f"{value.text!r} isn't an http address, such as {HUB_ENDPOINT}")
    return value.text.rstrip("/")


def urls(value: Value) -> tuple[str, ...]:
    """Return hubs' addresses from a list with commas."""
    found = (item.strip() for item in value.text.split(","))
    return tuple(url(Value(item, value.origin, value.folder)) for item in found if item)


def proxy(value: Value) -> Proxy:
    """Return a proxy; an invalid one isn't repeated, because it may hold a password."""
    return Proxy.parse(value.text)


def database_url(value: Value) -> str:
    """Return the address of the registry."""
    if not value.text.startswith(("sqlite:///", "postgresql://", "postgresql+psycopg://")):
        raise ValueError(
            f"{value.text.partition(':')[0]!r} isn't a known kind of database. Use sqlite:////path/to/registry.db or"
            " postgresql://user@host/name"
        )
    return value.text


def folders(value: Value) -> tuple[str, ...]:
    """Return folders as absolute paths from a list with colons."""
    found = tuple(os.path.normpath(item) for item in map(str.strip, value.text.split(":")) if item)
    for folder in found:
        if not folder.startswith("/") or "$" in folder:
            raise ValueError(f"{folder!r} isn't an absolute path. Use a list such as /srv/models:/data")
    return found


def path_map(value: Value) -> dict[str, str]:
    """Return other processes' bases to this process's."""
    mapping: dict[str, str] = {}
    for item in filter(None, (item.strip() for item in value.text.split(","))):
        theirs, separator, ours = item.partition("=")
        if not separator:
            raise ValueError(f"{item!r} isn't a pair, such as /mnt/usb-drive/models=/models/usb")
        mapping[BasePath(theirs.strip())] = BasePath(ours.strip())
    return mapping


def _whole(text: str) -> int | None:
    """Return a whole number of at most six digits; None if it isn't one."""
    return int(text) if re.fullmatch("[0-9]{1,6}", text) else None


def count(value: Value) -> int:
    """Return a whole number above 0, of at most six digits."""
    number = _whole(value.text)
    if not number:
        raise ValueError(f"{value.text!r:.80} isn't a whole number above 0, of at most six digits.")
    return number


def days(value: Value) -> int:
    """Return a whole number of days; 0 for none."""
    number = _whole(value.text)
    if number is None or number > 36_500:
        raise ValueError(f"{value.text!r:.80} isn't a whole number of days, such as 30; 0 for none.")
    return number


def job_rules(read: Reading) -> JobRules:
    """Return what a person wants of jobs."""
    return JobRules(
        days=read("JOBS_DAYS", count, JobRules().days),
        max_downloads=read("MAX_DOWNLOADS", count, None),
        max_moves=read("MAX_MOVES", count, None),
    )


def webhook_urls(value: Value) -> tuple[str, ...]:
    """Return webhooks' addresses from a list with commas; none is repeated, because it may hold a secret."""
    found = tuple(item for item in map(str.strip, value.text.split(",")) if item)
    for number, item in enumerate(found, 1):
        try:
            parts = urlsplit(item)
            is_good = bool(parts.hostname) and parts.port != 0 and parts.username is None
        except ValueError:
            is_good = False
        if not is_good or not re.fullmatch(r"https?://[^\s#\\]+", item):
            raise ValueError(f"Address {number} isn't an http address without a user, such as https://example.com/hook")
    return tuple(dict.fromkeys(found))


def webhook_secret(value: Value) -> str:
    """Return the secret with which webhooks are signed."""
    key_of(value.text)
    return value.text


def webhook_settings(read: Reading) -> WebhookSettings:
    """Return who is told of events over HTTP."""
    return WebhookSettings(read("WEBHOOK_URL", webhook_urls, ()), read("WEBHOOK_SECRET", webhook_secret, ""))


def keep_alive(value: Value) -> float:
    """Return seconds; a negative number means for ever, 0 not at all."""
    try:
        return -1.0 if re.fullmatch(r"-\d+", value.text) else parse_duration(value.text, bare="s")
    except ValueError as err:
        raise ValueError(f"{err} -1 means for ever.") from None


def duration(value: Value) -> float:
    """Return seconds above 0."""
    duration_s = parse_duration(value.text, bare="s")
    if not duration_s:
        raise ValueError(f"{value.text} isn't above 0.")
    return duration_s


def engine_rules(read: Reading) -> Rules:
    """Return how engines are shared."""
    usual = Rules()
    return Rules(
        max_loaded=read("MAX_LOADED", count, usual.max_loaded),
        queue_limit=read("QUEUE_LIMIT", count, usual.queue_limit),
        keep_alive_s=read("KEEP_ALIVE", keep_alive, usual.keep_alive_s),
        load_wait_s=read("LOAD_WAIT_S", duration, usual.load_wait_s),
    )


def mirror_settings(read: Reading) -> MirrorSettings:
    """Return whether `/hf` fetches what isn't here, and how much of a tier that may take."""
    return MirrorSettings(
        is_on=read("SHELF_MIRROR", one_of("on", "off"), "off") == "on",
        share=read("SHELF_MIRROR_SHARE", fraction, MirrorSettings.share),
    )


def engine_settings(read: Reading) -> EngineSettings:
    """Return which programs serve models."""
    return EngineSettings(
        llama_server=read("LLAMA_SERVER", lambda value: value.text, ""),
        vllm_command=read("VLLM_COMMAND", lambda value: value.text, ""),
        allow_remote_code=read("ALLOW_REMOTE_CODE", yes_or_no, False),
        wishes=read("SHELF_ENGINES", lambda value: parse_wishes(value.text), {}),
    )
