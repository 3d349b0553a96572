"""Sidecars: what is written beside a model's bytes to rebuild a lost registry."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from modelshelf.domain.models import FileEntry
from modelshelf.domain.names import ModelName
from modelshelf.domain.sidecars import Sidecar
from modelshelf.store.layout import Base
from modelshelf.store.repos import scan
from modelshelf.store.tiers import sidecars
from tests.builders import commit, put

FILES = (FileEntry("a.gguf", 5, "a" * 64), FileEntry("b.gguf", 7, "b" * 64))
SIDECAR = Sidecar("qwen", "Qwen/Qwen2.5-3B", "main", commit("a"), ("a.*",), True, "demo", FILES, "/mnt/slow")


@pytest.fixture
def base(tmp_path: Path) -> Base:
    """A base without a sidecar."""
    return Base(tmp_path)


def test_a_sidecar_is_read_as_it_was_written(base: Base) -> None:
    """Sidecars are read back by name with everything a person said."""
    whole = dataclasses.replace(SIDECAR, model_name="a-model", arriving_from=None, pinned=False)
    for sidecar in (SIDECAR, whole):
        sidecars.write(base, sidecar)

    assert sidecars.read_all(base) == [whole, SIDECAR]


def test_where_there_is_none_there_are_none(base: Base) -> None:
    """A base that was never used has no sidecars, and removing one frees nothing."""
    assert sidecars.read_all(base) == []
    assert sidecars.remove(base, "qwen").apparent_bytes == 0


def test_sidecars_are_named_without_being_read(base: Base) -> None:
    """The names of the models whose sidecars lie in a base are told by their files alone."""
    assert sidecars.names(base) == []
    sidecars.write(base, SIDECAR)
    put(base.sidecar(ModelName("broken")), b"{")

    assert sorted(sidecars.names(base)) == ["broken", "qwen"]


def test_the_same_sidecar_is_not_written_again(base: Base) -> None:
    """An unchanged sidecar isn't written again; a changed one is."""
    sidecars.write(base, SIDECAR)
    before = base.sidecar("qwen").stat().st_ino
    sidecars.write(base, SIDECAR)
    assert base.sidecar("qwen").stat().st_ino == before

    sidecars.write(base, dataclasses.replace(SIDECAR, pin_reason="other"))

    assert [sidecar.pin_reason for sidecar in sidecars.read_all(base)] == ["other"]


def test_a_sidecar_goes_with_its_model(base: Base) -> None:
    """Removing a model's sidecar frees the bytes that are measured."""
    sidecars.write(base, SIDECAR)

    assert sidecars.remove(base, "qwen").apparent_bytes > 100
    assert sidecars.read_all(base) == []


@pytest.mark.parametrize("text", [b"", b"{}", b"[]", b"\xff", b'{"files": 3}'])
def test_a_sidecar_that_cannot_be_understood_is_left_out(base: Base, text: bytes) -> None:
    """A sidecar that can't be read is left out, and the others are read."""
    sidecars.write(base, SIDECAR)
    put(base.sidecar("broken"), text)

    assert sidecars.read_all(base) == [SIDECAR]


def test_a_sidecar_knows_the_models_own_files(base: Base) -> None:
    """A sidecar's patterns select its files; two sidecars of the same files are one model under any name."""
    assert SIDECAR.selected == [FILES[0]]
    assert SIDECAR.is_of(dataclasses.replace(SIDECAR, model_name="other", pinned=False))
    assert not SIDECAR.is_of(dataclasses.replace(SIDECAR, allow_patterns=()))


def test_a_sidecar_holds_its_snapshot_by_a_ref(base: Base) -> None:
    """A sidecar's ref is written when the snapshot exists, follows the model's commit, and goes with the sidecar."""
    repo = base.repo(SIDECAR.hf_path)
    arrived = dataclasses.replace(SIDECAR, arriving_from=None)
    sidecars.write(base, arrived)
    assert scan.refs(repo) == {}

    repo.snapshot(commit("a")).mkdir(parents=True)
    sidecars.write(base, SIDECAR)
    assert scan.refs(repo) == {}
    sidecars.write(base, arrived)
    assert scan.refs(repo) == {"refs/shelf/qwen": commit("a")}

    sidecars.remove(base, ModelName("qwen"))
    assert not repo.refs.joinpath("refs").exists()


def test_the_sidecars_of_a_repository_are_found_by_its_refs(base: Base) -> None:
    """A model that holds a snapshot is found by that; one that was still arriving by its name alone."""
    repo = base.repo(SIDECAR.hf_path)
    put(repo.snapshot(SIDECAR.commit_hash) / "a.gguf", b"12345")
    holding = dataclasses.replace(SIDECAR, model_name="gemma:4b", arriving_from=None)
    other = dataclasses.replace(SIDECAR, model_name="other", hf_path="org/other")
    for sidecar in (SIDECAR, holding, other):
        sidecars.write(base, sidecar)
    put(repo.ref("refs/shelf/-"), b"a" * 40)

    assert sidecars.of_repo(base, SIDECAR.hf_path, "org/name") == [holding]
    assert sidecars.of_repo(base, SIDECAR.hf_path, "qwen") == [holding, SIDECAR]
    assert sidecars.of_repo(base, SIDECAR.hf_path, "other") == [holding]


def test_the_names_of_sidecars_are_those_of_their_files(base: Base) -> None:
    """A name is taken by a sidecar that can't be understood, too."""
    sidecars.write(base, SIDECAR)
    put(base.sidecars / "odd.json", b"{")

    assert sorted(sidecars.names(base)) == sorted([SIDECAR.model_name, "odd"])
