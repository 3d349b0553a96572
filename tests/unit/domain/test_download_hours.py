"""Download hours: how they are parsed, and how long until they begin."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelshelf.domain.download_hours import DAY_S, DownloadHours
from modelshelf.errors import BadInput

SECONDS = st.integers(0, DAY_S - 1)


@pytest.mark.parametrize("text", ["", "1-7", "01:00", "01:00-01:00", "24:00-07:00", "01:60-07:00", "01:00-07:00x", "-"])
def test_what_is_no_hours_is_refused(text: str) -> None:
    """Download hours need two times of two digits each, and a length that isn't zero."""
    with pytest.raises(BadInput, match="01:00-07:00"):
        DownloadHours.parse(text)


@pytest.mark.parametrize("text", ["01:00-07:00", "22:15-06:30"], ids=["by day", "over midnight"])
def test_hours_begin_and_end_to_the_second(text: str) -> None:
    """The first second of the hours is open and the one after the last is closed, until they begin the next day."""
    hours = DownloadHours.parse(f" {text.replace('-', ' - ')}")

    assert (hours.closed_s(hours.opens_s), hours.closed_s(hours.closes_s - 1)) == (0, 0)
    assert hours.closed_s(hours.opens_s - 1) == 1
    assert hours.closed_s(hours.closes_s) == (hours.opens_s - hours.closes_s) % DAY_S
    assert (str(hours), hours.opens()) == (text, text[:5])


@given(SECONDS, SECONDS, SECONDS)
def test_who_waits_as_long_as_told_may_download(opens_s: int, closes_s: int, day_s: int) -> None:
    """After the wait that is returned, downloads are allowed, whatever the hours and the time."""
    hours = DownloadHours(opens_s, closes_s)
    closed_s = hours.closed_s(day_s)

    assert 0 <= closed_s <= DAY_S
    if opens_s != closes_s:
        assert hours.closed_s((day_s + closed_s) % DAY_S) == 0
