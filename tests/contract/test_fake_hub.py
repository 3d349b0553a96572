"""The real client can't tell the fake hub from the real one."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.hub import FakeHub
from tests.stock_client import StockClient

WEIGHTS = bytes(range(256)) * 40
FILES: dict[str, bytes | Path] = {
    "config.json": b'{"a": 1}',
    "onnx/deep/model.bin": b"onnx",
    "model.safetensors": WEIGHTS,
}


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    """A hub that holds org/name."""
    with FakeHub() as fake:
        fake.add_repo("org/name", FILES)
        yield fake


@pytest.fixture
def client(hub: FakeHub, tmp_path: Path) -> StockClient:
    """A real client of that hub, without a token."""
    return StockClient(tmp_path / "base", hub.url)


def value_of(client: StockClient, expression: str) -> Any:
    """Return the value of an expression over `api`, an HfApi, through JSON."""
    code = f"import json; from huggingface_hub import HfApi; api = HfApi(); print(json.dumps({expression}))"
    return json.loads(client.run(code))


def paths(hub: FakeHub, method: str, end: str) -> list[str]:
    """Return the paths requested with a method that end in this text."""
    return [one.path for one in hub.requests if one.method == method and one.path.endswith(end)]


def test_the_real_client_downloads_and_verifies(hub: FakeHub, client: StockClient) -> None:
    """`hf download` stores every file under its digest and `hf cache verify` agrees with the tree."""
    commit = hub.add_repo("org/name", FILES)
    assert client.hf("download", "org/name").returncode == 0
    snapshot = client.snapshot("org/name", commit)
    for path, content in FILES.items():
        assert (snapshot / path).read_bytes() == content
    names = {len(blob.name) for blob in (snapshot.parents[1] / "blobs").iterdir()}
    assert names == {40, 64}
    verified = client.hf("cache", "verify", "org/name", "--fail-on-missing-files")
    assert verified.returncode == 0, verified.stderr
    total = sum(len(content) for content in FILES.values() if isinstance(content, bytes))
    hub.wait_for_bytes(total)
    assert hub.bytes_sent == total
    assert not [one for one in hub.requests if "xet" in one.path]


def test_a_flipped_byte_is_accepted_by_the_download_and_found_by_verify(hub: FakeHub, client: StockClient) -> None:
    """`corrupt_at` changes the content and not the tree's digest, so only `hf cache verify` notices."""
    hub.fail("*/model.safetensors", corrupt_at=300)
    assert client.hf("download", "org/name").returncode == 0
    verified = client.hf("cache", "verify", "org/name")
    assert verified.returncode == 1
    assert "model.safetensors" in verified.stdout + verified.stderr


@pytest.mark.parametrize("lock", ["gated", "private"])
def test_a_locked_repository_opens_with_the_token_alone(hub: FakeHub, client: StockClient, lock: str) -> None:
    """Without the token, or with a wrong one, nothing is downloaded from a locked repository."""
    hub.add_repo("org/locked", FILES, gated=lock == "gated", private=lock == "private")
    word = "requires approval" if lock == "gated" else "not found"
    refused = client.hf("download", "org/locked")
    wrong = client.hf("download", "org/locked", "--token", "hf_wrong")
    assert [refused.returncode, wrong.returncode, hub.bytes_sent] == [1, 1, 0]
    assert word in refused.stderr.lower()
    assert client.hf("download", "org/locked", "--token", hub.token).returncode == 0


def test_a_revision_with_slashes_travels_quoted(hub: FakeHub, client: StockClient) -> None:
    """`refs/pr/1` resolves to its commit, and main to another."""
    proposed = hub.add_repo("org/name", {"config.json": b"proposed"}, revision="refs/pr/1")
    done = client.hf("download", "org/name", "--revision", "refs/pr/1")
    assert done.returncode == 0, done.stderr
    assert (client.snapshot("org/name", proposed) / "config.json").read_bytes() == b"proposed"
    assert any("refs%2Fpr%2F1" in one.target for one in hub.requests)


def test_an_old_commit_stays_when_main_moves(hub: FakeHub, client: StockClient) -> None:
    """A new commit becomes main, and the old one stays available by hash and tag."""
    old = hub.add_repo("org/name", FILES)
    new = hub.add_repo("org/name", {"config.json": b"new"})
    hub.set_ref("org/name", "v1", old)
    shas = value_of(client, "[api.model_info('org/name', revision=r).sha for r in ('main', 'v1', " + repr(old) + ")]")
    assert shas == [new, old, old]
    assert hub.add_repo("org/name", FILES) == old


def test_the_tree_comes_in_pages(hub: FakeHub, client: StockClient) -> None:
    """A client that follows the links between pages sees every entry once, folders included."""
    hub.page_size = 2
    listed = value_of(client, "[e.path for e in api.list_repo_tree('org/name', recursive=True)]")
    assert listed == ["config.json", "model.safetensors", "onnx", "onnx/deep", "onnx/deep/model.bin"]
    assert len(paths(hub, "GET", "/tree/main")) == 3


def test_a_redirect_leads_to_the_cdn_without_the_token(hub: FakeHub, client: StockClient) -> None:
    """The real client takes the metadata from the redirect and doesn't send its token to the other origin."""
    hub.fail("*/model.safetensors", redirect_to="/cdn/{digest}")
    commit = hub.add_repo("org/name", FILES)
    done = client.hf("download", "org/name", "--token", hub.token)
    assert done.returncode == 0, done.stderr
    assert (client.snapshot("org/name", commit) / "model.safetensors").read_bytes() == WEIGHTS
    (cdn,) = [one for one in hub.requests if one.path.startswith("/cdn/")]
    assert (cdn.method, cdn.headers.get("authorization")) == ("GET", None)
    assert not paths(hub, "GET", "/model.safetensors")


def test_an_id_without_an_org_works(hub: FakeHub, client: StockClient) -> None:
    """`gpt2`, an id without an organisation, works on every route."""
    commit = hub.add_repo("gpt2", FILES)
    assert client.hf("download", "gpt2").returncode == 0
    assert (client.snapshot("gpt2", commit) / "model.safetensors").read_bytes() == WEIGHTS


def test_a_renamed_repository_is_reached_by_its_old_id(hub: FakeHub, client: StockClient) -> None:
    """The real client follows the relative 307 of the API and of resolve to a renamed repository."""
    commit = hub.add_repo("org/name", FILES)
    hub.rename("org/name", "new/home")
    assert client.hf("download", "org/name").returncode == 0
    assert (client.snapshot("org/name", commit) / "config.json").exists()
    assert paths(hub, "GET", "/new/home/resolve/" + commit + "/config.json")


def test_the_api_answers_what_the_client_parses(hub: FakeHub, client: StockClient) -> None:
    """The client's own types parse sizes, digests, refs and the user."""
    client.token = hub.token
    commit = hub.add_repo("org/name", FILES)
    hub.set_ref("org/name", "v1", commit)
    hub.set_ref("org/name", "refs/pr/1", commit)
    info = "[s.lfs.size for s in api.model_info('org/name', files_metadata=True).siblings if s.lfs]"
    named = "[p.path for p in api.get_paths_info('org/name', ['onnx', 'config.json', 'none'])]"
    refs = "[[r.ref for r in k] for k in (g.branches, g.tags, g.pull_requests)]"
    both = f"[{refs} for g in [api.list_repo_refs('org/name', include_pull_requests=True)]][0]"
    got = value_of(client, f"[{info}, {named}, {both}, api.whoami()['name']]")
    wanted = [["refs/heads/main"], ["refs/tags/v1"], ["refs/pr/1"]]
    assert got == [[len(WEIGHTS), 4], ["config.json", "onnx"], wanted, "tester"]


def test_a_search_is_what_the_client_parses(hub: FakeHub, client: StockClient) -> None:
    """A search matches words of a name, sorts by downloads, and has what was asked for of each."""
    for name in ("one-chat", "two-chat", "other"):
        hub.add_repo(f"org/{name}", FILES)
    hub.describe("org/two-chat", downloads=9, tags=["gguf"], safetensors={"total": 5, "parameters": {"BF16": 5}})
    expand = "['downloads', 'tags', 'safetensors', 'lastModified']"
    found = f"api.list_models(search='CHAT', sort='downloads', limit=5, expand={expand})"
    got = value_of(client, f"[[m.id, m.downloads, m.tags, m.safetensors and m.safetensors.total] for m in {found}]")
    assert got == [["org/two-chat", 9, ["gguf"], 5], ["org/one-chat", 0, [], None]]


def test_a_missing_file_is_remembered_under_its_commit(hub: FakeHub, client: StockClient) -> None:
    """EntryNotFound has the commit, so that the client can record what doesn't exist."""
    commit = hub.add_repo("org/name", FILES)
    assert client.hf("download", "org/name", "none.json").returncode == 1
    assert (client.snapshot("org/name", commit).parents[1] / ".no_exist" / commit / "none.json").exists()


def test_the_real_client_resumes_after_a_cut(hub: FakeHub, client: StockClient) -> None:
    """The client resumes a cut body with a Range from the last whole chunk of 10 MiB."""
    big = WEIGHTS * 1100
    commit = hub.add_repo("org/big", {"model.safetensors": big})
    hub.fail("*/model.safetensors", cut_after=11_000_000, times=1)
    assert client.hf("download", "org/big").returncode == 0
    assert (client.snapshot("org/big", commit) / "model.safetensors").read_bytes() == big
    asked = [one.range for one in hub.requests if one.method == "GET" and "/resolve/" in one.path]
    assert asked == [None, f"bytes={10 << 20}-"]


def test_the_real_client_lives_without_sizes(hub: FakeHub, client: StockClient) -> None:
    """The client downloads a file whose size isn't stated before its body."""
    hub.fail("*/model.safetensors", no_size=True)
    commit = hub.add_repo("org/name", FILES)
    done = client.hf("download", "org/name")
    assert done.returncode == 0, done.stderr
    assert (client.snapshot("org/name", commit) / "model.safetensors").read_bytes() == WEIGHTS


def test_a_client_is_killed_in_the_middle(hub: FakeHub, client: StockClient) -> None:
    """While paused, the hub has sent exactly the allowed bytes, and continues for the next client."""
    hub.pause(after_bytes=1234)
    command = [str(Path(sys.executable).with_name("hf")), "download", "org/name", "model.safetensors"]
    with subprocess.Popen(command, env=client.env, stdout=subprocess.DEVNULL) as child:
        hub.wait_for_bytes(1234, timeout_s=30)
        child.kill()
    assert (child.returncode, hub.bytes_sent) == (-signal.SIGKILL, 1234)
    assert list(client.base.glob("hub/models--org--name/blobs/*.incomplete"))
    hub.resume()
    assert client.hf("download", "org/name", "model.safetensors").returncode == 0
