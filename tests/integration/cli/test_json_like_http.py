"""`--json` and HTTP show the same objects, with the same keys in the same order."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
import typer

from modelshelf.cli.main import make_app
from modelshelf.server.app import describe
from modelshelf.store.layout import Base
from tests.builders import AGED_S, lay_out
from tests.fakes.hub import FakeHub
from tests.world import Home, Server, random_bytes, wait_until

FILES = {"config.json": b"{}", "model.safetensors": random_bytes(10_000)}
JUNK = """
model org/junk
  orphan 500
model org/one
  commit a main
    model.safetensors 5000
model org/two
  commit b main
    copy.safetensors 5000 as=org/one/model.safetensors
"""


@dataclass
class Library:
    """A library with a server and something of everything."""

    home: Home
    server: Server

    def cli(self, *words: str) -> Any:
        """Return a command's output with --json."""
        result = self.home.run(*words, "--json")
        return result.json if result.out else result.problem

    def http(self, method: str, path: str, body: Any = None) -> Any:
        """Return a request's answer, and assert that it fits the API's description."""
        answer = self.server.ask(method, path, body)
        check_described(method, path, answer.status, answer.json)
        return answer.json

    def done(self, method: str, path: str, body: Any = None) -> Any:
        """Wait for the job that a request started, and return it."""
        where = f"/api/jobs/{self.http(method, path, body)['id']}"
        wait_until(lambda: self.server.get(where)["finished_at"], "the end of the job")
        return self.http("GET", where)

    def litter(self) -> None:
        """Leave garbage, identical blobs and an unregistered snapshot, and delete a sidecar."""
        for name in ("junk", "one", "two"):
            shutil.rmtree(self.home.primary / f"hub/models--org--{name}", ignore_errors=True)
        lay_out(self.home.primary, JUNK)
        for path in (self.home.primary / "hub").rglob("*"):
            os.utime(path, (AGED_S, AGED_S), follow_symlinks=False)
        (Base(self.home.primary).sidecars / "m.json").unlink(missing_ok=True)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    """A library with a damaged model, one with a newer commit, leases, and other programs' files."""
    with FakeHub() as hub:
        home = Home(tmp_path_factory.mktemp("twins") / "user", hub.url)
        for repo in ("name", "old", "hurt", "found"):
            hub.add_repo(f"org/{repo}", FILES)
        usual = home.root / "home/.cache/huggingface"
        home.hf(usual, "download", "org/found").checked()
        lay_out(usual, "dataset org/data\n commit c main\n  rows.txt 10")
        for name, repo in (("m", "name"), ("old", "old"), ("hurt", "hurt")):
            home.run("add", name, f"org/{repo}").checked()
        hub.add_repo("org/old", {**FILES, "config.json": b"{'new': 1}"})
        blobs = (home.primary / "hub/models--org--hurt/blobs").iterdir()
        next(blob for blob in blobs if blob.stat().st_size == 10_000).write_bytes(random_bytes(10_000, seed=1))
        home.run("lease", "m").checked()
        with home.serve() as server:
            yield Library(home, server)


Pair = tuple[Any, Any]


def reading(words: str, path: str) -> Callable[[Library], Pair]:
    """Return a comparison of a command with a GET."""
    return lambda library: (library.cli(*words.split()), library.http("GET", path))


def planning(words: str, path: str, **body: object) -> Callable[[Library], Pair]:
    """Return a comparison of a command's plan with a POST's."""

    def ask(library: Library) -> Pair:
        library.litter()
        planned = library.cli(*words.split(), "--dry-run")
        answered = library.http("POST", path, body | {"dry_run": True})
        return planned.get("tiers", planned), answered

    return ask


def working(words: str, path: str, **body: object) -> Callable[[Library], Pair]:
    """Return a comparison of a command's work with that of a POST, whose job has the result."""

    def ask(library: Library) -> Pair:
        library.litter()
        done = library.cli(*words.split())
        library.litter()
        result = library.done("POST", path, body)["result"]
        return (done["tiers"], result["tiers"]) if "tiers" in done else (done, result)

    return ask


def a_model(*words: str) -> Callable[[Library], Pair]:
    """Return a comparison of the model in a command's output with the one in HTTP's."""
    return lambda library: (library.cli(*words), library.http("GET", "/api/models")[0])


def adding(library: Library) -> Pair:
    """Add a model with a command and with a request, whose answer also names what is evicted."""
    body = {"model_name": "posted", "hf_path": "org/name", "download": False}
    answered = library.http("POST", "/api/models", body)
    assert answered.pop("makes_room") == []
    return library.cli("add", "added", "org/name", "--no-download"), answered


def removing(library: Library) -> Pair:
    """Remove a model with a command and with a request."""
    for name in ("gone", "away"):
        library.home.run("add", name, "org/name", "--no-download").checked()
    return library.cli("rm", "gone"), library.http("DELETE", "/api/models/away")


def cancelling(library: Library) -> Pair:
    """Cancel a job with a command and with a request."""
    job_id = library.server.get("/api/jobs")[0]["id"]
    return library.cli("cancel", str(job_id)), library.http("POST", f"/api/jobs/{job_id}/cancel")


def verifying(library: Library) -> Pair:
    """Verify a damaged model with a command and with a request."""
    return library.cli("verify", "hurt"), library.done("POST", "/api/models/hurt/verify")


def renaming(library: Library) -> Pair:
    """Rename a model with a command, and back with a request."""
    return library.cli("rename", "old", "new"), library.http("PATCH", "/api/models/new", {"model_name": "old"})


def pinning(word: str, *, pinned: bool) -> Callable[[Library], Pair]:
    """Return a comparison of pinning or unpinning with a command and with a request."""
    return lambda library: (library.cli(word, "m"), library.http("PATCH", "/api/models/m", {"pinned": pinned}))


def summing(library: Library) -> Pair:
    """Compare the sums of what models were asked."""
    library.server.ask(
        "POST", "/v1/chat/completions", {"model": "nobody", "messages": [{"role": "user", "content": "hi"}]}
    )
    answered = library.http("GET", "/api/stats")  # which writes down what was just asked
    return library.cli("stats"), answered


def viewing(library: Library) -> Pair:
    """Make a view with a command, and the same again with a request."""
    root = str(library.home.root / "view")
    words = ("view", "add", "folder", root, "--all")
    return library.cli(*words), library.http("POST", "/api/views", {"kind": "folder", "root": root, "models": None})


def viewing_a_plan(library: Library) -> Pair:
    """Ask for the plan of a view with a command, and with a request."""
    root = str(library.home.root / "planned")
    words = ("view", "add", "folder", root, "--all", "--dry-run")
    body = {"kind": "folder", "root": root, "models": None, "dry_run": True}
    return library.cli(*words), library.http("POST", "/api/views", body)


TWINS: dict[str, Callable[[Library], Pair]] = {
    "add": adding,
    "adopt": working("adopt --leave", "/api/cache/adopt", mode="leave"),
    "adopt --dry-run": planning("adopt --leave", "/api/cache/adopt", mode="leave"),
    "adopt --all": lambda library: (
        library.cli("adopt", "--all", "--dry-run"),
        library.http("POST", "/api/cache/adopt/all", {"dry_run": True}),
    ),
    "cancel": cancelling,
    "config": reading("config", "/api/settings"),
    "config set": lambda library: (
        library.cli("config", "set", "MAX_MOVES=2", "--dry-run"),
        library.http("PUT", "/api/settings", {"settings": {"MAX_MOVES": "2"}, "dry_run": True}),
    ),
    "dedupe": working("dedupe", "/api/cache/dedupe"),
    "dedupe --dry-run": planning("dedupe", "/api/cache/dedupe"),
    "doctor": reading("doctor", "/api/doctor"),
    "gc": working("gc", "/api/cache/gc"),
    "gc --dry-run": planning("gc", "/api/cache/gc"),
    "jobs": reading("jobs", "/api/jobs"),
    "lease": lambda library: (library.cli("lease"), library.http("GET", "/api/status")["leases"]),
    "ls": reading("ls", "/api/models"),
    "move": a_model("move", "old", "secondary"),
    "pin": pinning("pin", pinned=True),
    "pull": a_model("pull", "m"),
    "reconcile": working("reconcile", "/api/cache/reconcile"),
    "reconcile --dry-run": planning("reconcile", "/api/cache/reconcile"),
    "rename": renaming,
    "rm": removing,
    "show": reading("show m", "/api/models/m"),
    "show of none": lambda library: (library.cli("show", "no"), library.server.ask("GET", "/api/models/no").json),
    "stats": summing,
    "status": reading("status", "/api/status"),
    "tiers": reading("tiers", "/api/cache"),
    "unpin": pinning("unpin", pinned=False),
    "update": lambda library: (
        library.cli("update", "old", "--dry-run")[0],
        library.http("POST", "/api/models/old/update", {"dry_run": True}),
    ),
    "verify": verifying,
    "view add": viewing,
    "view add --dry-run": viewing_a_plan,
}
ALONE = {
    *("clean", "engines", "env", "files", "fit", "forget", "init", "install-service", "key", "load", "path", "ps"),
    *("search", "unload", "warm"),
}
"""Commands without a counterpart over HTTP."""


def shape(value: Any) -> Any:
    """Return the keys of a value in order, and the shapes inside it; of a list the different shapes."""
    if isinstance(value, Mapping):
        return [(key, shape(inner)) for key, inner in value.items()]
    if isinstance(value, list):
        found = [shape(inner) for inner in value if isinstance(inner, Mapping)]
        return [one for i, one in enumerate(found) if one not in found[:i]]
    return None


DESCRIBED = describe()


def check_described(method: str, path: str, status: int, value: Any) -> None:
    """Assert that a value has exactly the keys that the API describes.

    A job's result may be one of several objects; the command's output is compared with it.
    """
    parts = path.split("/")
    template = next(
        known
        for known in DESCRIBED["paths"]
        if len(parts) == len(known.split("/"))
        and all(part == name or name[0:1] == "{" for part, name in zip(parts, known.split("/"), strict=True))
    )
    answer = DESCRIBED["paths"][template][method.lower()]["responses"][str(status)]
    check_keys(answer["content"]["application/json"]["schema"], value, path)


def check_keys(schema: Mapping[str, Any], value: Any, where: str) -> None:
    """Assert that a value has the keys of its schema, at every depth."""
    if "$ref" in schema:
        schema = DESCRIBED["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    if isinstance(value, list):
        for inner in value:
            check_keys(schema["items"], inner, where)
    elif isinstance(value, dict) and "properties" in schema:
        assert list(value) == list(schema["properties"]), where
        for key, inner in value.items():
            check_keys(schema["properties"][key], inner, f"{where} {key}")
    elif isinstance(value, dict) and "anyOf" in schema:
        shapes = [one for one in schema["anyOf"] if "$ref" in one]
        for one in shapes if len(shapes) == 1 else ():
            check_keys(one, value, where)


@pytest.mark.parametrize("name", TWINS)
def test_a_command_and_http_show_the_same_keys(library: Library, name: str) -> None:
    """A command's --json output has the keys of HTTP's answer to the same question, in the same order."""
    printed, answered = TWINS[name](library)

    assert shape(printed) == shape(answered)
    assert shape(printed)


def test_every_command_with_json_is_compared() -> None:
    """Each command with --json is compared with HTTP here, or is listed as having no counterpart."""
    commands = typer.main.get_command(make_app()).commands  # type: ignore[attr-defined]
    with_json = {name for name, command in commands.items() if any(p.name == "as_json" for p in command.params)}

    assert with_json == {name.partition(" ")[0] for name in TWINS} | ALONE


def test_listing_models_as_json_loads_no_framework(home: Home) -> None:
    """`shelf ls --json`, which scripts call in a loop, imports neither pydantic nor FastAPI."""
    code = "import atexit, sys; atexit.register(lambda: print(*sys.modules, file=sys.stderr)); "
    code += "from modelshelf.cli.main import main; main(['ls', '--json'])"

    result = home.python(code).checked()

    assert result.json == []
    assert not {"pydantic", "fastapi", "sqlalchemy"} & set(result.err.split())


def test_a_command_loads_no_other_command(home: Home) -> None:
    """A command imports the module of no other one, under an alias too; `path` knows nothing of model files."""
    code = "import atexit, sys; atexit.register(lambda: print(*sys.modules, file=sys.stderr)); "
    code += "from modelshelf.cli.main import main; main(sys.argv[1:])"
    verbs = {f"modelshelf.cli.{name.replace('-', '_')}" for name in ALONE | {name.partition(" ")[0] for name in TWINS}}

    for word, verb in (("path", "path"), ("info", "show"), ("unpin", "pin")):
        loaded = set(home.python(code, word, "nobody").err.split())
        assert loaded & verbs == {f"modelshelf.cli.{verb}"}
        assert verb != "path" or "modelshelf.domain.model_facts" not in loaded


def test_a_command_loads_no_service_of_another_one(home: Home) -> None:
    """`shelf rm` loads no HTTP library, no migrations where the schema is current, and not what adopts or verifies."""
    home.run("gc").checked()
    code = "import atexit, sys; atexit.register(lambda: print(*sys.modules, file=sys.stderr)); "
    code += "from modelshelf.cli.main import main; main(['rm', 'nobody'])"

    loaded = set(home.python(code).err.split())

    assert "modelshelf.services.lifecycle.remove" in loaded
    others = {"modelshelf.services.adopt.adopt", "modelshelf.services.maintenance.verify", "modelshelf.hub.transport"}
    assert not loaded & {"urllib3", "alembic", "pydantic", "sqlalchemy.dialects.postgresql", *others}
