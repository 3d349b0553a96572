"""What an idle server costs: its share of a core with many models and a listener, beside a server without any.

    python bench/idle.py [--models 5000] [--seconds 60] [--folder FOLDER]

Both servers run side by side, each with one listener of `/api/events`, and nobody asks or changes anything. The share
is the CPU time of the process, all of its threads, by the wall clock.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import _measure
import look

AIM = 0.01


@dataclass(frozen=True)
class Server:
    """One that runs."""

    name: str
    pid: int
    address: str
    """Host and port."""

    def cpu_s(self) -> float:
        """Return the CPU time that it used so far. Source: proc(5), `/proc/PID/stat`, fields 14 and 15."""
        fields = Path(f"/proc/{self.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Build both libraries and compare their servers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, default=5000, help="models (5000)")
    parser.add_argument("--seconds", type=int, default=60, help="how long is measured (60)")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()), help="where the bases are put")
    args = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(dir=args.folder, prefix="modelshelf-bench-") as name,
        contextlib.ExitStack() as ran,
    ):
        servers = []
        for models in (0, args.models):
            folder = Path(name) / str(models)
            folder.mkdir()
            print(f"building {models} models", flush=True)
            servers.append(ran.enter_context(serving(f"{models} models", look.build(folder, models, 4), folder)))
        print(_measure.machine(Path(name)), flush=True)
        time.sleep(10)  # the first look at everything is not idling
        report(servers, args.seconds)


@contextlib.contextmanager
def serving(name: str, environment: Mapping[str, str], folder: Path) -> Iterator[Server]:
    """Run a server with a listener."""
    command = [str(Path(sys.executable).parent / "shelf"), "serve", "--port", "0"]
    with subprocess.Popen(
        command, env=_measure.environment() | dict(environment), stderr=subprocess.PIPE, text=True, cwd=folder
    ) as child:
        try:
            assert child.stderr is not None
            said = next(line for line in child.stderr if line.startswith("Listening on http://"))
            address = said.split()[2].removeprefix("http://")
            listener = http.client.HTTPConnection(address)
            listener.request("GET", "/api/events")
            answer = listener.getresponse()
            assert answer.readline().startswith(b": listening")
            yield Server(name, child.pid, address)
            listener.close()
        finally:
            child.terminate()


def report(servers: list[Server], duration_s: int) -> None:
    """Measure, print the table and the claim."""
    before = [server.cpu_s() for server in servers]
    time.sleep(duration_s)
    shares = [(server.cpu_s() - used) / duration_s for server, used in zip(servers, before, strict=True)]
    rows = [[server.name, f"{share:.2%}"] for server, share in zip(servers, shares, strict=True)]
    _measure.table(["idle server", "of a core"], rows)
    reached = "reached" if shares[-1] < AIM else "missed"
    print(f"An idle server with {servers[-1].name} takes {shares[-1]:.2%} of a core; aim {AIM:.0%}: {reached}")


if __name__ == "__main__":
    main()
