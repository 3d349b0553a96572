"""Bad situations times verbs: each cell works or is a named error with a hint, never a traceback or exit code 1.

`SHELF_MATRIX=1` takes every cell; without it each situation gets a third of the verbs, another third each, and two of
them a server.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.hub import FakeHub
from tests.store.mounts import small_disk
from tests.store.users import USER
from tests.world import ROOT, Home, free_port, random_bytes

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounting small disks and being another user needs root")
EVERYTHING = bool(os.environ.get("SHELF_MATRIX"))
DISK = (24 * 2**20, "nr_inodes=600")
VERBS = [
    line.split()
    for line in """
    ls; ls --json; ps; path a; show a; search x; files org/x; tiers; env a; run a -- true; verify a; jobs; doctor;
    lease; lease b --ttl 60; lease --release 1; add x org/x; add y org/x --no-download; add z org/x --dry-run; pull a;
    update a; pin b; unpin b; rename b bb;
    rename bb b; adopt /nowhere; reconcile; dedupe; gc --dry-run; gc; move a secondary --dry-run;
    move a secondary; move s primary; rm c --files --dry-run; rm c --files; rm s --files; rm b; ls;
    doctor --fix; tiers --json; stats; config; config set MAX_MOVES=2 --dry-run
    """.replace("\n", " ").split(";")
]
ROUTES = [
    ("GET", "/api/models", None),
    ("GET", "/api/models/a", None),
    ("GET", "/api/cache", None),
    ("GET", "/api/engines", None),
    ("GET", "/api/jobs", None),
    ("GET", "/api/doctor", None),
    ("GET", "/api/uses", None),
    ("GET", "/api/stats", None),
    ("GET", "/metrics", None),
    ("GET", "/healthz", None),
    ("GET", "/readyz", None),
    ("GET", "/hf/api/models/org/a", None),
    ("PATCH", "/api/models/a", {"pinned": True}),
    ("PATCH", "/api/models/a", {"pinned": False}),
    ("POST", "/api/models", {"model_name": "x", "hf_path": "org/x"}),
    ("POST", "/api/cache/gc", {}),
    ("DELETE", "/api/models/c?delete_files=true", None),
    ("GET", "/api/models", None),
]


@dataclass(frozen=True)
class Where:
    """The parts of a situation."""

    home: Home
    uid: int = 0


def take_bytes(disk: Path) -> None:
    """Take every free byte."""
    with (disk / f"filler{os.urandom(4).hex()}").open("wb", buffering=0) as filler, contextlib.suppress(OSError):
        while filler.write(bytes(4096)):
            pass


def take_entries(disk: Path) -> None:
    """Take every free inode."""
    with contextlib.suppress(OSError):
        while True:
            (disk / os.urandom(8).hex()).touch()


@contextlib.contextmanager
def full(where: Where, place: str, take: Callable[[Path], None]) -> Iterator[Where]:
    """Fill the disk of a base, or the registry's."""
    disk = where.home.root / "registry" if place == "registry" else getattr(where.home, place)
    take(disk)
    yield where


@contextlib.contextmanager
def read_only(where: Where) -> Iterator[Where]:
    """Remount the primary read-only."""
    subprocess.run(["mount", "-o", "remount,ro", str(where.home.primary)], check=True)
    yield where


@contextlib.contextmanager
def unplugged(where: Where) -> Iterator[Where]:
    """Unmount the secondary, which leaves an empty folder."""
    aside = where.home.secondary.with_name("aside")
    where.home.secondary.rename(aside)
    where.home.secondary.mkdir()
    yield where


@contextlib.contextmanager
def as_another(where: Where, closed: str) -> Iterator[Where]:
    """Become another user, for whom one folder of the primary may be closed."""
    if closed:
        (where.home.primary / closed).chmod(0o700)
    for folder in ("state", "config", "home", "work"):
        (where.home.root / folder).mkdir(exist_ok=True)
        subprocess.run(["chown", "-R", str(USER), str(where.home.root / folder)], check=True)
    yield replace(where, uid=USER)


@contextlib.contextmanager
def hub_away(where: Where) -> Iterator[Where]:
    """Make the hub unreachable."""
    where.home.extra["HF_ENDPOINT"] = f"http://127.0.0.1:{free_port()}"
    yield where


@contextlib.contextmanager
def corrupt(where: Where) -> Iterator[Where]:
    """Overwrite the registry's pages."""
    path = where.home.primary / "modelshelf/registry.db"
    path.write_bytes(path.read_bytes()[:4096] + b"\xff" * 100_000)
    yield where


@contextlib.contextmanager
def fifo(where: Where, path: str) -> Iterator[Where]:
    """Put a fifo in place of a small file."""
    found = next(where.home.primary.glob(path))
    found.unlink()
    os.mkfifo(found)
    yield where


SITUATIONS: dict[str, Callable[[Where], contextlib.AbstractContextManager[Where]]] = {
    "full primary": lambda where: full(where, "primary", take_bytes),
    "no entries left": lambda where: full(where, "primary", take_entries),
    "full secondary": lambda where: full(where, "secondary", take_bytes),
    "full registry": lambda where: full(where, "registry", take_bytes),
    "read-only": read_only,
    "unplugged": unplugged,
    "other user": lambda where: as_another(where, ""),
    "closed folder": lambda where: as_another(where, "hub/models--org--a"),
    "closed base": lambda where: as_another(where, "modelshelf"),
    "hub away": hub_away,
    "corrupt registry": corrupt,
    "fifo as marker": lambda where: fifo(where, "modelshelf/tier.json"),
    "fifo as ref": lambda where: fifo(where, "hub/models--org--a/refs/main"),
    "fifo as list": lambda where: fifo(where, "hub/models--org--a/trees/*.json"),
    "fifo as sidecar": lambda where: fifo(where, "modelshelf/models/a.json"),
}
OF_A_SERVER = ["read-only", "corrupt registry"]
if EVERYTHING:
    OF_A_SERVER = [name for name in SITUATIONS if "user" not in name and "closed" not in name]


@pytest.fixture(scope="module")
def child() -> Iterator[subprocess.Popen[str]]:
    """A process that forks for each command."""
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{ROOT}:{ROOT}/src"}
    command = [sys.executable, "-m", "tests.matrix.child"]
    with subprocess.Popen(command, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()


def do(child: subprocess.Popen[str], where: Where, words: list[str]) -> dict[str, Any]:
    """Return one command's output."""
    home = where.home
    order = {"environ": home.environ(), "cwd": str(home.work), "words": words, "uid": where.uid}
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write(json.dumps(order) + "\n")
    child.stdin.flush()
    said: dict[str, Any] = json.loads(child.stdout.readline())
    return said


@pytest.fixture
def where(request: pytest.FixtureRequest, hub: FakeHub, child: subprocess.Popen[str]) -> Iterator[Where]:
    """A library of three models on a small primary and one on a small secondary, which everybody may enter."""
    for number, name in enumerate("abcsx"):
        hub.add_repo(f"org/{name}", {"config.json": b"{}", "w.safetensors": random_bytes(300_000, number)})
    with contextlib.ExitStack() as held:
        root = Path(held.enter_context(tempfile.TemporaryDirectory()))
        root.chmod(0o755)
        home = Home(root / "user", hub.url)
        held.enter_context(small_disk(home.primary, *DISK)).chmod(0o755)
        if request.node.callspec.params["situation"] != "unplugged":
            held.enter_context(small_disk(home.secondary, *DISK)).chmod(0o755)
        if request.node.callspec.params["situation"] == "full registry":
            held.enter_context(small_disk(home.root / "registry", *DISK)).chmod(0o755)
            home.extra["DATABASE_URL"] = f"sqlite:///{home.root}/registry/registry.db"
        made = Where(home)
        for name in "abc":
            assert do(child, made, ["add", name, f"org/{name}"])["code"] == 0
        assert do(child, made, ["add", "s", "org/s", "--to", "secondary"])["code"] == 0
        yield made
        for started in home.children:
            started.clear_away()


def chosen(number: int) -> list[list[str]]:
    """Return a situation's verbs, in order."""
    return [words for at, words in enumerate(VERBS) if EVERYTHING or (at + number) % 3 == 0]


@pytest.mark.parametrize("situation", SITUATIONS)
def test_every_verb_works_or_says_what_is_wrong(child: subprocess.Popen[str], where: Where, situation: str) -> None:
    """Each command ends with 0 or with the code of a named error, with a sentence and a hint."""
    faults: list[str] = []
    with SITUATIONS[situation](where) as now:
        for words in chosen(list(SITUATIONS).index(situation)):
            if situation.startswith(("full", "no")):
                with SITUATIONS[situation](where):  # others take whatever was freed
                    pass
            said = do(child, now, words)
            told = (
                said["code"] == 0
                or words[0] in ("doctor", "verify")  # what they found is their answer
                or any(word in said["err"] for word in ("error: ", "urn:modelshelf:"))
            )
            if said["code"] not in (0, 2, 3, 4, 5, 6, 7, 8) or "Traceback" in said["err"] or not told:
                faults.append(f"{' '.join(words)}: {said['code']}\n{said['out'][-500:]}{said['err'][-1500:]}")

    assert faults == []


@pytest.mark.parametrize("situation", OF_A_SERVER)
def test_every_route_works_or_says_what_is_wrong(where: Where, situation: str) -> None:
    """A running server answers each request, or refuses it with a problem document.

    Only the kernel makes a disk read-only while a server writes to it, so there it is started afterwards.
    """
    faults: list[str] = []
    with contextlib.ExitStack() as held:
        if situation == "read-only":
            held.enter_context(SITUATIONS[situation](where))
        server = held.enter_context(where.home.serve())
        if situation != "read-only":
            held.enter_context(SITUATIONS[situation](where))
        for method, path, body in ROUTES:
            answer = server.ask(method, path, body)
            is_problem = answer.headers.get("content-type", "").startswith("application/problem+json")
            if answer.status == 500 or (answer.status >= 400 and not is_problem and not path.startswith("/hf")):
                faults.append(f"{method} {path}: {answer.status} {answer.text[:500]}")
        assert "Traceback" not in server.log.read_text(encoding="utf-8")

    assert faults == []
