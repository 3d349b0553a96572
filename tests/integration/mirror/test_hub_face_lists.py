"""What the hub face says a commit holds: clients cache it for ever and use it with the real Hub later."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelshelf.domain.models import FileEntry
from modelshelf.domain.names import CommitHash, Digest, FilePath, RepoId
from modelshelf.services.mirror.lookup import HubFace
from modelshelf.store.layout import Base
from modelshelf.store.repos import trees
from tests.builders import AGED_S, age, digest_of
from tests.integration.mirror.hub_face_tree import Face, add_commit, running
from tests.stock_client import StockClient
from tests.world import Home

COMMIT = "a" * 40
QUANTS = {f"gg-{quant}.gguf": b"GGUF" + quant.encode() for quant in ("Q4_K_M", "Q8_0", "F16")}
FILES = {**QUANTS, "config.json": b"{}"}
Q4 = "gg-Q4_K_M.gguf"


@pytest.fixture(scope="module")
def real_hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Face]:
    """A hub that has every file, as the real one does."""
    base = tmp_path_factory.mktemp("hub") / "base"
    add_commit(base, "org/gg", COMMIT, FILES, tree=True)
    with running(base) as face:
        yield face


@pytest.fixture
def client(tmp_path: Path) -> StockClient:
    """A real client, not yet connected to a hub."""
    (tmp_path / "client/base").mkdir(parents=True)
    return StockClient(tmp_path / "client/base", "")


def add_part(base: Path, *paths: str, listed: bool) -> Path:
    """Lay out a tier that has some files of the commit; return the repository's path."""
    snapshot = add_commit(base, "org/gg", COMMIT, FILES, tree=listed)
    for path in FILES:
        if path not in paths:
            (snapshot / path).unlink()
            (snapshot.parents[1] / "blobs" / digest_of(path, FILES[path])).unlink()
    return snapshot.parents[1]


def paths_of(face: Face, query: str = "?recursive=true") -> set[str]:
    """Return the paths that the face lists."""
    return {entry["path"] for entry in face.json(f"api/models/org/gg/tree/main{query}")}


@pytest.mark.parametrize("listed", [True, False], ids=["with a list", "without"])
def test_a_part_of_a_commit_spoils_no_cache(tmp_path: Path, real_hub: Face, client: StockClient, listed: bool) -> None:
    """A client that fetched a partial model from the face later gets the commit's other files from the Hub."""
    add_part(tmp_path / "tier", Q4, listed=listed)
    with running(tmp_path / "tier") as face:
        client.url = face.url
        first = client.hf("download", "org/gg", "--include", "*Q4_K_M*")
    client.url = real_hub.url
    then = client.hf("download", "org/gg", "--include", "*Q8*")

    assert first.returncode == then.returncode == 0, first.stderr + then.stderr
    assert set(client.files("org/gg", COMMIT)) == {Q4, "gg-Q8_0.gguf"}
    kept = trees.read(Base(client.base).repo("org/gg"), COMMIT)
    assert {file.path for file in kept} == set(FILES)


def test_a_list_that_may_be_short_is_not_kept(tmp_path: Path, client: StockClient) -> None:
    """Without a list of the commit a client fetches what is here, and stores no list."""
    add_part(tmp_path / "tier", Q4, listed=False)
    with running(tmp_path / "tier") as face:
        client.url = face.url
        done = client.hf("download", "org/gg")

    assert done.returncode == 0, done.stderr
    assert client.files("org/gg", COMMIT) == {Q4: FILES[Q4]}
    assert not list(client.base.rglob("trees/*"))


def test_a_snapshot_that_holds_more_shows_that_its_list_is_short(tmp_path: Path) -> None:
    """Files that a short list lacks are listed too, and the answer says that no client may keep the list."""
    snapshot = add_commit(tmp_path, "org/gg", COMMIT, {Q4: FILES[Q4]}, tree=True)
    (snapshot / "config.json").write_bytes(b"{}")
    with running(tmp_path) as face:
        entries = face.json("api/models/org/gg/tree/main")
        status, headers, _ = face.ask("HEAD", "org/gg/resolve/main/gg-Q8_0.gguf")

    assert {entry["path"]: entry.get("xetHash") for entry in entries} == {Q4: "", "config.json": ""}
    assert (status, headers.get("x-repo-commit")) == (404, None)


def test_a_tier_with_a_short_list_denies_nothing_that_another_lists(tmp_path: Path) -> None:
    """The lists of all tiers are combined, so a short one denies nothing."""
    add_commit(tmp_path / "one", "org/gg", COMMIT, {Q4: FILES[Q4]}, tree=True)
    add_part(tmp_path / "two", "config.json", listed=True)
    with running(tmp_path / "one", tmp_path / "two") as face:
        assert paths_of(face) == set(FILES)
        assert face.ask("GET", "org/gg/resolve/main/config.json")[2] == b"{}"
        assert face.ask("HEAD", "org/gg/resolve/main/gg-Q8_0.gguf")[0] == 409
        denied = face.ask("HEAD", "org/gg/resolve/main/no.gguf")

    assert (denied[0], denied[1]["x-repo-commit"]) == (404, COMMIT)


def test_a_file_that_only_our_disk_lacks_is_not_denied(tmp_path: Path, client: StockClient) -> None:
    """A listed file that isn't here fails without the client recording that it doesn't exist."""
    add_part(tmp_path / "tier", Q4, listed=True)
    with running(tmp_path / "tier") as face:
        client.url = face.url
        one = client.hf("download", "org/gg", "config.json")
        every = client.hf("download", "org/gg")

    assert "not on this server" in one.stderr + one.stdout, one.stderr
    assert one.returncode != 0
    assert every.returncode != 0
    assert not list(client.base.rglob(".no_exist"))


def test_inside_the_library_no_short_list_is_written(tmp_path: Path, client: StockClient) -> None:
    """A client that writes from the face into a tier leaves the whole list there."""
    add_part(tmp_path / "primary", Q4, listed=True)
    with running(tmp_path / "primary", client.base) as face:
        client.url = face.url
        done = client.hf("download", "org/gg", "--include", "*Q4*")
        listed = paths_of(face)

    assert done.returncode == 0, done.stderr
    assert {file.path for file in trees.read(Base(client.base).repo("org/gg"), COMMIT)} == set(FILES) == listed


def test_llama_cpp_sees_what_is_here(tmp_path: Path) -> None:
    """llama.cpp, which keeps no list, is shown only the files that it can have."""
    add_part(tmp_path, Q4, listed=True)
    agent = {"User-Agent": "llama-cpp/b9000"}
    with running(tmp_path) as face:
        body = face.ask("GET", "api/models/org/gg/tree/main?recursive=true", agent)[2]

    assert b"Q4_K_M" in body
    assert b"Q8_0" not in body
    assert b"xetHash" not in body


def test_from_shelf_to_shelf_no_short_list_is_registered(tmp_path: Path, home: Home) -> None:
    """A library whose hub is another's face registers a commit only if all of its files are known."""
    add_part(tmp_path / "unknown", Q4, listed=False)
    add_part(tmp_path / "known", Q4, listed=True)
    with running(tmp_path / "unknown") as face:
        refused = home.run("add", "gg", "org/gg", HF_ENDPOINT=face.url)
    with running(tmp_path / "known") as face:
        added = home.run("add", "part", "org/gg", "--include", "*Q4*", HF_ENDPOINT=face.url)

    assert (refused.code, "doesn't know whether" in refused.err) == (5, True), refused.err
    assert added.code == 0, added.err
    assert {file.path for file in trees.read(Base(home.primary).repo("org/gg"), COMMIT)} == set(FILES)


def test_a_list_of_the_files_that_were_adopted_is_not_written(tmp_path: Path, home: Home) -> None:
    """Pulling a model that was adopted without a list writes no list."""
    add_part(home.primary, Q4, "config.json", listed=False)
    assert home.run("adopt", str(home.primary), "--leave").code == 0
    name = home.run("ls", "--json").out

    assert home.run("pull", json.loads(name)[0]["model_name"]).code == 0
    assert trees.read(Base(home.primary).repo("org/gg"), COMMIT) == ()


def add_listed(base: Path, count: int) -> list[FileEntry]:
    """Lay out a commit whose list names so many files, none of which is here but one; return them."""
    add_commit(base, "org/gg", COMMIT, {"config.json": b"{}"}, tree=True)
    repo = Base(base).repo(RepoId("org/gg"))
    named = [FileEntry(FilePath(f"part-{i // 1000}/{i:05}.bin"), i, Digest(f"{i:064x}")) for i in range(count)]
    trees.write(repo, CommitHash(COMMIT), [*trees.read(repo, CommitHash(COMMIT)), *named])
    return named


def test_a_long_list_comes_in_pages(tmp_path: Path, client: StockClient) -> None:
    """A page has at most 1,000 entries and names the next one; huggingface_hub reads all of them."""
    named = add_listed(tmp_path / "tier", 2300)
    ours = [file.path for file in named]
    code = "print(json.dumps([f.path for f in HfApi().list_repo_tree('org/gg', recursive=True)]))"
    with running(tmp_path / "tier") as face:
        client.url = face.url
        listed = json.loads(client.run(f"import json; from huggingface_hub import HfApi; {code}"))
        query, pages = "?recursive=true", []
        while query:
            _, headers, body = face.ask("GET", f"api/models/org/gg/tree/main{query}")
            pages.append([entry["path"] for entry in json.loads(body)])
            query = "?" + headers["link"].partition("?")[2].partition(">")[0] if "link" in headers else ""

    assert sorted(listed) == sorted([*ours, "config.json", "part-0", "part-1", "part-2"])
    assert [len(page) for page in pages] == [1000, 1000, 304]
    assert [path for page in pages for path in page] == listed


def test_llama_cpp_gets_a_long_list_at_once(tmp_path: Path) -> None:
    """llama.cpp takes the first page for all of a commit, so that it has no second one."""
    add_commit(tmp_path, "org/gg", COMMIT, {f"{i:04}.json": b"" for i in range(1200)}, tree=False)
    with running(tmp_path) as face:
        _, headers, body = face.ask("GET", "api/models/org/gg/tree/main", {"User-Agent": "llama-cpp/b9000"})

    assert (len(json.loads(body)), "link" in headers) == (1200, False)


def test_a_list_that_was_read_is_read_again_when_it_changed(tmp_path: Path) -> None:
    """What is kept between two pages holds while the list and the folders of the snapshot are as they were."""
    add_listed(tmp_path, 3)
    age(tmp_path)
    repo = Base(tmp_path).repo(RepoId("org/gg"))
    os.utime(repo.tree(CommitHash(COMMIT)), (AGED_S, AGED_S))
    face = HubFace(lambda: [Base(tmp_path)])
    first = face.contents(face.resolve("org/gg"))
    assert face.contents(face.resolve("org/gg")) is first

    (repo.snapshot(CommitHash(COMMIT)) / "new.json").write_bytes(b"{}")
    more = face.contents(face.resolve("org/gg"))
    assert (len(more.files), more.whole) == (5, False)

    (repo.snapshot(CommitHash(COMMIT)) / "new.json").unlink()
    age(tmp_path)
    trees.write(repo, CommitHash(COMMIT), [FileEntry(FilePath("config.json"), 2, Digest("c" * 40))])
    assert len(face.contents(face.resolve("org/gg")).files) == 1


def test_links_are_read_once_for_all_pages_while_their_blobs_are_there(tmp_path: Path) -> None:
    """Without a list of the commit, what its links say is kept too, until a blob comes or goes."""
    snapshot = add_commit(tmp_path, "org/gg", COMMIT, FILES, tree=False)
    age(tmp_path)
    face = HubFace(lambda: [Base(tmp_path)])
    first = face.contents(face.resolve("org/gg"))
    assert face.contents(face.resolve("org/gg")) is first

    (snapshot / Q4).resolve().unlink()

    assert Q4 not in face.contents(face.resolve("org/gg")).by_path


def test_a_file_in_the_place_of_a_link_is_looked_at_each_time(tmp_path: Path) -> None:
    """No folder tells that bytes in a snapshot changed, so such a list isn't kept."""
    snapshot = add_commit(tmp_path, "org/gg", COMMIT, FILES, tree=False)
    (snapshot / Q4).unlink()
    (snapshot / Q4).write_bytes(b"GGUF")
    age(tmp_path)
    face = HubFace(lambda: [Base(tmp_path)])
    before = face.contents(face.resolve("org/gg")).by_path[Q4]

    (snapshot / Q4).write_bytes(b"GGUF and more")
    age(tmp_path)
    after = face.contents(face.resolve("org/gg")).by_path[Q4]

    assert (before.size_bytes, after.size_bytes, before.etag == after.etag) == (4, 13, False)


def test_only_a_few_lists_are_kept(tmp_path: Path) -> None:
    """Of the repositories that were asked for, the last four are read once; the others are read anew."""
    for number in range(5):
        add_commit(tmp_path, f"org/m{number}", COMMIT, {"config.json": b"{}"}, tree=True)
        os.utime(Base(tmp_path).repo(RepoId(f"org/m{number}")).tree(CommitHash(COMMIT)), (AGED_S, AGED_S))
    age(tmp_path)
    face = HubFace(lambda: [Base(tmp_path)])
    asked = [face.contents(face.resolve(f"org/m{number}")) for number in range(5)]

    again = {number: face.contents(face.resolve(f"org/m{number}")) for number in (4, 1, 0)}

    assert (again[4] is asked[4], again[1] is asked[1], again[0] is asked[0]) == (True, True, False)
