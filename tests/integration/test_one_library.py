"""One library, wherever one stands: settings are found from below, and nobody begins a second library unawares."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.fakes.hub import FakeHub
from tests.world import Home, Result, random_bytes, tree

FILES = {"config.json": b"{}", "model.safetensors": random_bytes(200_000)}


@dataclass(frozen=True)
class Person:
    """A user who types in folders; only HOME says who that is."""

    home: Home

    @property
    def root(self) -> Path:
        """The home folder."""
        return self.home.root / "home"

    def folder(self, name: str, settings: str = "") -> Path:
        """Make a folder in the home, with a settings file where one is given."""
        (self.root / name).mkdir(parents=True, exist_ok=True)
        if settings:
            (self.root / name / ".env").write_text(settings, encoding="utf-8")
        return self.root / name

    def run(self, where: Path, *words: str, **more: str) -> Result:
        """Run `shelf` in a folder to its end."""
        usual = {"PRIMARY_CACHE_PATH", "SECONDARY_CACHE_PATH", "XDG_STATE_HOME", "XDG_CONFIG_HOME"}
        environ = {name: text for name, text in self.home.environ().items() if name not in usual} | more
        command = [sys.executable, "-m", "modelshelf", *words]
        done = subprocess.run(command, cwd=where, env=environ, capture_output=True, text=True, timeout=300)
        return Result(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def person(home: Home, hub: FakeHub) -> Person:
    """A user, and a hub with one model."""
    hub.add_repo("org/model", FILES)
    return Person(home)


@pytest.fixture
def project(person: Person) -> Path:
    """A project whose settings name a library with one model, pinned and leased."""
    made = person.folder("proj", "PRIMARY_CACHE_PATH=~/fast\nSECONDARY_CACHE_PATH=~/slow\n")
    person.run(made, "add", "m", "org/model").checked()
    person.run(made, "pin", "m").checked()
    person.run(made, "lease", "m").checked()
    return made


@pytest.mark.parametrize("where", ["proj/src", "."], ids=["below the settings", "at home"])
def test_another_folder_has_the_same_library(person: Person, project: Path, where: str) -> None:
    """Its pins and leases hold there as well, and no second registry is made."""
    folder = person.folder(where)

    listed = person.run(folder, "ls", "--json").checked().json
    assert [(m["model_name"], m["cache_location"], m["pinned"]) for m in listed] == [("m", "primary", True)]
    assert "nothing to do" in person.run(folder, "reconcile").checked().out
    assert person.run(folder, "rm", "m", "--files").code == 5
    person.run(folder, "unpin", "m").checked()
    assert "used by" in person.run(folder, "rm", "m", "--files").err
    assert person.run(project, "ls", "--json").checked().json[0]["state"] == "ready"
    assert [path.relative_to(person.root).parts[0] for path in person.root.rglob("registry.db")] == ["fast"]


def test_a_second_library_that_nobody_named_is_refused(person: Person, project: Path) -> None:
    """Where no setting says which of two is meant, nothing is made, and both are named."""
    person.run(person.folder("other"), "add", "n", "org/model", PRIMARY_CACHE_PATH=str(person.root / "usb")).checked()
    (project / ".env").rename(project / "env")
    before = tree(person.root)

    refused = person.run(person.root, "add", "x", "org/model", "--json")
    assert (refused.code, refused.problem["title"]) == (5, "Conflict")
    assert all(str(person.root / name) in refused.problem["detail"] for name in ("fast", "usb"))
    assert "PRIMARY_CACHE_PATH" in refused.problem["hint"]
    assert tree(person.root) == before


def test_a_second_library_that_somebody_named_is_told(person: Person, project: Path) -> None:
    """It begins, and a note on stderr names the other one."""
    other = person.folder("other", "PRIMARY_CACHE_PATH=~/usb\n")

    added = person.run(other, "add", "n", "org/model").checked()
    assert "note: A new library begins" in added.err
    assert str(person.root / "fast") in added.err
    assert person.run(other, "add", "n", "org/model").checked().err == ""
