"""Which settings file is used: the nearest one with our settings, the user's, or the only known library's."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from modelshelf.errors import BadInput
from modelshelf.store import settings_file
from modelshelf.store.known_bases import KnownLibraries
from modelshelf.store.layout import Base, known_libraries_file
from tests.builders import put
from tests.store.mounts import small_disk
from tests.store.users import acting_as

OURS = b"PRIMARY_CACHE_PATH=/x\n"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with a project that has a source folder."""
    (tmp_path / "home/proj/src").mkdir(parents=True)
    return tmp_path / "home"


def environ(home: Path, **more: str) -> dict[str, str]:
    """Return an environment with this home."""
    return {"HOME": str(home)} | more


def test_the_nearest_file_upwards_is_in_force(home: Path) -> None:
    """A folder below the one with the settings uses the same settings, as with git's repository."""
    put(home / ".env", OURS)
    put(home / "proj/.env", OURS)
    (home / "other").mkdir()

    assert settings_file.find(home / "proj", environ(home)) == home / "proj/.env"
    assert settings_file.find(home / "proj/src", environ(home)) == home / "proj/.env"
    assert settings_file.find(home / "other", environ(home)) == home / ".env"


def test_a_file_without_a_setting_of_ours_is_passed_over(home: Path) -> None:
    """A `.env` without our settings is skipped, because it belongs to another project."""
    put(home / "proj/.env", OURS)
    put(home / "proj/src/.env", b"DATABASE_URL=postgresql://theirs\n")

    assert settings_file.find(home / "proj/src", environ(home)) == home / "proj/.env"


def test_the_search_ends_at_home(home: Path) -> None:
    """The search upwards ends at the home folder."""
    put(home.parent / ".env", OURS)
    (home.parent / "elsewhere").mkdir()

    assert settings_file.find(home / "proj", environ(home)) is None
    assert settings_file.find(home.parent / "elsewhere", environ(home)) == home.parent / ".env"


def test_the_search_ends_where_another_file_system_begins(home: Path) -> None:
    """The search upwards ends where another file system begins."""
    put(home / "proj/.env", OURS)

    with small_disk(home / "proj/src", 1):
        assert settings_file.find(home / "proj/src", environ(home)) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_above_the_working_directory_a_strangers_file_does_not_count(home: Path) -> None:
    """In a folder above that everybody may write to, another user's file is ignored."""
    put(home / "proj/.env", OURS)
    os.chown(home / "proj/.env", 4711, 4711)

    assert settings_file.find(home / "proj/src", environ(home)) is None
    assert settings_file.find(home / "proj", environ(home)) == home / "proj/.env"


def test_the_users_own_file_is_next(home: Path) -> None:
    """The user's own file is used if no folder above has one."""
    put(home / ".config/modelshelf/.env", b"HF_TOKEN=x\n")

    assert settings_file.find(home / "proj", environ(home)) == home / ".config/modelshelf/.env"
    put(home / "proj/.env", OURS)
    assert settings_file.find(home / "proj", environ(home)) == home / "proj/.env"


def test_without_any_file_the_one_known_library_names_its_own(home: Path) -> None:
    """If the user has one library, its settings are used, unless the environment names another."""
    known = KnownLibraries(home / ".local/state")
    put(home / "proj/.env", OURS)
    known.remember(Base(Path("/fast")), home / "proj/.env")
    known.remember(Base(Path("/from-the-environment")), None)

    assert settings_file.find(home, environ(home)) == home / "proj/.env"
    assert settings_file.find(home, environ(home, PRIMARY_CACHE_PATH="/y")) is None
    put(home / "other/.env", OURS)
    known.remember(Base(Path("/slow")), home / "other/.env")
    assert settings_file.find(home, environ(home)) is None
    known.forget(Base(Path("/fast")))
    assert settings_file.find(home, environ(home)) == home / "other/.env"
    (home / "other/.env").unlink()
    assert settings_file.find(home, environ(home)) is None


@pytest.mark.parametrize("memory", [b"[]", b"{"], ids=["a list", "cut off"])
def test_a_memory_that_means_nothing_is_empty(home: Path, memory: bytes) -> None:
    """An unreadable list of libraries counts as empty and is rewritten with the next library."""
    put(known_libraries_file(home / ".local/state"), memory)

    assert settings_file.find(home, environ(home)) is None


@pytest.mark.parametrize(
    ("variables", "base"),
    [
        ({}, "{home}/.cache/huggingface"),
        ({"HF_HUB_CACHE": "/data/hf/hub"}, "/data/hf"),
        ({"HUGGINGFACE_HUB_CACHE": "/data/hf/hub/"}, "/data/hf"),
        ({"HF_HUB_CACHE": "/data/models"}, "{home}/.cache/huggingface"),
        ({"HF_HUB_CACHE": " "}, "{home}/.cache/huggingface"),
        ({"XDG_CACHE_HOME": "/data/cache"}, "/data/cache/huggingface"),
    ],
    ids=["nothing", "hub", "the old name", "not named hub", "empty", "cache"],
)
def test_the_usual_base_is_where_other_tools_download_to(home: Path, variables: dict[str, str], base: str) -> None:
    """By default the primary is the folder where other tools download to, if it can be a base."""
    assert settings_file.usual_base(environ(home, **variables)) == base.format(home=home)


def test_a_user_without_any_home_is_told(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without HOME and without an entry in the user database, the error names what can be set instead."""
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("os.path.expanduser", lambda path: path)  # a uid that the system doesn't list

    with pytest.raises(BadInput) as caught:
        settings_file.usual_base({})
    assert "XDG_STATE_HOME" in caught.value.hint
    states = {"XDG_CONFIG_HOME": "/config", "XDG_STATE_HOME": "/state"}
    put(home / "proj/.env", OURS)
    assert settings_file.find(home / "proj/src", states) == home / "proj/.env"


def test_a_working_directory_that_was_deleted_is_told(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working directory that was deleted is an error."""
    monkeypatch.chdir(home / "proj/src")
    assert settings_file.working_directory() == home / "proj/src"
    (home / "proj/src").rmdir()

    with pytest.raises(BadInput):
        settings_file.working_directory()
    assert settings_file.find(home / "proj/src", environ(home)) is None


def test_a_file_of_settings_that_may_not_be_read_is_in_force(open_path: Path) -> None:
    """An unreadable settings file is still the one in use, and reading it says what is wrong."""
    secret = put(open_path / "proj/.env", OURS)
    secret.chmod(0o600)

    with acting_as():
        assert settings_file.find(secret.parent, {"HOME": str(open_path)}) == secret
