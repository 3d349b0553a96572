"""A home for one test: folders, settings, and real processes that see nothing of the developer's."""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import httpx2

from modelshelf.bootstrap.shelf import open_shelf
from modelshelf.domain.ports import Clock
from modelshelf.services.shelf import Shelf
from modelshelf.settings import Settings, load_settings
from tests.forked import EARLY, Forked, can_fork, option_of

ROOT = Path(__file__).parents[1]
MIB = 2**20
DEADLINE_S = 60.0
"""Seconds after which a child counts as stuck; nothing here takes a tenth of it."""
POLL_S = 0.02
_PORTS = itertools.count(os.getpid() * 31)


@functools.lru_cache(maxsize=16)
def random_bytes(size_bytes: int, seed: int = 0) -> bytes:
    """Return bytes that can't be compressed or made into holes, the same in every run."""
    return Random(seed * 1_000_003 + size_bytes).randbytes(size_bytes)


def wait_until(condition: Callable[[], Any], what: str, timeout_s: float = DEADLINE_S) -> Any:
    """Return what `condition` returns once that is true.

    Raises:
        TimeoutError: It stays false for too long.
    """
    deadline = time.monotonic() + timeout_s
    while not (answer := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {timeout_s} s for {what}")
        time.sleep(POLL_S)
    return answer


@dataclass(frozen=True)
class Result:
    """A child process's output."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Its stdout as JSON."""
        return json.loads(self.out)

    @property
    def problem(self) -> Any:
        """Its stderr as the problem document that `--json` prints for an error."""
        return json.loads(self.err)

    def checked(self) -> Result:
        """Return itself if the exit code is 0."""
        assert self.code == 0, self.err
        return self


@dataclass
class Child:
    """A child process that runs beside the test."""

    process: subprocess.Popen[str] | Forked

    def kill(self) -> None:
        """Kill it as a power cut would, and wait until it is gone."""
        self.process.kill()
        self.process.communicate()

    def clear_away(self) -> None:
        """End it if it still runs, without waiting for others who inherited its pipes."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()

    def finish(self, timeout_s: float = DEADLINE_S) -> Result:
        """Wait for its end."""
        out, err = self.process.communicate(timeout=timeout_s)
        return Result(self.process.returncode, out, err)


@dataclass(frozen=True)
class Answer:
    """One answer of the server."""

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.text)


@dataclass
class Server:
    """`shelf serve` in a child process."""

    process: subprocess.Popen[bytes] | Forked
    log: Path
    url: str = ""

    def wait_for_announcement(self) -> None:
        """Wait until it prints its address."""
        line = wait_until(self._announcement, "the server's announcement")
        self.url = line.split()[2]

    def _announcement(self) -> str | None:
        said = self.log.read_text(encoding="utf-8")
        assert self.process.poll() is None, said
        return next((line for line in said.splitlines(keepends=True) if line[:9] == "Listening" and "\n" in line), None)

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """Make one request, with headers given as `Content_Type="text/plain"`."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        content = json.dumps(body) if body is not None else None
        if content is not None:
            named.setdefault("Content-Type", "application/json")
        # There is no TLS: reading the certificates of the authorities would take twenty times what a request takes.
        with httpx2.Client(trust_env=False, verify=False, timeout=30) as client:
            answer = client.request(method, self.url + path, content=content, headers=named)
        return Answer(answer.status_code, {n.lower(): v for n, v in answer.headers.items()}, answer.text)

    def get(self, path: str) -> Any:
        """Return the JSON of a 200."""
        answer = self.ask("GET", path)
        assert answer.status == 200, answer.text
        return answer.json

    def wait_for_state(self, model_name: str, state: str) -> Any:
        """Return the model once it is in this state, and its download, which makes it ready, is over."""
        path = f"/api/models/{model_name}"
        found = wait_until(lambda: (m := self.get(path))["state"] == state and m, f"{model_name} to be {state}")
        if state == "ready" and found["job_id"] is not None:
            wait_until(lambda: self._is_over(found["job_id"]), f"job {found['job_id']} to end")
        return found

    def _is_over(self, job_id: int) -> bool:
        job = self.get(f"/api/jobs/{job_id}")
        return job["kind"] != "pull" or job["finished_at"] is not None

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and return the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(timeout=DEADLINE_S)


@dataclass
class Home:
    """Folders and settings of one user."""

    root: Path
    endpoint: str
    extra: dict[str, str] = field(default_factory=dict)
    """Variables beside the usual ones, for everything that is started from now on."""
    views: str | None = None
    """VIEWS, for a test that a view disturbs; None leaves it unset, as for a person."""
    children: list[Child] = field(default_factory=list)
    """Everything that was started."""

    def __post_init__(self) -> None:
        """Make the folders of a login."""
        for folder in ("home", "work"):
            (self.root / folder).mkdir(parents=True)
        self.env_file.touch()

    @property
    def work(self) -> Path:
        """The working directory of the children."""
        return self.root / "work"

    @property
    def env_file(self) -> Path:
        """The settings file, empty unless a test writes to it."""
        return self.work / ".env"

    @property
    def primary(self) -> Path:
        """The base of the primary tier."""
        return self.root / "fast"

    @property
    def secondary(self) -> Path:
        """The base of the secondary tier."""
        return self.root / "slow"

    @property
    def custom(self) -> Path:
        """A base for custom locations."""
        return self.root / "usb"

    def environ(self, **more: str) -> dict[str, str]:
        """Return the whole environment of a child; of this process's it has only PATH."""
        usual = {
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
            "HOME": str(self.root / "home"),
            "XDG_STATE_HOME": str(self.root / "state"),
            "XDG_CONFIG_HOME": str(self.root / "config"),
            "PRIMARY_CACHE_PATH": str(self.primary),
            "SECONDARY_CACHE_PATH": str(self.secondary),
            "HF_ENDPOINT": self.endpoint,
            "HF_HUB_DISABLE_UPDATE_CHECK": "1",
            "SHELF_CUSTOM_ROOTS": str(self.root),
            "SHELF_REQUIRE_MOUNT": "0",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        }
        views = {} if self.views is None else {"VIEWS": self.views}
        return usual | EARLY | views | self.extra | more

    def settings(self, **more: str) -> Settings:
        """Return the settings that a child would read."""
        return load_settings(self.env_file, environ=self.environ(**more))

    @contextlib.contextmanager
    def open(self, clock: Clock | None = None, **more: str) -> Iterator[Shelf]:
        """Open the library in this process."""
        with open_shelf(settings=self.settings(**more), clock=clock) as shelf:
            yield shelf

    def run(self, *words: str, **more: str) -> Result:
        """Run `shelf` to its end."""
        return self.start(*words, **more).finish()

    def start(self, *words: str, **more: str) -> Child:
        """Start `shelf`."""
        return self.start_module("modelshelf", *words, **more)

    def start_interpreted(self, *words: str, **more: str) -> Child:
        """Start `shelf` in an interpreter of its own."""
        return self.start_program(sys.executable, "-m", "modelshelf", *words, **more)

    def hf(self, base: Path, *words: str, **more: str) -> Result:
        """Run `hf` on a base to its end."""
        return self.start_hf(base, *words, **more).finish()

    def start_hf(self, base: Path, *words: str, **more: str) -> Child:
        """Start `hf` on a base."""
        return self.start_module("huggingface_hub.cli.hf", *words, HF_HOME=str(base), **more)

    def start_module(self, module: str, *words: str, **more: str) -> Child:
        """Start a module, or code after `-c`; see `start_module`."""
        self.children.append(Child(start_module(module, words, self.work, self.environ(**more))))
        return self.children[-1]

    def python(self, code: str, *words: str, **more: str) -> Result:
        """Run Python code to its end."""
        return self.start_program(sys.executable, "-c", code, *words, **more).finish()

    def start_program(self, *command: str, **more: str) -> Child:
        """Start any program in this home."""
        self.children.append(Child(_popen(command, self.work, self.environ(**more))))
        return self.children[-1]

    @contextlib.contextmanager
    def serve(self, *wrapper: str, **more: str) -> Iterator[Server]:
        """Run `shelf serve`, or `python main.py` after a wrapper's words such as `nice`; kill it at the end."""
        log = self.root / f"server-{time.monotonic_ns()}.log"
        environ = self.environ(**({"SHELF_PORT": str(free_port())} | more))
        with log.open("wb") as output:
            process: subprocess.Popen[bytes] | Forked
            if wrapper or not can_fork(environ):
                process = subprocess.Popen(
                    [*wrapper, sys.executable, str(ROOT / "main.py")],
                    cwd=self.work,
                    env=environ,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                )
            else:
                process = Forked("modelshelf", ["serve"], self.work, environ, output.fileno())
        server = Server(process, log)
        try:
            server.wait_for_announcement()
            yield server
        finally:
            process.kill()
            process.wait()


def start_module(
    module: str, words: Sequence[str], cwd: Path, environ: Mapping[str, str]
) -> subprocess.Popen[str] | Forked:
    """Start a module, or code after `-c`: a fork of a process that has imported `shelf` and what `hf` needs.

    Where the environment says how an interpreter starts, it is one.
    """
    if can_fork(environ):
        return Forked(module, words, cwd, environ)
    return _popen([sys.executable, *option_of(module), *words], cwd, environ)


def _popen(command: Sequence[str], cwd: Path, environ: Mapping[str, str]) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command, cwd=cwd, env=environ, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True
    )


def free_port() -> int:
    """Return a port that is free now, below those that the system gives to connections and to others who ask."""
    while True:
        port = 20_000 + next(_PORTS) % 12_000
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


OFFLINE = """
import sys
from huggingface_hub import snapshot_download
revision = sys.argv[2] if len(sys.argv) > 2 else None
print(snapshot_download(sys.argv[1], revision=revision, local_files_only=True))
"""


def load_offline(home: Home, base: Path, repo_id: str, *revision: str) -> Path:
    """Return the folder that the real huggingface_hub finds in a base offline."""
    here = {"HF_HOME": str(base), "HF_HUB_OFFLINE": "1"}
    found = home.start_module("-c", OFFLINE, repo_id, *revision, **here).finish().checked()
    return Path(found.out.strip())


def tree(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder, links followed, by path."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
