"""A base's path and name make no difference to what is loaded from it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from modelshelf.services.shelf import Shelf
from tests.fakes.hub import FakeHub
from tests.invariants import violations
from tests.world import Home, load_offline, random_bytes, tree

REPO = "org/name"
FILES = {"config.json": b'{"model_type": "llama"}', "model.safetensors": random_bytes(300_000), "a/b/c.bin": b"deep"}


@pytest.fixture
def model(hub: FakeHub, shelf: Shelf) -> Path:
    """The snapshot folder of a model in the primary base."""
    hub.add_repo(REPO, FILES)
    return Path(shelf.register("m", REPO).path or "")


@contextmanager
def bind_mounted(source: Path, target: Path) -> Iterator[None]:
    """Bind-mount a folder at a second path, as a container does; skip the test where that isn't allowed."""
    target.mkdir()
    done = subprocess.run(["mount", "--bind", str(source), str(target)], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no bind mount here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", str(target)], check=True)


def test_a_copied_base_loads_from_its_new_place(home: Home, model: Path) -> None:
    """After `cp -a` to another path every link leads to the copy's bytes."""
    copy = home.root / "copied"
    subprocess.run(["cp", "-a", str(home.primary), str(copy)], check=True)
    home.primary.rename(home.root / "gone")

    found = load_offline(home, copy, REPO)

    assert found == copy / model.relative_to(home.primary)
    assert tree(found) == FILES


def test_a_bind_mounted_base_loads_in_both_places(home: Home, model: Path) -> None:
    """A bind-mounted base loads by the same names at both paths."""
    inside = home.root / "inside"
    with bind_mounted(home.primary, inside):
        assert tree(load_offline(home, inside, REPO)) == FILES


def test_a_container_finds_the_models_of_the_host(home: Home, model: Path) -> None:
    """In a container, the same registry resolves to the container's own paths."""
    inside = home.root / "inside"
    with bind_mounted(home.primary, inside):
        there = {"PRIMARY_CACHE_PATH": str(inside), "XDG_STATE_HOME": str(home.root / "state-inside")}
        path = home.run("path", "m", **there).checked().out.strip()
        assert path == str(inside / model.relative_to(home.primary))
        assert tree(Path(path)) == FILES
    assert home.run("path", "m").checked().out.strip() == str(model)


def test_a_custom_base_is_mapped_in_a_container(hub: FakeHub, home: Home, shelf: Shelf) -> None:
    """CACHE_PATH_MAP gives a custom base's path in this process."""
    hub.add_repo(REPO, FILES)
    path = Path(shelf.register("m", REPO, "custom", str(home.custom)).path or "")
    inside = home.root / "inside"
    with bind_mounted(home.custom, inside):
        found = home.run("path", "m", CACHE_PATH_MAP=f"{home.custom}={inside}").checked().out.strip()
        assert found == str(inside / path.relative_to(home.custom))


@pytest.mark.parametrize("name", ["with spaces in it", "üñí-模型-🤗", "quote'and\"", "-dash", "trailing/"])
def test_a_base_may_be_called_anything(hub: FakeHub, home: Home, name: str) -> None:
    """A base's name may have spaces, letters of any alphabet, quotes and a final slash."""
    hub.add_repo(REPO, FILES)
    base = home.root / name
    home.env_file.write_text(f"PRIMARY_CACHE_PATH={_quoted(f'{home.root}/{name}')}\n")

    home.run("add", "m", REPO, PRIMARY_CACHE_PATH="").checked()

    path = Path(home.run("path", "m", PRIMARY_CACHE_PATH="").checked().out.rstrip("\n"))
    assert path.is_relative_to(base / "hub")
    assert tree(path) == FILES
    shell = 'eval "$(shelf env m)"; cat "$SHELF_MODEL_PATH/config.json"'
    assert home.start_program("bash", "-c", shell, PRIMARY_CACHE_PATH="").finish().out == '{"model_type": "llama"}'
    assert load_offline(home, base, REPO) == path


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def test_a_base_may_be_a_link(hub: FakeHub, home: Home) -> None:
    """A base that is a symbolic link to another disk works under the link's path."""
    hub.add_repo(REPO, FILES)
    (home.root / "disk").mkdir()
    home.primary.symlink_to("disk")

    with home.open() as shelf:
        path = Path(shelf.register("m", REPO).path or "")
        assert (path.is_relative_to(home.primary), tree(path)) == (True, FILES)
        assert violations(shelf) == []
        freed = shelf.remove("m", delete_files=True).freed.apparent_bytes

    assert freed >= 300_000
    assert home.primary.is_symlink()
    assert list(home.primary.glob("hub/models--*")) == []


def test_a_relative_path_in_the_settings_file_is_relative_to_it(hub: FakeHub, home: Home) -> None:
    """`PRIMARY_CACHE_PATH=cache` in `.env` means the folder beside that file."""
    hub.add_repo(REPO, FILES)
    home.env_file.write_text("PRIMARY_CACHE_PATH=cache\n")

    added = home.run("add", "m", REPO, "--json", PRIMARY_CACHE_PATH="").checked()

    assert added.json["cache_path"] == str(home.work / "cache")


def test_a_folder_named_like_the_repository_does_not_shadow_it(home: Home, model: Path) -> None:
    """With `./org/name` in the working directory `shelf path` and `shelf run` still use the snapshot."""
    shadow = home.work / REPO
    shadow.mkdir(parents=True)
    (shadow / "config.json").write_text('{"model_type": "gpt2"}')

    assert home.run("path", "m").checked().out.strip() == str(model)
    read = home.run("run", "m", "--", "cat", "{path}/config.json").checked()
    assert read.out == '{"model_type": "llama"}'


def test_the_umask_decides_who_may_read(hub: FakeHub, home: Home) -> None:
    """With a usual umask others can read every file of a model, even the list that huggingface_hub keeps private."""
    hub.add_repo(REPO, FILES)
    before = os.umask(0o022)
    try:
        home.run("add", "m", REPO).checked()
    finally:
        os.umask(before)

    repo = home.primary / "hub/models--org--name"
    closed = [path for path in repo.rglob("*") if path.is_file() and not path.stat().st_mode & 0o004]
    assert closed == []
