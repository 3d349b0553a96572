"""Which base model an adapter needs."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from modelshelf.errors import BadInput
from modelshelf.store.layout import Base
from modelshelf.store.repos import adapter
from tests.builders import commit, put
from tests.store.users import acting_as

BASE_MODEL = {"base_model_name_or_path": "Org/Base"}


@pytest.fixture
def base(open_path: Path) -> Base:
    """A base with an empty snapshot."""
    made = Base(open_path / "base")
    snapshot_of(made).mkdir(parents=True)
    return made


def snapshot_of(base: Base) -> Path:
    """Return the path of the snapshot."""
    return base.repo("org/lora").snapshot(commit("a"))


def write(base: Base, said: object) -> Path:
    """Write the adapter's config behind a link, as huggingface_hub does, and return the link."""
    link = snapshot_of(base) / "adapter_config.json"
    put(base.repo("org/lora").blob("b" * 40), json.dumps(said).encode())
    link.symlink_to(f"../../blobs/{'b' * 40}")
    return link


def test_an_adapter_names_its_base_model(base: Base) -> None:
    """An adapter needs the base model that its config names."""
    write(base, BASE_MODEL)

    assert adapter.base_repo(base, snapshot_of(base)) == "Org/Base"


def test_a_snapshot_without_an_adapter_needs_no_base_model(base: Base) -> None:
    """A snapshot without an adapter needs no base model."""
    assert adapter.base_repo(base, snapshot_of(base)) is None


def test_a_whole_model_with_an_adapter_needs_no_base_model(base: Base) -> None:
    """If a model's own config is beside the adapter's, transformers loads that model, so no base model is needed."""
    write(base, BASE_MODEL)
    put(snapshot_of(base) / "config.json", b"{}")

    assert adapter.base_repo(base, snapshot_of(base)) is None


@pytest.mark.parametrize(
    "said", [{}, [], {"base_model_name_or_path": "/home/me/llama"}, {"base_model_name_or_path": 1}]
)
def test_an_adapter_that_names_no_repository_is_refused(base: Base, said: object) -> None:
    """An adapter that names a path, or anything that isn't a repository, is refused."""
    write(base, said)

    with pytest.raises(BadInput, match="name the repository of its base model") as caught:
        adapter.base_repo(base, snapshot_of(base))
    assert "peft" in caught.value.hint


def test_a_config_outside_the_base_is_not_read(base: Base, tmp_path: Path) -> None:
    """A config that is a link out of the base is refused."""
    put(tmp_path / "outside.json", json.dumps(BASE_MODEL).encode())
    (snapshot_of(base) / "adapter_config.json").symlink_to(tmp_path / "outside.json")

    with pytest.raises(BadInput, match="isn't a file of its base"):
        adapter.base_repo(base, snapshot_of(base))


@pytest.mark.parametrize("kind", ["fifo", "loop", "folder"])
def test_a_config_that_is_no_file_holds_nothing_up(base: Base, kind: str) -> None:
    """A pipe, a loop of links or a folder in place of the config is refused without waiting."""
    config = snapshot_of(base) / "adapter_config.json"
    if kind == "fifo":
        os.mkfifo(config)
    elif kind == "loop":
        config.symlink_to(config)
    else:
        config.mkdir()

    with pytest.raises(BadInput, match="isn't a file of its base"):
        adapter.base_repo(base, snapshot_of(base))


def test_a_config_that_may_not_be_read_says_so(base: Base) -> None:
    """An unreadable config is refused with the system's own reason."""
    write(base, BASE_MODEL)
    base.repo("org/lora").blob("b" * 40).chmod(0)

    with acting_as(), pytest.raises(BadInput, match="can't be read: Permission denied"):
        adapter.base_repo(base, snapshot_of(base))
