"""A container engine, and the image built from this checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.fakes.hub import FakeHub
from tests.sides import Side, open_home
from tests.world import ROOT, Child, Home, wait_until

CONTEXT = ("Dockerfile", ".dockerignore", "docker-compose.yml", "main.py", "pyproject.toml", "README.md", "LICENSE")
INSIDE = Path("/root/.cache/huggingface")
USB = Path("/models/usb")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip tests that need a container engine unless SHELF_CONTAINERS asks for them."""
    if not os.environ.get("SHELF_CONTAINERS"):
        asked = pytest.mark.skip(reason="make test-containers runs this, as root, with podman or docker")
        for item in items:
            if Path(__file__).parent in item.path.parents:
                item.add_marker(asked)


@dataclass(frozen=True)
class Engine:
    """The container engine, podman or docker."""

    program: str
    image: str

    def run(self, *words: str, **more: object) -> subprocess.CompletedProcess[str]:
        """Run one of its commands to the end."""
        return subprocess.run([self.program, *words], capture_output=True, text=True, **more)  # type: ignore[call-overload,no-any-return]

    def of(self, home: Home) -> list[str]:
        """Return a home's running containers."""
        return self.run("ps", "--quiet", "--filter", f"label=home={home.root}", check=True).stdout.split()


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """The engine with the image: podman where it is installed.

    SHELF_ENGINE names another one. Without the network the wheels come from the folder that SHELF_WHEELS names.
    """
    wanted = os.environ.get("SHELF_ENGINE")
    program = next(filter(shutil.which, [wanted] if wanted else ["podman", "docker"]), None)
    if program is None:
        pytest.skip(f"{wanted or 'neither podman nor docker'} is not installed")
    context = tmp_path_factory.mktemp("context")
    for name in CONTEXT:
        shutil.copy(ROOT / name, context / name)
    for name in ("src", "requirements"):
        shutil.copytree(ROOT / name, context / name, ignore=shutil.ignore_patterns("__pycache__"))
    arguments: list[str] = []
    if wheels := os.environ.get("SHELF_WHEELS"):
        shutil.copytree(wheels, context / "wheels")
        arguments = ["--build-arg", "PIP_NO_INDEX=1", "--build-arg", "PIP_FIND_LINKS=wheels", "--network", "none"]
    made = Engine(program, "modelshelf")
    docker_format = ["--format", "docker"] if program == "podman" else []  # the other format has no health check
    built = made.run("build", *docker_format, *arguments, "--tag", made.image, str(context))
    assert built.returncode == 0, built.stderr[-4000:]
    return made


@pytest.fixture
def home(hub: FakeHub, engine: Engine) -> Iterator[Home]:
    """A home that host and container share; no container outlives the test."""
    with open_home(hub) as made:
        yield made
        for name in engine.of(made):
            engine.run("rm", "--force", name)


@dataclass
class Container(Side):
    """A container of the image over a home's bases; each command runs in its own container."""

    engine: Engine | None = None

    def __post_init__(self) -> None:
        """Mount the primary base at the image's own path, and the secondary at its path outside."""
        places = {self.home.primary: INSIDE, self.home.secondary: self.home.secondary, self.home.custom: USB}
        self.mounts = self.mounts or places

    def options(self) -> list[str]:
        """Return the options for `run`."""
        found = ["--rm", "--network", "host", "--user", f"{self.uid}:{self.gid}", "--label", f"home={self.home.root}"]
        for outside, inside in self.mounts.items():
            found += ["--volume", f"{outside}:{inside}"]
        settings = {
            "SECONDARY_CACHE_PATH": str(self.home.secondary),
            "CACHE_PATH_MAP": f"{self.home.custom}={USB}",
            "HF_ENDPOINT": self.home.endpoint,
            "SHELF_REQUIRE_MOUNT": "1",
        }
        for name, value in (settings | self.settings).items():
            found += ["--env", f"{name}={value}"]
        return found

    def start(self, *words: str) -> Child:
        """Start `shelf` in a container."""
        return self.start_program("shelf", *words)

    def start_program(self, *command: str) -> Child:
        """Start any program in a container, with its umask."""
        assert self.engine is not None
        shell = ["sh", "-c", f'umask {self.umask:03o}; exec "$@"', "sh"]
        return self.home.start_program(self.engine.program, "run", *self.options(), self.engine.image, *shell, *command)


@dataclass
class Running:
    """A container that runs in the background."""

    engine: Engine
    name: str

    def logs(self) -> str:
        """Return its output so far."""
        done = self.engine.run("logs", self.name)
        return done.stdout + done.stderr

    def exit_code(self) -> int:
        """Stop it with SIGTERM, as `stop` does, and return its exit code."""
        self.engine.run("stop", "--time", "30", self.name, check=True)
        done = self.engine.run("inspect", self.name, "--format", "{{.State.ExitCode}}", check=True)
        return int(done.stdout)


@pytest.fixture
def background(engine: Engine) -> Iterator[list[Running]]:
    """Containers in the background, removed at the end."""
    started: list[Running] = []
    yield started
    for container in started:
        engine.run("rm", "--force", container.name)


def start_server(container: Container, started: list[Running], port: int) -> Running:
    """Start a background container with the image's own command, the server."""
    assert container.engine is not None
    name = f"modelshelf-test-{time.monotonic_ns()}"
    options = [word for word in container.options() if word != "--rm"]
    options += ["--env", "SHELF_HOST=127.0.0.1", "--env", f"SHELF_PORT={port}", "--detach", "--name", name]
    container.engine.run("run", *options, container.engine.image, check=True)
    started.append(Running(container.engine, name))
    wait_until(lambda: "Listening" in started[-1].logs(), "the server in the container")
    return started[-1]
