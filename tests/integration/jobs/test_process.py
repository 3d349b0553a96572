"""Whether an owner lives, despite reused pids, changed clocks and containers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from modelshelf.services.jobs.process import is_alive, this_process
from tests.world import Home

NAME = "from modelshelf.services.jobs.process import *; print(this_process(), flush=True); import sys; sys.stdin.read()"


@pytest.fixture
def other(home: Home) -> subprocess.Popen[str]:
    """Another process that prints its identity and waits."""
    return subprocess.Popen(
        [sys.executable, "-c", NAME], env=home.environ(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def said_by(process: subprocess.Popen[str]) -> str:
    """Return the identity that a process prints."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_a_process_lives_until_it_ends(other: subprocess.Popen[str]) -> None:
    """A process counts as alive until it ends, judged from another process."""
    name = said_by(other)

    assert (is_alive(this_process()), is_alive(name)) == (True, True)
    other.communicate("")
    assert is_alive(name) is False


def test_a_process_id_that_is_used_again_is_another_process() -> None:
    """The same pid with another start time is dead."""
    place, pid, started = this_process().rsplit(":", 2)

    assert is_alive(f"{place}:{pid}:{int(started) - 1}") is False


def test_a_clock_that_is_set_kills_nobody() -> None:
    """A start time is in ticks since boot, so changing the clock makes no process look dead."""
    stat = Path(f"/proc/{os.getpid()}/stat").read_text(encoding="ascii", errors="replace")

    assert this_process().rpartition(":")[2] == stat.rpartition(")")[2].split()[19]


def test_the_name_of_a_program_does_not_matter(home: Home, tmp_path: Path) -> None:
    """A program named `a) b (c` is still found, though /proc shows the name before the start time."""
    link = tmp_path / "a) 1 (2"
    link.symlink_to(sys.executable)
    code = f"import ctypes; ctypes.CDLL(None).prctl(15, b'a) 1 (2', 0, 0, 0); {NAME}"
    process = subprocess.Popen(
        [sys.executable, "-c", code], env=home.environ(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )

    name = said_by(process)

    assert "a) 1 (2" in Path(f"/proc/{process.pid}/stat").read_text()
    assert is_alive(name) is True
    process.communicate("")


def test_nothing_is_said_of_a_process_in_another_container(home: Home) -> None:
    """A process in another namespace or on another machine isn't judged, because its pid means nothing here."""
    if os.geteuid() != 0:
        pytest.skip("a process namespace needs root")
    process = subprocess.Popen(
        ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-c", NAME],
        env=home.environ(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    name = said_by(process)
    if not name:
        pytest.skip("no process namespace can be made here")

    assert is_alive(name) is None
    process.communicate("")
    assert is_alive(name) is None
    boot, rest = this_process().split(":", 1)
    assert is_alive(f"{boot[::-1]}:{rest}") is None


def test_the_container_a_name_is_from_is_no_host_name(home: Home) -> None:
    """An owner's identity doesn't contain the host name, which may be shared or change."""
    import socket

    assert socket.gethostname() not in this_process()


@pytest.mark.parametrize("name", ["", "x", "a:b", "a:b:c:d", "boot:pid:[1]:x:y"])
def test_a_name_of_another_make_is_not_judged(name: str) -> None:
    """An identity in an unknown format is never judged as dead."""
    assert is_alive(name) is None
