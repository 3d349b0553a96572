"""Views where a container has the bases at other paths: relative links hold, and what can't hold says what to do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.hub import FakeHub
from tests.sides import A, B, Side, needs_namespaces, open_home
from tests.world import Home, tree

READ = """
import hashlib, pathlib, sys
from huggingface_hub import snapshot_download
folder = pathlib.Path(snapshot_download(sys.argv[1], cache_dir=sys.argv[2], local_files_only=True))
print(sorted(path.stat().st_size for path in folder.rglob("*") if path.is_file()))
"""


@pytest.fixture
def home(hub: FakeHub) -> Iterator[Home]:
    """A home that host and container share."""
    needs_namespaces()
    with open_home(hub) as made:
        yield made


def sizes(files: dict[str, bytes]) -> str:
    """Return the sizes of a model's files as `READ` prints them."""
    return str(sorted(map(len, files.values())))


def inside_of(home: Home, *elsewhere: Path) -> Side:
    """Return a container with the primary, and what else is named, at other paths."""
    return Side(home, "inside", 0, 0, mounts={base: home.root / "container" / base.name for base in elsewhere})


def test_links_hold_where_the_secondary_has_its_own_path(home: Home) -> None:
    """With the primary elsewhere and the secondary at its own path both kinds of links hold, whoever made them."""
    for base in (home.primary, home.secondary):
        base.mkdir()
    host, container = Side(home, "outside", 0, 0), inside_of(home, home.primary)
    host.run("add", "a", "org/a", "--to", "secondary").checked()
    container.run("add", "b", "org/b").checked()

    for side in (host, container):
        for repo_id, files in (("org/a", A), ("org/b", B)):
            for cache_dir in (side.path(home.primary), side.path(home.primary) / "hub"):
                assert side.python(READ, repo_id, str(cache_dir)).checked().out.strip() == sizes(files)
    container.run("move", "b", "secondary").checked()
    container.run("move", "a", "primary").checked()
    for side in (host, container):
        for repo_id, files in (("org/a", A), ("org/b", B)):
            assert side.python(READ, repo_id, str(side.path(home.primary))).checked().out.strip() == sizes(files)
        assert {view["state"] for view in side.run("view", "ls", "--json").checked().json} == {"true"}
    assert tree(home.primary / "models--org--a/blobs").keys() == tree(home.primary / "hub/models--org--a/blobs").keys()


def test_a_container_with_the_secondary_elsewhere_says_what_to_do(home: Home) -> None:
    """Relative links hold there; links to the secondary don't, stay as the host has them, and the doctor says why."""
    for base in (home.primary, home.secondary):
        base.mkdir()
    host, container = Side(home, "outside", 0, 0), inside_of(home, home.primary, home.secondary)
    host.run("add", "a", "org/a", "--to", "secondary").checked()
    host.run("add", "b", "org/b").checked()
    before = {path: str(path.readlink()) for path in home.primary.rglob("*") if path.is_symlink()}

    container.run("reconcile").checked()

    assert container.python(READ, "org/b", str(container.path(home.primary))).checked().out.strip() == sizes(B)
    assert container.python(READ, "org/a", str(container.path(home.secondary))).checked().out.strip() == sizes(A)
    assert {path: str(path.readlink()) for path in home.primary.rglob("*") if path.is_symlink()} == before
    states = {view["kind"]: view for view in container.run("view", "ls", "--json").checked().json}
    assert (states["hf"]["state"], states["cache_dir"]["state"]) == ("foreign", "true")
    findings = container.run("doctor", "--json").json["findings"]
    (said,) = [one["detail"] for one in findings if "The view hf" in one["detail"]]
    assert "Mount it there" in said
    assert {view["state"] for view in host.run("view", "ls", "--json").checked().json} == {"true"}
