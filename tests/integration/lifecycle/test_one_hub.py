"""The hub is asked once: for the last step, with a sparse mirror, and for a repository's spelling."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from modelshelf.domain.names import ModelName, own_ref
from modelshelf.domain.ports import Progress
from modelshelf.errors import NotFound
from modelshelf.services.shelf import Shelf
from tests.fakes.hub import FakeHub
from tests.invariants import violations
from tests.world import Home, load_offline, random_bytes, tree

REPO = "org/name"
FILES = {
    "config.json": b"{}",
    "empty.txt": b"",
    "model.safetensors": random_bytes(300_000),
    "deep/er/same.safetensors": random_bytes(300_000),
}


def layout(base: Path) -> dict[str, Any]:
    """Return every name below `hub` with a link's target, a ref's or list's content, or a file's blob."""
    found: dict[str, Any] = {}
    for path in sorted((base / "hub").rglob("*")):
        name = path.relative_to(base).as_posix()
        if ".locks" in name or path.is_dir():
            continue
        if path.is_symlink():
            found[name] = os.readlink(path)  # noqa: PTH115 - the text itself
        elif "/blobs/" in name:
            found[name] = path.stat().st_size
        else:
            found[name] = json.loads(path.read_text()) if path.suffix == ".json" else path.read_text()
    return found


@pytest.mark.parametrize("patterns", [(), ("*.json", "deep/")], ids=["all", "some"])
def test_a_pull_lays_out_what_hf_lays_out(hub: FakeHub, home: Home, shelf: Shelf, patterns: tuple[str, ...]) -> None:
    """Names, link targets, refs, the commit's list and CACHEDIR.TAG are those of `hf download`; one ref is ours."""
    commit = hub.add_repo(REPO, FILES)
    wanted = [word for pattern in patterns for word in ("--include", pattern + "*" * pattern.endswith("/"))]
    home.hf(home.custom, "download", REPO, *wanted, HF_HUB_DISABLE_SHARED_BLOBS="1").checked()

    shelf.register("m", REPO, allow_patterns=patterns)

    ours = {f"hub/models--org--name/refs/{own_ref(ModelName('m'))}": commit}
    assert layout(home.primary) == layout(home.custom) | ours
    assert violations(shelf) == []


class Stopper:
    """Progress that stops the hub before the last step."""

    def __init__(self, hub: FakeHub) -> None:
        self._hub = hub

    def phase(self, name: str, total_bytes: int = 0) -> None:
        """Stop the hub before links are made."""
        if name == "linking":
            self._hub.stop()

    def advance(self, done_bytes: int) -> None:
        """Ignore bytes."""

    def skip(self, done_bytes: int) -> None:
        """Ignore bytes that were there."""
        self.advance(done_bytes)

    def files(self, sizes: Mapping[str, int]) -> None:
        """Ignore the files."""

    def of(self, path: str) -> Progress:
        """Return itself."""
        return self

    def note(self, detail: str) -> None:
        """Ignore notes."""

    def check(self) -> None:
        """Never stop."""


def test_the_last_step_asks_nobody(hub: FakeHub, shelf: Shelf) -> None:
    """If the hub stops after the last byte, the model still becomes whole."""
    hub.add_repo(REPO, FILES)
    shelf.register("m", REPO, download=False)

    shelf.services.updater.puller.pull(shelf.model("m").row, Stopper(hub), lambda reservation: None)

    assert shelf.model("m").state == "ready"
    assert tree(shelf.path("m")) == FILES
    assert violations(shelf) == []


def test_a_mirror_need_not_name_the_commit_of_a_file(hub: FakeHub, shelf: Shelf) -> None:
    """Files without X-Repo-Commit are accepted, because the API told the commit."""
    commit = hub.add_repo(REPO, FILES)
    hub.hide_commits()

    model = shelf.register("m", REPO)

    assert (model.state, model.row.commit_hash, tree(shelf.path("m"))) == ("ready", commit, FILES)


def test_lost_links_are_mended_offline(hub: FakeHub, home: Home, shelf: Shelf) -> None:
    """With all bytes here, a pull restores lost links, list and ref without the hub."""
    hub.add_repo(REPO, FILES)
    path = Path(shelf.register("m", REPO).path or "")
    for folder in ("snapshots", "trees", "refs"):
        shutil.rmtree(path.parents[1] / folder)
    hub.stop()

    shelf.pull("m")

    assert (shelf.model("m").state, tree(path)) == ("ready", FILES)
    assert load_offline(home, home.primary, REPO) == path


def test_the_hubs_spelling_is_the_identity(hub: FakeHub, home: Home, shelf: Shelf) -> None:
    """However an id is typed, its repository is registered, stored and found in the hub's spelling."""
    hub.add_repo("Org/Tiny", FILES)

    first = shelf.register("a", "Org/Tiny")
    before = hub.bytes_sent
    second = shelf.register("b", "org/TINY")
    again = shelf.register("b", "org/tiny")

    assert (first.path, second.path, hub.bytes_sent) == (first.path, first.path, before)
    assert (second.row.hf_path, again.row.hf_path, again.row.id) == ("Org/Tiny", "Org/Tiny", second.row.id)
    assert [path.name for path in home.primary.glob("hub/models--*")] == ["models--Org--Tiny"]
    assert violations(shelf) == []


def test_a_spelling_is_corrected_when_the_hub_is_back(hub: FakeHub, home: Home, shelf: Shelf) -> None:
    """A model registered without the hub gets the hub's spelling at its first pull."""
    hub.add_repo("Org/Tiny", FILES)
    hub.stop()
    shelf.register("m", "org/tiny", download=False)
    hub.start()

    shelf.pull("m")

    assert (shelf.model("m").row.hf_path, tree(shelf.path("m"))) == ("Org/Tiny", FILES)
    assert violations(shelf) == []


def test_offline_the_spelling_on_the_disk_is_taken(hub: FakeHub, home: Home, shelf: Shelf) -> None:
    """Without the hub, an id in other letter case means the repository that is on the disk."""
    hub.add_repo("Org/Tiny", FILES)
    home.hf(home.primary, "download", "Org/Tiny").checked()
    hub.stop()

    model = shelf.register("m", "org/tiny", download=False)

    assert model.row.hf_path == "Org/Tiny"


def test_a_commit_that_is_gone_names_its_revision(hub: FakeHub, shelf: Shelf) -> None:
    """If the hub no longer has a commit, the pull names the revision and how to take a newer one."""
    old = hub.add_repo(REPO, FILES)
    shelf.register("m", REPO, download=False)
    hub.add_repo(REPO, FILES | {"config.json": b"new"})
    hub.forget(REPO, old)

    with pytest.raises(NotFound, match=rf"no longer has commit {old} of org/name.*revision main") as gone:
        shelf.pull("m")

    assert gone.value.hint == "Take a newer one: shelf update m"


def test_a_commit_that_was_asked_for_by_its_hash_and_is_gone(hub: FakeHub, shelf: Shelf) -> None:
    """If the hub no longer has a commit that was asked for by hash, the hint is to register again."""
    old = hub.add_repo(REPO, FILES)
    shelf.register("m", REPO, revision=old, download=False)
    hub.add_repo(REPO, FILES | {"config.json": b"new"})
    hub.forget(REPO, old)

    with pytest.raises(NotFound, match="no longer has commit") as gone:
        shelf.pull("m")

    assert gone.value.hint == f"Take a newer one: shelf add NAME {REPO}"


@pytest.mark.parametrize("key", ["", "k" * 40], ids=["open", "with a key"])
def test_a_shelf_without_hf_says_where_its_hub_is(hub: FakeHub, home: Home, key: str) -> None:
    """An endpoint that is a modelshelf server without /hf is refused with the right address."""
    more = {"SHELF_API_KEY": key} if key else {}
    with home.serve(**more) as server:
        refused = home.run("add", "m", REPO, HF_ENDPOINT=server.url)

    assert refused.code == 4
    assert f"Add /hf: HF_ENDPOINT={server.url}/hf" in refused.err


WATCH = """
import sys
def watch(event, args):
    if event == "socket.connect" and isinstance(args[1], tuple):
        print("connect", args[1][0], file=log, flush=True)
    if event == "socket.getaddrinfo" and args[0] not in ("127.0.0.1", "localhost", None):
        print("lookup", args[0], file=log, flush=True)
log = open(sys.argv.pop(1), "a")
sys.addaudithook(watch)
from modelshelf.cli.main import main
main()
"""


def test_no_other_host_is_asked(hub: FakeHub, home: Home, tmp_path: Path) -> None:
    """Nothing but the hub is looked up or connected to, whether or not agents' variables are set."""
    hub.add_repo(REPO, FILES)
    log = tmp_path / "log"
    agents = {"CLAUDECODE": "1", "AI_AGENT": "x", "HF_HUB_DISABLE_TELEMETRY": "", "HF_HUB_DISABLE_UPDATE_CHECK": ""}

    for words in ("add m " + REPO, "doctor", "update --all", "verify", "ls", "pull m"):
        home.python(WATCH, str(log), *words.split(), **agents)

    assert set(log.read_text().splitlines()) == {"connect 127.0.0.1"}
