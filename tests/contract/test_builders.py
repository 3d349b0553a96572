"""huggingface_hub itself reads what the builder draws."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from huggingface_hub import scan_cache_dir, snapshot_download, try_to_load_from_cache
from huggingface_hub.utils._shared_blobs import is_shared_blobs_dir, shared_store_blob_paths

from tests.builders import Drawn, commit, content, lay_out

DRAWING = """
    model org/name
      commit a main refs/pr/1
        config.json 20
        model.safetensors 3000 shared
        deep/er/copy.safetensors 3000 as=org/name/model.safetensors
      commit b
        config.json 20
      missing a added_tokens.json
    model gpt2
      commit c main
        empty.txt 0
        model.safetensors 3000 shared
    dataset org/data
      commit d main
        rows.txt 10 real
"""


@pytest.fixture
def drawn(tmp_path: Path) -> Drawn:
    """A cache with shared payloads, two commits, a data set and files without links."""
    return lay_out(tmp_path / "base", DRAWING)


def test_scan_cache_dir_finds_what_was_drawn(drawn: Drawn) -> None:
    """huggingface_hub lists every drawn repository, revision and ref without a warning."""
    found = scan_cache_dir(drawn.base.hub)

    revisions = {(r.repo_type, r.repo_id): {v.commit_hash: set(v.refs) for v in r.revisions} for r in found.repos}
    assert found.warnings == []
    assert revisions == {
        ("model", "org/name"): {commit("a"): {"main", "refs/pr/1"}, commit("b"): set()},
        ("model", "gpt2"): {commit("c"): {"main"}},
        ("dataset", "org/data"): {commit("d"): {"main"}},
    }


@pytest.mark.parametrize(
    ("repo_id", "path", "name", "size_bytes"),
    [
        ("org/name", "config.json", "org/name/config.json", 20),
        ("org/name", "deep/er/copy.safetensors", "org/name/model.safetensors", 3000),
        ("gpt2", "empty.txt", "gpt2/empty.txt", 0),
    ],
    ids=["small", "shared and deep", "empty"],
)
def test_a_drawn_file_is_loaded_from_the_cache(
    drawn: Drawn, repo_id: str, path: str, name: str, size_bytes: int
) -> None:
    """huggingface_hub finds each file by its revision, with the drawn bytes behind all links."""
    found = try_to_load_from_cache(repo_id, path, cache_dir=drawn.base.hub)

    assert isinstance(found, str)
    assert Path(found).read_bytes() == content(name, size_bytes)


def test_a_file_drawn_as_missing_is_known_not_to_exist(drawn: Drawn) -> None:
    """A file drawn as missing is in the negative cache."""
    found = try_to_load_from_cache("org/name", "added_tokens.json", cache_dir=drawn.base.hub)

    assert found is not None
    assert not isinstance(found, str)


def test_an_offline_download_is_content_with_what_was_drawn(drawn: Drawn, monkeypatch: pytest.MonkeyPatch) -> None:
    """`local_files_only` returns the drawn snapshot without a request, because no listed file is missing."""
    monkeypatch.setattr(socket, "socket", None)

    folder = snapshot_download("org/name", revision="refs/pr/1", cache_dir=drawn.base.hub, local_files_only=True)

    assert Path(folder) == drawn.base.repo("org/name").snapshot(commit("a"))


def test_the_shared_store_is_huggingface_hubs_own(drawn: Drawn) -> None:
    """The shared store has its marker, and each payload once."""
    assert is_shared_blobs_dir(drawn.base.hub / "blobs")
    sizes = sorted(path.stat().st_size for path in shared_store_blob_paths(drawn.base.hub))
    assert sizes == [3000, 3000]


def test_every_digest_is_that_of_the_drawn_bytes(drawn: Drawn) -> None:
    """Each file of a commit has the listed size, and its blob the name of its digest."""
    repo = drawn.base.repo("org/name")
    for file in drawn.of("org/name", "a"):
        link = repo.snapshot(commit("a")) / file.path
        assert link.stat().st_size == file.size_bytes
        assert link.readlink().name == file.digest
