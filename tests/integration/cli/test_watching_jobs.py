"""What `shelf jobs` lists, and `--watch` on a terminal and in a pipe."""

from __future__ import annotations

import re
import signal

import pytest

from tests.fakes.hub import FakeHub
from tests.terminal import SHELF, Terminal, shelf_on_terminal
from tests.world import Home, random_bytes


@pytest.fixture
def half(hub: FakeHub, home: Home) -> None:
    """A download in another process, held at half of its bytes."""
    hub.add_repo("org/name", {"model.safetensors": random_bytes(3_000_000)})
    home.run("add", "m", "org/name", "--no-download").checked()
    hub.pause(after_bytes=1_500_000)
    home.start("pull", "m")
    hub.wait_for_bytes(1_500_000)


@pytest.mark.usefixtures("half")
def test_a_terminal_is_drawn_anew_until_ctrl_c(hub: FakeHub, home: Home) -> None:
    """On a terminal the job's row changes in place, and Ctrl-C ends with the shell's exit code for it."""
    terminal = Terminal(home, *SHELF, "jobs", "--watch")

    terminal.wait_for("downloading")
    hub.resume()
    terminal.wait_for("done")
    terminal.type("\x03")
    seen = terminal.finish()

    assert seen.code == 130
    assert "Traceback" not in seen.raw
    assert "is kept" not in seen.raw
    screens = seen.text.split("\x1b[H\x1b[J")[1:]
    assert all(screen.startswith("JOB  KIND  MODEL  STATE") for screen in screens), screens
    assert re.search(r"1  pull  m +done +3\.0 MB  just now", screens[-1])


@pytest.mark.usefixtures("half")
def test_a_pipe_gets_a_line_for_each_change(hub: FakeHub, home: Home) -> None:
    """A pipe gets a line for each change of a job, and for its end."""
    child = home.start("jobs", "--watch")
    assert child.process.stdout is not None
    lines = [child.process.stdout.readline()]
    hub.resume()
    while "done" not in lines[-1]:
        lines.append(child.process.stdout.readline())
        assert lines[-1]
    child.process.send_signal(signal.SIGINT)

    ended = child.finish()
    assert (ended.code, ended.err) == (130, "")
    assert all(line.startswith("1 pull m: ") for line in lines)
    assert "\x1b" not in "".join(lines)


def test_the_screen_holds_what_is_newest(hub: FakeHub, home: Home) -> None:
    """A terminal of 24 lines shows the newest of a hundred jobs without scrolling."""
    with home.open() as shelf:
        for _ in range(100):
            job = shelf.services.registry.add_job("gc", "", {})
            shelf.services.registry.finish_job(job.id, "failed", detail="It didn't work for a reason. " * 5)
    terminal = Terminal(home, *SHELF, "jobs", "--watch")
    terminal.wait_for("reason")
    terminal.type("\x03")
    screen = terminal.finish().text.split("\x1b[H\x1b[J")[1]

    assert re.match(r"JOB .*\n100  gc", screen)
    assert len(screen.splitlines()) <= 24


def test_watching_has_no_json(home: Home) -> None:
    """--watch with --json is refused with what to use instead."""
    refused = home.run("jobs", "--watch", "--json")

    assert (refused.code, refused.problem["hint"]) == (2, "shelf jobs --follow --json prints a line for each change.")


def test_the_age_of_a_job_is_said_in_words(home: Home) -> None:
    """A job's age says when it ended or was queued."""
    with home.open() as shelf:
        job = shelf.services.registry.add_job("gc", "", {})
        shelf.services.registry.finish_job(job.id, "done")

    assert re.search(r"1  gc +done +just now\n", shelf_on_terminal(home, "jobs").text)


def test_the_newest_are_listed_and_all_that_go_on(home: Home) -> None:
    """Of many jobs the newest are listed, with all that aren't finished, and how many more there are and how to see."""
    with home.open() as shelf:
        for _ in range(70):
            job = shelf.services.registry.add_job("gc", "", {})
            if job.id != 3:
                shelf.services.registry.finish_job(job.id, "done")

    listed, machine = home.run("jobs").checked(), home.run("jobs", "--json").checked().json
    few, whole = home.run("jobs", "--limit", "2").checked(), home.run("jobs", "--all").checked()

    assert [int(line.split()[0]) for line in listed.out.splitlines()[1:]] == [*range(70, 20, -1), 3]
    assert [job["id"] for job in machine] == [*range(70, 20, -1), 3]
    assert listed.err == "19 more: shelf jobs --all\n"
    assert [line.split()[0] for line in few.out.splitlines()[1:]] == ["70", "69", "3"]
    assert (len(whole.out.splitlines()), whole.err) == (71, "")
