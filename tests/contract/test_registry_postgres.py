"""PostgreSQL that two use for the first time at once, that restarts, or that cuts a connection."""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from modelshelf.domain.models import Registration
from modelshelf.errors import Unavailable
from modelshelf.registry.registry import Registry

CUT = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname IS NOT NULL"


@pytest.fixture
def url(new_postgres: Callable[[], str]) -> str:
    """An empty database."""
    return new_postgres()


@pytest.fixture
def registry(url: str) -> Iterator[Registry]:
    """The registry in it."""
    with contextlib.closing(Registry(url)) as opened:
        yield opened


@pytest.mark.parametrize("round_", range(5))
def test_two_first_uses_of_a_tier_at_once_agree(url: str, registry: Registry, round_: int) -> None:
    """Two first uses of a tier at once get the same row, and neither fails."""
    both = threading.Barrier(2)
    failed: list[Exception] = []

    def use() -> None:
        with contextlib.closing(Registry(url)) as mine:
            both.wait()
            try:
                mine.bases.remember(f"{round_}" * 32, "primary", "/mnt/fast")
            except Exception as err:  # noqa: BLE001 - a thread's own failure is asserted below
                failed.append(err)

    threads = [threading.Thread(target=use) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failed == []
    assert registry.tier_ids() == {"/mnt/fast": f"{round_}" * 32}


def test_a_connection_that_was_cut_is_opened_again(registry: Registry, postgres: tuple[str, sa.Engine]) -> None:
    """After a cut connection reads and writes continue, and nothing is lost."""
    row = registry.add_model(Registration("m", "org/name", "primary"), "/mnt/fast")

    for _ in range(3):
        with postgres[1].connect() as other:
            other.execute(sa.text(CUT))
        assert registry.models()[0].id == row.id
        with postgres[1].connect() as other:
            other.execute(sa.text(CUT))
        registry.add_use(row.id, "run", 1.0)

    assert len(registry.uses_at(replace(row, arrived_at=0.0))) == 3


def test_a_connection_that_is_cut_in_a_transaction_is_a_plain_error(
    registry: Registry, postgres: tuple[str, sa.Engine]
) -> None:
    """A connection that is cut in a transaction is a plain error; the transaction is undone, the next one works."""
    registry.bases.remember("t" * 32, "primary", "/mnt/fast")

    def cut(reservations: object) -> int:
        with postgres[1].connect() as other:
            other.execute(sa.text(CUT))
        return 10

    with pytest.raises(Unavailable, match="isn't reachable") as refused:
        registry.reservations.add("t" * 32, "8:1", "somebody", cut)

    assert refused.value.fields["registry_away"]
    assert registry.reservations.all() == []
    assert registry.reservations.add("t" * 32, "8:1", "somebody", lambda _: 10) is not None


def test_a_server_that_is_restarted_is_waited_for(registry: Registry, postgres: tuple[str, sa.Engine]) -> None:
    """A statement during a server's restart is run when it is up again."""
    row = registry.add_model(Registration("m", "org/name", "primary"), "/mnt/fast")
    done = threading.Event()

    with _stopped(postgres[0]):
        thread = threading.Thread(target=lambda: (registry.add_use(row.id, "run", 1.0), done.set()))
        thread.start()
        assert not done.wait(0.5)
    thread.join(30)

    assert done.is_set()
    assert len(registry.uses_at(replace(row, arrived_at=0.0))) == 1


@contextlib.contextmanager
def _stopped(uri: str) -> Iterator[None]:
    """Stop the session's server, and start it again at the end as the owner of its files."""
    folder = Path(str(sa.make_url(uri).query["host"]))
    programs = Path((folder / "postmaster.opts").read_text(encoding="utf-8").split()[0]).parent
    owner = folder.stat().st_uid

    def control(*words: str) -> None:
        command = [str(programs / "pg_ctl"), "-D", str(folder), "-w", *words]
        as_owner = {"user": owner, "group": folder.stat().st_gid, "extra_groups": []} if os.geteuid() == 0 else {}
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd="/", **as_owner)  # type: ignore[call-overload]

    control("stop", "-m", "fast")
    try:
        yield
    finally:
        control("start", "-o", f"-h '' -k {folder}", "-l", str(folder / "restarted.log"))
