"""Parsing the Hub's paths and ranges."""

from __future__ import annotations

import pytest

from modelshelf.server.hub.paths import HubPath, parse_path, parse_range


@pytest.mark.parametrize(
    ("raw", "meaning"),
    [
        ("api/whoami-v2", HubPath("whoami")),
        ("api/models/org/name", HubPath("info", "org/name")),
        ("api/models/gpt2", HubPath("info", "gpt2")),
        ("api/models/org%2Fname", HubPath("info", "org/name")),
        ("api/models/org/name/", HubPath("info", "org/name")),
        ("api/models/org/name/revision/refs%2Fpr%2F1", HubPath("info", "org/name", "refs/pr/1")),
        ("api/models/gpt2/revision/refs/pr/1", HubPath("info", "gpt2", "refs/pr/1")),
        ("api/models/org/name/refs", HubPath("refs", "org/name")),
        ("api/models/gpt2/refs", HubPath("refs", "gpt2")),
        ("api/models/org/name/tree/main", HubPath("tree", "org/name")),
        ("api/models/org/name/tree/main/", HubPath("tree", "org/name")),
        ("api/models/gpt2/tree/v1/a/b", HubPath("tree", "gpt2", "v1", "a/b")),
        ("api/models/org/tree/tree/main", HubPath("tree", "org/tree")),
        ("api/models/org/name/tree/refs/pr/7/a", HubPath("tree", "org/name", "refs/pr/7", "a")),
        ("api/models/org/name/paths-info/dev%2Fx", HubPath("paths-info", "org/name", "dev/x")),
        ("api/models", HubPath("models")),
        ("api/models/", HubPath("models")),
        ("api/models/org/name/auth-check", HubPath("auth-check", "org/name")),
        ("api/models/org/name/commits/main", HubPath("commits", "org/name")),
        ("org/name/raw/main/a.txt", HubPath("raw", "org/name", "main", "a.txt")),
        ("v2/org/name/manifests/Q4_K_M", HubPath("manifest", "org/name", path="Q4_K_M")),
        ("v2/gpt2/manifests/latest", HubPath("manifest", "gpt2", path="latest")),
        ("api/datasets/org/name", HubPath("other-type", path="datasets")),
        ("spaces/org/name/resolve/main/f", HubPath("other-type", path="spaces")),
        ("org/name/resolve/main/a/b%20c.txt", HubPath("resolve", "org/name", "main", "a/b c.txt")),
        ("gpt2/resolve/refs%2Fpr%2F1/f", HubPath("resolve", "gpt2", "refs/pr/1", "f")),
        ("gpt2/resolve/refs/pr/1/f", HubPath("resolve", "gpt2", "refs/pr/1", "f")),
        ("gpt2/resolve/main/resolve/f", HubPath("resolve", "gpt2", "main", "resolve/f")),
        ("org/name/resolve/main/%C3%A9%25.bin", HubPath("resolve", "org/name", "main", "é%.bin")),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_path_of_the_hub_is_understood(raw: str, meaning: HubPath) -> None:
    """Ids with and without an organisation, quoted revisions and paths are decoded."""
    assert parse_path(raw) == meaning


def test_a_climbing_path_is_decoded_so_that_its_check_sees_it() -> None:
    """A quoted slash is decoded before the path is checked."""
    assert parse_path("org/name/resolve/main/..%2f..%2fetc") == HubPath("resolve", "org/name", "main", "../../etc")


@pytest.mark.parametrize(
    "raw",
    ["", "/", "api", "api/models/a/b/c", "v2/org/name", "v2/a/b/c/manifests/x", "org/name",
     "org/name/resolve/main", "gpt2/resolve", "org/name/resolve/main/%FF", "api/models/%ff", "org/name/blob/main/f"],
)  # fmt: skip
def test_what_is_no_route_of_the_hub_is_none(raw: str) -> None:
    """A path that isn't the Hub's, or isn't UTF-8, has no meaning."""
    assert parse_path(raw) is None


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        ("bytes=0-0", range(1)),
        ("bytes=2-5", range(2, 6)),
        ("bytes=5-", range(5, 10)),
        ("bytes=5-99", range(5, 10)),
        ("bytes=-4", range(6, 10)),
        ("bytes=-99", range(10)),
        ("bytes=10-", range(0)),
        ("bytes=10-11", range(0)),
        ("bytes=-0", range(0)),
        (None, None),
        ("", None),
        ("bytes=5-2", None),
        ("bytes=0-1,4-5", None),
        ("bytes=-", None),
        ("lines=0-1", None),
        ("bytes=a-b", None),
        ("bytes=" + "9" * 5000 + "-", None),
        ("bytes=٣-", None),
    ],
)
def test_a_range_of_ten_bytes_is_understood(header: str | None, wanted: range | None) -> None:
    """A range is clipped to the file, empty past its end, and None if the whole file is the answer."""
    found = parse_range(header, 10)

    assert (found is None) == (wanted is None)
    assert list(found or []) == list(wanted or [])


def test_every_range_of_an_empty_file_is_past_its_end() -> None:
    """Every range of an empty file is past its end."""
    assert not parse_range("bytes=0-", 0)
    assert not parse_range("bytes=-5", 0)
