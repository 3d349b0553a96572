"""What the measurements share: whole commands timed in turn, and one table with the machine it was made on."""

from __future__ import annotations

import contextlib
import math
import os
import platform
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from modelshelf.bootstrap.shelf import open_shelf
from modelshelf.settings import load_settings


@dataclass(frozen=True)
class Command:
    """One contender: a whole process, from its start to its end."""

    name: str
    arguments: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables beside those that every command gets."""
    before: Callable[[], None] = lambda: None
    """Run before each round, not timed."""
    check: Callable[[str], object] = bool
    """Gets what the command printed; false ends the measurement, for a command that did not work is fast."""
    job: str = ""
    """The kind of job that it carries out; how long that took is told too, apart from the start of the process."""


@dataclass(frozen=True)
class Timing:
    """One run."""

    wall_s: float
    cpu_s: float
    """User and system time of the process and its children."""


Timings = dict[str, list[Timing]]

_HASH = """
import hashlib, sys
from concurrent.futures import ThreadPoolExecutor
def digest(path):
    digest, view = hashlib.sha256(), memoryview(bytearray(2**20))
    with open(path, "rb", buffering=0) as file:
        while count := file.readinto(view):
            digest.update(view[:count])
    return digest.hexdigest()
with ThreadPoolExecutor(int(sys.argv[1])) as pool:
    print(*pool.map(digest, sys.argv[2:]))
"""
ONE_CORE, ALL_CORES = "sha256, one core", "sha256, all cores"


def hashing(name: str, *files: Path) -> Command:
    """Return the bound of everything that checks bytes: files read and hashed by one thread, or one for each core."""
    threads = 1 if name == ONE_CORE else os.cpu_count() or 1
    return Command(name, [sys.executable, "-S", "-c", _HASH, str(threads), *map(str, files)])


@contextlib.contextmanager
def run_hub(repo_id: str, *files: Path) -> Iterator[str]:
    """Serve files as a hub in a process of its own; gives its URL."""
    command = [sys.executable, "-m", "tests.fakes.hub", "--repo", repo_id]
    command += [word for file in files for word in ("--file", str(file))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parent.parent) as child:
        try:
            yield child.stdout.readline().split(" ")[0] if child.stdout else ""
        finally:
            child.terminate()


def free_port() -> int:
    """Return a port of loopback that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def environment() -> dict[str, str]:
    """Return the variables that every command gets: quiet, offline where it may be, and with compiled modules."""
    mine = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "SHELF_"))}
    mine.pop("PYTHONDONTWRITEBYTECODE", None)
    quiet = ("HF_HUB_DISABLE_PROGRESS_BARS", "HF_HUB_DISABLE_UPDATE_CHECK", "HF_HUB_DISABLE_TELEMETRY")
    return mine | dict.fromkeys(quiet, "1") | {"PATH": f"{Path(sys.executable).parent}:{mine.get('PATH', '')}"}


def run_in_turn(commands: Sequence[Command], rounds: int) -> Timings:
    """Run the commands one after the other, round after round, each round in the other order.

    Args:
        commands: The contenders.
        rounds: How many rounds count; one more comes first and is thrown away.
    """
    timings: Timings = {command.name: [] for command in commands}
    for number in range(rounds + 1):
        for command in commands if number % 2 else reversed(commands):
            command.before()
            timing = time_once(command)
            if number:
                timings[command.name].append(timing)
            if number and command.job:
                timings.setdefault(f"{command.name}, its job", []).append(time_of_job(command))
    return timings


def time_of_job(command: Command) -> Timing:
    """Return how long the last job of a command's kind took."""
    with open_shelf(settings=load_settings(environ=command.environment)) as shelf:
        job = shelf.services.registry.jobs(kind=command.job)[0]
        assert job.finished_at is not None
        return Timing(job.finished_at - job.created_at, math.nan)  # of its process alone the processor time is known


def time_once(command: Command) -> Timing:
    """Run one command to its end."""
    begin = time.perf_counter()
    with subprocess.Popen(
        list(command.arguments), env=environment() | dict(command.environment), stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        printed = child.stdout.read()
        _, status, used = os.wait4(child.pid, 0)
        wall_s = time.perf_counter() - begin
        child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode or not command.check(printed):
        sys.exit(f"{command.name} did not work (exit code {child.returncode}): {printed[-500:]}")
    return Timing(wall_s, used.ru_utime + used.ru_stime)


def machine(folder: Path) -> str:
    """Return the machine in one line: cores, CPU, kernel, and the file system of `folder`."""
    cpu_info = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    model = next((line.partition(": ")[2] for line in cpu_info.splitlines() if line.startswith("model name")), "?")
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return (
        f"{os.cpu_count()} cores of {model}, Linux {platform.release()}, Python {platform.python_version()}, "
        f"{folder} on {file_system(folder)}, load {load}"
    )


def file_system(folder: Path) -> str:
    """Return the type of the file system that holds `folder`."""
    mounts = [line.split(" ")[1:3] for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines()]
    above = {str(folder.resolve()), *map(str, folder.resolve().parents)}
    return max((len(point), kind) for point, kind in mounts if point in above)[1]


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table whose first column is flush left."""
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]
    for row in (header, *rows):
        cells = [cell.replace("nan", "").rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        print("  ".join([row[0].ljust(widths[0]), *cells]))


def seconds(timings: Timings) -> list[list[str]]:
    """Return a row for each command: median, least and most seconds, and the median of its CPU time."""
    rows = []
    for name, runs in timings.items():
        wall = [run.wall_s for run in runs]
        numbers = [statistics.median(wall), min(wall), max(wall), statistics.median(run.cpu_s for run in runs)]
        rows.append([name, *(f"{number:.3f}" for number in numbers)])
    return rows


def times_as_fast(timings: Timings, ours: str, theirs: str) -> tuple[float, float, float]:
    """Return how many times as fast `ours` is: the median over the rounds, the least and the most.

    The ratio is taken within each round, for both ran side by side there.
    """
    pairs = zip(timings[ours], timings[theirs], strict=True)
    ratios = [other.wall_s / our.wall_s for our, other in pairs]
    return statistics.median(ratios), min(ratios), max(ratios)


def claim(timings: Timings, ours: str, theirs: str, aim: float | None = None, *bounds: str) -> None:
    """Print one ratio, and what it should be; with more bounds it is to the slowest of all in each round."""
    if bounds:
        rounds = zip(*(timings[name] for name in (theirs, *bounds)), strict=True)
        slowest = [max(runs, key=lambda run: run.wall_s) for runs in rounds]
        theirs = f"the slower of {' and '.join((theirs, *bounds))}"
        timings = {ours: timings[ours], theirs: slowest}
    middle, least, most = times_as_fast(timings, ours, theirs)
    wanted = "" if aim is None else f"; aim {aim:g}: {'reached' if middle >= aim else 'missed'}"
    print(f"{ours} is {middle:.2f} times as fast as {theirs} ({least:.2f} to {most:.2f}{wanted})")
