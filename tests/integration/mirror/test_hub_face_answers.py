"""What the hub face answers beside lists and files: fields that some client reads."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.builders import digest_of
from tests.integration.mirror.hub_face_tree import Face, add_commit, running
from tests.stock_client import StockClient
from tests.world import Server

COMMIT = "a" * 40
WEIGHTS = b"GGUF" + b"w" * 1000
FILES = {
    "config.json": b"{}",
    "gg-F16.gguf": WEIGHTS + b"f16",
    "gg-Q4_K_M.gguf": WEIGHTS,
    "mmproj-gg.gguf": WEIGHTS + b"mm",
    "sub/gg-Q8_0-00001-of-00002.gguf": WEIGHTS + b"1",
    "sub/gg-Q8_0-00002-of-00002.gguf": WEIGHTS + b"2",
}
GG = "org/gg/resolve/main/gg-Q4_K_M.gguf"


@pytest.fixture(scope="module")
def face(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Face]:
    """A face over one tier that doesn't change."""
    base = tmp_path_factory.mktemp("tier")
    add_commit(base, "org/gg", COMMIT, FILES, refs=("main", "refs/shelf/gg"), tree=True)
    for name in ("gpt2", "org/Tiny", "other/tiny-two"):
        add_commit(base, name, COMMIT, {"config.json": b"{}"}, tree=True)
    with running(base) as running_face:
        yield running_face
    assert running_face.errors == []


@pytest.fixture
def client(face: Face, tmp_path: Path) -> StockClient:
    """A real client of the face."""
    (tmp_path / "client/base").mkdir(parents=True)
    return StockClient(tmp_path / "client/base", face.url)


def test_login_finds_the_name_and_role_of_the_token(client: StockClient) -> None:
    """`hf auth login` stores a token that the face takes, and `hf auth whoami` names its user."""
    token = "hf_" + "x" * 34

    login = client.hf("auth", "login", "--token", token)
    who = client.hf("auth", "whoami")

    assert login.returncode == 0, login.stderr + login.stdout
    assert "modelshelf" in who.stdout


def test_the_whole_api_of_the_client_agrees(client: StockClient) -> None:
    """HfApi reads commits, expanded trees, the list of models and access; its file system reads dates."""
    code = f"""if True:
        import json
        from huggingface_hub import HfApi, HfFileSystem
        api = HfApi()
        api.auth_check('org/gg')
        tree = list(api.list_repo_tree('org/gg', recursive=True, expand=True))
        info = api.get_paths_info('org/gg', ['config.json'], expand=True)
        listed = HfFileSystem().ls('org/gg', detail=True)
        print(json.dumps([
            [commit.commit_id for commit in api.list_repo_commits('org/gg')],
            sorted({{one.last_commit.oid for one in [*tree, *info]}}),
            [model.id for model in api.list_models()],
            [model.id for model in api.list_models(author='org', search='TINY org')],
            [len(model.siblings) for model in api.list_models(search='gg', full=True)],
            HfFileSystem().read_bytes('org/gg/config.json').decode(), len(listed),
            api.model_info('org/gg', revision='HEAD').sha, api.model_info('ORG/tiny').id,
            [branch.name for branch in api.list_repo_refs('org/gg').branches], {COMMIT!r}]))
    """

    commits, last, every, tiny, siblings, text, count, head, spelled, branches, commit = json.loads(client.run(code))

    assert commits == last == [commit]
    assert every == ["gpt2", "org/gg", "org/Tiny", "other/tiny-two"]
    assert (tiny, siblings) == (["org/Tiny"], [len(FILES)])
    assert (text, count, head, spelled, branches) == ("{}", 5, commit, "org/Tiny", ["main"])


def test_the_list_of_models_comes_in_pages(face: Face) -> None:
    """Each page of the list of models links to the next one."""
    names, path = [], "api/models?limit=3&search=t"
    while path:
        _, headers, body = face.ask("GET", path)
        names.append([model["id"] for model in json.loads(body)])
        path = headers.get("link", "").partition(">")[0].partition("/hf/")[2]

    assert names == [["gpt2", "org/Tiny", "other/tiny-two"]]
    _, headers, _ = face.ask("GET", "api/models?limit=1")
    assert headers["link"].endswith('/hf/api/models?limit=1&cursor=1>; rel="next"')


def test_a_revision_that_is_not_here_names_those_that_are(face: Face) -> None:
    """An unknown revision's error lists the revisions that exist, without our own refs."""
    body = face.ask("GET", "api/models/org/gg/revision/v9")[2]

    assert json.loads(body)["error"] == "No tier has the revision 'v9' of org/gg. There is main."


def test_a_client_that_forgot_the_prefix_is_told(server: Server) -> None:
    """HF_ENDPOINT without /hf gets an error with the right address."""
    answer = server.ask("GET", "/api/models/org/name/revision/main")

    assert answer.status == 404
    assert "/hf" in answer.headers["x-error-message"]


@pytest.mark.parametrize("spelling", ["ORG/GG", "Org/gg", "org/GG"])
def test_any_spelling_of_an_id_is_answered_with_the_stored_one(face: Face, spelling: str) -> None:
    """Any letter case of an id is answered with the stored one, as on the Hub."""
    assert face.json(f"api/models/{spelling}")["id"] == "org/gg"
    assert face.ask("GET", f"{spelling}/resolve/main/config.json")[2] == b"{}"


def test_raw_is_what_git_holds(face: Face) -> None:
    """`raw` gives an LFS file's pointer and any other file's bytes, to HEAD too; a missing file is 404."""
    status, headers, pointer = face.ask("GET", "org/gg/raw/main/gg-Q4_K_M.gguf")
    _, head, nothing = face.ask("HEAD", "org/gg/raw/main/gg-Q4_K_M.gguf")
    entry = next(one for one in face.json("api/models/org/gg/tree/main") if one["path"] == "gg-Q4_K_M.gguf")

    assert status == 200
    assert pointer.decode().splitlines()[1] == f"oid sha256:{hashlib.sha256(WEIGHTS).hexdigest()}"
    assert headers["etag"] == f'"{entry["oid"]}"' == f'"{digest_of("pointer", pointer)}"'
    assert (head["content-length"], nothing) == (str(len(pointer)), b"")
    assert face.ask("GET", "org/gg/raw/main/config.json")[2] == b"{}"
    assert face.ask("HEAD", "org/gg/raw/main/no.json")[0] == 404


@pytest.mark.parametrize(
    ("tag", "file"),
    [
        ("Q4_K_M", "gg-Q4_K_M.gguf"),
        ("q4_k_m", "gg-Q4_K_M.gguf"),
        ("latest", "gg-Q4_K_M.gguf"),
        ("F16", "gg-F16.gguf"),
        ("Q8_0", "sub/gg-Q8_0-00001-of-00002.gguf"),
    ],
)
def test_a_tag_means_a_file(face: Face, tag: str, file: str) -> None:
    """A tag of `hf:ORG/NAME:TAG`, as node-llama-cpp and older llama.cpp send, gives the quantisation's first part."""
    manifest = face.json(f"v2/org/gg/manifests/{tag}")

    assert manifest["ggufFile"]["rfilename"] == file
    assert manifest["ggufFile"]["lfs"]["oid"] == hashlib.sha256(FILES[file]).hexdigest()
    assert manifest["mmprojFile"]["rfilename"] == "mmproj-gg.gguf"


def test_a_tag_that_means_nothing_is_not_found(face: Face) -> None:
    """A tag of a missing quantisation, or in a repository without a GGUF, isn't found."""
    assert face.ask("GET", "v2/org/gg/manifests/Q2_K")[0] == 404
    assert face.ask("GET", "v2/org/Tiny/manifests/latest")[0] == 404


@pytest.mark.parametrize(
    "path",
    [
        "api/datasets/org/rows",
        "api/spaces/org/app/revision/main",
        "api/kernels/org/fast/tree/main",
        "datasets/org/rows/resolve/main/a.csv",
        "spaces/org/app/raw/main/app.py",
    ],
)
def test_what_is_no_model_is_not_found_and_says_why(face: Face, path: str) -> None:
    """A data set or space isn't found, and the error says that this server has only models."""
    status, headers, body = face.ask("GET", path)

    assert (status, headers["x-error-code"]) == (404, "RepoNotFound")
    assert b"models only" in body


def test_a_file_that_the_client_has_is_not_sent_again(face: Face) -> None:
    """A matching If-None-Match is answered with 304; another one with the file, its name and date."""
    _, headers, _ = face.ask("HEAD", GG)
    same = face.ask("GET", GG, {"If-None-Match": f'"other", {headers["etag"]}'})
    other = face.ask("GET", GG, {"If-None-Match": '"other"'})

    assert (same[0], same[2], same[1]["etag"]) == (304, b"", headers["etag"])
    assert (other[0], other[2]) == (200, WEIGHTS)
    assert headers["content-disposition"] == ("inline; filename*=UTF-8''gg-Q4_K_M.gguf; filename=\"gg-Q4_K_M.gguf\";")
    assert headers["last-modified"].endswith(" GMT")
