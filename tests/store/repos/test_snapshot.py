"""Laying out a snapshot without huggingface_hub, and finding its bytes."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from huggingface_hub import try_to_load_from_cache

from modelshelf.domain.models import FileEntry
from modelshelf.domain.names import Digest
from modelshelf.services.jobs.progress import Counter
from modelshelf.store import fs
from modelshelf.store.layout import Base
from modelshelf.store.repos import materialize, scan, snapshot
from tests.builders import Drawn, commit, lay_out, put

DRAWING = """
    model org/name
      commit a main
        config.json 20
        deep/er/w.bin 3000
        copy.bin 3000 as=org/name/deep/er/w.bin
        shared.safetensors 500 shared
        real.bin 70 real
      missing a sub/none.json
"""


@pytest.fixture
def drawn(tmp_path: Path) -> Drawn:
    """A commit with bytes in blobs, in the shared store and in the snapshot itself."""
    return lay_out(tmp_path / "base", DRAWING)


def test_a_file_is_given_by_its_name_as_long_as_it_stays_below_the_root(drawn: Drawn) -> None:
    """A name of a snapshot leads to its file; one that leads out of the root, or nowhere, leads to nothing."""
    folder, root = drawn.base.repo("org/name").snapshot(commit("a")), drawn.base.path.resolve()

    assert snapshot.file_in(folder, "config.json", root) == folder / "config.json"
    assert snapshot.file_in(folder, "config.json", root / "elsewhere") is None
    assert snapshot.file_in(folder, "missing.json", root) is None


def located(drawn: Drawn) -> dict[Digest, Path]:
    """Return where each digest's bytes are."""
    repo = drawn.base.repo("org/name")
    return snapshot.locate(drawn.base, repo, commit("a"), drawn.of("org/name", "a"))


def test_the_bytes_of_each_digest_are_found(drawn: Drawn) -> None:
    """Each digest is found once, as the regular file at the end of all links."""
    found = located(drawn)

    assert found.keys() == {file.digest for file in drawn.of("org/name", "a")}
    sizes = {file.digest: file.size_bytes for file in drawn.of("org/name", "a")}
    assert {digest: path.lstat().st_size for digest, path in found.items()} == sizes
    assert all(stat.S_ISREG(path.lstat().st_mode) for path in found.values())


def test_a_blob_without_a_link_is_found(drawn: Drawn) -> None:
    """A blob is found without its snapshot; a file that was only in the snapshot is missing."""
    fs.remove_tree(drawn.base.path, drawn.base.repo("org/name").snapshots)

    real = drawn.digest("org/name", "a", "real.bin")
    assert located(drawn).keys() == {file.digest for file in drawn.of("org/name", "a")} - {real}


@pytest.mark.parametrize("damage", ["cut", "gone", "leaves the base", "a folder"])
def test_what_cannot_be_taken_is_left_out(drawn: Drawn, tmp_path: Path, damage: str) -> None:
    """A blob that is missing, has another size, or is a link out of the repository isn't found."""
    digest = drawn.digest("org/name", "a", "config.json")
    blob = drawn.base.repo("org/name").blob(digest)
    data = blob.read_bytes()
    blob.unlink()
    if damage == "cut":
        blob.write_bytes(data[:-1])
    elif damage == "leaves the base":
        blob.symlink_to(put(tmp_path / "outside", data))
    elif damage == "a folder":
        blob.mkdir()

    assert digest not in located(drawn)


def test_bytes_are_held_where_a_base_wants_them(drawn: Drawn, tmp_path: Path) -> None:
    """A base holds bytes as a blob; without symbolic links a file of the snapshot counts too."""
    repo, files = drawn.base.repo("org/name"), drawn.of("org/name", "a")
    config, real = (drawn.digest("org/name", "a", name) for name in ("config.json", "real.bin"))
    repo.blob(config).unlink()
    repo.blob(config).symlink_to(put(tmp_path / "outside", b"x" * 20))

    linked = snapshot.held(drawn.base, repo, commit("a"), files, symlinks=True)
    unlinked = snapshot.held(drawn.base, repo, commit("a"), files, symlinks=False)

    assert linked.keys() == {file.digest for file in files} - {config, real}
    assert unlinked == linked | {real: repo.snapshot(commit("a")) / "real.bin"}
    assert snapshot.sizes(unlinked | {config: tmp_path / "gone"}) == {
        file.digest: file.size_bytes for file in files if file.digest != config
    }


def test_a_snapshot_without_links_holds_a_shared_content_twice(drawn: Drawn) -> None:
    """A snapshot without links stores shared content twice, and the extra bytes are known before."""
    assert snapshot.second_bytes(drawn.of("org/name", "a")) == 3000


def test_what_we_link_huggingface_hub_loads(tmp_path: Path) -> None:
    """Links are relative at any depth, made again where they are wrong and kept where they are right."""
    base = Base(tmp_path)
    repo = base.repo("org/name")
    files = [FileEntry("deep/er/w.bin", 3, "d" * 64), FileEntry("config.json", 2, "e" * 40)]
    put(repo.blob("d" * 64), b"abc")
    put(repo.blob("e" * 40), b"{}")
    place = repo.snapshot(commit("a")) / "config.json"
    put(place, b"something else")

    materialize.lay_out(base, repo, commit("a"), files, Counter(), symlinks=True)
    before = place.lstat().st_ino
    materialize.lay_out(base, repo, commit("a"), files, Counter(), symlinks=True)
    snapshot.set_refs(repo, {"main": commit("a")}, overwrite=False)

    assert place.lstat().st_ino == before
    assert scan.missing_files(repo, commit("a"), files) == []
    assert not place.readlink().is_absolute()
    found = try_to_load_from_cache("org/name", "deep/er/w.bin", cache_dir=base.hub)
    assert found == str(repo.snapshot(commit("a")) / "deep/er/w.bin")


def test_what_describes_a_snapshot_comes_along(drawn: Drawn, tmp_path: Path) -> None:
    """A snapshot's listing, readable for others, and its negative cache come along; existing ones stay."""
    source, target = drawn.base.repo("org/name"), Base(tmp_path / "target").repo("org/name")

    snapshot.copy_extras(source, target, commit("a"))
    before = target.tree(commit("a")).stat().st_ino
    snapshot.copy_extras(source, target, commit("a"))

    assert target.tree(commit("a")).read_text() == source.tree(commit("a")).read_text()
    assert target.tree(commit("a")).stat().st_ino == before
    assert target.tree(commit("a")).stat().st_mode & 0o040
    assert (target.no_exist(commit("a")) / "sub" / "none.json").is_file()


def test_a_snapshot_without_a_description_has_none_afterwards(tmp_path: Path) -> None:
    """A snapshot without a listing gets none."""
    source, target = (Base(tmp_path / name).repo("org/name") for name in ("source", "target"))

    snapshot.copy_extras(source, target, commit("a"))

    assert not target.path.exists()


@pytest.mark.parametrize(("overwrite", "main"), [(False, commit("b")), (True, commit("a"))])
def test_refs_are_replaced_only_on_demand(tmp_path: Path, overwrite: bool, main: str) -> None:
    """A new ref is always written; an existing one is replaced only on request."""
    repo = Base(tmp_path).repo("org/name")
    put(repo.ref("main"), commit("b").encode())
    put(repo.ref("same"), f"{commit('a')}\n".encode())

    snapshot.set_refs(repo, dict.fromkeys(("main", "same", "refs/pr/1"), commit("a")), overwrite=overwrite)

    assert scan.refs(repo) == {"main": main, "same": commit("a"), "refs/pr/1": commit("a")}
    assert repo.ref("same").read_text().endswith("\n")


def test_backup_programs_are_told_to_skip_the_cache(tmp_path: Path) -> None:
    """CACHEDIR.TAG is written once; another program's content stays."""
    base = Base(tmp_path)

    snapshot.tag_cache(base)
    assert (base.hub / "CACHEDIR.TAG").read_text() == snapshot.CACHEDIR_TAG
    (base.hub / "CACHEDIR.TAG").write_text("theirs")
    snapshot.tag_cache(base)
    assert (base.hub / "CACHEDIR.TAG").read_text() == "theirs"
