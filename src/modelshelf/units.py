"""Sizes, rates and times as people write them. GB is 10^9 bytes, GiB is 2^30."""

from __future__ import annotations

import re
from datetime import UTC, datetime

_FACTORS = {
    "": 1, "b": 1,
    "k": 10**3, "kb": 10**3, "m": 10**6, "mb": 10**6, "g": 10**9, "gb": 10**9, "t": 10**12, "tb": 10**12,
    "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40,
}  # fmt: skip
_SIZE = re.compile(r"\s*([0-9]+(?:\.[0-9]*)?|\.[0-9]+)\s*([A-Za-z]*)\s*")
GB = 10**9
LARGEST_INT = 2**63 - 1
"""The largest number that a database and a file system keep."""
_MOST_S = 36_500 * 86400.0
"""A hundred years: of a longer duration no date can be told."""


def parse_size(text: str) -> int:
    """Return the bytes that `text` means.

    >>> parse_size("100 GB"), parse_size("1.5GiB"), parse_size("512")
    (100000000000, 1610612736, 512)

    Raises:
        ValueError: `text` isn't a size.
    """
    match = _SIZE.fullmatch(text)
    if match is None or match[2].lower() not in _FACTORS:
        raise ValueError(f"{text!r} isn't a size, such as 100 GB, 1.5 GiB or 512.")
    whole, _, fraction = match[1].partition(".")
    size_bytes = int(int(whole + fraction) * _FACTORS[match[2].lower()] // 10 ** len(fraction))
    if size_bytes > LARGEST_INT:
        raise ValueError(f"{text!r:.80} is too large a size.")
    return size_bytes


def format_size(size_bytes: int) -> str:
    """Return `size_bytes` in the largest decimal unit that leaves a number of at least 1.

    >>> format_size(140_200_000_000), format_size(999), format_size(1500)
    ('140.2 GB', '999 B', '1.5 kB')
    """
    value = float(size_bytes)
    for unit in ("B", "kB", "MB", "GB"):
        if abs(value) < 999.95:
            return f"{size_bytes} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def format_count(count: int) -> str:
    """Return a large count as people write it: thousands, millions, billions, trillions.

    >>> format_count(134_515_008), format_count(70_600_000_000), format_count(999)
    ('134.5 M', '70.6 B', '999')
    """
    value = float(count)
    for unit in ("", " k", " M", " B"):
        if value < 999.95:
            return f"{value:.1f}{unit}" if unit else f"{count}"
        value /= 1000
    return f"{value:.1f} T"


def many(count: int, one: str, several: str = "") -> str:
    """Return a count with its noun, `several` where that isn't `one` with an s.

    >>> many(1, "model"), many(1200, "model"), many(0, "copy", "copies")
    ('1 model', '1,200 models', '0 copies')
    """
    return f"{count:,} {one if count == 1 else several or f'{one}s'}"


def parse_duration(text: str, *, bare: str = "") -> float:
    """Return the seconds that `text` means.

    >>> parse_duration("90s"), parse_duration("30m"), parse_duration("2h"), parse_duration("30d")
    (90.0, 1800.0, 7200.0, 2592000.0)

    Args:
        text: A number and its unit: s, m, h, d or w.
        bare: The unit of a number without one; empty: such a number is no duration. Who types 90 may mean days.

    Raises:
        ValueError: `text` isn't a duration.
    """
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*([smhdw]?)", text.strip())
    unit = match and (match[2] or bare)
    if match is None or not unit:
        raise ValueError(f"{text!r:.80} isn't a duration with its unit, such as 90s, 30m, 2h or 30d.")
    duration_s = float(match[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}[unit]
    if duration_s > _MOST_S:
        raise ValueError(f"{text!r:.80} is more than a hundred years.")
    return duration_s


def format_duration(duration_s: float) -> str:
    """Return a duration in the two largest units that matter.

    >>> format_duration(0.25), format_duration(75), format_duration(7260)
    ('0.2 s', '1 min 15 s', '2 h 1 min')
    """
    if duration_s < 59.95:
        return f"{duration_s:.1f} s"
    minutes, seconds = divmod(round(duration_s), 60)
    if minutes < 60:
        return f"{minutes} min {seconds} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"


def format_age(then_s: float, now_s: float) -> str:
    """Return how long ago `then_s` was, both in seconds since 1970.

    >>> format_age(0, 30), format_age(0, 7200)
    ('just now', '2 h ago')
    """
    age_s = max(0.0, now_s - then_s)
    if age_s < 60:
        return "just now"
    unit_s, name = next(unit for unit in ((86400, "d"), (3600, "h"), (60, "min")) if age_s >= unit[0])
    return f"{int(age_s // unit_s)} {name} ago"


def rfc3339(epoch_s: float) -> str:
    """Return seconds since 1970 as RFC 3339 in UTC, to the millisecond.

    >>> rfc3339(0)
    '1970-01-01T00:00:00.000Z'
    """
    return datetime.fromtimestamp(epoch_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def limit_gb(size_bytes: int) -> str:
    """Return a size as the settings take a limit, in GB: an integer, or two significant digits of a fraction; never 0.

    >>> [limit_gb(size) for size in (1_800 * GB, 10 * GB, 57_600_000, 1)]
    ['1800', '10', '0.058', '0.000000001']
    """
    if size_bytes >= 10 * GB:
        return str(size_bytes // GB)
    return f"{float(f'{max(size_bytes, 1) / GB:.2g}'):.9f}".rstrip("0").rstrip(".")
