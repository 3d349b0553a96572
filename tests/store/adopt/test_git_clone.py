"""Reading clones by git and git-lfs."""

from __future__ import annotations

import hashlib
import os
import struct
import subprocess
from pathlib import Path

import pytest

from modelshelf.domain import lfs
from modelshelf.domain.adopt_inventory import FoundModel, Origin
from modelshelf.store.adopt import other_tools
from tests.builders import put

WEIGHTS = b"GGUF" + bytes(96)
CONFIG = b'{"model_type": "tiny"}'
DIGEST = hashlib.sha256(WEIGHTS).hexdigest()
URL = "https://huggingface.co/TheOrg/Tiny"


def git(path: Path, *words: str) -> None:
    """Run git without anybody's settings."""
    environ = {"PATH": os.environ["PATH"], "HOME": str(path), "GIT_CONFIG_NOSYSTEM": "1"}
    subprocess.run(["git", "-C", str(path), *words], env=environ, check=True, capture_output=True)


def clone(path: Path, url: str = URL, *, smudged: bool = True, fetched: bool = True) -> Path:
    """Make what `git clone` leaves with git-lfs: an index with pointers, objects beside it, and the files."""
    path.mkdir()
    git(path, "init", "--quiet")
    put(path / "config.json", CONFIG)
    put(path / "tiny.gguf", lfs.pointer(DIGEST, len(WEIGHTS)))
    (path / "link.gguf").symlink_to("tiny.gguf")
    git(path, "add", ".")
    git(path, "remote", "add", "origin", url)
    if smudged:
        (path / "tiny.gguf").write_bytes(WEIGHTS)
    if fetched:
        put(path / ".git" / "lfs" / "objects" / DIGEST[:2] / DIGEST[2:4] / DIGEST, WEIGHTS)
        put(path / ".git" / "lfs" / "objects" / "tmp", b"x")
    return path


def only(path: Path, repo_id: str = "") -> FoundModel:
    """Return the only model there."""
    (model,) = other_tools.find(path, repo_id).models
    return model


@pytest.mark.parametrize(
    "url", [URL, f"{URL}.git", "https://me:token@huggingface.co/TheOrg/Tiny", "git@hf.co:TheOrg/Tiny"]
)
def test_a_clone_names_its_repository_and_digests(tmp_path: Path, url: str) -> None:
    """A clone's remote is its repository; the index says its digests, and objects of LFS give the weights."""
    folder = clone(tmp_path / "Tiny", url, smudged=False)

    model = only(folder)

    git_digest = hashlib.sha1(b"blob %d\0" % len(CONFIG) + CONFIG).hexdigest()
    assert (model.kind, model.repo_id, model.trouble, model.commit_hash) == (Origin.GIT, "TheOrg/Tiny", "", "")
    assert [(file.path, file.size_bytes, file.digest) for file in model.files] == [
        ("config.json", len(CONFIG), git_digest),
        ("tiny.gguf", len(WEIGHTS), DIGEST),
    ]
    assert dict(model.sources)["tiny.gguf"].endswith(f"lfs/objects/{DIGEST[:2]}/{DIGEST[2:4]}/{DIGEST}")


def test_a_clone_in_a_folder_of_clones_is_found(tmp_path: Path) -> None:
    """Clones beside each other are found, each once."""
    clone(tmp_path / "one")
    clone(tmp_path / "two", "https://huggingface.co/TheOrg/Two")

    assert [model.repo_id for model in other_tools.find(tmp_path).models] == ["TheOrg/Tiny", "TheOrg/Two"]


def test_a_clone_without_its_objects_has_no_weights(tmp_path: Path) -> None:
    """A pointer whose object wasn't fetched isn't a file of the model."""
    model = only(clone(tmp_path / "Tiny", smudged=False, fetched=False))

    assert ([file.path for file in model.files], model.trouble) == (["config.json"], "It has no weights.")


@pytest.mark.parametrize("url", ["https://example.org/a/b", "https://huggingface.co/a--b/c"])
def test_a_clone_from_elsewhere_needs_a_name(tmp_path: Path, url: str) -> None:
    """A clone whose remote isn't the Hub's says how to name its repository, and takes that name."""
    folder = clone(tmp_path / "Tiny", url)

    assert "--repo ORG/NAME" in only(folder).trouble
    assert (only(folder, "me/tiny").trouble, only(folder, "me/tiny").repo_id) == ("", "me/tiny")


def test_a_clone_whose_settings_are_gone_needs_a_name(tmp_path: Path) -> None:
    """A clone without git's settings says how to name its repository."""
    folder = clone(tmp_path / "Tiny")
    (folder / ".git" / "config").unlink()

    assert "--repo ORG/NAME" in only(folder).trouble


def entry(name: bytes, flags: int) -> bytes:
    """Return an entry of an index."""
    fixed = struct.pack(">24xI12x20sH", 0o100644, bytes(20), flags)
    return fixed + name + bytes(8 - (len(fixed) + len(name)) % 8)


@pytest.mark.parametrize(
    "index",
    [
        pytest.param(b"DIRC" + struct.pack(">II", 4, 0), id="version 4"),
        pytest.param(b"DIR", id="cut off in the header"),
        pytest.param(b"DIRC" + struct.pack(">II", 2, 1), id="cut off before an entry"),
        pytest.param(b"DIRC" + struct.pack(">II", 2, 1) + entry(b"a", 0)[:63], id="cut off in a name"),
        pytest.param(b"DIRC" + struct.pack(">II", 2, 1) + entry(b"a", 0x1000), id="a merge"),
    ],
)
def test_an_index_that_is_strange_is_trouble(tmp_path: Path, index: bytes) -> None:
    """An index of another version, a damaged one, and one in a merge are problems of the model."""
    folder = clone(tmp_path / "Tiny")
    (folder / ".git" / "index").write_bytes(index)

    assert only(folder).trouble == "Its git index can't be understood."


def test_an_index_of_version_3_has_longer_entries(tmp_path: Path) -> None:
    """Entries of version 3 may have two bytes more; a name that leaves the clone is left out."""
    folder = clone(tmp_path / "Tiny")
    fixed = struct.pack(">24xI12x20sHH", 0o100644, bytes(20), 0x4000, 0)
    long = fixed + b"tiny.gguf" + bytes(8 - (len(fixed) + 9) % 8)
    (folder / ".git" / "index").write_bytes(b"DIRC" + struct.pack(">II", 3, 2) + long + entry(b"../x.gguf", 0))

    assert [file.path for file in only(folder).files] == ["tiny.gguf"]
