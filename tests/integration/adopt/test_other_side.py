"""Host and container share one library: other paths, another user, another process namespace."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelshelf.domain.names import RepoId
from modelshelf.store.layout import Base
from modelshelf.store.repos import scan
from tests.fakes.hub import FakeHub
from tests.sides import (
    USER,
    A,
    B,
    Side,
    bases_of,
    check_shared,
    let_time_pass,
    needs_namespaces,
    open_home,
    seen,
    size,
    start_on_own_layer,
    use_in_turn,
)
from tests.world import DEADLINE_S, MIB, Child, Home, tree, wait_until

OTHER, GROUP = 4712, 4720


@pytest.fixture
def home(hub: FakeHub) -> Iterator[Home]:
    """A home that host and container share."""
    needs_namespaces()
    with open_home(hub) as made:
        yield made


def inside_of(home: Home, uid: int, gid: int, **more: object) -> Side:
    """Return a container with the primary base at Hugging Face's default path."""
    points = home.root / "container"
    mounts = {home.primary: points / "root/.cache/huggingface", home.custom: points / "models/usb"}
    settings = {"CACHE_PATH_MAP": f"{home.custom}={points}/models/usb"}
    return Side(home, "inside", uid, gid, mounts=mounts, settings=settings, **more)


def two_sides(home: Home, outside: int, inside: int) -> tuple[Side, Side]:
    """Return a user of the host who owns the bases, and a container; an ordinary user runs either."""
    owner = outside or inside
    bases_of(home, owner, owner)
    return Side(home, "outside", outside, outside, umask=0o077), inside_of(home, inside, inside, umask=0o077)


@pytest.mark.parametrize(
    ("outside", "inside", "inside_first"),
    [(USER, 0, True), (USER, 0, False), (0, USER, True), (0, USER, False), (USER, USER, True)],
    ids=[
        "root inside first, then a user",
        "a user, then root inside",
        "a user inside first, then root",
        "root, then a user inside",
        "the same user",
    ],
)
def test_both_sides_see_and_change_the_same_library(home: Home, outside: int, inside: int, inside_first: bool) -> None:
    """What host or container downloads, moves or removes is the same for both: names, sizes, tiers and bytes."""
    host, container = two_sides(home, outside, inside)
    one, other = (container, host) if inside_first else (host, container)

    use_in_turn(one, other)


def test_a_group_shares_a_base_whatever_the_umask(home: Home) -> None:
    """In a setgid base a member of the group moves and removes what another member with umask 077 downloaded."""
    bases_of(home, 0, GROUP, 0o2775)
    strict = Side(home, "strict", USER, USER, umask=0o077, groups=(GROUP,))
    lax = Side(home, "lax", OTHER, OTHER, umask=0o002, groups=(GROUP,))

    strict.run("add", "a", "org/a").checked()
    lax.run("add", "b", "org/b").checked()
    check_shared(home)
    lax.run("move", "a", "secondary").checked()
    strict.run("rm", "b", "--files").checked()
    strict.run("rm", "a", "--files").checked()

    assert seen(lax) == []
    check_shared(home)
    assert stat.S_IMODE(Base(home.primary).registry.stat().st_mode) == 0o664


def test_a_model_in_use_inside_is_not_deleted_from_outside(home: Home) -> None:
    """A lease taken in a container holds on the host, though its process and path mean nothing there."""
    host, container = two_sides(home, USER, 0)
    host.run("add", "a", "org/a").checked()
    used = container.start_program("shelf", "run", "a", "--", "sleep", "600")
    wait_until(lambda: host.run("lease", "--json").json, "the lease")

    refused = host.run("rm", "a", "--files", "--json")
    host.run("move", "a", "secondary").checked()
    old_copy = tree(home.primary / "hub" / "models--org--a" / "blobs")
    used.kill()
    let_time_pass(home, 120)
    container.run("move", "a", "secondary")

    assert refused.code == 5
    assert "used by" in refused.problem["detail"]
    assert len(old_copy) == len(A)
    assert scan.blob_sizes(Base(home.primary).repo(RepoId("org/a"))) == {}
    assert seen(host) == seen(container) == [("a", size(A), "ready", "secondary")]


def test_a_download_of_a_container_that_died_is_taken_up_outside(hub: FakeHub, home: Home) -> None:
    """A dead container's download is left alone until its heartbeat is a minute old; then the host resumes it."""
    host, container = two_sides(home, USER, 0)
    hub.pause(after_bytes=MIB)
    pull = container.start("add", "a", "org/a")
    hub.wait_for_bytes(MIB, timeout_s=DEADLINE_S)
    wait_until(lambda: [job for job in host.run("jobs", "--json").json if job["state"] == "running"], "the job")
    pull.kill()
    hub.resume()

    [job] = host.run("jobs", "--json").checked().json
    let_time_pass(home, 120)
    host.run("pull", "a").checked()

    assert job["state"] == "running"
    assert seen(host) == seen(container) == [("a", size(A), "ready", "primary")]
    check_shared(home)


def test_a_custom_base_has_two_paths(home: Home) -> None:
    """With CACHE_PATH_MAP a container may name its own path or the host's, and both sides resolve the base."""
    host, container = two_sides(home, USER, 0)

    container.run("add", "a", "org/a", "--to", str(container.path(home.custom))).checked()
    container.run("add", "b", "org/b", "--to", str(home.custom)).checked()
    paths = [(side, Path(side.run("path", name).checked().out.strip())) for side in (host, container) for name in "ab"]
    host.run("move", "a", "primary").checked()
    container.run("move", "a", str(container.path(home.custom))).checked()
    host.run("rm", "a", "--files").checked()

    assert all(side.path(home.custom) in path.parents for side, path in paths)
    assert seen(host) == seen(container) == [("b", size(B), "ready", "custom")]
    assert not (home.root / "container/models/usb/hub").exists()


def test_reconcile_on_either_side_finds_nothing_to_do(home: Home) -> None:
    """Reconcile on one side finds nothing to do about the other side's paths."""
    host, container = two_sides(home, USER, 0)
    host.run("add", "a", "org/a").checked()
    container.run("add", "b", "org/b", "--to", str(container.path(home.custom))).checked()

    steps = [side.run("reconcile", "--json").checked().json["steps"] for side in (container, host, container)]

    assert steps == [[], [], []]


def test_what_root_left_is_found_with_the_command_that_repairs_it(home: Home) -> None:
    """Root's files from another tool's container stop a removal before it begins, and the printed fix works."""
    host, _ = two_sides(home, USER, 0)
    host.run("add", "a", "org/a").checked()
    for path in (home.primary / "hub/models--org--a").rglob("*"):
        os.chown(path, 0, 0, follow_symlinks=False)
        if path.is_dir():
            path.chmod(0o755)

    refused = host.run("rm", "a", "--files", "--json")
    hint = host.python(
        "import sys; from pathlib import Path; from modelshelf.store import ownership; "
        "from modelshelf.store.layout import Base; print(ownership.foreign(Base(Path(sys.argv[1]))).fix)",
        str(home.primary),
    )
    still = seen(host)
    assert os.system(hint.checked().out.replace("sudo ", "")) == 0

    assert refused.code == 3
    assert refused.problem["hint"] == hint.out.strip()
    assert f"-exec chown -h {USER}:{USER} {{}} +" in hint.out
    assert still == [("a", size(A), "ready", "primary")]
    host.run("rm", "a", "--files").checked()
    check_shared(home)


@pytest.mark.parametrize(
    ("mounted", "settings", "code", "said"),
    [
        (False, {"SHELF_REQUIRE_MOUNT": ""}, 0, "every model is lost with the container"),
        (False, {"SHELF_REQUIRE_MOUNT": "1"}, 2, "every model is lost with the container"),
        (False, {"SHELF_REQUIRE_MOUNT": "0"}, 0, ""),
        (True, {"SHELF_REQUIRE_MOUNT": "1"}, 0, ""),
    ],
    ids=["warned", "refused", "told to be quiet", "mounted"],
)
def test_a_base_on_the_containers_own_layer_is_noticed(
    home: Home, mounted: bool, settings: dict[str, str], code: int, said: str
) -> None:
    """A base in the container's own layer gets a warning or is refused, and nothing is written to it."""
    if mounted:
        bases_of(home, 0, 0)

    done = start_on_own_layer(home, "tiers", **settings).finish()

    if done.code == 99:
        pytest.skip(f"no overlay can be mounted here: {done.err.strip()}")
    assert done.code == code, done.err
    assert (said in done.err) if said else ("container" not in done.err)
    assert not Base(home.primary).marker.exists()


@pytest.mark.parametrize(("require", "code"), [("", 0), ("1", 2)], ids=["warned", "refused"])
def test_a_custom_base_on_the_containers_own_layer_is_noticed(home: Home, require: str, code: int) -> None:
    """A custom base in the container's own layer gets a warning, or is refused before anything is registered."""
    bases_of(home, 0, 0)
    folder = home.root / "inside"
    words = ("add", "a", "org/a", "--to", str(folder))

    done = start_on_own_layer(home, *words, SHELF_REQUIRE_MOUNT=require).finish()

    if done.code == 99:
        pytest.skip(f"no overlay can be mounted here: {done.err.strip()}")
    assert done.code == code, done.err
    assert done.err.count(f"{folder}: on the container's own layer") == 1
    assert [model["model_name"] for model in home.run("ls", "--json").json] == (["a"] if code == 0 else [])


def test_a_download_of_another_tool_inside_does_not_disturb_one_outside(hub: FakeHub, home: Home) -> None:
    """A `hf download` in a container that is killed half-way doesn't disturb the user's own of the same repository."""
    host, container = two_sides(home, USER, USER)
    hub.pause(after_bytes=MIB)
    theirs = start_hf(container)
    hub.wait_for_bytes(MIB, timeout_s=DEADLINE_S)
    ours = host.start("add", "a", "org/a")
    wait_until(lambda: host.run("jobs", "--json").json, "the job")
    theirs.kill()
    hub.resume()

    ours.finish().checked()

    assert seen(host) == [("a", size(A), "ready", "primary")]
    assert tree(Path(host.run("path", "a").checked().out.strip())) == A


def test_a_download_of_root_inside_is_refused_outside_until_it_is_given_back(home: Home) -> None:
    """Root's download is refused with the command that repairs its files; then nothing is fetched twice."""
    host, container = two_sides(home, USER, 0)
    host.run("add", "b", "org/b").checked()
    start_hf(container).finish().checked()

    refused = host.run("add", "a", "org/a", "--json")
    named = [model[0] for model in seen(host)]
    assert os.system(refused.problem["hint"].replace("sudo ", "")) == 0
    planned = host.run("add", "a", "org/a", "--dry-run", "--json").checked().json
    host.run("add", "a", "org/a").checked()

    assert (refused.code, named) == (3, ["b"])
    assert planned["fetch_bytes"] == 0
    check_shared(home)


def start_hf(side: Side) -> Child:
    """Start `hf download` into a side's primary base."""
    base = side.path(side.home.primary)
    return side.start_program("env", f"HF_HOME={base}", "hf", "download", "org/a")
