"""What is in a base, by names and sizes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from modelshelf.domain.models import FileEntry
from modelshelf.store import fs
from modelshelf.store.layout import Base
from modelshelf.store.repos import scan
from tests.builders import Drawn, age, commit, lay_out, put
from tests.store.users import acting_as

DRAWING = """
    model org/name
      commit a main refs/pr/1
        config.json 20
        deep/er/w.bin 3000
      commit b
        shared.bin 500 shared
      ref stale c
      orphan 700
      partial 900
    dataset org/data
      commit d main
        rows.txt 10 real
    model gpt2
      commit e main
        config.json 20
    file hub/version.txt 1
    file hub/models 5
"""


@pytest.fixture
def drawn(tmp_path: Path) -> Drawn:
    """A base with some of everything."""
    return lay_out(tmp_path / "base", DRAWING)


def test_every_repository_is_found(drawn: Drawn) -> None:
    """All types of repositories are found by type and id; files and links beside them aren't repositories."""
    (drawn.base.hub / "models--org--linked").symlink_to("models--gpt2")

    found = scan.repos(drawn.base)

    assert [(kind, repo_id) for kind, repo_id, _ in found] == [
        ("dataset", "org/data"),
        ("model", "gpt2"),
        ("model", "org/name"),
    ]
    assert found[2][2] == drawn.base.repo("org/name")


def test_where_nothing_is_nothing_is_found(tmp_path: Path) -> None:
    """A base that doesn't exist is empty and not an error."""
    base = Base(tmp_path / "gone")
    repo = base.repo("org/name")

    assert scan.repos(base) == []
    assert scan.snapshots(repo) == []
    assert scan.blob_sizes(repo) == {}
    assert scan.refs(repo) == {}
    assert list(scan.snapshot_files(repo, commit("a"))) == []
    assert scan.signature(repo, commit("a")) == ""


def test_blobs_are_listed_with_their_sizes(drawn: Drawn) -> None:
    """Blobs are listed with sizes, those in the shared store by payload; downloads and dangling links aren't listed."""
    repo = drawn.base.repo("org/name")
    repo.blob("1" * 64).symlink_to("nowhere")
    repo.blob("2" * 64).mkdir()

    sizes = scan.blob_sizes(repo)

    files = [*drawn.of("org/name", "a"), *drawn.of("org/name", "b")]
    orphan = next(digest for digest, size_bytes in sizes.items() if size_bytes == 700)
    assert sizes == {file.digest: file.size_bytes for file in files} | {orphan: 700}


def test_a_whole_commit_misses_nothing(drawn: Drawn) -> None:
    """A whole commit misses nothing, whether its files are links, links to links, or files."""
    for repo_id, letter in (("org/name", "a"), ("org/name", "b")):
        repo = drawn.base.repo(repo_id)
        assert scan.missing_files(repo, commit(letter), drawn.of(repo_id, letter)) == []
    data = drawn.base.repo("org/data", "dataset")
    assert scan.missing_files(data, commit("d"), drawn.of("org/data", "d")) == []


@pytest.mark.parametrize("damage", ["link gone", "blob gone", "blob cut", "a folder instead"])
def test_a_file_that_is_not_there_in_full_is_missing(drawn: Drawn, damage: str) -> None:
    """A file of another size than listed is missing, though its snapshot exists."""
    repo = drawn.base.repo("org/name")
    [config, weights] = drawn.of("org/name", "a")
    link, blob = repo.snapshot(commit("a")) / weights.path, repo.blob(weights.digest)
    if damage == "blob cut":
        blob.write_bytes(b"x" * 2999)
    else:
        (blob if damage == "blob gone" else link).unlink()
    if damage == "a folder instead":
        link.mkdir()

    assert scan.missing_files(repo, commit("a"), [config, weights]) == [weights]


def test_a_commit_without_a_snapshot_misses_all(drawn: Drawn) -> None:
    """Without a snapshot every file is missing, in the order asked for."""
    files = [FileEntry("b", 1, "x"), FileEntry("a", 1, "y")]

    assert scan.missing_files(drawn.base.repo("org/name"), commit("c"), files) == files


def test_the_signature_tells_that_a_name_came_or_went(drawn: Drawn) -> None:
    """The signature changes with a blob or a link, and otherwise stays."""
    repo = drawn.base.repo("org/name")
    age(repo.path)
    before = scan.signature(repo, commit("a"))

    assert before == scan.signature(repo, commit("a")) != ""
    repo.blob("f" * 40).touch()
    without_blob = scan.signature(repo, commit("a"))
    assert without_blob != before
    (repo.snapshot(commit("a")) / "config.json").unlink()
    assert scan.signature(repo, commit("a")) != without_blob


def test_only_commits_are_snapshots(drawn: Drawn) -> None:
    """A folder among the snapshots without a commit's name isn't a snapshot."""
    repo = drawn.base.repo("org/name")
    (repo.snapshots / "tmp").mkdir()

    assert scan.snapshots(repo) == [commit("a"), commit("b")]


def test_files_of_sub_folders_belong_to_a_snapshot(drawn: Drawn) -> None:
    """Files in sub-folders have their path in the repository; a linked folder is one entry and isn't followed."""
    repo = drawn.base.repo("org/name")
    (repo.snapshot(commit("a")) / "evil").symlink_to("/etc")

    found = dict(scan.snapshot_files(repo, commit("a")))

    assert list(found) == sorted(scan.snapshot_names(repo, commit("a"))) == ["config.json", "deep/er/w.bin", "evil"]
    assert found["deep/er/w.bin"] == repo.snapshot(commit("a")) / "deep" / "er" / "w.bin"


def test_refs_are_read_forgivingly(drawn: Drawn) -> None:
    """Refs may be nested, end with a newline, or name a missing snapshot; one that isn't text is left out."""
    repo = drawn.base.repo("org/name")
    put(repo.ref("newline"), f"{commit('b')}\n".encode())
    put(repo.ref("broken"), b"\xff\xfe")
    repo.ref("dangling").symlink_to("nowhere")

    assert scan.refs(repo) == {
        "main": commit("a"),
        "refs/pr/1": commit("a"),
        "stale": commit("c"),
        "newline": commit("b"),
    }


def test_a_torn_write_is_no_ref(drawn: Drawn) -> None:
    """A temporary file beside a ref isn't a ref, so a move doesn't bring it."""
    repo = drawn.base.repo("org/name")
    before = scan.refs(repo)
    (repo.refs / f".main.12345678{fs.TEMPORARY}").write_text("a" * 40)

    assert scan.refs(repo) == before


def test_a_link_tells_its_blob(drawn: Drawn) -> None:
    """A link names its blob from any depth, even if the blob is missing."""
    repo = drawn.base.repo("org/name")
    weights = drawn.digest("org/name", "a", "deep/er/w.bin")
    link = repo.snapshot(commit("a")) / "deep/er/w.bin"

    assert scan.blob_of(repo, link) == weights
    repo.blob(weights).unlink()
    assert scan.blob_of(repo, link) == weights


def test_an_absolute_link_tells_its_blob_however_the_base_is_called(drawn: Drawn, tmp_path: Path) -> None:
    """An absolute link names its blob, even where the base is reached through a link."""
    (tmp_path / "other-name").symlink_to(drawn.base.path)
    link = drawn.base.repo("gpt2").snapshot(commit("e")) / "config.json"
    blob = link.resolve()
    link.unlink()
    link.symlink_to(blob)

    assert scan.blob_of(Base(tmp_path / "other-name").repo("gpt2"), link) == blob.name


def test_what_leads_elsewhere_tells_no_blob(drawn: Drawn) -> None:
    """A file, a link out of the repository and a link to a missing folder name no blob."""
    repo = drawn.base.repo("org/name")
    other = drawn.base.repo("gpt2").snapshot(commit("e")) / "config.json"
    (repo.path / "out").symlink_to("/etc/hostname")
    (repo.path / "nowhere").symlink_to("gone/blob")

    assert scan.blob_of(repo, repo.ref("main")) is None
    assert scan.blob_of(repo, other) is None
    assert scan.blob_of(repo, repo.path / "out") is None
    assert scan.blob_of(repo, repo.path / "nowhere") is None


def test_a_stamp_tells_that_a_file_was_not_written_since(tmp_path: Path) -> None:
    """A file's stamp is its size and mtime; a missing file has none."""
    path = put(tmp_path / "x", b"abc")
    before = scan.stamp(path)

    assert before == scan.stamp(path) != ""
    path.write_bytes(b"abcd")
    assert scan.stamp(path) != before
    path.unlink()
    assert scan.stamp(path) == ""


def test_the_digests_that_any_snapshot_links_to_are_known(drawn: Drawn) -> None:
    """The digests that any snapshot links to don't include an orphan's."""
    files = [*drawn.of("org/name", "a"), *drawn.of("org/name", "b")]

    assert scan.linked_digests(drawn.base.repo("org/name")) == {file.digest for file in files}


def test_a_commit_is_opened_by_its_names_and_by_its_blobs(drawn: Drawn) -> None:
    """Every path by which a program may open a file of the commit leads to its bytes."""
    repo, files = drawn.base.repo("org/name"), drawn.of("org/name", "a")

    found = list(scan.file_paths(repo, commit("a"), files))

    assert len(found) == 2 * len(files)
    assert {Path(path).resolve() for path in found} == {repo.blob(file.digest) for file in files}


def test_what_a_user_may_read_is_known(open_path: Path) -> None:
    """A file is readable by its mode, a folder if it can be listed and entered, and nothing below a closed folder."""
    opened, closed = put(open_path / "open/file", b"x"), put(open_path / "closed/file", b"x")
    secret = put(open_path / "open/secret", b"x")
    secret.chmod(0o600)
    closed.parent.chmod(0o700)

    paths = (opened, opened.parent, secret, closed.parent, closed)
    with acting_as():
        found = [scan.may_read(path) for path in paths]

    assert found == [True, True, False, False, False]
    assert all(map(scan.may_read, paths))


def test_a_ref_that_says_nothing_is_told_from_one_that_is_none(tmp_path: Path) -> None:
    """A link, a fifo and foreign bytes have no text; a name that isn't a revision is left out."""
    repo = lay_out(
        tmp_path,
        """
        model org/name
          commit a main
    """,
    ).base.repo("org/name")
    put(repo.refs / "torn", b"\xff")
    put(repo.refs / ".DS_Store", b"x")
    os.mkfifo(repo.refs / "fifo")
    (repo.refs / "link").symlink_to("main")

    assert scan.refs(repo) == {"main": commit("a")}
    assert scan.ref_texts(repo) == {"main": commit("a"), "torn": "", "fifo": "", "link": ""}


def test_a_folder_that_no_repository_can_be_called_is_strange(tmp_path: Path) -> None:
    """A folder whose name isn't a repository's is reported as strange; a file or link of that name isn't."""
    base = lay_out(
        tmp_path,
        """
        model org/name
          commit a main
    """,
    ).base
    (base.hub / "models--org--a--b").mkdir()
    put(base.hub / "models--a file", b"")
    (base.hub / "datasets--a link").symlink_to("models--org--name")

    assert [repo.path.name for repo in scan.strange_repos(base)] == ["models--org--a--b"]
    assert [repo_id for _, repo_id, _ in scan.repos(base)] == ["org/name"]
    assert scan.strange_repos(Base(tmp_path / "nothing")) == []
