"""Everything below a path is named; no link is followed out of it, and no fault stops the scan."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from modelshelf.domain.adopt_inventory import FoundModel, Inventory, Origin
from modelshelf.domain.names import RepoId
from modelshelf.store.adopt import inventory, other_tools
from modelshelf.store.layout import Base
from tests.builders import commit, lay_out, put
from tests.integration import legacy
from tests.store.users import acting_as

WHOLE = """
    model org/name
      commit a main v1
        config.json 20
        model.safetensors 300
"""


def trouble(found: Inventory) -> str:
    """Return the problem of the only model."""
    (model,) = found.models
    return model.trouble


def kinds(found: Inventory) -> dict[str, str]:
    """Return the kind of everything that isn't a model, by name."""
    return {Path(thing.path).name: thing.kind for thing in found.things}


def test_a_whole_snapshot_is_found_with_its_ref(tmp_path: Path) -> None:
    """If several refs lead to a snapshot, it follows `main`."""
    lay_out(tmp_path, WHOLE)

    (model,) = inventory.find(tmp_path).models

    assert (model.kind, model.repo_id, model.revision, model.trouble) == (Origin.CACHE, "org/name", "main", "")
    assert (model.is_whole, model.size_bytes) == (True, 320)


def test_everything_else_is_named(tmp_path: Path) -> None:
    """Each kind is told from the others; huggingface_hub's own bookkeeping files aren't listed."""
    lay_out(tmp_path, WHOLE + """
        file token 3
        file xet/a 3
        file hub/notes.txt 3
        file hub/version.txt 1
        file hub/.locks/x.lock 0
        file .check_for_update_done 0
        file .check_for_skill_update_done 0
        file blobs/.huggingface-shared-blobs 2
        file modelshelf/tier.json 3
    """)  # fmt: skip
    legacy.flat(tmp_path / "hub")
    (tmp_path / "hub" / "away").symlink_to(tmp_path)
    (tmp_path / "hub" / "models--org--away").symlink_to(tmp_path)
    (tmp_path / "there").symlink_to("/")

    found = kinds(inventory.find(tmp_path))

    assert {kind for name, kind in found.items() if len(name) > 64} == {"dead"}
    rest = {name: kind for name, kind in found.items() if len(name) < 64}
    links = {"away": "link", "models--org--away": "link", "there": "link"}
    assert rest == links | {"token": "token", "xet": "xet", "notes.txt": "other", "blobs": "store"}


@pytest.mark.parametrize("folder", ["blobs", "snapshots", "refs", "trees"])
def test_a_repository_with_a_linked_folder_is_not_touched(tmp_path: Path, folder: str) -> None:
    """A repository with a linked folder isn't touched, because its files may belong to something else."""
    repo = lay_out(tmp_path / "old", WHOLE).base.repo("org/name")
    (repo.path / folder).rename(tmp_path / "elsewhere")
    (repo.path / folder).symlink_to(tmp_path / "elsewhere")

    found = inventory.find(tmp_path / "old")

    said = [model.trouble for model in found.models] + [thing.why for thing in found.things]
    assert len(said) == 1
    assert "is a link to" in said[0]


def test_a_linked_snapshot_is_not_followed(tmp_path: Path) -> None:
    """A commit's folder that is a link is named and not followed."""
    snapshot = lay_out(tmp_path / "old", WHOLE).base.repo("org/name").snapshot("a" * 40)
    snapshot.rename(tmp_path / "elsewhere")
    snapshot.symlink_to(tmp_path / "elsewhere")

    assert "is a link to" in trouble(inventory.find(tmp_path / "old"))


def test_a_file_that_is_no_file_is_named(tmp_path: Path) -> None:
    """A pipe in a snapshot, which would block a reader, and a link to a name that isn't a digest are problems."""
    repo = lay_out(tmp_path, WHOLE).base.repo("org/name")
    config = repo.snapshot("a" * 40) / "config.json"
    config.unlink()
    os.mkfifo(config)
    assert "config.json isn't a file" in trouble(inventory.find(tmp_path))

    config.unlink()
    config.symlink_to(os.path.relpath(put(repo.blobs / "odd", b"x"), config.parent))
    assert "config.json leads to no blob" in trouble(inventory.find(tmp_path))

    config.unlink()
    put(repo.snapshot("a" * 40) / "a\\b", b"x")
    assert "is not a file path" in trouble(inventory.find(tmp_path))


def test_a_name_that_is_no_repository_is_named(tmp_path: Path) -> None:
    """A folder `models--…` whose name doesn't give a repository isn't a model."""
    repo = lay_out(tmp_path, WHOLE).base.repo("org/name").path
    repo.rename(repo.with_name("models--org--na me"))

    found = inventory.find(tmp_path)

    assert [(thing.kind, thing.why) for thing in found.things] == [("other", "This isn't a valid repository name.")]
    assert found.models == ()


def test_what_may_not_be_read_is_named(open_path: Path) -> None:
    """An unreadable folder of another user, at any depth, is a finding and not a crash."""
    base = lay_out(open_path, WHOLE + WHOLE.replace("org/name", "org/deep")).base
    repo = base.repo("org/name")
    deep = base.repo("org/deep").snapshot("a" * 40)
    put(deep / "sub" / "x", b"x")
    for folder in (repo.blobs, deep / "sub"):
        folder.chmod(0o700)
    with acting_as():
        first = inventory.find(open_path)
    repo.path.chmod(0o700)
    with acting_as():
        second = kinds(inventory.find(open_path))
    base.hub.chmod(0o700)
    with acting_as():
        third = kinds(inventory.find(open_path))

    assert len([model for model in first.models if "read" in model.trouble]) == 2
    assert (second, third) == ({"models--org--name": "unreadable"}, {"hub": "unreadable"})


def test_a_folder_that_is_no_cache_is_not_walked(tmp_path: Path) -> None:
    """A folder without hub/, repositories or an old flat cache isn't walked, and nothing is found."""
    put(tmp_path / "letter.txt", b"x")
    assert inventory.find(tmp_path).things == ()

    legacy.flat(tmp_path / "transformers")

    assert kinds(inventory.find(tmp_path)) == {"letter.txt": "other", "transformers": "dead"}


def test_sizes_follow_no_link_and_count_bytes_once(tmp_path: Path) -> None:
    """A file's second name adds no bytes, a link adds its own few, and a single file has its own size."""
    file = put(tmp_path / "a" / "x", bytes(500))
    (tmp_path / "a" / "y").hardlink_to(file)
    put(tmp_path / "big", bytes(9000))
    (tmp_path / "a" / "z").symlink_to("../big")

    assert (inventory.size_of(tmp_path / "a"), inventory.size_of(file)) == (506, 500)
    assert inventory.size_of(tmp_path / "a" / "z") == 6


def test_the_strays_of_a_base_are_told(tmp_path: Path) -> None:
    """Strays are `BASE/models--*` and `BASE/hub/hub/models--*`; a linked hub/hub isn't one."""
    base = lay_out(tmp_path / "old", WHOLE).base
    assert (inventory.stray_dirs(base), inventory.is_base(base.path), inventory.is_base(tmp_path)) == ([], True, False)

    legacy.stray(base.path, WHOLE)
    legacy.stray(base.path, WHOLE, "hub/hub")

    assert [cache.path for cache in inventory.stray_dirs(base)] == [base.path, base.hub / "hub"]
    (base.hub / "hub").rename(tmp_path / "elsewhere")
    (base.hub / "hub").symlink_to(tmp_path / "elsewhere")
    assert [cache.path for cache in inventory.stray_dirs(base)] == [base.path]


def test_the_links_of_a_view_are_neither_strays_nor_named(tmp_path: Path) -> None:
    """A link beside `hub` to the same repository in it is a view's: no stray, and not named beside one either."""
    lay_out(tmp_path, WHOLE)
    (tmp_path / "models--org--name").symlink_to("hub/models--org--name")
    assert inventory.stray_dirs(Base(tmp_path)) == []
    (tmp_path / "models--org--other").symlink_to("hub/models--org--name")

    found = inventory.find(tmp_path)

    assert [model.kind for model in found.models] == [Origin.CACHE]
    assert kinds(found) == {"models--org--other": "link"}


def test_a_repository_that_is_no_model_is_named_by_its_type(tmp_path: Path) -> None:
    """Data sets and spaces aren't models, and their bytes are counted."""
    lay_out(tmp_path, WHOLE + """
        dataset org/rows
          commit c main
            rows.txt 10
    """)  # fmt: skip

    found = inventory.find(tmp_path)

    assert [(Path(thing.path).name, thing.kind) for thing in found.things] == [("datasets--org--rows", "dataset")]
    assert found.things[0].size_bytes > 10


def test_housekeeping_beside_stray_repositories_is_not_mentioned(tmp_path: Path) -> None:
    """huggingface_hub's bookkeeping in a cache_dir that is the base itself isn't listed; anything else is."""
    legacy.stray(tmp_path, WHOLE)
    put(tmp_path / "CACHEDIR.TAG", b"x")
    put(tmp_path / ".locks" / "x.lock", b"")
    put(tmp_path / "letter.txt", b"x")

    assert kinds(inventory.find(tmp_path)) == {"letter.txt": "other"}


def test_a_link_that_leads_nowhere_or_out_is_the_trouble(tmp_path: Path) -> None:
    """A model with a file that is missing, or linked from outside, is a problem and isn't adopted."""
    config = lay_out(tmp_path / "old", WHOLE).base.repo("org/name").snapshot("a" * 40) / "config.json"
    config.resolve().unlink()
    config.unlink()
    config.symlink_to("gone")
    assert trouble(inventory.find(tmp_path / "old")) == "config.json is a broken link."

    config.unlink()
    config.symlink_to(put(tmp_path / "secret", b"secret"))
    assert "is a link out of the cache" in trouble(inventory.find(tmp_path / "old"))


def test_files_without_links_have_the_digests_of_their_list(tmp_path: Path) -> None:
    """Without symbolic links, a file's digest comes from its commit's list if the size agrees."""
    lay_out(tmp_path, WHOLE.replace("300", "300 real").replace("json 20", "json 20 real"))
    (listed,) = inventory.find(tmp_path).models
    assert [(file.path, bool(file.digest)) for file in listed.files] == [
        ("config.json", True),
        ("model.safetensors", True),
    ]

    with (tmp_path / "hub/models--org--name/snapshots" / ("a" * 40) / "config.json").open("ab") as file:
        file.write(b"x")

    assert inventory.find(tmp_path).models[0].files[0].digest is None


def test_a_repository_that_may_not_be_entered_ends_no_look(open_path: Path) -> None:
    """A repository that can't be entered is skipped, and the one beside it is found."""
    base = lay_out(open_path, WHOLE).base
    put(base.repo("org/closed").blobs / "x", b"1")
    base.repo("org/closed").path.chmod(0o700)
    base.repo("org/name").tree("a" * 40).chmod(0o644)

    with acting_as():
        found = inventory.models_of(base, {})

    assert [model.repo_id for model in found] == ["org/name"]


def test_a_blob_that_may_not_be_read_is_the_trouble(open_path: Path) -> None:
    """An unreadable blob is a problem, and the sentence says who owns it."""
    drawn = lay_out(open_path, WHOLE)
    drawn.base.repo("org/name").tree("a" * 40).chmod(0o644)
    drawn.base.repo("org/name").blob(drawn.digest("org/name", "a", "model.safetensors")).chmod(0o600)

    with acting_as():
        found = inventory.find(open_path)

    assert trouble(found) == "This user can't read model.safetensors (it belongs to uid 0)."


# --- other programs ---


def only(path: Path, repo_id: str = "") -> FoundModel:
    """Return another program's only model."""
    (model,) = other_tools.find(path, repo_id).models
    return model


def test_a_folder_of_nobody_is_none(tmp_path: Path) -> None:
    """An empty folder, or one with GGUF files directly in it, doesn't belong to another program."""
    put(tmp_path / "a.gguf", b"x")

    assert other_tools.find(tmp_path).models == []


def test_lm_studio_is_found_from_the_folder_above(tmp_path: Path) -> None:
    """LM Studio's models are found from the folder above: only plain files in `ORG/NAME`, and no links."""
    legacy.lm_studio(tmp_path / "models")
    folder = tmp_path / "models" / "TheOrg" / "Tiny-GGUF"
    (folder / "link.gguf").symlink_to("tiny-q4.gguf")
    (tmp_path / "models" / "TheOrg" / "no id").mkdir()
    (tmp_path / "models" / "TheOrg" / "empty").mkdir()

    model = only(tmp_path)

    assert (model.kind, model.repo_id, [file.path for file in model.files]) == (
        Origin.LM_STUDIO,
        "TheOrg/Tiny-GGUF",
        ["tiny-q4.gguf"],
    )


def test_ollama_without_its_blob_is_in_trouble(tmp_path: Path) -> None:
    """A manifest of Ollama without its blob or weights is a problem; one that can't be read is skipped."""
    legacy.ollama(tmp_path)
    folder = tmp_path / "manifests" / "registry.ollama.ai" / "library" / "other"
    put(folder / "broken", b"{")
    put(folder / "list", b"[]")
    put(folder / "odd", json.dumps({"layers": 7}).encode())
    put(tmp_path / "manifests" / "shallow", b"{}")
    found = {model.called: model.trouble for model in other_tools.find(tmp_path).models}
    assert found == {"llama3:8b": "", "other:odd": "It has no weights."}
    (folder / "odd").unlink()

    for blob in (tmp_path / "blobs").iterdir():
        blob.unlink()

    assert "isn't there" in only(tmp_path).trouble


@pytest.mark.parametrize(
    ("layer", "why"),
    [
        ({"digest": "md5:1", "size": 4}, "The manifest names no blob for m-x.gguf."),
        ({"digest": f"sha256:{'a' * 64}", "size": 5}, "has 4 bytes instead of 5"),
        ({"digest": f"sha256:{'b' * 64}", "size": 4}, "doesn't begin with GGUF"),
        ({"digest": f"sha256:{'c' * 64}", "size": 4}, "is a link"),
        ({"digest": f"sha256:{'d' * 64}", "size": 4}, "isn't a file"),
    ],
)
def test_a_layer_of_ollama_that_cannot_be_taken_is_named(tmp_path: Path, layer: dict[str, object], why: str) -> None:
    """An Ollama blob with another size or bytes than its manifest says, or that isn't a plain file, is a problem."""
    put(tmp_path / "blobs" / f"sha256-{'a' * 64}", b"GGUF")
    put(tmp_path / "blobs" / f"sha256-{'b' * 64}", b"page")
    (tmp_path / "blobs" / f"sha256-{'c' * 64}").symlink_to("x")
    (tmp_path / "blobs" / f"sha256-{'d' * 64}").mkdir()
    manifest = {"layers": [{"mediaType": "application/vnd.ollama.image.model"} | layer]}
    put(tmp_path / "manifests/host/library/m/x", json.dumps(manifest).encode())

    assert why in only(tmp_path).trouble


def test_the_newest_tag_of_ollama_has_the_plain_name(tmp_path: Path) -> None:
    """Of Ollama's tags, `latest` gets the plain name."""
    legacy.ollama(tmp_path)
    tag = tmp_path / "manifests" / "registry.ollama.ai" / "library" / "llama3" / "8b"
    tag.rename(tag.with_name("latest"))

    assert only(tmp_path).called == "llama3"


def metadata(folder: Path, name: str, commit_hash: str, digest: str, at_s: float = 4e9) -> None:
    """Write a file of a local_dir and huggingface_hub's metadata about it."""
    put(folder / name, b"x")
    note = folder / ".cache" / "huggingface" / "download" / f"{name}.metadata"
    put(note, f"{commit_hash}\n{digest}\n{at_s}\n".encode())
    put(note.with_suffix(".lock"), b"")


@pytest.mark.parametrize(
    ("commits", "at_s", "word"),
    [("aa", 4e9, ""), ("ab", 4e9, "more than one commit"), ("aa", 1e9, "was changed since")],
)
def test_a_local_dir_is_of_one_commit_and_unchanged(tmp_path: Path, commits: str, at_s: float, word: str) -> None:
    """A local_dir whose files are from two commits or were edited isn't a snapshot; unreadable metadata is skipped."""
    metadata(tmp_path, "model.safetensors", commits[0] * 40, "d" * 64, at_s)
    metadata(tmp_path, "deep/x.json", commits[1] * 40, "e" * 40)
    metadata(tmp_path, "gone.txt", "c" * 40, "e" * 40)
    (tmp_path / "gone.txt").unlink()
    metadata(tmp_path, "odd.txt", "no commit", "e" * 40)
    metadata(tmp_path, "odder.txt", "c", "e")

    model = only(tmp_path, "org/name")

    assert (word in model.trouble, bool(model.trouble)) == (True, bool(word))
    assert [file.path for file in model.files] == ["deep/x.json", "model.safetensors"]


def test_a_base_is_never_taken_for_another_programs(tmp_path: Path) -> None:
    """A base that contains a local_dir's metadata is still a base."""
    lay_out(tmp_path, WHOLE)
    metadata(tmp_path, "x.safetensors", "c" * 40, "e" * 64)

    assert [model.kind for model in inventory.find(tmp_path).models] == [Origin.CACHE]
    assert Base(tmp_path).hub.is_dir()


def test_a_local_dir_does_not_say_its_repository(tmp_path: Path) -> None:
    """A local_dir doesn't say its repository, so a person is asked; its model is named after the folder."""
    metadata(tmp_path, "model.safetensors", "a" * 40, "d" * 64)

    model = only(tmp_path)

    assert model.trouble.endswith(f"shelf adopt {tmp_path} --move --repo ORG/NAME.")
    assert (model.repo_id, model.called) == ("", tmp_path.name)


@pytest.mark.parametrize("in_base", [True, False])
def test_a_local_dir_below_is_named_with_what_adopts_it(tmp_path: Path, in_base: bool) -> None:
    """A local_dir inside a base or a folder of projects is named with the command that adopts it."""
    metadata(tmp_path / "project", "model.safetensors", "a" * 40, "d" * 64)
    if in_base:
        lay_out(tmp_path, WHOLE)

    found = inventory.find(tmp_path)
    told = [thing.why for thing in found.things] if in_base else [model.trouble for model in found.models]

    assert [why.partition(": ")[2] for why in told] == [f"shelf adopt {tmp_path}/project --move --repo ORG/NAME."]


def test_a_folder_of_another_program_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    """Another program's folder that doesn't exist holds nothing and isn't an error."""
    assert other_tools.find(tmp_path / "gone").models == []


def ollama_model(folder: Path, *layers: tuple[str, bytes]) -> FoundModel:
    """Return what is found of an Ollama manifest with these kinds of layers and their blobs."""
    said = []
    for i, (kind, data) in enumerate(layers):
        digest = f"{i:064}"
        put(folder / "blobs" / f"sha256-{digest}", data)
        said.append(
            {"mediaType": f"application/vnd.ollama.image.{kind}", "digest": f"sha256:{digest}", "size": len(data)}
        )
    put(folder / "manifests/host/library/m/x", json.dumps({"layers": said}).encode())
    return only(folder)


def test_the_adapter_of_a_model_of_ollama_is_named(tmp_path: Path) -> None:
    """An adapter of an Ollama model is adopted as a file, and the note says what to do with it."""
    model = ollama_model(tmp_path, ("model", b"GGUF"), ("adapter", b"GGUF"))

    assert (model.trouble, len(model.files)) == ("", 2)
    assert "llama.cpp: --lora" in model.note


def test_a_layer_of_a_kind_that_nobody_knows_makes_the_model_stay(tmp_path: Path) -> None:
    """An Ollama model with a layer of an unknown kind stays, because without the layer it may behave differently."""
    assert "(tensor)" in ollama_model(tmp_path, ("model", b"GGUF"), ("tensor", b"x")).trouble


def test_a_note_of_a_file_that_nothing_can_be_called_is_left_out(tmp_path: Path) -> None:
    """Metadata whose path can't be a file name here is skipped, and the rest of the folder is adopted."""
    commit_hash = "c" * 40
    metadata(tmp_path, "config.json", commit_hash, "d" * 40)
    metadata(tmp_path, "a\\b.json", commit_hash, "e" * 40)

    (model,) = other_tools.find(tmp_path, "org/name").models

    assert [file.path for file in model.files] == ["config.json"]


def test_the_models_of_a_base_are_found_without_what_lies_beside(tmp_path: Path) -> None:
    """A base's models are listed without data sets and strays."""
    lay_out(tmp_path, WHOLE + "\n dataset org/data\n commit b main\n rows.txt 10")

    assert [model.repo_id for model in inventory.models_of(Base(tmp_path), {})] == ["org/name"]


def test_a_repository_of_which_all_is_known_is_not_looked_at(tmp_path: Path) -> None:
    """A repository without unknown commits is skipped; one with another commit, or a list of one, is inspected."""
    base = lay_out(tmp_path, "model org/one\n commit a\n x.json 20\nmodel org/two\n commit a\n x.json 20").base
    known = {RepoId(f"org/{name}"): {commit("a")} for name in ("one", "two")}

    assert inventory.models_of(base, known) == []

    put(base.repo("org/one").snapshot(commit("b")) / "y.json", b"{}")
    put(base.repo("org/two").tree(commit("b")), b"{}")
    assert {model.repo_id for model in inventory.models_of(base, known)} == {"org/one", "org/two"}


def test_a_link_that_became_text_is_linked_anew_or_trouble(tmp_path: Path) -> None:
    """A link that became text is linked again if its blob is there, and is a problem otherwise."""
    drawn = lay_out(tmp_path, WHOLE)
    repo = drawn.base.repo("org/name")
    link = repo.snapshot(commit("a")) / "config.json"
    text = str(link.readlink())
    link.unlink()
    put(link, text.encode())

    (model,) = inventory.find(tmp_path).models
    repo.blob(drawn.digest("org/name", "a", "config.json")).unlink()

    assert (model.trouble, [file.path for file in model.lost], model.is_whole) == ("", ["config.json"], True)
    assert (
        trouble(inventory.find(tmp_path)) == "config.json is a link that became a text file, and its blob isn't here."
    )


@pytest.mark.parametrize(("blobs", "said"), [(1, "its 1 blob were"), (2, "its 2 blobs were")])
def test_blobs_that_nothing_names_are_left_to_the_hub(tmp_path: Path, blobs: int, said: str) -> None:
    """Blobs that no link or list names aren't linked, because nobody here knows which file each one is."""
    lay_out(tmp_path, "model org/name\n" + "".join(f" orphan {500 + i}\n" for i in range(blobs)))

    (thing,) = inventory.find(tmp_path).things

    assert said in thing.why
    assert "shelf add NAME org/name" in thing.why


def test_a_repository_without_anything_has_no_snapshot(tmp_path: Path) -> None:
    """An empty repository has no snapshot."""
    (Base(tmp_path).repo("org/name").blobs).mkdir(parents=True)

    (thing,) = inventory.find(tmp_path).things

    assert (thing.kind, thing.why) == ("partial", "It has no snapshot.")


def test_a_repository_that_may_not_be_read_stops_nothing(open_path: Path) -> None:
    """An unreadable repository doesn't keep the others from being found."""
    drawing = "model org/one\n commit a\n x.json 20\nmodel org/two\n commit a\n x.json 20"
    base = lay_out(open_path, drawing).base
    base.repo("org/one").snapshots.chmod(0o700)

    with acting_as():
        found = inventory.models_of(base, {RepoId("org/one"): {commit("a")}})

    assert [model.repo_id for model in found] == ["org/two"]
