"""Whether the process that owns something still lives."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from modelshelf.services.jobs.process import is_alive, this_process

NAME = "from modelshelf.services.jobs.process import this_process; print(this_process(), flush=True); input()"
ASK = "import sys; from modelshelf.services.jobs.process import is_alive; print(is_alive(sys.argv[1]))"


def start() -> tuple[subprocess.Popen[str], str]:
    """Start a process and return it with its identity."""
    child = subprocess.Popen([sys.executable, "-c", NAME], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    return child, child.stdout.readline().strip()


def test_this_process_lives() -> None:
    """A process knows itself by its identity and always has the same one."""
    assert is_alive(this_process()) is True
    assert this_process() == this_process()


def test_a_child_lives_until_it_ends() -> None:
    """A process that ended without being waited for counts as dead."""
    child, name = start()
    before = is_alive(name)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    as_zombie = is_alive(name)
    child.communicate()

    assert (before, as_zombie, is_alive(name)) == (True, False, False)


def test_another_process_with_the_same_pid_is_not_the_same() -> None:
    """Two processes with the same pid are told apart by their start times."""
    place, pid, _ = this_process().rsplit(":", 2)

    assert is_alive(f"{place}:{pid}:1") is False


@pytest.mark.parametrize("owner", ["", "host", "boot:pid:[1]:1:2", "a:b:c:d:e"], ids=str)
def test_who_is_elsewhere_can_not_be_judged(owner: str) -> None:
    """A process on another machine or in another container can't be judged, and neither can no process at all."""
    assert is_alive(owner) is None


def namespaces(*words: str) -> str:
    """Run Python in its own process namespace and return what it prints."""
    if os.geteuid() != 0:
        pytest.skip("a process namespace needs root")
    done = subprocess.run(
        ["unshare", "--pid", "--fork", *words], capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    if "unshare:" in done.stderr:
        pytest.skip(f"namespaces cannot be made here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("own_proc", [["--mount-proc"], []], ids=["its own /proc", "the /proc of outside"])
def test_a_container_says_nothing_about_who_is_outside(own_proc: list[str]) -> None:
    """A container can't judge processes outside, because their pids mean other processes there."""
    assert namespaces(*own_proc, sys.executable, "-c", ASK, this_process()) == "None"


def test_a_container_with_the_proc_of_outside_does_not_take_itself_for_dead() -> None:
    """If `/proc` belongs to another namespace, no process is judged."""
    code = "from modelshelf.services.jobs.process import is_alive, this_process; print(is_alive(this_process()))"

    assert namespaces(sys.executable, "-c", code) == "None"


def test_a_hidden_process_of_another_user_is_not_taken_for_dead() -> None:
    """With `hidepid`, other users' processes are hidden and can't be judged, so they don't count as dead."""
    code = (
        "import os, subprocess, sys, modelshelf.services.jobs.process as o\n"
        "child = subprocess.Popen(['sleep', '60'])\n"
        "name = o.this_process().rsplit(':', 2)[0] + f':{child.pid}:' + o._start_time(child.pid)\n"
        "seen = o.is_alive(name)\n"
        "os.setgroups([]); os.setresgid(4711, 4711, 4711); os.setresuid(4711, 4711, 4711)\n"
        "print(seen, o.is_alive(name))\n"
    )
    script = 'mount -t proc -o hidepid=2 proc /proc && exec "$@"'

    said = namespaces("--mount", "sh", "-c", script, "sh", sys.executable, "-c", code)

    assert said == "True None"
