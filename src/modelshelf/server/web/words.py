"""Sizes, times and counts as the page writes them: a no-break space before each unit, so that no number is torn."""

from __future__ import annotations

from modelshelf.domain.tiers import Tier
from modelshelf.units import format_size, rfc3339

NBSP = "\N{NO-BREAK SPACE}"
_TB = 10**12
_DAY_S = 86400


def size(size_bytes: int) -> str:
    """Return a size: one decimal below 1 TB, two from there.

    >>> size(87_400_000_000), size(1_312_000_000_000), size(142)
    ('87.4\\xa0GB', '1.31\\xa0TB', '142\\xa0B')
    """
    if abs(size_bytes) >= 999_950_000_000:
        return f"{size_bytes / _TB:.2f}{NBSP}TB"
    return format_size(size_bytes).replace(" ", NBSP)


def freed(size_bytes: int) -> str:
    """Return what evicting a model frees; empty for one that leaves with another.

    >>> freed(142), freed(0)
    ('142\\xa0B', '')
    """
    return size(size_bytes) if size_bytes else ""


def limit(size_bytes: int) -> str:
    """Return a limit as a person would write it: without decimals that say nothing.

    >>> limit(100 * 10**9), limit(2 * 10**12), limit(1_500_000_000)
    ('100\\xa0GB', '2\\xa0TB', '1.5\\xa0GB')
    """
    number, _, unit = size(size_bytes).partition(NBSP)
    return f"{number.rstrip('0').rstrip('.') if '.' in number else number}{NBSP}{unit}"


def of_limit(size_bytes: int, limit_bytes: int | None) -> str:
    """Return what is used of a limit, with the unit once where both have the same.

    >>> of_limit(87_400_000_000, 100 * 10**9), of_limit(1_310_000_000_000, 2 * 10**12), of_limit(142, None)
    ('87.4 of 100\\xa0GB', '1.31 of 2\\xa0TB', '142\\xa0B')
    >>> of_limit(5 * 10**6, 10**9)
    '5.0\\xa0MB of 1\\xa0GB'
    """
    used = size(size_bytes)
    if limit_bytes is None:
        return used
    most = limit(limit_bytes)
    same = used.partition(NBSP)[2] == most.partition(NBSP)[2]
    return f"{used.partition(NBSP)[0] if same else used} of {most}"


def percent(part: float, whole: float) -> str:
    """Return a share, with a decimal near a limit, where it matters.

    >>> percent(32, 100), percent(966, 1000), percent(0, 0), percent(0.9, 1)
    ('32\\xa0%', '96.6\\xa0%', '0\\xa0%', '90\\xa0%')
    """
    share = 100 * part / whole if whole else 0.0
    return f"{share:.0f}{NBSP}%" if share < 90 or share.is_integer() else f"{share:.1f}{NBSP}%"


def seconds(duration_s: float) -> str:
    """Return a duration: seconds until 2 minutes, then the two largest units.

    >>> seconds(0.2), seconds(84), seconds(492), seconds(7300), seconds(200_000)
    ('0.2\\xa0s', '84\\xa0s', '8\\xa0min 12\\xa0s', '2\\xa0h 1\\xa0min', '2\\xa0days 7\\xa0h')
    """
    if duration_s < 10:
        return f"{duration_s:.1f}{NBSP}s"
    whole = round(duration_s)
    if whole < 120:
        return f"{whole}{NBSP}s"
    if whole < 3600:
        return f"{whole // 60}{NBSP}min {whole % 60}{NBSP}s"
    if whole < 2 * _DAY_S:
        return f"{whole // 3600}{NBSP}h {whole % 3600 // 60}{NBSP}min"
    return f"{whole // _DAY_S}{NBSP}days {whole % _DAY_S // 3600}{NBSP}h"


def used(then_s: float | None, by: str, now_s: float) -> str:
    """Return how long ago a model was used, and that another program did; see `domain.users.User`.

    >>> used(0, "another program", 7200), used(0, "shelf", 7200)
    ('2\\xa0h ago (other)', '2\\xa0h ago')
    """
    return ago(then_s, now_s) + (" (other)" if by == "another program" else "")


def ago(then_s: float | None, now_s: float) -> str:
    """Return how long ago something was; a dash for never.

    >>> ago(0, 30), ago(0, 7200), ago(0, 86400), ago(0, 38 * 86400), ago(None, 1)
    ('just now', '2\\xa0h ago', 'yesterday', '38\\xa0days ago', '–')
    """
    if then_s is None:
        return "–"
    age_s = max(0.0, now_s - then_s)
    if age_s < 60:
        return "just now"
    if age_s < 3600:
        return f"{age_s // 60:.0f}{NBSP}min ago"
    if age_s < _DAY_S:
        return f"{age_s // 3600:.0f}{NBSP}h ago"
    days = int(age_s // _DAY_S)
    return "yesterday" if days == 1 else f"{days}{NBSP}days ago"


def last_use(used_at: float | None, arrived_at: float, now_s: float) -> str:
    """Return when a model was last used; for one that never was, when it came, which counts like a use.

    >>> last_use(0, 0, 7200), last_use(None, 0, 7200)
    ('used 2\\xa0h ago', 'never used, came 2\\xa0h ago')
    """
    return f"never used, came {ago(arrived_at, now_s)}" if used_at is None else f"used {ago(used_at, now_s)}"


def tier_name(location: str, base: str) -> str:
    """Return what a tier is called: a custom one by the last part of its path.

    >>> tier_name("primary", "/a"), tier_name("custom", "/mnt/usb-drive/models")
    ('Primary', 'usb-drive/models')
    """
    return "/".join(base.rstrip("/").split("/")[-2:]) if location == "custom" else location.capitalize()


def tier_said(location: str, base: str) -> str:
    """Return what a tier is called within a sentence.

    >>> tier_said("primary", "/a"), tier_said("custom", "/mnt/USB/models")
    ('primary', 'USB/models')
    """
    return tier_name(location, base) if location == "custom" else location


def tier_class(location: str) -> str:
    """Return the class of a tier's marks.

    >>> tier_class("primary"), tier_class("secondary"), tier_class("custom")
    ('t1', 't2', 't3')
    """
    return {"primary": "t1", "secondary": "t2"}.get(location, "t3")


def tier_key(tier: Tier) -> str:
    """Return the text that names a tier in an address: its word, or the base of a custom one."""
    return tier.base if tier.location == "custom" else tier.location


def headroom(limit_bytes: int | None, held_bytes: int, free_bytes: int) -> int:
    """Return how much more fits: below the limit and on the disk; never below 0.

    >>> headroom(100 * 10**9, 90 * 10**9, 5 * 10**9), headroom(None, 0, 7), headroom(1, 2, 9)
    (5000000000, 7, 0)
    """
    below = free_bytes if limit_bytes is None else limit_bytes - held_bytes
    return max(0, min(below, free_bytes))


def exact(epoch_s: float | None) -> str:
    """Return a time for a title; empty for None.

    >>> exact(0.0)
    '1970-01-01 00:00:00 UTC'
    """
    return "" if epoch_s is None else rfc3339(epoch_s)[:19].replace("T", " ") + " UTC"
