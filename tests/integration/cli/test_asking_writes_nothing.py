"""Asking writes nothing: no plan, no `--dry-run` and no command that only reads changes a byte, a time or a row."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from modelshelf.domain.models import Registration
from modelshelf.domain.names import ModelName, RefName, RepoId
from modelshelf.server.app import create_app
from modelshelf.services.jobs.process import this_process
from modelshelf.store.layout import Base
from tests.fakes.hub import FakeHub
from tests.world import Home, random_bytes

FILES = {"config.json": b"{}", "model.safetensors": random_bytes(100_000)}
MODELS = {
    "model": FILES,
    "stays": {"model.safetensors": random_bytes(9_000_000, seed=1)},
    "leaves": {"model.safetensors": random_bytes(9_000_000, seed=2)},
    "larger": {"model.safetensors": random_bytes(12_500_000)},
    "vast": {"model.safetensors": random_bytes(19_000_000)},
    "much": {"model.safetensors": random_bytes(12_000_000)},
}

LOOKING = {
    "ls": ("ls",),
    "ls --all": ("ls", "--all"),
    "tiers": ("tiers",),
    "jobs": ("jobs",),
    "lease": ("lease",),
    "key": ("key",),
    "view": ("view",),
    "view add": ("view", "add", "folder", "{root}/view", "--all", "--dry-run"),
    "status": ("status",),
    "config": ("config",),
    "config get": ("config", "get", "PROMOTE"),
    "config set": ("config", "set", "MAX_MOVES=2", "--dry-run"),
    "doctor": ("doctor",),
    "engines": ("engines",),
    "ps": ("ps",),
    "stats": ("stats",),
    "search": ("search", "model"),
    "files": ("files", "org/model"),
    "add": ("add", "n", "org/model", "--dry-run"),
    "add elsewhere": ("add", "n", "org/model", "--to", "{root}/new", "--dry-run"),
    "adopt": ("adopt", "{root}/found"),
    "adopt elsewhere": ("adopt", "{root}/found", "--to", "{root}/new"),
    "adopt --all without a terminal": ("adopt", "--all"),
    "adopt --leave": ("adopt", "{root}/found", "--leave", "--dry-run"),
    "adopt --move": ("adopt", "{root}/found", "--move", "--dry-run"),
    "adopt --move elsewhere": ("adopt", "{root}/found", "--move", "--to", "{root}/new", "--dry-run"),
    "adopt --link": ("adopt", "{root}/found", "--link", "--dry-run"),
    "adopt --all": ("adopt", "--all", "--dry-run"),
    "gc": ("gc", "--dry-run"),
    "clean": ("clean",),
    "clean --dry-run": ("clean", "--unused", "0s", "--yes", "--dry-run"),
    "dedupe": ("dedupe", "--dry-run"),
    "reconcile": ("reconcile", "--dry-run"),
    "reconcile elsewhere": ("reconcile", "--base", "{root}/found", "--dry-run"),
    "init": ("init", "--yes", "--force", "--dry-run"),
    "install-service": ("install-service", "--dry-run"),
}
OF_A_MODEL = {
    "show": ("show", "m"),
    "fit": ("fit", "m"),
    "warm": ("warm", "m"),
    "path": ("path", "m"),
    "env": ("env", "m"),
    "move": ("move", "m", "secondary", "--dry-run"),
    "move elsewhere": ("move", "m", "{root}/new", "--dry-run"),
    "rm": ("rm", "m", "--dry-run"),
    "rm --files": ("rm", "m", "--files", "--dry-run"),
    "update": ("update", "m", "--dry-run"),
    "forget": ("forget", "{root}/slow", "--models", "--dry-run"),
}
MAKING_ROOM = {
    "add where it is full": ("add", "n", "org/larger", "--dry-run"),
    "add what evicts": ("add", "n", "org/vast", "--dry-run"),
    "move where it is full": ("move", "there", "primary", "--dry-run"),
    "adopt where it is full": ("adopt", "{root}/much", "--move", "--dry-run"),
}
WITHOUT_A_LIBRARY = tuple(
    tuple(line.split())
    for line in (
        "verify m", "verify --all", "gc", "dedupe", "pull m", "rm m", "rm m --files --yes", "clean --unused 1d --yes",
        "move m secondary", "pin m", "unpin m", "rename m n", "lease m", "lease --release 1", "update m",
        "update --all", "load m", "run m -- true", "chat m hi", "cancel 1", "jobs pause 1", "jobs retry 1",
        "view sync", "key revoke k", "add org/typo", "add n org/model --include *.onnx",
    )
)  # fmt: skip
GETS = (
    "/api/models",
    "/api/models/m",
    "/api/engines",
    "/api/uses",
    "/api/stats",
    "/api/cache",
    "/api/jobs",
    "/api/views",
    "/api/jobs/1",
    "/api/doctor",
    "/api/status",
    "/api/settings",
    "/healthz",
    "/readyz",
    "/hf/api/models/org/model",
    "/hf/api/models/org/model/tree/main",
    "/hf/org/model/resolve/main/config.json",
)
POSTS: Mapping[str, tuple[str, Mapping[str, str | None]]] = {
    "gc": ("/api/cache/gc", {}),
    "dedupe": ("/api/cache/dedupe", {}),
    "reconcile": ("/api/cache/reconcile", {}),
    "adopt": ("/api/cache/adopt", {"path": "{root}/found", "mode": "move"}),
    "adopt all": ("/api/cache/adopt/all", {}),
    "adopt where it is full": ("/api/cache/adopt", {"path": "{root}/much", "mode": "move"}),
    "update": ("/api/models/m/update", {}),
    "view": ("/api/views", {"kind": "folder", "root": "{root}/view", "models": None}),
}


def everything(home: Home) -> dict[str, tuple[object, ...]]:
    """Return every name of a home with mode, times and bytes, without the access time.

    SQLite gives its journal to the owner of the database whenever root opens it, which sets the ctime.
    """
    found: dict[str, tuple[object, ...]] = {}
    for folder, folders, files in os.walk(home.root):
        for name in (*folders, *files):
            path = Path(folder, name)
            status = path.lstat()
            is_plain = path.is_file() and not path.is_symlink()
            times = (status.st_mtime_ns, 0 if name.endswith("-journal") else status.st_ctime_ns)
            found[str(path)] = (status.st_mode, status.st_ino, times, path.read_bytes() if is_plain else b"")
    return found


def rows(home: Home) -> list[str]:
    """Return every row of the registry, or nothing without one."""
    if not Base(home.primary).registry.exists():
        return []
    connection = sqlite3.connect(Base(home.primary).registry)
    dump = list(connection.iterdump())
    connection.close()
    return dump


def check_same(home: Home, before: tuple[dict[str, tuple[object, ...]], list[str]]) -> None:
    """Assert that everything is as it was."""
    after = everything(home)
    assert {path for path in before[0].keys() | after.keys() if before[0].get(path) != after.get(path)} == set()
    assert rows(home) == before[1]


def check_writes_nothing(home: Home, words: tuple[str, ...], *codes: int) -> None:
    """Run a command, and assert its exit code and that everything is as it was."""
    before = everything(home), rows(home)

    done = home.run(*(word.format(root=home.root) for word in words))

    assert done.code in (codes or (0,)), done.err
    check_same(home, before)


@pytest.fixture(scope="module")
def hub() -> Iterator[FakeHub]:
    """A hub with all models of this module."""
    with FakeHub() as fake:
        for name, files in MODELS.items():
            fake.add_repo(f"org/{name}", files)
        yield fake


def with_caches(root: Path, hub: FakeHub) -> Home:
    """Return a user's home where another tool filled two caches."""
    home = Home(root / "user", hub.url)
    for folder, name in (("found", "model"), ("much", "much")):
        home.hf(home.root / folder, "download", f"org/{name}").checked()
    return home


@pytest.fixture(scope="module")
def new_home(hub: FakeHub, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A user without a library."""
    return with_caches(tmp_path_factory.mktemp("new"), hub)


@pytest.fixture(scope="module")
def crowded(hub: FakeHub, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A library with a full primary, an old copy to delete, and a dead process's job and reservation."""
    home = with_caches(tmp_path_factory.mktemp("crowded"), hub)
    home.extra |= {"PRIMARY_CACHE_LIMIT_GB": "0.024", "SECONDARY_CACHE_LIMIT_GB": "0.1"}
    with home.open() as shelf:
        shelf.register("m", "org/model")
        shelf.register("there", "org/larger", "secondary")
        for name in ("stays", "leaves"):
            shelf.register(name, f"org/{name}")
        with (shelf.path("leaves") / "model.safetensors").open("rb"):
            shelf.move("leaves", "secondary")
        primary, dead = shelf.services.tiers.settings.primary, this_process().rpartition(":")[0] + ":1"
        half = Registration(ModelName("half"), RepoId("org/larger"), "primary", None, RefName("main"), (), False)
        job = shelf.services.registry.enqueue("pull", shelf.services.registry.add_model(half, primary.base))
        assert shelf.services.registry.claim(dead, job.id) is not None
        tier_id, device = shelf.services.tiers.open(primary), str(home.primary.stat().st_dev)
        shelf.services.registry.reservations.add(tier_id, device, dead, lambda others: 9_000_000)
    return home


@pytest.mark.parametrize("words", LOOKING.values(), ids=LOOKING.keys())
def test_asking_before_the_first_model_makes_nothing(new_home: Home, words: tuple[str, ...]) -> None:
    """A command that only reads creates no library."""
    check_writes_nothing(new_home, words, 0, 1)


@pytest.mark.parametrize("words", WITHOUT_A_LIBRARY, ids=" ".join)
def test_what_finds_nothing_to_do_makes_nothing(new_home: Home, words: tuple[str, ...]) -> None:
    """Before the first model, a command for what isn't there, or that is refused, creates no library."""
    check_writes_nothing(new_home, words, 0, 2, 4)


@pytest.mark.parametrize(
    "words", (LOOKING | OF_A_MODEL | MAKING_ROOM).values(), ids=(LOOKING | OF_A_MODEL | MAKING_ROOM).keys()
)
def test_asking_changes_nothing(crowded: Home, words: tuple[str, ...]) -> None:
    """A command that only reads leaves the names, bytes, modes, times and rows of a crowded library unchanged."""
    check_writes_nothing(crowded, words, *((0, 1) if words[0] == "doctor" else (0,)))


def test_requests_that_ask_change_nothing(crowded: Home) -> None:
    """A GET, and a POST with `dry_run`, leave a crowded library unchanged."""
    with crowded.open() as shelf:
        app = create_app(shelf, host="127.0.0.1", api_key=None, custom_roots=[str(crowded.root)])
        client = TestClient(app, base_url="http://127.0.0.1")
        before = everything(crowded), rows(crowded)
        for path in GETS:
            assert client.get(path).status_code == 200, path
            check_same(crowded, before)
        for path, body in POSTS.values():
            said = {key: value and value.format(root=crowded.root) for key, value in body.items()}
            answer = client.post(path, json=said | {"dry_run": True})
            assert answer.status_code == 200, answer.text
            check_same(crowded, before)


def test_an_old_copy_that_waits_counts_as_free(crowded: Home) -> None:
    """A plan for a full tier evicts nothing if deleting old copies makes enough room."""
    plans = [
        crowded.run("add", "n", f"org/{name}", "--dry-run", "--json").checked().json for name in ("larger", "vast")
    ]

    stays = {"model_name": "stays", "free_bytes": 9_000_000, "needed_by": []}
    assert [plan["makes_room"] for plan in plans] == [[], [stays]]
