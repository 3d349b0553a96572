"""The hours of downloads: what a text means, and how long it is until they begin."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelshelf.domain.download_hours import DAY_S, DownloadHours
from modelshelf.errors import BadInput

SECONDS = st.integers(0, DAY_S - 1)


@pytest.mark.parametrize("text", ["", "1-7", "01:00", "01:00-01:00", "24:00-07:00", "01:60-07:00", "01:00-07:00x", "-"])
def test_what_is_no_hours_is_refused(text: str) -> None:
    """Both times are told with two digits, and hours without length would never come."""
    with pytest.raises(BadInput, match="01:00-07:00"):
        DownloadHours.parse(text)


@pytest.mark.parametrize("text", ["01:00-07:00", "22:15-06:30"], ids=["by day", "over midnight"])
def test_hours_begin_and_end_to_the_second(text: str) -> None:
    """Their first second is open and the one after their last is not, until they begin on the next day."""
    hours = DownloadHours.parse(f" {text.replace('-', ' - ')}")

    assert (hours.closed_s(hours.opens_s), hours.closed_s(hours.closes_s - 1)) == (0, 0)
    assert hours.closed_s(hours.opens_s - 1) == 1
    assert hours.closed_s(hours.closes_s) == (hours.opens_s - hours.closes_s) % DAY_S
    assert (str(hours), hours.opens()) == (text, text[:5])


@given(SECONDS, SECONDS, SECONDS)
def test_who_waits_as_long_as_told_may_download(opens_s: int, closes_s: int, day_s: int) -> None:
    """Whatever the hours and the time: after the wait they have begun."""
    hours = DownloadHours(opens_s, closes_s)
    closed_s = hours.closed_s(day_s)

    assert 0 <= closed_s <= DAY_S
    if opens_s != closes_s:
        assert hours.closed_s((day_s + closed_s) % DAY_S) == 0
