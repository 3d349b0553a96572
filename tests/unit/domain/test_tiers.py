"""What a tier may hold, and which base a stored row means in this process."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelshelf.domain.tiers import (
    CUSTOM,
    PRIMARY,
    SECONDARY,
    Room,
    Tier,
    Tiers,
    TierStatus,
    Usage,
    check_fits,
    for_a_move,
    outstanding,
    with_holders,
)
from modelshelf.errors import BadInput, OutOfSpace

GB = 10**9
FAST = Tier(PRIMARY, "/mnt/fast", 100 * GB)
SLOW = Tier(SECONDARY, "/mnt/slow", None)
READINGS = st.dictionaries(st.integers(0, 5), st.integers(0, 100))


@pytest.mark.parametrize(
    ("room", "headroom_bytes"),
    [
        (Room(100, 60, 10, 1000, 10), 30),
        (Room(100, 60, 10, 25, 10), 15),
        (Room(100, 120, 0, 1000, 0), 0),
        (Room(100, 0, 0, 10, 30), 0),
        (Room(None, 10**12, 10**12, 500, 100), 400),
    ],
    ids=["the limit binds", "the disk binds", "over the limit", "the disk is promised away", "no limit"],
)
def test_headroom_respects_the_limit_and_the_disk(room: Room, headroom_bytes: int) -> None:
    """Headroom is the smaller of what limit and disk leave, and never negative."""
    assert room.headroom_bytes == headroom_bytes


@given(READINGS, READINGS)
def test_what_is_outstanding_is_never_less_than_either_reading(before: dict[int, int], now: dict[int, int]) -> None:
    """Outstanding bytes are at least those of either reading, whether a reservation grew or shrank between them."""
    found = outstanding(before, now)

    assert max(sum(before.values()), sum(now.values())) <= found <= sum(before.values()) + sum(now.values())


@given(READINGS)
def test_what_did_not_change_is_outstanding_once(reading: dict[int, int]) -> None:
    """Two equal readings of a reservation count once."""
    assert outstanding(reading, reading) == sum(reading.values())


def test_what_fits_exactly_fits() -> None:
    """A need that reaches the limit exactly fits."""
    check_fits(30, FAST, Room(100, 60, 10, 1000, 0))


def test_over_the_limit_the_error_has_the_numbers_of_the_limit() -> None:
    """Over the limit, the error says what is needed and what is free of how much, and has each number in bytes."""
    room = Room(100 * GB, 60 * GB, 9 * GB, 500 * GB, 9 * GB)

    with pytest.raises(OutOfSpace, match=r"Need 140.2 GB, primary has 31.0 GB of 100.0 GB\.") as caught:
        check_fits(140_200_000_000, FAST, room)

    assert caught.value.fields == {
        "cache_location": "primary",
        "cache_path": "/mnt/fast",
        "needed_bytes": 140_200_000_000,
        "headroom_bytes": 31 * GB,
        "limit_bytes": 100 * GB,
        "usage_bytes": 60 * GB,
        "reserved_bytes": 9 * GB,
        "free_bytes": 500 * GB,
        "would_hold": [],
    }


@pytest.mark.parametrize("limit_bytes", [None, 1000 * GB], ids=["no limit", "a limit that would do"])
def test_on_a_full_disk_the_error_speaks_of_the_disk(limit_bytes: int | None) -> None:
    """On a full disk the error doesn't propose to raise the limit."""
    with pytest.raises(OutOfSpace, match=r"primary has 2.0 GB on its disk\.") as caught:
        check_fits(5 * GB, FAST, Room(limit_bytes, 0, 0, 3 * GB, GB))
    assert caught.value.hint == "Free some space on it."


def test_an_error_names_the_tiers_that_would_hold_it() -> None:
    """The error names the tiers with enough room, and its command the first of them."""
    err = OutOfSpace("Too big.", hint="Raise the limit.", needed_bytes=5, would_hold=[])

    found = with_holders(err, 5, [("secondary", 5), ("usb", 4), ("nas", 90)])

    assert found.fields == {"needed_bytes": 5, "would_hold": ["secondary", "nas"]}
    assert (found.detail, found.hint) == ("Too big.", "secondary or nas has room: --to secondary")


@pytest.mark.parametrize(
    ("holders", "hint", "left"),
    [
        (["secondary"], "m stays where it is, on secondary.", []),
        (["secondary", "nas"], "nas has room.", ["nas"]),
        (["nas"], "Use it.", ["nas"]),
    ],
)
def test_where_a_model_lies_is_no_place_to_move_it(holders: list[str], hint: str, left: list[str]) -> None:
    """The error of a refused move doesn't propose the tier that the model is on."""
    found = for_a_move(OutOfSpace("Too big.", hint="Use it.", would_hold=holders), "m", "secondary")

    assert (found.hint, found.fields["would_hold"]) == (hint, left)


def test_where_no_tier_would_hold_it_the_error_stays() -> None:
    """If no tier has enough room, the error has no such hint."""
    err = OutOfSpace("Too big.")

    assert with_holders(err, 5, [("secondary", 4)]) is err


def test_the_base_of_this_process_wins_over_the_stored_one() -> None:
    """A stored row means this process's base for its tier, so the host and a container each use their own path."""
    tiers = Tiers(FAST, SLOW)

    assert tiers.resolve(PRIMARY, "/home/me/elsewhere") is FAST
    assert tiers.resolve(SECONDARY, None) is SLOW
    assert tiers.configured() == [FAST, SLOW]


def test_a_custom_path_is_taken_as_it_is() -> None:
    """A custom path is normalised and limited only by its disk."""
    assert Tiers(FAST, SLOW).resolve(CUSTOM, "/mnt/usb/models/") == Tier(CUSTOM, "/mnt/usb/models", None)


@pytest.mark.parametrize(
    ("stored", "here"),
    [
        ("/mnt/usb", "/models/usb"),
        ("/mnt/usb/", "/models/usb"),
        ("/mnt/usb/deep/er", "/models/usb/deep/er"),
        ("/mnt/usb/inner", "/models/inner"),
        ("/mnt/usb/inner/x", "/models/inner/x"),
        ("/mnt/usbstick", "/mnt/usbstick"),
        ("/srv/other", "/srv/other"),
    ],
)
def test_a_custom_path_goes_through_the_map(stored: str, here: str) -> None:
    """A custom path is mapped by the longest prefix of whole folder names."""
    tiers = Tiers(FAST, custom_map={"/mnt/usb": "/models/usb/", "/mnt/usb/inner": "/models/inner"})

    assert tiers.resolve(CUSTOM, stored).base == here


@pytest.mark.parametrize(
    ("location", "path", "hint"),
    [
        (SECONDARY, None, "Set SECONDARY_CACHE_PATH in .env."),
        ("tertiary", "/mnt/x", "Use primary, secondary or custom."),
        (CUSTOM, None, "Give the base"),
        (CUSTOM, "", "Give the base"),
        (CUSTOM, "/mnt/fast/", "Use cache_location primary."),
        (CUSTOM, "/mnt/x/hub", "Use /mnt/x"),
        (CUSTOM, "models", "Write the whole path."),
    ],
)
def test_a_location_that_means_no_tier_is_refused(location: str, path: str | None, hint: str) -> None:
    """An unusable location is refused, and the hint says what to do instead."""
    with pytest.raises(BadInput) as caught:
        Tiers(FAST).resolve(location, path)
    assert caught.value.hint.startswith(hint)


@pytest.mark.parametrize(("location", "base"), [(PRIMARY, "/mnt/fast"), (SECONDARY, "/mnt/slow")])
def test_who_asks_for_a_tier_may_name_its_base_and_no_other(location: str, base: str) -> None:
    """A request for a tier may name its base and no other path; a stored row may hold another process's path."""
    tiers = Tiers(FAST, SLOW)

    assert tiers.chosen(location, None) == tiers.chosen(location, f"{base}/") == tiers.resolve(location, "/elsewhere")
    with pytest.raises(BadInput) as caught:
        tiers.chosen(location, "/elsewhere")
    assert "custom" in caught.value.hint
    assert tiers.chosen(CUSTOM, "/elsewhere").base == "/elsewhere"


def test_a_path_in_the_place_of_a_tier_is_told_where_it_belongs() -> None:
    """Who gives a base as the tier is told the two words that say it; who gives another word is told the tiers."""
    for word, hint in (
        ("/mnt/usb", "For a base: cache_location custom, cache_path /mnt/usb"),
        ("fast", "Use primary, secondary or custom."),
    ):
        with pytest.raises(BadInput, match="isn't a tier") as caught:
            Tiers(FAST, SLOW).resolve(word, None)
        assert caught.value.hint == hint


def test_the_secondary_base_is_no_custom_one_either() -> None:
    """The secondary base isn't accepted as a custom one, because one folder is one tier."""
    with pytest.raises(BadInput, match="is the secondary base"):
        Tiers(FAST, SLOW).resolve(CUSTOM, SLOW.base)


@pytest.mark.parametrize("path", ["/mnt/fast/inner", "/mnt/disk", "/mnt/disk/slow/a/b"])
def test_a_base_inside_of_another_is_refused(path: str) -> None:
    """A base inside another is refused, because bytes would count twice; a folder with a similar name isn't inside."""
    tiers = Tiers(FAST, Tier(SECONDARY, "/mnt/disk/slow", None))
    with pytest.raises(BadInput, match="overlap"):
        tiers.resolve(CUSTOM, path)
    assert tiers.resolve(CUSTOM, "/mnt/fast2").base == "/mnt/fast2"


def test_a_configured_base_is_stored_as_it_is() -> None:
    """A configured base is stored unmapped, even if the path map would match it."""
    tiers = Tiers(FAST, SLOW, custom_map={"/elsewhere": "/mnt"})

    assert [tiers.stored_path(base) for base in (FAST.base, SLOW.base)] == [FAST.base, SLOW.base]
    assert tiers.stored_path("/mnt/usb") == "/elsewhere/usb"


def test_a_tier_is_shown_in_one_line() -> None:
    """A tier's repr is one line with its base and usage, or says that it is offline."""
    usage = Usage(25 * GB, 25 * GB, {})
    fast = TierStatus(FAST, online=True, detail="", usage=usage, reserved_bytes=0, free_bytes=GB)
    slow = TierStatus(SLOW, online=True, detail="", usage=usage, reserved_bytes=0, free_bytes=GB)

    assert repr(fast) == "<Tier primary /mnt/fast: 25.0 GB of 100.0 GB>"
    assert repr(slow) == "<Tier secondary /mnt/slow: 25.0 GB>"
    assert repr(replace(slow, online=False)) == "<Tier secondary /mnt/slow: offline>"
    assert (fast.location, fast.base, fast.limit_bytes, fast.usage_bytes) == ("primary", "/mnt/fast", 100 * GB, 25 * GB)


def test_a_tier_holds_what_is_written_and_what_is_promised() -> None:
    """A tier holds what is written and what is reserved; the hole in a partial download counts once."""
    usage = Usage(apparent_bytes=100, allocated_bytes=40, breakdown={"partial": 100}, hole_bytes=60)

    status = TierStatus(FAST, online=True, detail="", usage=usage, reserved_bytes=60, free_bytes=0)

    assert status.held_bytes == 100
