"""What a large library costs, in statements, opened files and listed folders: no more for many models than for few."""

from __future__ import annotations

import os
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from modelshelf.bootstrap.doctor_and_setup import open_doctor
from modelshelf.domain.job_params import GcParams
from modelshelf.domain.listing import Listing
from modelshelf.domain.models import Registration
from modelshelf.domain.names import ModelName, RepoId
from modelshelf.services.shelf import Shelf
from modelshelf.store.layout import Base
from modelshelf.store.repos import scan
from tests.builders import AGED_S, age, commit, lay_out
from tests.integration.mirror.hub_face_tree import add_commit, running
from tests.world import Home

FEW, MANY = 2, 12
_watching: list[list[tuple[str, str]]] = []
"""Where calls are noted now; a hook can't be removed."""


def _hook(event: str, args: tuple[object, ...]) -> None:
    if _watching and event in ("open", "os.scandir", "os.listdir"):
        _watching[-1].append((event, str(args[0])))


sys.addaudithook(_hook)


@contextmanager
def calls() -> Iterator[list[tuple[str, str]]]:
    """What this process opens and lists inside the context."""
    found: list[tuple[str, str]] = []
    _watching.append(found)
    try:
        yield found
    finally:
        _watching.remove(found)


def add(shelf: Shelf, base: Path, first: int, end: int) -> None:
    """Register so many models of two files that lie in the primary base."""
    for number in range(first, end):
        sizes = f"\n    config.json {20 + number}\n    model.bin {1000 + number}"
        drawn = lay_out(base, f"model org/m{number}\n  commit {number:x} main{sizes}")
        repo_id, commit_hash = RepoId(f"org/m{number}"), commit(f"{number:x}")
        repo = drawn.base.repo(repo_id)
        age(repo.path)
        registry = shelf.services.registry
        row = registry.add_model(Registration(ModelName(f"m{number}"), repo_id, "primary"), str(base))
        registry.set_manifest(row, commit_hash, drawn.of(repo_id, f"{number:x}"))
        registry.set_complete(row.id, scan.signature(repo, commit_hash))


Ask = Callable[[Shelf], object]
ASKED: dict[str, Ask] = {
    "list all": lambda shelf: shelf.services.library.models(),
    "a page": lambda shelf: shelf.services.library.models(Listing(limit=2)),
    "one model": lambda shelf: shelf.services.library.model("m0"),
    "its path": lambda shelf: shelf.services.library.path("m0"),
    "the views": lambda shelf: shelf.services.views.all(),
    "gc's plan": lambda shelf: shelf.services.collector.plan(GcParams()),
    "reconcile's plan": lambda shelf: shelf.services.reconciler.plan(),
}


@pytest.mark.parametrize("ask", ASKED.values(), ids=ASKED.keys())
def test_the_registry_is_asked_as_often_for_many_models_as_for_few(home: Home, statements: list[str], ask: Ask) -> None:
    """A question about the library sends as many statements when it holds six times as many models."""
    counts = []
    with home.open() as shelf:
        for first, end in ((0, FEW), (FEW, MANY)):
            add(shelf, home.primary, first, end)
            statements.clear()
            ask(shelf)
            counts.append(len(statements))

    assert counts[0] == counts[1]


def test_a_look_of_the_event_stream_reads_no_model_while_nothing_changes(home: Home, statements: list[str]) -> None:
    """While nothing changes, each look for listeners sends two statements, however many models there are."""
    with home.open() as shelf:
        watch = shelf.services.watch()
        add(shelf, home.primary, 0, MANY)
        watch.look()
        statements.clear()
        assert watch.look() == []

    assert len(statements) == 2


def test_removing_one_model_asks_as_often_whatever_else_is_registered(home: Home, statements: list[str]) -> None:
    """`rm` of one of twelve models sends as many statements as of one of two."""
    counts = []
    with home.open() as shelf:
        for first, end in ((0, 1), (1, 1 + FEW), (1 + FEW, 1 + MANY)):
            add(shelf, home.primary, first, end)
            statements.clear()
            shelf.remove(f"m{first}")
            counts.append(len(statements))

    assert counts[1] == counts[2]  # the first look at the views of a library knows of no earlier one


def test_the_doctor_opens_a_file_once_and_lists_a_folder_once(home: Home) -> None:
    """Of a model the doctor opens no file twice, and lists no folder twice, though nothing was measured before."""
    with home.open() as shelf:
        add(shelf, home.primary, 0, MANY)
        shelf.reconcile()
    Base(home.primary).meter.unlink(missing_ok=True)
    with open_doctor(home.environ()) as doctor, calls() as made:
        doctor.examine()
    opened = Counter(path for event, path in made if event == "open" and ("/models--" in path or "/models/" in path))
    listed = Counter(path for event, path in made if event != "open" and "/models--" in path)

    assert len(opened) >= 3 * MANY
    assert max(opened.values()) == 1
    assert max(listed.values()) == 1


def test_adopting_asks_for_the_mounts_as_often_for_many_models(home: Home) -> None:
    """Adopting ten models takes their locks at once: the table of mounts is read as often as for two."""
    counts = []
    with home.open() as shelf:
        for first, end in ((0, 1), (1, 1 + FEW), (1 + FEW, 1 + FEW + MANY)):  # the first one makes the views, too
            for number in range(first, end):
                lay_out(home.primary, f"model org/m{number}\n  commit {number:x} main\n    model.bin {1000 + number}")
            with calls() as made:
                shelf.adopt(home.primary, "leave")
            counts.append(sum(path == "/proc/self/mountinfo" for _, path in made))

    assert len(shelf.models()) == 1 + FEW + MANY
    assert counts[1] == counts[2]


def test_removing_a_repository_opens_no_more_folders_for_many_files(home: Home) -> None:
    """`rm --files` lists and opens no more folders for a repository of sixty files than for one of ten."""
    counts, opened = [], []
    with home.open() as shelf:
        for name, files in (("few", 10), ("many", 60)):
            lines = "".join(f"\n    part-{n}.txt {n + 1}" for n in range(files))
            lay_out(home.primary, f"model org/{name}\n  commit a main\n    config.json 20{lines}")
            shelf.adopt(home.primary, "leave")
            with calls() as made:
                shelf.remove(name, delete_files=True)
            counts.append(sum(event != "open" and f"models--org--{name}" in path for event, path in made))
            ours = [path for event, path in made if event == "open" and not re.match("/proc/[0-9]", path)]
            opened.append(Counter(path for path in ours if not path.endswith(".lock")))  # a blob has its lock

    assert counts[0] == counts[1]
    assert opened[1].total() <= opened[0].total(), opened[1] - opened[0]


def test_the_pages_of_a_list_read_it_once(tmp_path: Path) -> None:
    """A client that asks page by page for a repository of many files has the list of its commit read once."""
    files = {f"part-{number}.txt": b"%d" % number for number in range(60)}
    base = tmp_path / "base"
    add_commit(base, "org/large", commit("a"), files, tree=True)
    age(base)
    os.utime(Base(base).repo(RepoId("org/large")).tree(commit("a")), (AGED_S, AGED_S))
    below = "api/models/org/large/tree/main?recursive=true&limit=20"
    with running(base) as face, calls() as made:
        pages = [face.json(f"{below}&cursor={first}") for first in (0, 20, 40)]

    assert [entry["path"] for page in pages for entry in page] == sorted(files)
    assert sum(path.endswith(f"{commit('a')}.json") for event, path in made if event == "open") == 1
