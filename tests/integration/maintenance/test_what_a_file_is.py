"""A file is judged by its content: parts, pointers, web pages, layers, and copies that may be incomplete."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest

from modelshelf.domain.adopt import AdoptMode, AdoptRequest
from modelshelf.domain.made_up_commits import is_made_up
from modelshelf.errors import Denied
from modelshelf.services.shelf import Shelf
from modelshelf.store.layout import Base
from tests.builders import commit, lay_out, put
from tests.fakes.hub import FakeHub
from tests.integration import legacy
from tests.store.users import acting_as
from tests.world import Home, random_bytes

REPO = "org/deep"
GGUF = b"GGUF" + random_bytes(5000, 1)


def stays(home: Home, folder: Path, *words: str) -> dict[str, str]:
    """Return why adopt leaves each model, by repository or name."""
    done = home.run("adopt", str(folder), *(words or ("--leave",)), "--json").checked().json
    assert done["registered"] == done["moved"] == []
    return {model["hf_path"] or model["model_name"]: model["detail"] for model in done["models"]}


# --- parts ---


@pytest.mark.parametrize("listed", [True, False], ids=["with a list", "without"])
@pytest.mark.parametrize("indexed", [True, False], ids=["index", "no index"])
@pytest.mark.parametrize(
    "shards", [[f"model-{i:05}-of-000003.safetensors" for i in (1, 2, 3)], [f"model-{i}-of-3.bin" for i in (1, 2, 3)]]
)
def test_a_shard_alone_is_no_model(hub: FakeHub, home: Home, shards: list[str], indexed: bool, listed: bool) -> None:
    """If the index or the numbers in the names say that shards are missing, the rest isn't adopted as a model."""
    files = {"config.json": b"{}", **{name: random_bytes(900, i) for i, name in enumerate(shards)}}
    if indexed:
        index = {"weight_map": {str(i): name for i, name in enumerate(shards)}}
        files["model.safetensors.index.json"] = json.dumps(index).encode()
    hub.add_repo(REPO, files)
    old = home.root / "old"
    wanted = [name for name in files if name not in shards[1:]]
    home.hf(old, "download", REPO, *wanted).checked()
    if not listed:
        shutil.rmtree(Base(old).repo(REPO).trees, ignore_errors=True)

    assert stays(home, old) == {REPO: f"{shards[1]} is not there."}


def test_an_interrupted_local_dir_is_no_model(hub: FakeHub, home: Home) -> None:
    """A local_dir with an unfinished part isn't adopted."""
    hub.add_repo(
        "org/diff", {"model_index.json": b"{}", "vae/m.safetensors": b"v" * 900, "unet/m.safetensors": b"u" * 9}
    )
    folder = home.root / "ld"
    home.hf(
        home.root / "x", "download", "org/diff", "model_index.json", "vae/m.safetensors", "--local-dir", str(folder)
    )
    put(folder / ".cache/huggingface/download/unet" / f"abc=.{'d' * 64}.incomplete", b"half")

    assert "interrupted" in stays(home, folder, "--move", "--repo", "org/diff")["org/diff"]


def test_a_pipeline_without_the_weights_of_a_part_is_no_model(home: Home) -> None:
    """A pipeline that lacks the weights of a folder with a config.json isn't adopted."""
    old = home.root / "old"
    base = lay_out(old, "model org/diff\n commit a main\n vae/m.bin 90\n unet/config.json 20").base
    index = json.dumps({"_class_name": "P", "unet": ["diffusers", "U"], "vae": ["diffusers", "V"]}).encode()
    put(base.repo("org/diff").snapshot(commit("a")) / "model_index.json", index)
    base.repo("org/diff").tree(commit("a")).unlink()

    assert stays(home, old) == {"org/diff": "unet/ has no weights."}


def test_an_old_cache_with_a_dead_part_is_not_known_to_be_whole(home: Home) -> None:
    """An old cache without a list and with a dead part may be incomplete, so it isn't adopted."""
    old = home.root / "old"
    base = lay_out(old, "model org/old\n commit a main\n config.json 20\n model.bin 900\n partial 70").base
    base.repo("org/old").tree(commit("a")).unlink()

    assert "it may be incomplete" in stays(home, old)["org/old"]


def test_a_fuller_copy_is_not_merged_into_a_part(hub: FakeHub, home: Home) -> None:
    """A copy with more files than the registered model isn't merged, and one reason is given."""
    hub.add_repo("org/many", {"a.bin": b"a" * 900, "b.bin": b"b" * 900})
    old = home.root / "old"
    home.hf(old, "download", "org/many", "a.bin").checked()
    home.run("adopt", str(old), "--move").checked()
    other = home.root / "other"
    home.hf(other, "download", "org/many").checked()

    assert "is a part of it: b.bin is only here" in stays(home, other, "--move")["org/many"]
    assert (next(Base(other).repo("org/many").snapshots.iterdir()) / "b.bin").read_bytes() == b"b" * 900


def test_the_files_of_an_old_cache_are_not_taken_for_the_whole_commit(hub: FakeHub, home: Home) -> None:
    """Another model of a commit that was adopted without a list asks the hub for it, and fetches what is missing."""
    hub.add_repo("org/many", {"a.bin": b"a" * 900, "b.bin": b"b" * 900})
    home.hf(home.primary, "download", "org/many", "a.bin").checked()
    shutil.rmtree(Base(home.primary).repo("org/many").trees, ignore_errors=True)
    home.run("adopt", str(home.primary), "--leave").checked()

    home.run("add", "all", "org/many").checked()

    assert (Path(home.run("path", "all").checked().out.strip()) / "b.bin").read_bytes() == b"b" * 900


# --- what isn't a model ---


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "is a Git LFS pointer"),
        (b"", "is empty"),
        (b"<!DOCTYPE html><html>sign in</html>", "is a web page"),
        (b"not it", "isn't a GGUF file"),
    ],
    ids=["pointer", "empty", "page", "other"],
)
def test_a_file_that_is_no_model_stays(home: Home, data: bytes, why: str) -> None:
    """A file that isn't a model stays, in LM Studio's folder or a snapshot; adopt says why, and verify names it."""
    folder = home.root / "studio"
    put(folder / "Org" / "Name" / "m.gguf", data)
    assert why in stays(home, folder, "--move")["Org/Name"]

    home.run("tiers").checked()
    put(Base(home.primary).repo("org/x").snapshot(commit("a")) / "m.gguf", data)
    assert why in stays(home, home.primary)["org/x"]
    said = home.run("verify", "--all", "--json")
    assert said.code == 6
    assert [(f["kind"], why in f["detail"]) for f in said.json["result"]["findings"]] == [("no_model", True)]


# --- other programs ---


def ollama(folder: Path, *layers: tuple[str, bytes]) -> None:
    """Write Ollama's files of a model with these layers."""
    listed: list[dict[str, Any]] = []
    for kind, data in layers:
        digest = hashlib.sha256(data).hexdigest()
        put(folder / "blobs" / f"sha256-{digest}", data)
        media = f"application/vnd.ollama.image.{kind}"
        listed.append({"mediaType": media, "digest": f"sha256:{digest}", "size": len(data)})
    put(folder / "manifests/registry.ollama.ai/library/llama/8b", json.dumps({"layers": listed}).encode())


def test_an_unknown_layer_makes_a_model_stay(home: Home) -> None:
    """An Ollama model with an unknown layer isn't adopted, because the layer may be half of the model."""
    folder = home.root / "models"
    ollama(folder, ("model", GGUF), ("tensor", b"t"))

    assert stays(home, folder, "--move") == {"library/llama": "It has layers of an unknown kind (tensor)."}


def test_a_split_gguf_of_ollama_is_one_model(home: Home) -> None:
    """Two weight layers of Ollama become two parts with the names that llama.cpp looks for."""
    folder = home.root / "models"
    ollama(folder, ("model", GGUF), ("model", GGUF + b"2"), ("template", b"x"))

    home.run("adopt", str(folder), "--move").checked()

    path = Path(home.run("path", "llama:8b").checked().out.strip())
    assert sorted(p.name for p in path.iterdir()) == [
        "llama-8b-00001-of-00002.gguf",
        "llama-8b-00002-of-00002.gguf",
    ]


def test_an_adapter_of_ollama_comes_along_and_is_named(home: Home) -> None:
    """An Ollama adapter is adopted with its base and named, because the base alone is another model."""
    folder = home.root / "models"
    ollama(folder, ("model", GGUF), ("adapter", GGUF + b"a"))

    shown = home.run("adopt", str(folder), "--json").checked().json["move"]["models"][0]
    assert "adapter-llama-8b.gguf" in shown["note"]
    home.run("adopt", str(folder), "--move").checked()
    assert (Path(home.run("path", "llama:8b").checked().out.strip()) / "adapter-llama-8b.gguf").exists()


def test_what_adopt_made_up_is_never_asked_of_the_hub(hub: FakeHub, home: Home) -> None:
    """The hub is never asked for a made-up commit: update skips it; pull and repair say where its files came from."""
    folder = home.root / "models"
    ollama(folder, ("model", GGUF))
    home.run("adopt", str(folder), "--move").checked()
    model = home.run("show", "llama:8b", "--json").checked().json
    assert is_made_up(model["commit_hash"])
    before = len(hub.requests)

    said = home.run("update", "--all").checked()
    assert "no hub is known to have it" in said.err
    blob = next(Base(home.primary).repo("library/llama").blobs.iterdir())
    blob.unlink()
    assert "adopt the folder they came from" in home.run("show", "llama:8b", "--json").json["detail"]
    assert home.run("pull", "llama:8b").code == 4
    assert home.run("verify", "llama:8b", "--repair").code == 6
    assert len(hub.requests) == before


def test_update_of_an_adopted_gguf_takes_its_file_alone(hub: FakeHub, home: Home) -> None:
    """Updating an adopted quantisation of LM Studio takes the hub's commit and fetches no other quantisation."""
    folder = home.root / "studio"
    legacy.lm_studio(folder)
    data = (folder / "TheOrg/Tiny-GGUF/tiny-q4.gguf").read_bytes()
    files = {"tiny-q4.gguf": data, "tiny-q8.gguf": b"GGUF" * 900, "tiny-f16.gguf": b"GGUF" * 2000}
    commit_hash = hub.add_repo("TheOrg/Tiny-GGUF", files)
    home.run("adopt", str(folder), "--move").checked()

    home.run("update", "--all").checked()

    model = home.run("show", "tiny-gguf", "--json").checked().json
    assert (model["commit_hash"], model["state"]) == (commit_hash, "ready")
    assert [path.name for path in Path(model["path"]).iterdir()] == ["tiny-q4.gguf"]


def test_a_folder_that_no_hub_knows_does_not_fail_an_update_of_all(hub: FakeHub, home: Home) -> None:
    """A person's own folder in LM Studio, unknown to the hub, doesn't fail `update --all`."""
    folder = home.root / "studio"
    legacy.lm_studio(folder)
    home.run("adopt", str(folder), "--move").checked()

    assert "no hub is known to have it" in home.run("update", "--all").checked().err


# --- who may look ---


@pytest.mark.parametrize(
    ("closed", "word"),
    [
        ("blobs/*", "can't be read by this user"),
        ("blobs", "can't be examined by this user"),
        ("manifests", "This user can't read"),
        (".", "This user can't read"),
    ],
)
def test_what_may_not_be_read_is_not_said_to_be_gone(shelf: Shelf, closed: str, word: str) -> None:
    """Ollama's closed folder is reported as closed, and not as missing or on another file system."""
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        folder = Path(place) / "models"
        ollama(folder, ("model", GGUF))
        for path in (folder / "blobs").iterdir() if closed == "blobs/*" else [folder / closed]:
            path.chmod(0o700 if path.is_dir() else 0o600)
        adopter = shelf.services.adopter  # imported now: that user may not read what Python imports
        with acting_as():
            try:
                found = adopter.planner.look(AdoptRequest(str(folder), AdoptMode.MOVE))
                said = found.models[0].trouble
            except Denied as err:
                said = err.detail

    assert word in said


def test_a_hub_that_is_a_link_is_named(home: Home) -> None:
    """If `hub` is a link, adopt says where it leads and what to do."""
    old = home.root / "old"
    lay_out(home.root / "disk", "model org/x\n commit a main\n config.json 20\n m.bin 900")
    old.mkdir()
    (old / "hub").symlink_to(home.root / "disk" / "hub")

    said = home.run("adopt", str(old))

    assert said.code == 2
    assert f"shelf adopt {home.root / 'disk' / 'hub'}" in said.err


# --- one judge ---


def test_reconcile_and_adopt_agree_on_what_is_a_model(hub: FakeHub, home: Home) -> None:
    """Adopt and reconcile agree on what is a model, whole or partial, with or without a list of files."""
    hub.add_repo("org/many", {"a.bin": b"a" * 900, "b.bin": b"b" * 900})
    home.hf(home.primary, "download", "org/many", "a.bin").checked()
    with home.open() as shelf:
        shelf.services.tiers.open_to_write(shelf.services.tiers.configured()[0])
    lay_out(
        home.primary,
        """
        model org/whole
          commit a main
            config.json 20
            m.bin 900
        model org/old
          commit b main
            config.json 20
            m.bin 800
        model org/half
          commit c main
            m-1-of-2.bin 70
        """,
    )
    Base(home.primary).repo("org/old").tree(commit("b")).unlink()
    Base(home.primary).repo("org/half").tree(commit("c")).unlink()

    named = home.run("reconcile", "--dry-run", "--json").checked().json["unregistered"]
    plan = home.run("adopt", str(home.primary), "--leave", "--dry-run", "--json").checked().json["models"]

    assert sorted(found["hf_path"] for found in named) == ["org/many", "org/old", "org/whole"]
    assert sorted(m["hf_path"] for m in plan if m["action"] == "register") == ["org/many", "org/old", "org/whole"]


@pytest.mark.parametrize("name", [".DS_Store", "Thumbs.db", "desktop.ini", "._main"])
def test_what_file_managers_leave_is_no_ref_and_no_file(home: Home, name: str) -> None:
    """Files that file managers leave behind are ignored by verify and adopt, as by hf."""
    drawn = lay_out(home.primary, "model org/x\n commit a main\n config.json 20\n m.bin 900")
    repo = drawn.base.repo("org/x")
    put(repo.refs / name, b"\0\1binary")
    put(repo.snapshot(commit("a")) / name, b"\0\1binary")

    done = home.run("adopt", str(home.primary), "--leave", "--json").checked().json

    assert done["registered"] == ["x"]
    assert done["models"][0]["files"] == 2
    home.run("verify", "--all").checked()


@pytest.mark.parametrize("listed", [True, False], ids=["with a list", "without"])
def test_a_copy_without_a_list_says_that_there_may_be_more(hub: FakeHub, home: Home, listed: bool) -> None:
    """A copy without a list can be loaded, and isn't said to be the whole commit."""
    hub.add_repo(REPO, {"config.json": b"{}", "model.safetensors": random_bytes(900, 1)})
    old = home.root / "old"
    home.hf(old, "download", REPO).checked()
    if not listed:
        shutil.rmtree(Base(old).repo(REPO).trees, ignore_errors=True)
    home.run("adopt", str(old), "--leave").checked()

    (model,) = home.run("ls", "--json").checked().json

    said = "" if listed else "The list of its commit isn't here: the repository may have more files."
    assert (model["state"], model["detail"]) == ("ready", said)
    assert ("ready, may lack files" in home.run("ls").checked().out) != listed
