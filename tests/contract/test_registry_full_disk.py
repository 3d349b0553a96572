"""A registry on a full or read-only disk can be read, and on a full disk also changed."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from modelshelf.domain.job_params import OldCopy
from modelshelf.domain.models import FileEntry, Registration
from modelshelf.domain.names import BasePath, RepoId
from modelshelf.domain.uses import Use
from modelshelf.errors import Denied, OutOfSpace, Unavailable
from modelshelf.registry.fast_read import SqliteReader, library_id, role_of
from modelshelf.registry.registry import Registry
from tests.store.mounts import small_disk
from tests.store.users import acting_as

HALF_WRITTEN = """
import os, signal, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA journal_mode=PERSIST")
connection.execute("PRAGMA cache_spill=1")
connection.execute("PRAGMA cache_size=1")
connection.execute("BEGIN IMMEDIATE")
connection.execute("UPDATE files SET digest = 'gone'")
os.kill(os.getpid(), signal.SIGKILL)
"""
MANIFEST = [FileEntry(f"f{i}.bin", i, f"{i:064x}") for i in range(1, 300)]


@pytest.fixture
def disk() -> Iterator[Path]:
    """A disk of 8 MiB and 200 inodes that every user may enter, unlike pytest's own folders."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        with small_disk(Path(folder) / "disk", 8 * 2**20, "nr_inodes=200") as mounted:
            mounted.chmod(0o755)
            yield mounted


@pytest.fixture
def path(disk: Path) -> Path:
    """A registry on that disk, with one model of 299 files."""
    made = disk / "registry.db"
    with contextlib.closing(Registry(f"sqlite:///{made}")) as registry:
        row = registry.add_model(Registration("m", "org/name", "primary"), "/mnt/fast")
        registry.set_manifest(row, "c" * 40, MANIFEST)
    return made


def take_bytes(disk: Path) -> None:
    """Take every free byte."""
    with (disk / "filler").open("wb", buffering=0) as filler, contextlib.suppress(OSError):
        while filler.write(bytes(4096)):
            pass
    assert os.statvfs(disk).f_bavail == 0


def take_names(disk: Path) -> None:
    """Take every free inode."""
    with contextlib.suppress(OSError):
        for number in range(1000):
            (disk / f"name{number}").touch()
    assert os.statvfs(disk).f_favail == 0


def use_up(registry: Registry) -> None:
    """Record more changes than the registry's reserve holds."""
    for number in range(300):
        registry.add_job("gc", "", {"filler": f"{number}" * 2_000})


@pytest.mark.parametrize("take", [take_bytes, take_names])
def test_a_registry_works_on_without_a_byte_or_a_name(disk: Path, path: Path, take: object) -> None:
    """On a full disk the registry opens, is read and changed, and forgets a model with its manifest."""
    assert callable(take)
    take(disk)

    with contextlib.closing(Registry(f"sqlite:///{path}")) as registry:
        row = registry.models()[0]
        for number in range(20):
            registry.add_use(row.id, "run", float(number))
        job = registry.enqueue("move", row)
        registry.finish_job(job.id, "done")
        assert len(SqliteReader(path).files("org/name", "c" * 40)) == len(MANIFEST)
        deletions = registry.delete_model(
            row.id, OldCopy(BasePath("/b"), "", RepoId("org/name"), None, tuple(MANIFEST))
        )

    assert len(deletions) == 1
    assert SqliteReader(path).models() == []
    assert SqliteReader(path).files("org/name", "c" * 40) == []


def test_any_number_of_changes_is_noted_on_a_full_disk(disk: Path, path: Path) -> None:
    """On a full disk the table of changes stays within the reserve and leaves enough to forget a model."""
    take_bytes(disk)
    with contextlib.closing(Registry(f"sqlite:///{path}")) as registry:
        row = registry.models()[0]
        registry.rename(row.id, "m" * 96)
        for number in range(1500):
            registry.set_pin(row.id, pinned=True, reason=str(number))
        old_copy = OldCopy(BasePath("/b"), "", RepoId("org/name"), None, tuple(MANIFEST))

        assert len(registry.delete_model(row.id, old_copy)) == 1
        assert registry.files("org/name", "c" * 40) == []


def test_a_registry_whose_reserve_is_used_up_says_that_the_disk_is_full(disk: Path, path: Path) -> None:
    """If its reserve is used up, a registry says that the disk is full, loses nothing, and continues with room."""
    take_bytes(disk)
    with contextlib.closing(Registry(f"sqlite:///{path}")) as registry:
        row = registry.models()[0]

        with pytest.raises(OutOfSpace, match=str(path)):
            use_up(registry)

        assert registry.models() == SqliteReader(path).models()
        (disk / "filler").unlink()
        registry.add_use(row.id, "run", 1.0)
        assert len(registry.uses_at(replace(row, arrived_at=0.0))) == 1


def test_requests_leave_the_reserve_to_what_frees_space(disk: Path, path: Path) -> None:
    """On a full disk no request is noted, however many there are, and the reserve is left for what frees space."""
    asked = [Use("m", "chat/completions", 1.0, 1.0, 200, engine="llama", error="x" * 100)] * 300
    with contextlib.closing(Registry(f"sqlite:///{path}")) as registry:
        row = registry.models()[0]
        registry.add_uses(asked)
        take_bytes(disk)

        for _ in range(20):
            with pytest.raises(OutOfSpace, match="nearly full"):
                registry.add_uses(asked)

        old_copy = OldCopy(BasePath("/b"), "", RepoId("org/name"), None, tuple(MANIFEST))
        assert len(registry.delete_model(row.id, old_copy)) == 1
        assert registry.files("org/name", "c" * 40) == []
        (disk / "filler").unlink()
        registry.add_uses(asked)
        assert registry.use_stats("m")[0].requests == 600


def test_the_reserve_is_filled_up_again_when_there_is_room(disk: Path, path: Path) -> None:
    """The reserve is filled up again when there is room."""
    take_bytes(disk)
    with contextlib.closing(Registry(f"sqlite:///{path}")) as registry, contextlib.suppress(OutOfSpace):
        use_up(registry)
    (disk / "filler").unlink()
    with contextlib.closing(Registry(f"sqlite:///{path}")):
        pass
    take_bytes(disk)

    with contextlib.closing(Registry(f"sqlite:///{path}")) as registry:
        registry.add_job("gc", "", {"filler": "x" * 100_000})


def test_a_registry_on_a_read_only_disk_is_read_and_says_why_it_is_not_changed(disk: Path, path: Path) -> None:
    """Both readers read a registry on a read-only disk; a change is refused with the way out."""
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)

    with contextlib.closing(Registry(f"sqlite:///{path}")) as registry:
        assert [row.model_name for row in registry.models()] == ["m"]
        assert registry.models() == SqliteReader(path).models()
        with pytest.raises(Denied, match="read-only disk") as refused:
            registry.add_use(registry.models()[0].id, "run", 1.0)
    assert "Mount it writable" in refused.value.hint


@pytest.mark.parametrize("left", ["half a transaction", "a log of another mode"])
def test_what_a_killed_process_left_on_a_read_only_disk_is_read_around(disk: Path, path: Path, left: str) -> None:
    """On a read-only disk a registry is read without a dead process's half transaction, and with its whole log."""
    if left == "half a transaction":
        died = subprocess.run([sys.executable, "-c", HALF_WRITTEN, str(path)], check=False)
        assert died.returncode == -signal.SIGKILL
    else:
        kept = sqlite3.connect(path)
        kept.execute("PRAGMA journal_mode=WAL")
        kept.execute("UPDATE models SET pin_reason = 'said so'")
        kept.commit()
        for suffix in ("", "-wal"):
            (disk / f"copy{suffix}").write_bytes(Path(f"{path}{suffix}").read_bytes())
        kept.close()
        path = disk / "copy"
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)

    with contextlib.closing(Registry(f"sqlite:///{path}")) as registry:
        assert registry.models() == SqliteReader(path).models()
        assert registry.models()[0].pin_reason == ("" if left == "half a transaction" else "said so")
        assert registry.files("org/name", "c" * 40) == sorted(MANIFEST, key=lambda file: file.path)
        with pytest.raises(Denied):
            registry.add_use(1, "run", 1.0)


def test_another_user_reads_the_registry_and_is_told_whose_it_is(disk: Path, path: Path) -> None:
    """Another user can read the registry, even while it is open; a change is refused with the owner's name."""
    with contextlib.closing(Registry(f"sqlite:///{path}")) as owners:
        rows = owners.models()
        path.chmod(0o644)
        with acting_as(), contextlib.closing(Registry(f"sqlite:///{path}")) as theirs:
            assert theirs.models() == rows
            with pytest.raises(Denied, match="belongs to root") as refused:
                theirs.add_use(rows[0].id, "run", 1.0)

    assert "group" in refused.value.hint


def spoil(path: Path, how: str) -> None:
    """Damage a registry."""
    if how == "a bad page":
        content = bytearray(path.read_bytes())
        for page in range(1, len(content) // 4096):
            content[page * 4096 : page * 4096 + 64] = b"\xff" * 64
        path.write_bytes(content)
    else:
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.execute("DROP TABLE models")


@pytest.mark.parametrize("how", ["a bad page", "a missing table"])
def test_a_damaged_registry_is_named_as_one(path: Path, how: str) -> None:
    """Every reader says that a damaged registry is damaged, and names the doctor."""
    spoil(path, how)

    with pytest.raises(Unavailable) as first:
        SqliteReader(path).models()
    with pytest.raises(Unavailable) as second, contextlib.closing(Registry(f"sqlite:///{path}")) as registry:
        registry.models()

    for refused in (first, second):
        assert refused.value.fields["damaged"]
        assert "shelf doctor" in refused.value.hint


@pytest.mark.parametrize("how", ["deleted", "deleted with its log", "moved", "replaced"])
def test_a_registry_that_went_while_it_was_used_is_named_as_gone(path: Path, how: str) -> None:
    """A process that still holds it is told that the file isn't there any more, and not that it belongs to another."""
    with contextlib.closing(Registry(f"sqlite:///{path}")) as registry:
        assert [row.model_name for row in registry.models()] == ["m"]
        path.rename(path.with_name("elsewhere.db")) if how in ("moved", "replaced") else path.unlink()
        if how == "deleted with its log":
            path.with_name("registry.db-journal").unlink()
        if how == "replaced":
            shutil.copyfile(path.with_name("elsewhere.db"), path)

        with pytest.raises(Unavailable) as refused:
            registry.add_model(Registration("n", "org/n", "primary"), "/mnt/fast")

    assert refused.value.detail == f"The registry {path} was deleted, moved or replaced while this process used it."
    assert "Put it back" in refused.value.hint


def test_a_database_of_another_program_is_asked_and_left_as_it_is(tmp_path: Path) -> None:
    """Another program's database at the registry's path is only read and stays unchanged."""
    path = tmp_path / "history.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE visits (url)")
    before = path.read_bytes()

    assert (library_id(path), role_of(path, "a" * 32)) == ("", "")
    assert path.read_bytes() == before
