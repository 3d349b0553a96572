"""What each screen looks like at 80 and 120 columns, recorded as text in tests/golden.

To record again: RECORD=1 .venv/bin/pytest tests/integration/cli/test_golden.py, then look at what git says.
"""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelshelf.domain.models import FileEntry, Registration
from modelshelf.domain.names import CommitHash, Digest, FilePath, ModelName, RepoId
from tests.fakes.hub import FakeHub
from tests.terminal import Screen, Terminal, shelf_on_terminal
from tests.world import ROOT, Home, random_bytes

GOLDEN = ROOT / "tests/golden"
LONG = f"{'DeepSeek-R1-Distill-Qwen-32B-abliterated-' * 3:.96}"
HOSTILE = "The file \x1b[31mmodel\x1b[0m.safetensors, or \u202esrotnesfaset.ledom, doesn't match its digest: try again."
SCREENS = {
    "ls": ["ls"],
    "ls-all": ["ls", "--all", "--sort", "size"],
    "ls-filter": ["ls", "--filter", "qwen", "-q"],
    "show": ["show", "smol"],
    "search": ["search", "smol"],
    "files": ["files", "org/Qwen3-0.6B"],
    "tiers": ["tiers"],
    "jobs": ["jobs"],
    "lease": ["lease"],
    "status": ["status"],
    "doctor": ["doctor"],
    "clean": ["clean", "--dry-run", "--unused", "0d"],
    "ps": ["ps"],
    "files-gguf": ["files", "org/gemma-3-1b-it-GGUF"],
    "error": ["path", "qwen"],
    "refused": ["ls", "--sort", "age"],
}
QUANTS = (("Q2_K", 90_000), ("Q4_K_M", 110_000), ("Q8_0", 190_000), ("BF16", 350_000))
UNSTEADY = [
    (re.compile(r"/tmp/shelf-\w{8}"), "/home/me/shelf-home"),
    (re.compile(r"\b[0-9a-f]{12}\b"), "0123456789ab"),
    (re.compile(r"\b\d{4}-\d\d-\d\dT[\d:.]{12}Z"), "2027-01-17T12:00:00.000Z"),
    (re.compile(r"versions  .*(\n {10}.*)*"), "versions  …"),
    (re.compile(r"^  (on disk|free on its disk|models|other) .*$", re.MULTILINE), r"  \1 …"),
    (re.compile(r"^  (?!on disk|free on|models|other|shelf )[A-Za-z].*\n", re.MULTILINE), ""),
    (re.compile(r"3\d\d\.\d kB"), "300.0 kB"),
    (re.compile(r"^ok {3,}.*\n(?: +.*\n)*", re.MULTILINE), ""),
    (re.compile(r"127\.0\.0\.1:\d+"), "127.0.0.1:8000"),
    (re.compile(r"(%  )\d+(?:\.\d)? [kM]?B( of 2\.0 GB|, no limit)"), r"\1…\2"),
]
"""What differs between runs or machines: paths, times, sizes of folders, and what a file system can't do."""


@pytest.fixture(scope="module")
def root() -> Iterator[Path]:
    """A folder whose name has the same length on every machine."""
    folder = Path(tempfile.mkdtemp(prefix="shelf-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def library(root: Path) -> Iterator[Home]:
    """Models in every state with long and short names, a lease, failed jobs, and unregistered files."""
    with FakeHub() as hub:
        home = Home(root / "user", hub.url, {"PRIMARY_CACHE_LIMIT_GB": "2"})
        for name in ("Qwen3-0.6B", "SmolLM2-135M-Instruct-GGUF", "forgotten"):
            hub.add_repo(f"org/{name}", {"model.safetensors": random_bytes(300_000, len(name))})
        hub.add_repo("org/gemma-3-1b-it-GGUF", {f"gemma-3-1b-it-{quant}.gguf": b"GGUF" * n for quant, n in QUANTS})
        with home.open() as shelf:
            registry = shelf.services.registry
            for name, repo_id in (("qwen3", "Qwen3-0.6B"), ("smol", "SmolLM2-135M-Instruct-GGUF"), ("x", "forgotten")):
                shelf.register(name, f"org/{repo_id}")
            shelf.remove("x")
            shelf.move("smol", "secondary")
            row = registry.add_model(
                Registration(ModelName(LONG), RepoId(f"huihui-ai/{LONG:.86}"), "primary"), str(home.primary)
            )
            file = FileEntry(FilePath("model-00001-of-00001.safetensors"), 65_527_752_960, Digest("ab" * 32))
            registry.set_manifest(row, CommitHash("c" * 40), [file])
            shelf.pin(LONG, "mine")
            registry.finish_job(registry.add_job("pull", LONG, {}).id, "failed", detail=HOSTILE)
            shelf.services.leaser.hold("qwen3", 50 * 86400.0, "a person (shelf lease)")
        _age(home.primary / "modelshelf/registry.db")
        yield home


def _age(registry: Path) -> None:
    """Date everything hours back, so that a minute makes no difference."""
    with sqlite3.connect(registry) as connection:
        connection.execute("UPDATE jobs SET created_at = created_at - 9900, finished_at = finished_at - 9900")
    connection.close()


def steady(screen: Screen) -> str:
    """Return a screen without what differs between runs."""
    text = screen.text
    for pattern, meaning in UNSTEADY:
        text = pattern.sub(meaning, text)
    return text


def compare(name: str, screen: Screen) -> None:
    """Compare a screen with its recording, or record it."""
    golden = GOLDEN / f"{name}.txt"
    if os.environ.get("RECORD"):
        golden.write_text(steady(screen), encoding="utf-8")
    assert steady(screen) == golden.read_text(encoding="utf-8")


@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize("name", SCREENS)
def test_a_screen_is_the_recorded_one(library: Home, name: str, columns: int) -> None:
    """Each screen is the one recorded in tests/golden."""
    compare(f"{name}-{columns}", shelf_on_terminal(library, *SCREENS[name], columns=columns))


@pytest.mark.parametrize("name", ["ls", "jobs", "tiers"])
def test_no_line_is_wider_than_a_phone(library: Home, name: str) -> None:
    """At 40 columns no line of the lists and bars wraps."""
    shown = shelf_on_terminal(library, *SCREENS[name], columns=40).text.splitlines()

    assert [line for line in shown if len(line) > 40] == []


@pytest.mark.parametrize("columns", [80, 120])
def test_the_choice_of_a_quantisation_is_the_recorded_one(library: Home, columns: int) -> None:
    """On a terminal `shelf add` asks which of several quantisations it is to take."""
    shelf = Terminal(library, "shelf", "add", "org/gemma-3-1b-it-GGUF", columns=columns)
    shelf.wait_for("]: ")
    shelf.type("q\n")
    compare(f"add-choice-{columns}", shelf.finish())


@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize("words", ["ls", "tiers", "jobs", "status"])
def test_before_the_first_model_there_is_something_to_read(root: Path, words: str, columns: int) -> None:
    """In an empty library the screens say how to begin."""
    folder = root / f"{columns}{words:_<8}"
    compare(f"empty-{words}-{columns}", shelf_on_terminal(Home(folder, "http://127.0.0.1:9"), words, columns=columns))
