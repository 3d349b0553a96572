"""`shelf adopt`: other tools' models are left, moved, or moved and linked, and nothing is ever lost."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest

from modelshelf.domain.names import ModelName, is_own_ref, own_ref
from modelshelf.errors import BadInput
from modelshelf.services.shelf import Shelf
from modelshelf.store.layout import Base
from modelshelf.store.repos import scan
from tests.builders import lay_out, put
from tests.disks import escaping_links, far_home, files_of
from tests.fakes.hub import FakeHub
from tests.integration import legacy
from tests.integration.legacy import AGES, FILES, NAME, REPO
from tests.invariants import base_violations, du, violations
from tests.world import Home, Result, load_offline, tree, wait_until

LOAD_FROM_CACHE_DIR = """
import sys
from huggingface_hub import snapshot_download
print(snapshot_download(sys.argv[1], cache_dir=sys.argv[2], local_files_only=True))
"""


@pytest.fixture
def old(hub: FakeHub, home: Home) -> Path:
    """A folder where other tools keep their models, and a hub that has one of them."""
    hub.add_repo(REPO, FILES)
    path = home.root / "home" / ".cache" / "huggingface"
    path.mkdir(parents=True)
    return path


def adopt(home: Home, old: Path, *words: str, **more: str) -> Any:
    """Run `shelf adopt OLD … --json` in this process and return its result."""
    mode, options, given = "leave", dict[str, Any](), iter(words)
    for word in given:
        option = word.removeprefix("--").replace("-", "_")
        if option in ("leave", "move", "link"):
            mode = option
        else:
            options["repo_id" if option == "repo" else option] = next(given) if option in ("to", "repo") else True
    with home.open(**more) as shelf:
        return shelf.adopt(str(old), mode, **options)


def listed(home: Home, base: Path) -> list[Any]:
    """Return what `hf cache ls` lists of a base, without times and paths."""
    found = home.hf(base, "cache", "ls", "--json", HF_HUB_OFFLINE="1").checked().json
    return sorted(
        ({key: value for key, value in repo.items() if "access" not in key and "modif" not in key and "path" not in key}
         for repo in found), key=str
    )  # fmt: skip


def verify(home: Home, base: Path) -> None:
    """Compare a base with the hub, using the real huggingface_hub."""
    home.hf(base, "cache", "verify", REPO, "--fail-on-missing-files", "--fail-on-extra-files").checked()


def everything(folder: Path) -> dict[str, tuple[int, int, str]]:
    """Return every name below a folder with size, mtime and link target, except locks and our own files."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if not name.startswith("modelshelf") and ".lock" not in name and not (path.is_dir() and not path.is_symlink()):
            stated = path.lstat()
            found[name] = (stated.st_size, stated.st_mtime_ns, str(path.readlink()) if path.is_symlink() else "")
    return found


def without_own_refs(repos: list[Any]) -> list[Any]:
    """Return `listed` without the refs that protect registered snapshots."""
    return [repo | {"refs": [ref for ref in repo["refs"] if not is_own_ref(ref)]} for repo in repos]


def models_du(home: Home) -> int:
    """Return the bytes on the disk of a home without the registry, which keeps a reserve."""
    return du(home.root)[1] - sum(path.stat().st_blocks * 512 for path in home.primary.glob("modelshelf/registry.db*"))


def detail_of(said: Any, repo_id: str) -> str:
    """Return the reason of what happens to a repository's model."""
    return str(next(model["detail"] for model in said["models"] if model["hf_path"] == repo_id))


def test_showing_changes_nothing(home: Home, old: Path) -> None:
    """Without a mode, adopt lists what is there and what each mode would do, and writes nothing."""
    legacy.with_2x(home, old)
    before = everything(old)

    shown = home.run("adopt", str(old)).checked().out
    views = home.run("adopt", str(old), "--json").checked().json

    assert (everything(old), (old / "modelshelf").exists()) == (before, False)
    assert NAME in shown
    assert all(f"--{mode}" in shown for mode in ("leave", "move", "link"))
    actions = {mode: [model["action"] for model in view["models"]] for mode, view in views.items()}
    assert actions == {"leave": ["register"], "move": ["move"], "link": ["move"]}
    assert home.run("ls", "--json").json == []


def test_the_default_is_the_cache_of_hugging_face(home: Home, old: Path) -> None:
    """Without a path, adopt means `~/.cache/huggingface`."""
    legacy.with_2x(home, old)

    assert home.run("adopt", "--leave", "--json").checked().json["path"] == str(old)


@pytest.mark.parametrize("age", AGES)
def test_a_cache_of_any_age_is_left_and_used_where_it_lies(hub: FakeHub, home: Home, old: Path, age: str) -> None:
    """A model in a cache of any age is registered in place and loads without a download; only a ref is added."""
    AGES[age](home, old)
    before, repos = everything(old), listed(home, old)
    hub.requests.clear()

    said = adopt(home, old, "--leave")

    assert said["registered"] == [NAME]
    assert not [request for request in hub.requests if "/resolve/" in request.path]
    model = home.run("show", NAME, "--json").checked().json
    assert (model["state"], model["cache_location"], model["cache_path"]) == ("ready", "custom", str(old))
    assert tree(Path(home.run("path", NAME).checked().out.strip())) == FILES
    after, held = everything(old), Base(old).repo(REPO).ref(own_ref(ModelName(NAME)))
    assert held.read_text() == model["commit_hash"]
    assert after.pop(held.relative_to(old).as_posix())
    assert after == before
    assert without_own_refs(listed(home, old)) == repos
    assert du(old / "modelshelf")[1] < 300_000
    verify(home, old)
    assert tree(load_offline(home, old, REPO)) == FILES
    with home.open() as shelf:
        if age != "absolute links":
            assert violations(shelf, at_rest=False) == []


@pytest.mark.parametrize("age", AGES)
def test_a_cache_of_any_age_moves(home: Home, old: Path, age: str) -> None:
    """A model in a cache of any age moves to the tier whole, leaves nothing behind, and is never stored twice."""
    AGES[age](home, old)
    before = models_du(home)

    said = adopt(home, old, "--move")

    assert (said["registered"], said["moved"], said["left"]) == ([NAME], [NAME], [])
    assert tree(load_offline(home, home.primary, REPO)) == FILES
    verify(home, home.primary)
    assert not list(old.glob("hub/models--*"))
    assert models_du(home) - before < 300_000
    with home.open() as shelf:
        assert violations(shelf) == []
        assert shelf.model(NAME).state == "ready"
    assert adopt(home, old, "--move")["models"] == []


@pytest.mark.parametrize("age", AGES)
def test_a_linked_cache_is_found_by_both_paths(home: Home, old: Path, age: str) -> None:
    """After moving with a link, old and new path lead to the same bytes, and the link can be undone from its backup."""
    AGES[age](home, old)
    put(old / "token", b"hf_secret").chmod(0o600)
    put(old / "modules" / "m.py", b"x = 1")
    before = models_du(home)

    said = adopt(home, old, "--link")

    backup = old.with_name(f"huggingface.before-modelshelf-{time.strftime('%Y%m%d', time.gmtime())}")
    assert (said["backup"], old.readlink(), backup.is_dir()) == (str(backup), home.primary, True)
    assert [tree(load_offline(home, base, REPO)) for base in (old, home.primary)] == [FILES, FILES]
    assert home.python(LOAD_FROM_CACHE_DIR, REPO, f"{old}/hub", HF_HUB_OFFLINE="1").checked()
    verify(home, old)
    assert listed(home, old) == listed(home, home.primary) != []
    assert models_du(home) - before < 300_000
    assert ((old / "token").read_bytes(), (old / "token").stat().st_mode & 0o777) == (b"hf_secret", 0o600)
    assert (old / "modules" / "m.py").read_bytes() == b"x = 1"
    assert adopt(home, old, "--link")["backup"] == str(backup)

    undone = home.run("adopt", "--unlink", str(old)).checked()

    assert undone.err.startswith(f"What --link moved along stays in {home.primary}: ")
    assert (old.is_symlink(), backup.exists(), (old / "token").read_bytes()) == (False, False, b"hf_secret")
    with home.open() as shelf:
        assert violations(shelf) == []
        assert tree(shelf.path(NAME)) == FILES


def test_a_second_run_changes_nothing(home: Home, old: Path) -> None:
    """A second run says what is registered already and changes nothing."""
    legacy.with_2x(home, old)
    adopt(home, old, "--leave")
    before = everything(old)

    again = adopt(home, old, "--leave")

    assert (again["registered"], [model["action"] for model in again["models"]]) == ([], ["none"])
    assert home.run("adopt", str(old), "--leave").checked().out == f"{NAME}: It is registered as {NAME}.\n"
    assert everything(old) == before


def test_what_was_left_can_be_moved_later(home: Home, old: Path) -> None:
    """A model that was left can be moved later and keeps its name, even after a rename."""
    legacy.with_2x(home, old)
    adopt(home, old, "--leave")
    home.run("rename", NAME, "mine").checked()

    assert adopt(home, old, "--move")["moved"] == ["mine"]

    assert home.run("show", "mine", "--json").json["cache_location"] == "primary"


def test_the_tier_can_be_chosen(home: Home, old: Path) -> None:
    """`--to` takes a tier or a base's path."""
    legacy.with_2x(home, old)

    assert adopt(home, old, "--move", "--to", "secondary")["cache_path"] == str(home.secondary)

    assert tree(load_offline(home, home.secondary, REPO)) == FILES
    assert adopt(home, home.secondary, "--move", "--to", str(home.custom))["moved"] == [NAME]
    assert tree(load_offline(home, home.custom, REPO)) == FILES


def test_the_primary_itself_is_adopted(home: Home, old: Path) -> None:
    """Models in a base that is already a tier are registered there."""
    legacy.with_2x(home, old)

    said = adopt(home, old, "--leave", PRIMARY_CACHE_PATH=str(old))

    assert said["registered"] == [NAME]
    assert home.run("show", NAME, "--json", PRIMARY_CACHE_PATH=str(old)).json["cache_location"] == "primary"


def test_names_are_derived_and_collisions_solved(home: Home, old: Path) -> None:
    """A model gets its repository's name, else one with the organisation; another commit's has its hash at the end."""
    lay_out(old, """
        model A/Model
          commit a main
            model.safetensors 100
          commit b
            model.safetensors 101
        model b/model
          commit c main
            model.safetensors 102
        model gpt2
          commit d main
            model.safetensors 103
    """)  # fmt: skip
    put(home.root / "home" / "x", b"")

    said = adopt(home, old, "--leave", "--dry-run")

    names = {(model["hf_path"], model["commit_hash"][0]): model["model_name"] for model in said["models"]}
    expected = {("A/Model", "a"): "model", ("A/Model", "b"): "model-bbbbbbb", ("b/model", "c"): "b-model"}
    assert names == expected | {("gpt2", "d"): "gpt2"}
    assert sorted(adopt(home, old, "--leave")["registered"]) == sorted(names.values())


def test_what_is_not_whole_stays_and_is_named(home: Home, old: Path) -> None:
    """Interrupted downloads, snapshots with only a config, and dead refs stay, each with its reason and every byte."""
    lay_out(old, """
        model org/config-alone
          commit a main
            config.json 20
            model.safetensors 900
        model org/shards
          commit a main
            config.json 20
            model-00001-of-00002.safetensors 300
            model-00002-of-00002.safetensors 300
        model org/dead-ref
          ref main b
          orphan 50
        model org/whole
          commit a main
            model.safetensors 300
          ref v0 b
          partial 70
          orphan 50
    """)  # fmt: skip
    gone = {"org/config-alone": "model.safetensors", "org/shards": "model-00002-of-00002.safetensors"}
    for repo_id, name in gone.items():
        link = Base(old).repo(repo_id).snapshot("a" * 40) / name
        link.resolve().unlink()
        link.unlink()

    said = adopt(home, old, "--move")

    assert said["moved"] == ["whole"]
    assert "no weights" in detail_of(said, "org/config-alone")
    assert "model-00002-of-00002.safetensors is not there" in detail_of(said, "org/shards")
    left = {path.name for path in (old / "hub").glob("models--*")}
    assert left == {"models--org--config-alone", "models--org--shards", "models--org--dead-ref", "models--org--whole"}
    assert len(list(Base(old).repo("org/whole").blobs.iterdir())) == 2
    assert {other["path"] for other in said["stayed"]} >= {str(Base(old).repo("org/dead-ref").path)}
    with home.open() as shelf:
        dead_refs = {line.split(": the ref")[0] for line in violations(shelf)}
        assert dead_refs == {"org/dead-ref", "org/whole"}  # as they were


def test_a_part_by_intent_is_a_model(hub: FakeHub, home: Home, old: Path) -> None:
    """One GGUF of several is registered as that one file: ready, and a pull fetches nothing."""
    hub.add_repo("org/many", {"a-Q4.gguf": b"4" * 900, "a-Q8.gguf": b"8" * 900, "README.md": b"x"})
    home.hf(old, "download", "org/many", "a-Q4.gguf").checked()

    assert adopt(home, old, "--leave")["registered"] == ["many"]

    model = home.run("show", "many", "--json").json
    assert (model["state"], model["allow_patterns"]) == ("ready", ["a-Q4.gguf"])
    hub.requests.clear()
    home.run("pull", "many").checked()
    assert not [request for request in hub.requests if "Q8" in request.path]


def test_damage_is_found_before_it_is_registered(home: Home, old: Path) -> None:
    """A model with a blob that doesn't match its name isn't registered and isn't moved."""
    legacy.with_2x(home, old)
    blob = next(path for path in Base(old).repo(REPO).blobs.iterdir() if path.stat().st_size == 300_000)
    data = bytearray(blob.read_bytes())
    data[1000] ^= 1
    blob.write_bytes(data)

    said = adopt(home, old, "--move")

    assert (said["registered"], "model.safetensors is damaged" in said["left"][0]) == ([], True)
    assert said["left"][0].endswith(f"To download it anew: shelf add {REPO}")
    assert blob.read_bytes() == bytes(data)


# --- strays, data sets, dead weight ---

STRAY = """
    model org/stray
      commit a main
        config.json 20
        model.safetensors 3000 shared
    dataset org/rows
      commit c main
        rows.bin 500 shared
"""


@pytest.mark.parametrize("below", [".", "hub/hub"])
def test_strays_move_into_the_tier(home: Home, old: Path, below: str) -> None:
    """Repositories in BASE itself and in hub/hub are moved with their shared payloads as files."""
    legacy.stray(old, STRAY, below)

    assert adopt(home, old, "--move")["moved"] == ["stray"]

    assert len(tree(load_offline(home, home.primary, "org/stray"))) == 2
    assert len(tree(Base(home.primary).repo("org/rows", "dataset").snapshot("c" * 40))) == 1
    assert [path for path in files_of(old) if "--" in path] == []
    assert (escaping_links(home.primary), base_violations(Base(home.primary))) == ([], [])


@pytest.mark.parametrize("below", [".", "hub/hub"])
def test_strays_of_a_tier_move_into_its_hub(home: Home, old: Path, below: str) -> None:
    """Moving within the primary brings strays into hub/, even on a full tier, and adds no byte."""
    legacy.stray(old, STRAY, below)
    size = du(old)[1]

    said = adopt(home, old, "--move", PRIMARY_CACHE_PATH=str(old), PRIMARY_CACHE_LIMIT_GB="0.000001")

    assert (said["registered"], said["need_bytes"], said["left"]) == (["stray"], 0, [])
    assert len(tree(load_offline(home, old, "org/stray"))) == 2
    assert len(tree(Base(old).repo("org/rows", "dataset").snapshot("c" * 40))) == 1
    strays = [path for path in old.rglob("*--*--*") if path.parent != old / "hub" and ".lock" not in str(path)]
    assert not [path for path in strays if not path.is_symlink()]  # the links beside hub are those of a view
    assert du(old)[1] - size <= du(old / "modelshelf")[1] + 20_000


@pytest.mark.parametrize("below", [".", "hub/hub"])
def test_strays_are_left_with_a_second_name(home: Home, old: Path, below: str) -> None:
    """A stray that is left can be loaded from hub/ and from its old path, and its bytes are stored once."""
    legacy.stray(old, STRAY, below)
    before = du(old)[0]

    assert adopt(home, old, "--leave")["registered"] == ["stray"]

    assert len(tree(load_offline(home, old, "org/stray"))) == 2
    here = home.python(LOAD_FROM_CACHE_DIR, "org/stray", str(old / below), HF_HUB_OFFLINE="1").checked()
    assert len(tree(Path(here.out.strip()))) == 2
    assert du(old)[0] - before - du(old / "modelshelf")[0] < 80_000
    assert detail_of(adopt(home, old, "--leave"), "org/stray") == "It is registered as stray."


def test_data_sets_move_whole(home: Home, old: Path) -> None:
    """A data set moves with its blobs as files, isn't registered, and loads from the new base."""
    lay_out(old, """
        dataset org/rows
          commit c main refs/pr/1
            rows.bin 500 shared
            deep/more.txt 20
          ref dead d
        space org/app
          commit c main
            app.txt 20
    """)  # fmt: skip
    before = tree(Base(old).repo("org/rows", "dataset").snapshot("c" * 40))

    adopt(home, old, "--move")

    repo = Base(home.primary).repo("org/rows", "dataset")
    assert (tree(repo.snapshot("c" * 40)), set(scan.refs(repo))) == (before, {"main", "refs/pr/1"})
    assert Base(home.primary).repo("org/app", "space").path.is_dir()
    assert base_violations(Base(home.primary)) == []
    assert home.run("ls", "--json").json == []


def test_dead_weight_and_the_rest_are_named_with_their_size(home: Home, old: Path) -> None:
    """Old flat files, tokens, xet and unknown files stay, and are named with their size."""
    legacy.with_0x(home, old)
    lay_out(old, """
        file token 30
        file xet/chunks/x 1000
        file notes.txt 7
    """)  # fmt: skip

    said = adopt(home, old, "--move")

    stayed = {other["kind"]: other["size_bytes"] for other in said["stayed"]}
    assert stayed["dead"] > 1000
    assert {kind: size for kind, size in stayed.items() if kind != "dead"} == {"token": 30, "xet": 1000, "other": 7}
    assert all((old / name).exists() for name in ("token", "xet/chunks/x", "notes.txt", "transformers"))
    assert any("need hf auth login" in other["detail"] for other in said["stayed"])


# --- what must not be followed or guessed ---


def plant_file(old: Path, outside: Path) -> None:
    """Make a file of the snapshot a link out of the cache."""
    link = Base(old).repo(REPO).snapshot(commit_of(old)) / "config.json"
    link.unlink()
    link.symlink_to(outside / "secret")


def plant_blob(old: Path, outside: Path) -> None:
    """Make a blob a link out of the cache."""
    blob = next(Base(old).repo(REPO).blobs.iterdir())
    blob.unlink()
    blob.symlink_to(outside / "secret")


def plant_blobs_folder(old: Path, outside: Path) -> None:
    """Make the folder of blobs a link."""
    blobs = Base(old).repo(REPO).blobs
    blobs.rename(outside / "blobs")
    blobs.symlink_to(outside / "blobs")


def plant_repo(old: Path, outside: Path) -> None:
    """Make the repository a link."""
    repo = Base(old).repo(REPO).path
    repo.rename(outside / "repo")
    repo.symlink_to(outside / "repo")


def plant_loop(old: Path, outside: Path) -> None:
    """Make a file of the snapshot a link to itself."""
    link = Base(old).repo(REPO).snapshot(commit_of(old)) / "config.json"
    link.unlink()
    link.symlink_to("config.json")


def commit_of(old: Path) -> str:
    """Return the commit of the model."""
    return scan.refs(Base(old).repo(REPO))["main"]


@pytest.mark.parametrize("plant", [plant_file, plant_blob, plant_blobs_folder, plant_repo, plant_loop])
@pytest.mark.parametrize("mode", ["--leave", "--move", "--link"])
def test_a_planted_link_is_never_followed(home: Home, old: Path, plant: Any, mode: str) -> None:
    """The target of a link out of the cache is neither registered, moved nor deleted, and the link is named."""
    legacy.with_2x(home, old)
    outside = home.root / "outside"
    put(outside / "secret", b"secret")
    plant(old, outside)
    (old / "datasets--x--y").symlink_to(outside)
    (old / "other").symlink_to(outside)
    before = everything(outside)

    said = adopt(home, old, mode)

    assert everything(outside) == before
    assert (said["registered"], said["moved"]) == ([], [])
    named = str(said["models"]) + str(said["others"])
    assert "not followed" in named or "leads nowhere" in named
    assert escaping_links(home.primary) == []
    assert b"secret" not in {p.read_bytes() for p in home.primary.rglob("*") if p.is_file()}


@pytest.mark.parametrize("mode", ["--leave", "--move"])
def test_a_store_of_an_unknown_version_is_left_alone(home: Home, old: Path, mode: str) -> None:
    """A shared blob store of an unknown version is left alone."""
    legacy.with_shared_store(home, old)
    (old / "hub" / "blobs" / ".huggingface-shared-blobs").write_text("9\n")
    before = everything(old)

    said = adopt(home, old, mode)

    assert said["registered"] == []
    assert "doesn't know" in detail_of(said, REPO)
    assert everything(old) == before


UNREADABLE = """
import contextlib, io, os, sys
from pathlib import Path
from modelshelf.cli.main import main
with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
    for words in (["adopt", sys.argv[1], "--json"], ["adopt", sys.argv[5], "--leave", "--json"]):
        with contextlib.suppress(SystemExit):
            main(words)  # imports what this user may not read later
for path in [Path(sys.argv[1]), *Path(sys.argv[1]).rglob("*")]:
    os.chown(path, 65534, 65534, follow_symlinks=False)
hidden = Path(sys.argv[3])
os.chown(hidden, 0, 0)
hidden.chmod(0o600)
os.setgroups([]); os.setgid(65534); os.setuid(65534)
main(["adopt", sys.argv[2], sys.argv[4], "--json"])
"""


@pytest.mark.parametrize("mode", ["--leave", "--move"])
def test_a_file_of_another_user_is_named(hub: FakeHub, mode: str) -> None:
    """A model with one file that this user can't read stays complete where it is; the others are adopted."""
    if os.geteuid() != 0:
        pytest.skip("giving files to another user needs root")
    with tempfile.TemporaryDirectory(prefix="modelshelf-") as name:
        Path(name).chmod(0o755)
        home = Home(Path(name) / "user", hub.url)
        old, first = home.root / "old", home.root / "first"
        hub.add_repo(REPO, FILES)
        legacy.with_2x(home, old)
        lay_out(old, "model org/mine\n commit a main\n  model.safetensors 300")
        lay_out(first, "model org/first\n commit a main\n  model.safetensors 10")
        hidden = next(path for path in Base(old).repo(REPO).blobs.iterdir() if path.stat().st_size == 300_000)

        said = home.python(UNREADABLE, *map(str, (home.root, old, hidden, mode, first))).checked().json

        assert said["registered"] == ["mine"]
        assert "can't" in detail_of(said, REPO)
        assert hidden.stat().st_size == 300_000


# --- two copies ---


def test_a_second_copy_is_shown_and_merged_on_request(home: Home, old: Path) -> None:
    """A commit that a tier has isn't registered twice; `--merge` deletes the copy once the first is verified."""
    legacy.with_2x(home, old)
    home.run("add", "mine", REPO, "--to", "secondary").checked()

    shown = adopt(home, old, "--leave")

    assert (shown["registered"], shown["models"][0]["copy_of"]) == ([], "mine")
    assert tree(load_offline(home, old, REPO)) == FILES
    assert adopt(home, old, "--leave", "--merge")["merged"] == ["mine"]
    assert not list(old.glob("hub/models--*"))
    assert tree(load_offline(home, home.secondary, REPO)) == FILES


def test_a_damaged_first_copy_keeps_the_second(home: Home, old: Path) -> None:
    """If the registered copy is damaged, `--merge` keeps the second one."""
    legacy.with_2x(home, old)
    home.run("add", "mine", REPO).checked()
    blob = next(path for path in Base(home.primary).repo(REPO).blobs.iterdir() if path.stat().st_size == 300_000)
    blob.chmod(0o644)
    blob.write_bytes(bytes(300_000))

    said = adopt(home, old, "--move")

    assert ("is damaged" in said["left"][0], said["merged"]) == (True, [])
    assert tree(load_offline(home, old, REPO)) == FILES


def test_a_move_merges_with_what_the_tier_has(home: Home, old: Path) -> None:
    """A move of a model that the target has merges them into one and deletes the old copy."""
    legacy.with_2x(home, old)
    home.run("add", "mine", REPO).checked()

    adopt(home, old, "--move")

    assert not list(old.glob("hub/models--*"))
    assert [model["model_name"] for model in home.run("ls", "--json").json] == ["mine"]
    assert tree(load_offline(home, home.primary, REPO)) == FILES


def test_a_model_that_waits_for_its_download_gets_these_files(home: Home, old: Path) -> None:
    """Adopt completes a registered model that isn't downloaded yet, and asks the hub for nothing."""
    legacy.with_2x(home, old)
    home.run("add", "mine", REPO, "--no-download").checked()

    assert adopt(home, old, "--move")["moved"] == ["mine"]

    assert home.run("show", "mine", "--json").json["state"] == "ready"


# --- the limit ---


@pytest.mark.parametrize("mode", ["--move", "--link"])
def test_what_does_not_fit_is_refused_before_anything_changed(home: Home, old: Path, mode: str) -> None:
    """A move that doesn't fit is refused with the numbers, and the old cache stays as it was."""
    legacy.with_2x(home, old)
    before = everything(old)

    said = home.run("adopt", str(old), mode, "--json", PRIMARY_CACHE_LIMIT_GB="0.0003")

    assert (said.code, said.problem["needed_bytes"] >= 370_000) == (8, True)
    assert (everything(old), (old / "modelshelf").exists()) == (before, False)
    assert home.run("ls", "--json").json == []


# --- other programs ---


def test_a_folder_of_lm_studio_is_linked_into_the_tier(home: Home, old: Path) -> None:
    """LM Studio's GGUF becomes a model without a second byte, its folder stays, and a second run changes nothing."""
    folder = home.root / "home" / ".lmstudio" / "models"
    data = legacy.lm_studio(folder)
    before = everything(folder)

    said = adopt(home, folder, "--move")

    assert said["registered"] == ["tiny-gguf"]
    path = home.run("path", "tiny-gguf").checked().out.strip()
    assert tree(Path(path)) == {"tiny-q4.gguf": data}
    assert (Path(path) / "tiny-q4.gguf").resolve().samefile(folder / "TheOrg" / "Tiny-GGUF" / "tiny-q4.gguf")
    assert everything(folder) == before
    again = adopt(home, folder, "--move")
    assert [(model["model_name"], model["action"]) for model in again["models"]] == [("tiny-gguf", "none")]
    assert len(home.run("ls", "--json").json) == 1
    with home.open() as shelf:
        assert violations(shelf, at_rest=False) == []


def test_a_blob_of_ollama_is_linked_into_the_tier(home: Home, old: Path) -> None:
    """Ollama's weights become a GGUF of the library, verified by the digest in their name."""
    folder = home.root / "home" / ".ollama" / "models"
    data = legacy.ollama(folder)
    before = everything(folder)

    said = adopt(home, home.root / "home" / ".ollama", "--move")

    assert said["registered"] == ["llama3:8b"]
    assert tree(Path(home.run("path", "llama3:8b").checked().out.strip())) == {"llama3-8b.gguf": data}
    assert everything(folder) == before


def test_a_damaged_blob_of_ollama_is_refused(home: Home, old: Path) -> None:
    """An Ollama blob that doesn't match its digest isn't adopted."""
    folder = home.root / "home" / ".ollama" / "models"
    legacy.ollama(folder)
    blob = max((folder / "blobs").iterdir(), key=lambda path: path.stat().st_size)
    blob.write_bytes(b"GGUF" + bytes(199_996))

    said = adopt(home, folder, "--move")

    assert (said["registered"], "doesn't match the digest" in said["left"][0]) == ([], True)


def test_a_local_dir_needs_its_repository_named(home: Home, old: Path) -> None:
    """With `--repo`, a local_dir becomes the model of the commit that its metadata names."""
    folder = home.root / "work" / "mine"
    home.hf(old, "download", REPO, "--local-dir", str(folder)).checked()
    before = everything(folder)

    told = home.run("adopt", str(folder.parent), "--move").checked().err
    assert f"not registered: {folder} at " in told
    assert f": shelf adopt {folder} --move --repo ORG/NAME." in told
    said = adopt(home, folder, "--move", "--repo", REPO)

    assert said["registered"] == [NAME]
    assert tree(load_offline(home, home.primary, REPO)) == FILES
    verify(home, home.primary)
    assert everything(folder) == before


def test_a_changed_file_of_a_local_dir_is_not_taken(home: Home, old: Path) -> None:
    """A file of a local_dir that a person edited isn't adopted."""
    folder = home.root / "work" / "mine"
    home.hf(old, "download", REPO, "--local-dir", str(folder)).checked()
    (folder / "config.json").write_bytes(b"{ }")
    os.utime(folder / "config.json", (2e9, 2e9))

    said = adopt(home, folder, "--move", "--repo", REPO)

    assert (said["registered"], "config.json was changed" in said["models"][0]["detail"]) == ([], True)


# --- other file systems, other paths ---


def test_another_file_system_is_reached_by_copying(hub: FakeHub, tmp_path: Path) -> None:
    """To another file system, models, strays and data sets are copied, verified, and then deleted at the source."""
    hub.add_repo(REPO, FILES)
    with far_home(tmp_path / "user", hub.url) as home:
        old = home.root / "old"
        legacy.with_shared_store(home, old)
        legacy.stray(old, STRAY)

        assert sorted(adopt(home, old, "--link", "--to", "secondary")["moved"]) == [NAME, "stray"]

        assert tree(load_offline(home, old, REPO)) == FILES
        assert len(tree(Base(home.secondary).repo("org/rows", "dataset").snapshot("c" * 40))) == 1
        assert base_violations(Base(home.secondary)) == []
        home.run("adopt", "--unlink", str(old)).checked()
        assert [path for path in files_of(old) if "--" in path] == []


def test_another_programs_files_are_copied_only_when_asked(hub: FakeHub, tmp_path: Path) -> None:
    """Another program's file that can't be linked into the tier stays and says so; `--copy` copies it."""
    with far_home(tmp_path / "user", hub.url) as home:
        folder = home.root / "lm"
        data = legacy.lm_studio(folder)

        refused = adopt(home, folder, "--move", "--to", "secondary")
        said = home.run("adopt", str(folder), "--move", "--to", "secondary", "--copy", "--json").checked().json

        assert (refused["registered"], "file system" in refused["left"][0]) == ([], True)
        assert said["registered"] == ["tiny-gguf"]
        assert tree(Path(home.run("path", "tiny-gguf").checked().out.strip())) == {"tiny-q4.gguf": data}
        assert (folder / "TheOrg" / "Tiny-GGUF" / "tiny-q4.gguf").read_bytes() == data
        assert adopt(home, folder, "--move", "--to", "secondary")["registered"] == []


def test_a_tier_without_links_takes_models_in(home: Home, old: Path) -> None:
    """On a tier without symbolic links, adopted models hold their bytes in the snapshot, once."""
    legacy.with_2x(home, old)
    folder = home.root / "lm"
    legacy.lm_studio(folder)
    home.extra["HF_HUB_DISABLE_SYMLINKS"] = "1"

    adopt(home, old, "--move")
    adopt(home, folder, "--move")

    assert not [path for path in (home.primary / "hub").rglob("*") if path.is_symlink()]
    assert tree(load_offline(home, home.primary, REPO)) == FILES
    assert home.run("show", "tiny-gguf", "--json").json["state"] == "ready"


def test_a_path_that_is_a_link_is_adopted_where_it_leads(home: Home, old: Path) -> None:
    """If a cache is a link to another disk, its target becomes the tier, and the link stays."""
    real = home.root / "data" / "hf"
    legacy.with_2x(home, real)
    old.rmdir()
    old.symlink_to(real)

    assert adopt(home, old, "--leave")["registered"] == [NAME]

    assert home.run("show", NAME, "--json").json["cache_path"] == str(real)
    assert home.run("adopt", str(old), "--link", "--json").code == 2
    assert (old.is_symlink(), adopt(home, old, "--move")["moved"]) == (True, [NAME])


def test_a_ref_with_a_newline_is_mended_by_a_move(home: Home, old: Path) -> None:
    """A ref that another tool wrote with a newline leads to its snapshot after a move."""
    legacy.with_2x(home, old)
    ref = Base(old).repo(REPO).ref("main")
    ref.write_text(ref.read_text() + "\n")

    adopt(home, old, "--move")

    assert tree(load_offline(home, home.primary, REPO)) == FILES


# --- refusals ---


def refused(result: Result) -> tuple[int, str]:
    """Return exit code and detail of an error."""
    return result.code, result.problem["detail"]


def test_two_modes_are_refused(home: Home, old: Path) -> None:
    """Two modes at once are refused."""
    assert refused(home.run("adopt", str(old), "--leave", "--move", "--json"))[0] == 2


@pytest.mark.parametrize(
    ("path", "code", "word"),
    [("nowhere", 4, "no folder"), ("empty", 4, "can be adopted"), ("cache/hub", 2, "a base is the folder above")],
)
def test_a_path_that_cannot_be_meant_is_refused(home: Home, old: Path, path: str, code: int, word: str) -> None:
    """A folder that doesn't exist, holds nothing, or ends in hub is refused with a sentence."""
    put(home.work / "empty" / "letter.txt", b"x")
    lay_out(home.work / "cache", "model o/m\n commit a main\n  model.safetensors 10")

    found = refused(home.run("adopt", path, "--leave", "--json"))

    assert (found[0], word in found[1]) == (code, True)
    assert not (home.work / "empty" / "modelshelf").exists()


def test_a_tier_of_the_settings_cannot_become_a_link(home: Home, old: Path) -> None:
    """A base in the settings is never replaced by a link."""
    legacy.with_2x(home, home.secondary)
    before = everything(home.secondary)

    assert refused(home.run("adopt", str(home.secondary), "--link", "--json"))[0] == 2

    assert everything(home.secondary) == before


def test_only_a_folder_of_its_own_becomes_a_link(home: Home, old: Path) -> None:
    """The target, and a folder around the tier, can't become a link, and nothing changes."""
    legacy.with_2x(home, old)
    inside = str(old / "sub")

    refusals = [
        home.run("adopt", str(old), "--link", "--to", str(old), "--json"),
        home.run("adopt", str(old), "--link", "--to", inside, "--json"),
        home.run("adopt", str(old), "--move", "--to", "nowhere", "--json"),
    ]

    assert [said.code for said in refusals] == [2, 2, 2]
    assert (old.is_symlink(), (old / "modelshelf").exists(), (old / "sub").exists()) == (False, False, False)


def test_a_mount_point_cannot_become_a_link(home: Home, old: Path) -> None:
    """A mount point can't become a link, and adopt says so before anything moves."""
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    legacy.with_2x(home, old)
    if subprocess.run(["mount", "--bind", str(old), str(old)], check=False).returncode != 0:
        pytest.skip("bind mounts are not allowed here")
    try:
        said = home.run("adopt", str(old), "--link", "--json")
        assert (said.code, "mount point" in said.problem["detail"]) == (2, True)
        assert tree(load_offline(home, old, REPO)) == FILES
    finally:
        subprocess.run(["umount", str(old)], check=True)


def test_a_link_is_undone_only_while_its_backup_is_there(home: Home, old: Path) -> None:
    """Without its backup a link can't be undone, and anything else at the old path is left alone."""
    legacy.with_2x(home, old)
    backup = Path(adopt(home, old, "--link")["backup"])
    aside = backup.rename(backup.with_name("aside"))
    gone = home.run("adopt", "--unlink", str(old), "--json")
    aside.rename(backup)
    old.unlink()
    put(old / "other", b"x")

    other = home.run("adopt", "--unlink", str(old), "--json")

    assert ([gone.code, other.code], (old / "other").read_bytes()) == ([5, 5], b"x")
    (old / "other").unlink()
    old.rmdir()
    home.run("adopt", "--unlink", str(old)).checked()
    assert (old.is_dir(), backup.exists()) == (True, False)


def test_undoing_a_link_is_shown_first(home: Home, old: Path) -> None:
    """`--unlink --dry-run` names the backup that would come back, and changes neither link nor backup."""
    legacy.with_2x(home, old)
    backup = Path(adopt(home, old, "--link")["backup"])

    shown = home.run("adopt", "--unlink", str(old), "--dry-run", "--json").checked().json
    said = home.run("adopt", "--unlink", str(old), "--dry-run").checked().out

    assert (shown, str(backup) in said) == ({"path": str(old), "backup": str(backup)}, True)
    assert (old.is_symlink(), backup.is_dir()) == (True, True)


def test_a_token_of_the_tier_is_kept(home: Home, old: Path) -> None:
    """If the new base has a token, the old one stays in the backup and is named."""
    legacy.with_2x(home, old)
    put(old / "token", b"hf_old")
    put(home.primary / "token", b"hf_new")

    said = adopt(home, old, "--link")

    assert any("token" in text for text in said["left"])
    assert ((old / "token").read_bytes(), (Path(said["backup"]) / "token").read_bytes()) == (b"hf_new", b"hf_old")


def test_what_is_no_link_of_ours_is_not_undone(home: Home, old: Path) -> None:
    """`--unlink` refuses whatever adopt didn't make."""
    other = home.root / "other"
    other.symlink_to(home.root / "home")

    assert [refused(home.run("adopt", "--unlink", str(path), "--json"))[0] for path in (old, other)] == [4, 4]

    assert (old.is_dir(), other.is_symlink()) == (True, True)


def test_a_model_in_use_keeps_the_old_place(home: Home, old: Path) -> None:
    """While a program has a file open the old path isn't linked; the next run links it, and nothing is lost."""
    legacy.with_2x(home, old)
    path = next(path for path in Base(old).repo(REPO).blobs.iterdir() if path.stat().st_size == 300_000)
    with path.open("rb"):
        waits = home.run("adopt", str(old), "--link", "--json")
        assert (waits.code, old.is_symlink()) == (7, False)
        assert tree(load_offline(home, home.primary, REPO)) == FILES

    adopt(home, old, "--link")

    assert (old.is_symlink(), tree(load_offline(home, old, REPO))) == (True, FILES)


# --- HTTP and Python ---


def test_it_is_asked_for_over_http(home: Home, old: Path) -> None:
    """Over HTTP a dry run answers with the plan, and an order with a job whose result is the report."""
    legacy.with_2x(home, old)
    with home.serve() as server:
        wanted = {"path": str(old), "mode": "move"}
        plan = server.ask("POST", "/api/cache/adopt", wanted | {"dry_run": True})
        assert (plan.status, plan.json["models"][0]["model_name"]) == (200, NAME)

        job = server.ask("POST", "/api/cache/adopt", wanted)

        assert (job.status, job.headers["location"]) == (202, f"/api/jobs/{job.json['id']}")
        where = job.headers["location"]
        state = wait_until(lambda: (found := server.get(where))["finished_at"] and found, "the job to end")
        assert (state["state"], state["result"]["moved"]) == ("done", [NAME])
        assert server.ask("POST", "/api/cache/adopt", {"path": "x", "mode": "move"}).status == 400
        assert server.ask("POST", "/api/cache/adopt", {"mode": "eat"}).status == 422


def test_it_is_asked_for_in_python(shelf: Shelf, home: Home, old: Path) -> None:
    """`Shelf.adopt` returns the plan or the report, and refuses an unknown mode."""
    legacy.with_2x(home, old)

    would = shelf.adopt(str(old), "leave", dry_run=True)
    done = shelf.adopt(str(old), "leave")

    assert [model["model_name"] for model in would["models"]] == done["registered"] == [NAME]
    with pytest.raises(BadInput):
        shelf.adopt(str(old), "eat")
