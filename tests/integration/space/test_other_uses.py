"""What other programs read counts as a use: for LAST USE, for eviction, and for promotion."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from modelshelf.domain.models import FileEntry, ModelRow, Registration
from modelshelf.domain.names import CommitHash, Digest, FilePath, ModelName, RepoId
from modelshelf.domain.users import User
from modelshelf.services.shelf import Shelf
from modelshelf.services.space.coldest import Coldest, Evidence
from modelshelf.services.space.other_uses import OtherReaders, Placement
from modelshelf.store.layout import Base
from modelshelf.store.repos import scan
from tests.disks import FarHome, far_home
from tests.fakes.hub import FakeHub
from tests.store.held_open import held_open
from tests.store.mounts import small_disk
from tests.world import MIB, Result, random_bytes, wait_until

SIZE = 6 * MIB
LIMIT = 24_000_000
"""Three models of `SIZE` fit, and four don't."""
NAMES = ("a", "b", "c")
LONG_AGO_S = 3_000_000
COMMIT = CommitHash("a" * 40)


@pytest.fixture
def home(tmp_path: Path, hub: FakeHub) -> Iterator[FarHome]:
    """A home with a small primary on another file system than the secondary."""
    with far_home(tmp_path / "user", hub.url) as far:
        far.extra = {
            "PRIMARY_CACHE_LIMIT_GB": str(LIMIT / 1e9),
            "SECONDARY_CACHE_LIMIT_GB": "0.1",
            "DATABASE_URL": f"sqlite:///{far.root}/registry.db",
        }
        yield far


@pytest.fixture
def full(hub: FakeHub, shelf: Shelf) -> Shelf:
    """The library with a, b and c on a full primary, used through shelf in this order, and d not downloaded."""
    for name in (*NAMES, "d"):
        files = {"config.json": b"{}", "README.md": b"# A model", "model.safetensors": random_bytes(SIZE, ord(name))}
        hub.add_repo(f"org/{name}", files)
        shelf.register(name, f"org/{name}", download=name != "d")
    for name in NAMES:
        with shelf.services.leaser.using(name, "load", "a test"):
            pass
    move_back(shelf, LONG_AGO_S)
    return shelf


def move_back(shelf: Shelf, by_s: float) -> None:
    """Let everything that happened so far have happened earlier: arrivals, uses, and what was written and read."""
    engine = shelf.services.registry._engine
    with engine.begin() as connection:
        for change in ("arrived_at = arrived_at - :s", "last_used_at = last_used_at - :s WHERE last_used_at > 0"):
            connection.exec_driver_sql(f"UPDATE models SET {change}".replace(":s", str(by_s)))
        connection.exec_driver_sql(f"UPDATE uses SET at = at - {by_s}")
    for model in shelf.models():
        for path in Base(Path(model.base)).repo(model.hf_path).blobs.glob("*"):
            now = path.stat()
            os.utime(path, (now.st_atime - by_s, now.st_mtime - by_s))


def read_all(shelf: Shelf, *names: str) -> None:
    """Let a process that knows nothing of shelf read the weights of models through their snapshots."""
    for name in names:
        subprocess.run(["cat", f"{shelf.model(name).path}/model.safetensors"], stdout=subprocess.DEVNULL, check=True)


def keeps_access_times(folder: Path) -> bool:
    """Return whether the file system notes a reading."""
    probe = folder / "probe"
    probe.write_bytes(b"x")
    os.utime(probe, (1_000_000_000, 1_000_000_001))
    probe.read_bytes()
    noted = probe.stat().st_atime != 1_000_000_000
    probe.unlink()
    return noted


@pytest.fixture
def noted(home: FarHome, tmp_path: Path) -> None:
    """Skip the test where no access times are kept."""
    if not (keeps_access_times(tmp_path) and keeps_access_times(home.far)):
        pytest.skip("this file system keeps no access times")


def tiers(shelf: Shelf) -> dict[str, str]:
    """Return the tier of each whole model."""
    return {model.model_name: model.cache_location for model in shelf.models() if model.state == "ready"}


@pytest.mark.usefixtures("noted")
def test_what_another_program_reads_stays(full: Shelf) -> None:
    """A model that `cat` has just read outlasts one used later through shelf, and LAST USE says whose it was."""
    read_all(full, "a")

    full.pull("d")

    assert tiers(full) == {"a": "primary", "b": "secondary", "c": "primary", "d": "primary"}
    rows = {model.model_name: model.row for model in full.models()}
    assert {name: rows[name].last_used_by for name in NAMES} == {"a": User.OTHER, "b": User.SHELF, "c": User.SHELF}
    assert rows["a"].uses == 1


@pytest.mark.usefixtures("noted")
def test_a_plan_sees_it_and_writes_nothing(full: Shelf) -> None:
    """A plan to make room knows what another program read, and the registry is as before."""
    read_all(full, "a")

    room = full.services.registrar.room
    plan = room.plan(full.services.tiers.settings.primary, SIZE, model_id=0)

    assert plan is not None
    assert plan.model_names == ["b"]
    assert full.services.registry.reads.judged() == {}


@pytest.mark.usefixtures("noted")
def test_a_backup_of_everything_changes_nothing(full: Shelf, tmp_path: Path) -> None:
    """After a backup that read every file the model that was used least recently through shelf leaves."""
    for name in reversed(NAMES):
        subprocess.run(["cp", "-rL", str(full.model(name).path), str(tmp_path / name)], check=True)
    done = full.services.reconciler.others.note_all()

    full.pull("d")

    assert done == []
    assert tiers(full)["a"] == "secondary"


@pytest.mark.usefixtures("noted")
def test_what_shelf_reads_is_no_use(full: Shelf) -> None:
    """After verify has read every byte, and a move has brought a model back, no other program used one."""
    full.verify(["a"])
    full.move("b", "secondary")

    assert full.services.reconciler.others.note_all() == []


@pytest.mark.usefixtures("noted")
def test_reconcile_notes_and_promotes(full: Shelf) -> None:
    """A model on the secondary that another program reads on two days is promoted at the second, not the first."""
    full.move("a", "secondary")
    full.move("b", "secondary")
    move_back(full, LONG_AGO_S)
    read_all(full, "a")
    full.services.reconciler.reconcile()
    first = tiers(full)["a"]
    move_back(full, 2 * 86400)
    with full.services.registry._engine.begin() as connection:
        connection.exec_driver_sql(f"UPDATE reads SET judged_at = judged_at - {2 * 86400}")
    read_all(full, "a")

    full.services.reconciler.reconcile()
    wait_until(lambda: tiers(full).get("a") == "primary", "the promotion")

    assert first == "secondary"
    assert full.services.moves(full.model("a"))[0].cause.reason.startswith("Promoted:")


@pytest.mark.usefixtures("noted")
def test_the_last_use_is_shown(full: Shelf, cli: Callable[..., Result]) -> None:
    """`ls` and `show` say that it was another program, and so does their JSON."""
    read_all(full, "b")
    full.services.reconciler.reconcile()

    listed = cli("ls").out.splitlines()
    [model] = [one for one in cli("ls", "--json").json if one["model_name"] == "b"]

    assert [line.split("  ")[0] for line in listed if line.endswith("(other)")] == ["b"]
    assert (model["last_used_by"], model["uses"]) == ("another program", 1)
    assert "by another program, which read its files" in cli("show", "b").out


def test_without_access_times_the_ledger_decides(home: FarHome, hub: FakeHub) -> None:
    """On a noatime mount a reading leaves no trace and the least recent use through shelf decides; a mapping counts."""
    with small_disk(home.primary, 100 * MIB, "noatime"), home.open() as shelf:
        for name in ("a", "b", "c", "d"):
            files = {"config.json": b"{}", "model.safetensors": random_bytes(SIZE, ord(name))}
            hub.add_repo(f"org/{name}", files)
            shelf.register(name, f"org/{name}", download=name != "d")
        for name in NAMES:
            with shelf.services.leaser.using(name, "load", "a test"):
                pass
        read_all(shelf, "a")
        unseen = shelf.services.reconciler.others.note_all()
        with held_open(Path(f"{shelf.model('b').path}/model.safetensors"), "mapped"):
            seen = shelf.services.reconciler.others.note_all()

        shelf.pull("d")

        assert unseen == []
        assert [row.model_name for row in seen] == ["b"]
        assert tiers(shelf) == {"a": "secondary", "b": "primary", "c": "primary", "d": "primary"}


@pytest.mark.usefixtures("noted")
@pytest.mark.parametrize("share", [0.0, 0.1, 0.9], ids=["nobody reads", "some are read", "a backup"])
def test_a_plan_that_looks_at_few_chooses_as_one_that_looks_at_all(home: FarHome, shelf: Shelf, share: float) -> None:
    """The coldest models come in the order of their last use, whoever's it was, though few are looked at."""
    dice, now_s, services = random.Random(1), time.time(), shelf.services
    for number in range(80):
        used_at = now_s - dice.randrange(1000, LONG_AGO_S)
        read_at = now_s - dice.randrange(1, 60) if dice.random() < share else used_at - 200
        add_small(shelf, Base(home.primary), f"m-{number:02}", used_at, read_at)
    tier, others = services.tiers.settings.primary, services.reconciler.others
    rows, verdicts = services.registry.models(), others.look(tier).verdicts()
    by_others = {row.model_name: verdicts[row.hf_path, COMMIT].used_at or 0.0 for row in rows}
    used = {row.model_name: max(row.last_used_at or 0.0, by_others[row.model_name]) for row in rows}
    look = Asked(services.registry, services.library, tier, now_s)

    coldest = Coldest(services.registry, services.library, tier, evidence=Evidence({}, look))
    found = [one.model_name for one in coldest.measure(lambda known: len(known) >= 10)]

    assert found == sorted(used, key=lambda name: used[name])[: len(found)]
    assert any(by_others.values()) == (share == 0.1)
    assert len(found) >= 10
    assert len(look.asked) < len(rows)


class Asked(OtherReaders):
    """Notes which models were asked about."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.asked = set[str]()

    def used(self, rows: Iterable[ModelRow]) -> dict[Placement, float]:
        """Return what the look returns."""
        rows = list(rows)
        self.asked |= {row.model_name for row in rows}
        return super().used(rows)


def add_small(shelf: Shelf, base: Base, name: str, used_at: float, read_at: float) -> None:
    """Register a model of two tiny files that came and was used at one time and was read at another, in seconds."""
    repo, registry = base.repo(RepoId(f"org/{name}")), shelf.services.registry
    files = [
        FileEntry(FilePath(f"{number}.bin"), 1, Digest(sha256(f"{name}{number}".encode()).hexdigest()))
        for number in (1, 2)
    ]
    for folder in (repo.blobs, repo.snapshot(COMMIT)):
        folder.mkdir(parents=True)
    for file in files:
        repo.blob(file.digest).write_bytes(b"x")
        os.utime(repo.blob(file.digest), (read_at, used_at - 100))
        (repo.snapshot(COMMIT) / file.path).symlink_to(f"../../blobs/{file.digest}")
    row = registry.add_model(Registration(ModelName(name), RepoId(f"org/{name}"), "primary"), str(base.path))
    registry.set_manifest(row, COMMIT, files)
    registry.set_complete(row.id, scan.signature(repo, COMMIT))
    with registry._engine.begin() as connection:
        change = "UPDATE models SET arrived_at = ?, last_used_at = ? WHERE id = ?"
        connection.exec_driver_sql(change, (used_at - 50, used_at, row.id))


def test_a_real_stock_program_counts(home: FarHome, full: Shelf, noted: None) -> None:
    """safetensors, which knows nothing of shelf, finds a model by HF_HOME and keeps it on the primary."""
    code = (
        "from huggingface_hub import snapshot_download; import pathlib;"
        "folder = snapshot_download('org/a', local_files_only=True);"
        "print(len((pathlib.Path(folder) / 'model.safetensors').read_bytes()))"
    )
    environ = {**os.environ, "HF_HOME": str(home.primary), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True)

    full.pull("d")

    assert done.stdout.strip() == str(SIZE)
    assert tiers(full)["a"] == "primary"


def test_a_plan_reads_the_models_of_its_tier_alone(full: Shelf) -> None:
    """Who makes room asks the registry for the rows of the full tier, and never for those of a whole large library."""
    asked = list[str]()

    def note(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        asked.append(statement)

    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    try:
        full.services.registrar.room.plan(full.services.tiers.settings.primary, SIZE, model_id=0)
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", note)

    of_models = [statement for statement in asked if "FROM models m" in statement]
    assert of_models
    assert all(" WHERE m." in " ".join(statement.split()) for statement in of_models)
