"""Which disk `shelf init` takes for which tier, with which limit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelshelf.domain.setup import Disk, Setup, Speed, TierChoice, limit_on, parse_limit, propose, settings_text
from modelshelf.errors import BadInput
from modelshelf.settings import check_settings, load_settings
from modelshelf.units import GB


def disk(point: str, size_gb: float, reads_mb: int | None = None, free_gb: float | None = None, **more: bool) -> Disk:
    """Return a disk, empty by default."""
    speed = None if reads_mb is None else Speed(reads_mb * 10**6, reads_mb * 10**6)
    free_bytes = int((size_gb if free_gb is None else free_gb) * GB)
    return Disk(point, "ext4", f"{point}/llm", int(size_gb * GB), free_bytes, speed=speed, **more)


NVME, HDD = disk("/", 500, 3000, is_home=True), disk("/data", 8000, 200)


@pytest.mark.parametrize(
    ("disks", "primary", "secondary"),
    [
        pytest.param([NVME, HDD], "/", "/data", id="the fast small one, the slow large one"),
        pytest.param([HDD, NVME], "/", "/data", id="in whatever order"),
        pytest.param([NVME], "/", None, id="one disk is one tier"),
        pytest.param([replace(NVME, speed=None), replace(HDD, speed=None)], "/", "/data", id="unmeasured: home first"),
        pytest.param([NVME, disk("/nvme2", 4000, 2700)], "/", "/nvme2", id="of two as fast the small one is first"),
        pytest.param([HDD, disk("/fast", 300, 3000)], "/fast", "/data", id="a fast one beside a slow home"),
        pytest.param([NVME, disk("/mnt/nas", 9000, 9999, is_network=True)], "/", "/mnt/nas", id="no share is first"),
        pytest.param([NVME, disk("/stick", 4, 90)], "/", None, id="a disk without a model isn't a tier"),
        pytest.param([NVME, disk("/full", 9000, 200, free_gb=1)], "/", None, id="nor what is full"),
        pytest.param([disk("/", 90, 9, vanishes=True), disk("/vol", 50, 5)], "/vol", None, id="what vanishes is last"),
        pytest.param([disk("/", 90, 9, vanishes=True)], "/", None, id="better than nothing"),
        pytest.param([disk("/stick", 3, 90)], "/stick", None, id="a small one alone"),
    ],
)  # fmt: skip
def test_the_disks_are_given_their_tiers(disks: list[Disk], primary: str, secondary: str | None) -> None:
    """Fast disks come before large ones, permanent before temporary, and unusable ones not at all."""
    proposed = propose(disks)

    found = (proposed.primary.base, proposed.secondary.base if proposed.secondary else None)
    assert found == (f"{primary}/llm", f"{secondary}/llm" if secondary else None)


def test_a_cache_does_not_make_a_disk_fast() -> None:
    """A disk whose reads come from a cache is judged by its writes."""
    cached = replace(HDD, speed=Speed(150 * 10**6, 9 * GB))

    assert propose([NVME, cached]).primary.base == NVME.base


def test_without_a_disk_the_flags_are_said() -> None:
    """Without a writable disk the error names the flags to use."""
    with pytest.raises(BadInput) as caught:
        propose([])
    assert "--primary PATH" in caught.value.hint


@pytest.mark.parametrize(
    ("size_gb", "free_gb", "held_gb", "limit_gb"),
    [(1000, 1000, 0, 800), (1000, 100, 0, 90), (1000, 100, 400, 490), (1000, 500, 400, 800), (0.5, 0.5, 0, 1)],
    ids=["empty", "nearly full", "full of models", "half full of them", "tiny"],
)
def test_a_limit_is_whole_and_leaves_room(size_gb: float, free_gb: float, held_gb: float, limit_gb: int) -> None:
    """A limit is whole: 80 % of the disk, or if less, 90 % of what is free plus what the base holds."""
    found = replace(disk("/", size_gb, free_gb=free_gb), held_bytes=int(held_gb * GB))

    assert found.limit_gb == limit_gb


@pytest.mark.parametrize("text", ["0", "-1", "many", "nan", "inf", "0 GB", "5 parsecs"])
def test_a_limit_that_is_none_is_refused(text: str) -> None:
    """A limit of zero, below zero or without a number is refused."""
    with pytest.raises(BadInput):
        parse_limit(text)


@pytest.mark.parametrize(
    ("text", "limit_gb"),
    [("100", 100), (" 0.5 ", 0.5), ("none", None), ("NONE", None), ("", None), ("700M", 0.7), ("2 TB", 2000)],
)
def test_a_limit_is_a_number_of_gb_or_none(text: str, limit_gb: float | None) -> None:
    """A limit is a number of GB or a size; `none` and an empty answer mean no limit."""
    assert parse_limit(text) == limit_gb


def test_the_limit_of_a_disk_is_known_by_its_mount() -> None:
    """A disk's limit is found by its mount; a mount that isn't for models has none."""
    assert [limit_on([NVME, HDD], point) for point in ("/", "/data", "/else")] == [400, 6400, None]


NAMES = st.text(
    st.characters(codec="utf-8", exclude_characters="/\0\r\n$", exclude_categories=["Cc", "Cs"]),
    min_size=1,
    max_size=60,
)
"""Valid names of folders, of at most 255 bytes."""


@given(NAMES, st.one_of(st.none(), st.floats(0.01, 1e6)))
def test_what_is_written_is_read_back(name: str, limit_gb: float | None) -> None:
    """The settings read back the folder and limit that were written, whatever the folder is called."""
    base = f"/disk/x{name}y"
    text = settings_text(Setup(TierChoice(base, limit_gb), TierChoice("/other", 7)))

    check_settings(Path("/nowhere/.env"), text)
    assert "\n" not in base
    path = Path("settings.env")
    path.write_text(text, encoding="utf-8")
    read = load_settings(path, {"HOME": "/home/me"}).tiers
    assert read.primary.base == base
    assert read.primary.limit_bytes == (None if limit_gb is None else pytest.approx(limit_gb * GB, abs=1, rel=1e-9))
    assert read.secondary is not None
    assert (read.secondary.base, read.secondary.limit_bytes) == ("/other", 7 * GB)


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path_factory.mktemp("work"))
