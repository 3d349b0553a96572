"""What the reader of small files accepts, and what it refuses without waiting."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from modelshelf.errors import BadInput
from modelshelf.store.small_files import SMALL_BYTES, open_regular, read_small_json, read_small_text
from tests.builders import terabyte


def fifo(path: Path) -> None:
    """Make a fifo that nobody writes to."""
    os.mkfifo(path)


def unix_socket(path: Path) -> None:
    """Make a socket."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


def device(path: Path) -> None:
    """Make a device that never ends."""
    try:
        os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 5))
    except PermissionError:
        pytest.skip("only root makes devices")


def link(path: Path) -> None:
    """Make a link to a good file elsewhere."""
    path.with_name("elsewhere").write_text("abc")
    path.symlink_to("elsewhere")


def latin(path: Path) -> None:
    """Write what isn't UTF-8."""
    path.write_bytes(b"\xff\xfe")


@pytest.mark.timeout(20)
@pytest.mark.parametrize("make", [fifo, unix_socket, device, terabyte, link, latin, Path.mkdir])
def test_what_is_no_small_file_is_refused_at_once(make: Callable[[Path], None], tmp_path: Path) -> None:
    """A fifo, socket, device, terabyte, link, folder or file of foreign bytes is refused at once."""
    make(tmp_path / "ref")

    with pytest.raises((OSError, BadInput)):
        read_small_text(tmp_path / "ref")


def test_what_is_no_regular_file_is_closed_again(tmp_path: Path) -> None:
    """A fifo that is opened to be read is refused at once, and leaves no descriptor open."""
    fifo(tmp_path / "weights")
    before = set(Path("/proc/self/fd").iterdir())

    with pytest.raises(BadInput):
        open_regular(tmp_path / "weights")

    assert set(Path("/proc/self/fd").iterdir()) == before


def test_a_small_file_is_read_whole(tmp_path: Path) -> None:
    """A file of exactly the allowed size is read whole."""
    text = "ä" * (SMALL_BYTES // 2)
    (tmp_path / "list").write_text(text, encoding="utf-8")

    assert read_small_text(tmp_path / "list") == text


def test_a_small_json_file_is_parsed(tmp_path: Path) -> None:
    """A JSON file comes back as its value."""
    (tmp_path / "list").write_text('{"a": [1]}')

    assert read_small_json(tmp_path / "list") == {"a": [1]}


def test_a_closed_file_is_an_os_error(tmp_path: Path) -> None:
    """A missing file and one that can't be parsed raise different errors."""
    with pytest.raises(FileNotFoundError):
        read_small_text(tmp_path / "nothing")


def test_a_file_that_says_it_is_empty_is_read_whole() -> None:
    """A file whose size isn't known before it is read, as in /proc, is read to its end."""
    assert read_small_text(Path("/proc/version")) == Path("/proc/version").read_text()
