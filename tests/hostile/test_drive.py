"""A drive that lies in every file: what fails is left out, nothing hangs, and nothing outside it changes."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelshelf.store.tiers import strange
from tests.builders import terabyte
from tests.fakes.hub import FakeHub
from tests.hostile.drive import (
    NAME,
    WATCHDOG_S,
    Drive,
    canary,
    change,
    examine,
    examples,
    look,
    replaced,
    said_in,
    within,
)
from tests.world import Home

FILES = ("sidecar", "marker", "capabilities", "meter", "links", "tree", "ref", "map", "absence")
DEEP = "[" * 200_000
PATHS = ("/etc/passwd", "../../../outside/.bashrc", "..", "", ".", "a\0b", "\ud800", "x" * 5000, "a//b", "\x1b[31m")
NASTY = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([2**63, -(2**63) - 1, 10**400, float("nan"), float("inf"), 1e308]),
    st.sampled_from(PATHS),
    st.text(st.characters(), max_size=20),
    st.lists(st.none() | st.integers() | st.text(max_size=5), max_size=4),
    st.dictionaries(st.sampled_from(PATHS) | st.text(max_size=5), st.none() | st.integers(), max_size=4),
)


@pytest.fixture(scope="module")
def drive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Drive]:
    """The drive, with a hub that doesn't know its model."""
    with FakeHub() as hub:
        yield Drive(Home(tmp_path_factory.mktemp("drive") / "user", hub.url))


@pytest.fixture(autouse=True)
def nothing_outside_changes(drive: Drive) -> Iterator[None]:
    """Assert that everything beside the drive keeps its bytes, modes and times."""
    drive.fresh()
    before = canary(drive.outside), canary(drive.home.root / "home")
    yield
    assert (canary(drive.outside), canary(drive.home.root / "home")) == before


def test_an_honest_drive_is_taken(drive: Drive) -> None:
    """An unchanged drive's model is registered, whole, and nothing on it is strange."""
    with drive.open() as shelf:
        look(drive, shelf)

        assert [(model.row.model_name, model.state.value) for model in shelf.models()] == [(NAME, "ready")]
        assert strange.find(drive.base) == []


def socket_at(path: Path) -> None:
    """Make a socket."""
    here = Path.cwd()
    os.chdir(path.parent)  # its whole path is longer than a socket's may be
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path.name)
    finally:
        os.chdir(here)


@pytest.mark.parametrize("what", FILES)
def test_a_fifo_in_place_of_a_small_file_holds_nothing_up(drive: Drive, what: str) -> None:
    """A fifo in place of any small file doesn't block reading or changing."""
    replaced(drive.files()[what], os.mkfifo)

    with drive.open() as shelf:
        within(WATCHDOG_S, lambda: look(drive, shelf))
        within(WATCHDOG_S, lambda: change(shelf))


@pytest.mark.parametrize("make", [socket_at, terabyte, Path.mkdir], ids=["socket", "terabyte", "folder"])
def test_nothing_else_in_place_of_all_small_files_holds_anything_up(drive: Drive, make: Callable[[Path], None]) -> None:
    """A socket, a sparse terabyte or a folder in place of every small file doesn't hang, raise or fill the memory."""
    for path in drive.files().values():
        replaced(path, make)

    with drive.open() as shelf:
        within(WATCHDOG_S, lambda: look(drive, shelf))
        within(WATCHDOG_S, lambda: change(shelf))
    within(WATCHDOG_S, lambda: examine(drive))


@pytest.mark.parametrize("what", FILES)
def test_a_link_in_place_of_a_small_file_is_not_followed(drive: Drive, what: str) -> None:
    """A link to a good file outside, in place of a small file, is neither read nor written through."""
    path = drive.files()[what]
    good = drive.home.root / "good"
    good.write_bytes(path.read_bytes())
    os.utime(good, ns=(1, 1))
    replaced(path, lambda name: name.symlink_to(good))

    with drive.open() as shelf:
        look(drive, shelf)
        change(shelf)

    assert good.stat().st_mtime_ns == 1


BLOB = "0" * 64


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"revision": "{outside}/.bashrc", "commit_hash": "echo pwned #\n"}, id="a path and a line"),
        pytest.param({"revision": "{outside}/.bashrc"}, id="a path as revision"),
        pytest.param({"revision": "../../../../../outside/.bashrc"}, id="a climbing revision"),
        pytest.param({"commit_hash": "echo pwned #\n"}, id="a line as commit"),
        pytest.param({"commit_hash": "../../../../outside/deep"}, id="a path as commit"),
        pytest.param({"model_name": "../../../../outside/deep/key"}, id="a path as name"),
        pytest.param({"model_name": "another"}, id="another model's name"),
        pytest.param({"hf_path": "../../outside/deep"}, id="a path as repository"),
        pytest.param({"hf_path": "org/a--b"}, id="no repository"),
        pytest.param({"files": [["../../../../../../outside/.bashrc", 7, BLOB]]}, id="a climbing file"),
        pytest.param({"files": [["{outside}/.bashrc", 7, BLOB]]}, id="an absolute file"),
        pytest.param({"files": [["config.json", 7, "../../../../../outside/.bashrc"]]}, id="a path as digest"),
        pytest.param({"files": [["config.json", -1, BLOB]]}, id="a negative size"),
        pytest.param({"files": [["config.json", 2**63, BLOB]]}, id="a size of 64 bits"),
        pytest.param({"files": [["config.json", 1.5, BLOB]]}, id="half a byte"),
        pytest.param({"files": [["config.json", 7]]}, id="no digest"),
        pytest.param({"files": "config.json"}, id="no list"),
        pytest.param({"arriving_from": "{outside}/../outside"}, id="a climbing base"),
        pytest.param({"arriving_from": 7}, id="a number as base"),
        pytest.param({"allow_patterns": ["[" * 100_000]}, id="a huge pattern"),
        pytest.param({"allow_patterns": ["*"] * 100_000}, id="many patterns"),
        pytest.param({"pinned": "yes"}, id="no flag"),
        pytest.param({"pin_reason": "\ud800"}, id="half a character"),
    ],
)
def test_a_sidecar_that_lies_writes_and_deletes_nothing(drive: Drive, changes: dict[str, object]) -> None:
    """Nothing in a sidecar becomes a path: a lying one is left out and named, and everything else works."""
    sidecar = drive.files()["sidecar"]
    said_in(sidecar, **json.loads(json.dumps(changes).replace("{outside}", str(drive.outside))))

    with drive.open() as shelf:
        look(drive, shelf)
        assert [model.row.model_name for model in shelf.models()] == []
        change(shelf)

    assert strange.find(drive.base) == [sidecar]


@pytest.mark.parametrize("text", [DEEP, '{"a":' * 200_000, "NaN", '{"id": "x", "id": "y"}', "", "\x00", "{}", "[]"])
def test_json_that_is_none_in_all_places_is_left_out(drive: Drive, text: str) -> None:
    """Endless brackets, invalid numbers, repeated keys or nothing in place of every JSON file stops nothing."""
    for what, path in drive.files().items():
        if what not in ("map", "absence"):
            path.write_text(text)

    with drive.open() as shelf:
        look(drive, shelf)
        change(shelf)


def test_the_doctor_names_what_it_cannot_understand(drive: Drive) -> None:
    """The doctor names an unreadable sidecar or list of links, and a folder with an invalid name, by path."""
    with drive.open() as shelf:
        look(drive, shelf)
        said_in(drive.files()["sidecar"], revision="/etc/passwd")
        drive.base.links.write_text(DEEP)
        (drive.base.hub / "models--org--a--b" / "blobs").mkdir(parents=True)

    found = examine(drive)

    for path in (drive.files()["sidecar"], drive.base.links, drive.base.hub / "models--org--a--b"):
        assert f"{path} cannot be understood: shelf ignores it and leaves it there." in found


def changed(draw: st.DrawFn, value: Any) -> Any:
    """Return a JSON value with one part replaced."""
    if isinstance(value, dict) and value and draw(st.booleans()):
        key = draw(st.sampled_from(sorted(value)))
        if draw(st.integers(0, 5)) == 0:
            return {k: v for k, v in value.items() if k != key} | {draw(st.sampled_from(PATHS)): value[key]}
        return value | {key: changed(draw, value[key])}
    if isinstance(value, list) and value and draw(st.booleans()):
        index = draw(st.integers(0, len(value) - 1))
        return [*value[:index], changed(draw, value[index]), *value[index + 1 :]]
    return draw(NASTY)


@pytest.mark.parametrize("what", ["sidecar", "marker", "capabilities", "meter", "links", "tree"])
@given(data=st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=examples(3))
def test_any_shape_of_a_file_is_taken_or_left_out(drive: Drive, what: str, data: st.DataObject) -> None:
    """With any JSON in one of its files the drive is inspected and changed without a traceback."""
    drive.fresh()
    path = drive.files()[what]
    value = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(data.draw(st.composite(changed)(value))), encoding="utf-8")

    with drive.open() as shelf:
        look(drive, shelf)
        change(shelf)


@pytest.mark.parametrize("what", ["ref", "map"])
@given(content=st.binary(max_size=60) | st.sampled_from([p.encode(errors="replace") for p in PATHS]))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=examples(3))
def test_any_bytes_of_a_ref_or_a_map_are_taken_or_left_out(drive: Drive, what: str, content: bytes) -> None:
    """With any bytes in a ref or in a part's map the drive is inspected and changed without a traceback."""
    drive.fresh()
    drive.files()[what].write_bytes(content)

    with drive.open() as shelf:
        look(drive, shelf)
        change(shelf)
