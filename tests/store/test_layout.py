"""Paths: huggingface_hub's layout, and our own folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from huggingface_hub import try_to_load_from_cache
from huggingface_hub.file_download import repo_folder_name
from huggingface_hub.utils._shared_blobs import shared_blobs_dir

from modelshelf.store.layout import Base, CacheDir, Repo, before_name, known_bases_file, user_unit_file
from tests.builders import commit, put

BASE = Base(Path("/mnt/fast"))
REPO = BASE.repo("org/name")


@pytest.mark.parametrize("repo_type", ["model", "dataset", "space", "kernel"])
@pytest.mark.parametrize("repo_id", ["gpt2", "org/name", "models", "models/hub"])
def test_a_repository_lies_where_huggingface_hub_puts_it(repo_id: str, repo_type: str) -> None:
    """A repository is below `hub` under its name for every type, even if its name is like one of our folders."""
    name = repo_folder_name(repo_id=repo_id, repo_type=repo_type)

    assert BASE.repo(repo_id, repo_type) == Repo(f"/mnt/fast/hub/{name}", Path("/mnt/fast"))


@pytest.mark.parametrize("revision", ["main", "refs/pr/1", commit("a")])
def test_huggingface_hub_reads_what_lies_where_we_say(tmp_path: Path, revision: str) -> None:
    """huggingface_hub reads a file that was written through our paths, nested refs included."""
    repo = Base(tmp_path).repo("org/name")
    blob = put(repo.blob("d" * 40), b"{}")
    link = repo.snapshot(commit("a")) / "sub" / "config.json"
    link.parent.mkdir(parents=True)
    link.symlink_to(blob)
    put(repo.ref("main"), commit("a").encode())
    put(repo.ref("refs/pr/1"), commit("a").encode())

    found = try_to_load_from_cache("org/name", "sub/config.json", cache_dir=Base(tmp_path).hub, revision=revision)

    assert found == str(link)


def test_a_commit_is_never_read_as_an_old_one(tmp_path: Path) -> None:
    """A ref to a missing snapshot never makes huggingface_hub return another one."""
    repo = Base(tmp_path).repo("org/name")
    put(repo.snapshot(commit("a")) / "config.json", b"{}")
    put(repo.ref("main"), commit("b").encode())

    assert try_to_load_from_cache("org/name", "config.json", cache_dir=Base(tmp_path).hub) is None


@pytest.mark.parametrize(
    ("path", "below_base"),
    [
        (BASE.hub, "hub"),
        (REPO.blobs, "hub/models--org--name/blobs"),
        (REPO.refs, "hub/models--org--name/refs"),
        (REPO.trees, "hub/models--org--name/trees"),
        (REPO.tree("c0ffee"), "hub/models--org--name/trees/c0ffee.json"),
        (REPO.no_exist("c0ffee"), "hub/models--org--name/.no_exist/c0ffee"),
        (BASE.hub_lock("org/name", "d1"), "hub/.locks/models--org--name/d1.lock"),
        (BASE.xet, "xet"),
        (BASE.old_transformers, "transformers"),
        (BASE.token, "token"),
    ],
)
def test_a_path_of_huggingface_is_spelled_as_it_spells_it(path: Path, below_base: str) -> None:
    """Every path in the module docstring's drawing has a function that builds it."""
    assert path == Path("/mnt/fast") / below_base


@pytest.mark.parametrize(
    "path",
    [
        BASE.marker,
        BASE.registry,
        BASE.meter,
        BASE.quarantine,
        BASE.links,
        BASE.part("d"),
        BASE.part_map("d"),
        BASE.part_lock("d"),
    ],
    ids=lambda path: path.name,
)
def test_everything_of_ours_lies_in_one_folder(path: Path) -> None:
    """Deleting `modelshelf` leaves a stock Hugging Face cache."""
    assert BASE.own in path.parents
    assert BASE.own == Path("/mnt/fast/modelshelf")


def test_the_shared_store_is_no_repository() -> None:
    """`hub/blobs` is huggingface_hub's, and no repository can have that name."""
    assert shared_blobs_dir(BASE.hub) == BASE.hub / "blobs"
    assert BASE.repo("blobs").path != BASE.hub / "blobs"


def test_the_memory_of_bases_lies_outside_of_all_of_them() -> None:
    """The list of known bases is outside all of them, so an unmounted drive doesn't hide it."""
    assert known_bases_file(Path("/home/me/.local/state")) == Path("/home/me/.local/state/modelshelf/bases.json")


def test_a_cache_dir_holds_repositories_itself() -> None:
    """Repositories written with `cache_dir=BASE` are in BASE, not in BASE/hub."""
    cache_dir = CacheDir(Path("/c"))

    assert (cache_dir.hub, cache_dir.repo("a/b", "dataset").path) == (Path("/c"), Path("/c/datasets--a--b"))


def test_a_backup_has_the_day_in_its_name() -> None:
    """A backup's name has the day, and a number from the second one on."""
    names = [before_name(Path("/c/hf"), "20261123", number).name for number in (1, 2)]

    assert names == ["hf.before-modelshelf-20261123", "hf.before-modelshelf-20261123-2"]


def test_a_unit_of_the_user_lies_where_systemd_looks() -> None:
    """A user's systemd unit is where systemd looks. Source: `systemd.unit(5)`, load path of a user's manager."""
    assert user_unit_file(Path("/home/me/.config"), "x.service") == Path("/home/me/.config/systemd/user/x.service")


def test_what_is_no_repository_has_one_lock() -> None:
    """Bytes outside any repository have one lock, beside those of the repositories."""
    assert BASE.things_lock == Path("/mnt/fast/modelshelf/locks/things.lock")
    assert BASE.views_lock == Path("/mnt/fast/modelshelf/locks/views.lock")
    assert BASE.mirror_lock == Path("/mnt/fast/modelshelf/locks/mirror.lock")
