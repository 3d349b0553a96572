"""Sizes and durations as people write them."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelshelf import units


@given(st.integers(0, 10**6), st.integers(0, 999), st.sampled_from(["GB", "gb", "G", "TB"]))
def test_a_decimal_size_is_exact(whole: int, thousandths: int, unit: str) -> None:
    """A decimal size is exact: 0.57 GB is 570,000,000 bytes."""
    number = f"{whole}.{thousandths:03}"

    assert units.parse_size(f"{number} {unit}") == Decimal(number) * (10**12 if unit == "TB" else 10**9)


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("0", 0), (" 7 ", 7), ("5b", 5), ("1k", 1000), ("1kB", 1000), ("1 KiB", 1024), ("2MiB", 2**21),
        (".5 GB", 5 * 10**8), ("1.GiB", 2**30), ("1 TiB", 2**40), ("0.57 GB", 570_000_000),
        ("9007199254740993", 9007199254740993),
    ],
)  # fmt: skip
def test_a_size_is_read(text: str, size_bytes: int) -> None:
    """GB is 10^9 and GiB is 2^30, in letters of any case."""
    assert units.parse_size(text) == size_bytes


@pytest.mark.parametrize(
    "text", ["", "GB", "-1", "1 XB", "1,5 GB", "1e3", "inf", "nan", ".", "1 2", "٣", "9" * 5000, "9223373 TB"]
)
def test_what_is_no_size_is_refused(text: str) -> None:
    """An invalid size raises ValueError and no other error."""
    with pytest.raises(ValueError, match=r"."):
        units.parse_size(text)


@given(st.integers(0, 10**15))
def test_a_shown_size_is_near_what_it_is(size_bytes: int) -> None:
    """A shown size can be read again and differs by at most one twentieth."""
    shown = units.parse_size(units.format_size(size_bytes))

    assert abs(shown - size_bytes) <= size_bytes * 0.051


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (999_949, "999.9 kB"), (999_950, "1.0 MB"), (10**9, "1.0 GB"),
     (31 * 10**9, "31.0 GB"), (2 * 10**12, "2.0 TB"), (1234 * 10**12, "1234.0 TB"), (-1500, "-1.5 kB")],
)  # fmt: skip
def test_a_size_is_shown_in_the_unit_that_fits(size_bytes: int, text: str) -> None:
    """A size is shown in its natural unit: never as `1000.0 kB`, and in TB at most."""
    assert units.format_size(size_bytes) == text


@pytest.mark.parametrize(
    ("duration_s", "text"),
    [(0, "0.0 s"), (59.94, "59.9 s"), (59.96, "1 min 0 s"), (60, "1 min 0 s"), (119.6, "2 min 0 s"),
     (3600, "1 h 0 min"), (47 * 3600, "47 h 0 min"), (50 * 3600, "2 d 2 h")],
)  # fmt: skip
def test_a_duration_is_shown_in_two_units(duration_s: float, text: str) -> None:
    """A duration is shown in its natural unit: never as `60.0 s`."""
    assert units.format_duration(duration_s) == text


@pytest.mark.parametrize(
    ("age_s", "text"),
    [
        (-5, "just now"),
        (59, "just now"),
        (60, "1 min ago"),
        (7199, "1 h ago"),
        (86400, "1 d ago"),
        (10**7, "115 d ago"),
    ],
)
def test_an_age_is_shown_in_one_unit(age_s: float, text: str) -> None:
    """An age is rounded down, and one in the future isn't an error."""
    assert units.format_age(1000.0, 1000.0 + age_s) == text


@pytest.mark.parametrize(
    ("epoch_s", "text"),
    [(0, "1970-01-01T00:00:00.000Z"), (1_700_000_000.1234, "2023-11-14T22:13:20.123Z")],
)
def test_a_time_is_shown_in_utc(epoch_s: float, text: str) -> None:
    """A time is shown as RFC 3339 in UTC, to the millisecond, whatever the time zone."""
    assert units.rfc3339(epoch_s) == text


@pytest.mark.parametrize(
    ("text", "duration_s"), [(" 90s ", 90), ("1.5m", 90), ("2 h", 7200), ("1d", 86400), ("2w", 1209600)]
)
def test_a_duration_is_read(text: str, duration_s: float) -> None:
    """A duration is a number and its unit."""
    assert units.parse_duration(text) == duration_s


def test_a_number_alone_is_a_duration_where_its_unit_is_said() -> None:
    """Without a unit a number is one only for who says which it has there."""
    assert units.parse_duration("90", bare="s") == 90


@pytest.mark.parametrize("text", ["", "s", "90", "-1s", "1y", "1h30m", "nan"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    """An invalid duration raises a ValueError that shows how to write one."""
    with pytest.raises(ValueError, match="such as 90s"):
        units.parse_duration(text)


@pytest.mark.parametrize("text", ["36501d", "9" * 400 + "s", "9" * 5000 + "w"])
def test_a_duration_without_a_date_at_its_end_is_refused(text: str) -> None:
    """A duration of more than a hundred years is refused, because no date can be told from it."""
    with pytest.raises(ValueError, match="more than a hundred years"):
        units.parse_duration(text)
