"""One library in every folder: settings are found upwards, and no second library is created by accident."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from modelshelf.errors import BadInput
from tests.fakes.hub import FakeHub
from tests.world import Child, Home, Result, random_bytes, start_module, tree, wait_until

FILES = {"config.json": b"{}", "model.safetensors": random_bytes(200_000)}


@dataclass(frozen=True)
class Person:
    """A user who types in folders; only HOME identifies the user."""

    home: Home

    @property
    def root(self) -> Path:
        """The home folder."""
        return self.home.root / "home"

    def folder(self, name: str, settings: str = "") -> Path:
        """Make a folder in the home, with these settings if there are any."""
        (self.root / name).mkdir(parents=True, exist_ok=True)
        if settings:
            (self.root / name / ".env").write_text(settings, encoding="utf-8")
        return self.root / name

    def run(self, where: Path, *words: str, **more: str) -> Result:
        """Run `shelf` in a folder and return its result."""
        usual = {"PRIMARY_CACHE_PATH", "SECONDARY_CACHE_PATH", "XDG_STATE_HOME", "XDG_CONFIG_HOME"}
        environ = {name: text for name, text in self.home.environ().items() if name not in usual} | more
        return Child(start_module("modelshelf", words, where, environ)).finish()


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
    """From another folder the same library is used with its pins and leases, and no second registry is created."""
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
    """If no setting says which of two libraries is meant, nothing is created, and the error names both."""
    person.run(person.folder("other"), "add", "n", "org/model", PRIMARY_CACHE_PATH=str(person.root / "usb")).checked()
    (project / ".env").rename(project / "env")
    before = tree(person.root)

    refused = person.run(person.root, "add", "x", "org/model", "--json")
    assert (refused.code, refused.problem["title"]) == (5, "Conflict")
    assert all(str(person.root / name) in refused.problem["detail"] for name in ("fast", "usb"))
    assert "PRIMARY_CACHE_PATH" in refused.problem["hint"]
    assert tree(person.root) == before


def test_a_second_library_that_somebody_named_is_told(person: Person, project: Path) -> None:
    """A second library that a setting names is created, and a note on stderr names the first one."""
    other = person.folder("other", "PRIMARY_CACHE_PATH=~/usb\n")

    added = person.run(other, "add", "n", "org/model").checked()
    assert "note: A new library starts" in added.err
    assert str(person.root / "fast") in added.err
    assert person.run(other, "add", "n", "org/model").checked().err == ""


def other_registry(person: Person) -> dict[str, str]:
    """Return a DATABASE_URL that isn't the library's."""
    return {"DATABASE_URL": f"sqlite:///{person.root}/other.db"}


def third(person: Person) -> dict[str, str]:
    """Return settings of another library whose secondary is the first library's primary."""
    return {"PRIMARY_CACHE_PATH": str(person.root / "third"), "SECONDARY_CACHE_PATH": str(person.root / "fast")}


def test_a_process_with_another_registry_uses_the_one_that_the_base_has(person: Person, project: Path) -> None:
    """A process with another DATABASE_URL uses the base's own registry, says so, and sees its pins and leases."""
    listed = person.run(project, "ls", "--json", **other_registry(person)).checked()

    assert [model["model_name"] for model in listed.json] == ["m"]
    assert listed.err.count("fast/modelshelf/registry.db, which is used") == 1
    assert person.run(project, "rm", "m", "--files", **other_registry(person)).code == 5
    assert not (person.root / "other.db").exists()


@pytest.mark.parametrize(
    "words",
    [
        ("add", "n", "org/model", "--to", "secondary"),
        ("gc", "--tier", "secondary"),
        ("dedupe", "--tier", "secondary"),
        ("adopt", "{root}/found", "--move", "--to", "secondary"),
    ],
    ids=lambda words: words[0],
)
def test_a_base_of_another_library_is_not_changed(person: Person, project: Path, words: tuple[str, ...]) -> None:
    """Every command on another library's base is refused, and the error names the registry that governs it."""
    person.folder("found/hub/models--org--model/snapshots")
    before = tree(person.root / "fast")

    refused = person.run(person.root, *(word.format(root=person.root) for word in words), "--json", **third(person))

    assert refused.code == 5, refused
    assert "fast/modelshelf/registry.db" in refused.err
    assert {name: text for name, text in tree(person.root / "fast").items() if "registry.db" not in name} == {
        name: text for name, text in before.items() if "registry.db" not in name
    }


def test_reconcile_makes_no_second_row_for_a_model_of_another_library(person: Person, project: Path) -> None:
    """Reconcile doesn't register sidecars on a base that another registry governs."""
    said = person.run(
        person.root, "reconcile", "--base", str(person.root / "fast"), "--json", **third(person)
    ).checked()

    assert said.json["steps"] == []
    assert person.run(person.root, "ls", "--json", **third(person)).checked().json == []


def test_the_secondary_of_a_library_is_no_primary_of_another(person: Person, project: Path) -> None:
    """Another library's secondary can't become a primary, and the error says where that library's settings are."""
    person.run(project, "add", "n", "org/model", "--to", "secondary").checked()

    refused = person.run(person.root, "ls", PRIMARY_CACHE_PATH=str(person.root / "slow"))

    assert refused.code == 7
    assert f"cd {project}" in refused.err


def test_a_registry_that_is_lost_for_good_is_replaced_once_its_base_is_forgotten(person: Person, project: Path) -> None:
    """A lost registry is replaced only after its base is forgotten; then the sidecars restore what it knew."""
    person.run(project, "forget", "../fast", "--models").checked()
    person.run(project, "reconcile", **other_registry(person)).checked()
    (person.root / "other.db").unlink()
    (person.root / "fast/modelshelf/registry.db").unlink()

    refused = person.run(project, "add", "n", "org/model")
    assert refused.code == 7
    assert "shelf forget" in refused.err
    assert not (person.root / "fast/modelshelf/registry.db").exists()
    person.run(project, "forget", "../fast").checked()
    person.run(project, "reconcile").checked()
    assert person.run(project, "ls", "--json").checked().json[0]["state"] == "ready"


def test_forgetting_a_base_leaves_every_file(person: Person, project: Path) -> None:
    """Forgetting a base with models needs --models and keeps every file; then another library may take it."""
    hub = tree(person.root / "fast/hub")
    refused = person.run(project, "forget", "../fast", "--json")
    assert (refused.code, refused.problem["models"]) == (5, ["m"])
    before = tree(person.root)
    planned = person.run(project, "forget", "../fast", "--models", "--dry-run", "--json").checked().json
    assert (planned["models"], planned["gives_away"]) == (["m"], True)
    assert {n: t for n, t in tree(person.root).items() if ".db" not in n} == {
        n: t for n, t in before.items() if ".db" not in n
    }

    assert person.run(project, "forget", "../fast", "--models", "--json").checked().json == planned

    assert tree(person.root / "fast/hub") == hub
    person.run(person.root, "add", "n", "org/model", "--to", "secondary", **third(person)).checked()
    assert person.run(project, "forget", "../nowhere").code == 2


def test_a_library_without_models_holds_no_base(person: Person) -> None:
    """A cache in which a command began a library for nothing is adopted into the one that `init` sets up afterwards."""
    cache = person.root / ".cache/huggingface"
    person.home.hf(cache, "download", "org/model").checked()
    assert person.run(person.root, "reconcile").code == 0
    assert (cache / "modelshelf/registry.db").exists()

    person.run(person.root, "init", "--primary", "fast", "--secondary", "none", "--yes").checked()
    person.run(person.root, "adopt", "--leave").checked()

    (listed,) = person.run(person.root, "ls", "--json").checked().json
    assert (listed["hf_path"], listed["state"], listed["cache_path"]) == ("org/model", "ready", str(cache))
    assert person.run(person.root, "doctor", "--json").json["errors"] == 0


@pytest.mark.parametrize("keeps", [("add", "n", "org/model"), ("key", "add", "laptop")], ids=["a model", "a key"])
def test_a_library_that_keeps_something_holds_its_base(person: Person, keeps: tuple[str, ...]) -> None:
    """A base of a library with a model or a key isn't taken over."""
    person.run(person.root, *keeps).checked()
    cache = person.root / ".cache/huggingface"
    person.home.hf(cache, "download", "org/model").checked()

    refused = person.run(person.root, "adopt", str(cache), "--leave", **third(person))

    assert (refused.code, "belongs to another library" in refused.err) == (5, True)


def test_a_person_without_a_registry_gives_no_base_of_another_library_away(person: Person, project: Path) -> None:
    """With a primary that has no registry a base of a living library isn't let go; of a lost one it is."""
    person.run(project, "add", "n", "org/model", "--to", "secondary").checked()
    slow, marker = person.root / "slow", person.root / "slow/modelshelf/tier.json"
    before = marker.read_bytes()

    refused = person.run(person.root, "forget", str(slow), "--models", **third(person))

    assert (refused.code, "belongs to another library" in refused.err) == (5, True)
    assert f"PRIMARY_CACHE_PATH={person.root}/fast shelf forget {slow} --models" in refused.err
    assert marker.read_bytes() == before
    for file in (person.root / "fast/modelshelf").glob("registry.db*"):
        file.unlink()
    person.run(person.root, "forget", str(slow), "--models", **third(person)).checked()
    assert b"registry" not in marker.read_bytes()


def test_a_link_in_the_place_of_a_base_has_a_way_out(person: Person, project: Path) -> None:
    """If a base became a link to another tier, the doctor says so, and `shelf forget` makes it usable again."""
    other = person.folder("other", "PRIMARY_CACHE_PATH=~/big\n")
    person.run(other, "add", "n", "org/model").checked()
    (person.root / "fast").rename(person.root / "fast.old")
    (person.root / "fast").symlink_to(person.root / "big")

    refused = person.run(project, "add", "x", "org/model")
    assert refused.code == 7
    assert "holds another tier" in refused.err
    way_out = f"shelf forget {person.root}/fast"
    assert way_out in refused.err
    found = [f for f in person.run(project, "doctor", "--json").json["findings"] if f["severity"] == "error"]
    assert [(f["topic"], way_out in f["command"]) for f in found] == [("base", True), ("registry", True)]
    assert f"which leads to {person.root}/big" in found[0]["detail"]
    person.run(project, "forget", "../fast").checked()
    assert [m["model_name"] for m in person.run(project, "ls", "--json").checked().json] == ["n"]
    assert f"{person.root}/big" not in person.run(project, "doctor").checked().out


def test_the_doctor_leaves_a_base_to_its_library(person: Person, project: Path) -> None:
    """The doctor doesn't call a copy in another library a duplicate, and has no command for it."""
    other = person.folder("other", "PRIMARY_CACHE_PATH=~/big\n")
    person.run(other, "add", "n", "org/model").checked()

    assert f"{person.root}/fast" not in person.run(other, "doctor", "--fix").checked().out


def test_status_says_what_is_in_force(person: Person, project: Path) -> None:
    """`status` shows the settings file, the registry, who governs each base, and the leases; HTTP shows the same."""
    said = person.run(person.folder("proj/src"), "status", "--json").checked().json

    assert said["settings"] == {"file": str(project / ".env"), "library_named_by": "file"}
    assert said["registry"]["url"] == f"sqlite:///{person.root}/fast/modelshelf/registry.db"
    assert [(base["cache_location"], base["ours"]) for base in said["bases"]] == [
        ("primary", True),
        ("secondary", False),
    ]
    assert said["bases"][0]["library"]["id"] == said["registry"]["id"]
    assert [lease["model_name"] for lease in said["leases"]] == ["m"]
    assert (said["servers"], said["versions"]["schema"]) == ([], "0001")
    lines = person.run(project, "doctor").checked().out.splitlines()
    assert lines[:2] == [f"settings {project / '.env'}", f"registry {said['registry']['url']}"]


def test_status_of_nothing_makes_nothing(person: Person) -> None:
    """Before the first model `status` says that there is no registry, and creates none."""
    before = tree(person.root)

    said = person.run(person.root, "status", "--json").checked().json

    assert (said["registry"]["exists"], said["settings"]["library_named_by"]) == (False, "")
    assert tree(person.root) == before
    assert "not created yet" in person.run(person.root, "status").checked().out


def test_status_says_that_a_server_runs(home: Home) -> None:
    """`status` in any process shows a running server with its address until it ends."""
    with home.serve() as server:
        said = wait_until(lambda: server.get("/api/status")["servers"], "the server's word")
        assert [one["url"] for one in said] == [server.url]
        assert home.run("status", "--json").checked().json["servers"] == said
        assert f"server    {server.url}" in home.run("status").checked().out
        server.end()
    assert home.run("status", "--json").checked().json["servers"] == []


@pytest.mark.parametrize("location", ["primary", "secondary"])
def test_a_path_that_is_not_the_tiers_is_refused(home: Home, hub: FakeHub, location: str) -> None:
    """A path that isn't the tier's base is refused over HTTP and in Python, and nothing is registered or moved."""
    hub.add_repo("org/model", FILES)
    where = {"cache_location": location, "cache_path": str(home.custom)}
    body = {"model_name": "m", "hf_path": "org/model", "download": False}
    with home.serve() as server:
        assert server.ask("POST", "/api/models", body | where).status == 400
        assert server.get("/api/models") == []
        own = where | {"cache_path": str(home.primary if location == "primary" else home.secondary)}
        assert server.ask("POST", "/api/models", body | own).status == 201
        assert server.ask("PATCH", "/api/models/m", where).status == 400
    with home.open() as shelf:
        with pytest.raises(BadInput):
            shelf.register("n", "org/model", location, str(home.custom))
        assert [row.model_name for row in shelf.services.registry.models()] == ["m"]


def test_the_doctor_names_no_tool_that_is_not_here(person: Person) -> None:
    """The doctor doesn't mention tools' folders that don't exist."""
    nowhere = person.folder("empty-path")

    said = person.run(person.root, "doctor", PATH=str(nowhere)).out

    assert "Ollama" not in said
    assert "LM Studio" not in said
    person.folder(".ollama/models")
    assert "Ollama" in person.run(person.root, "doctor", PATH=str(nowhere)).out
