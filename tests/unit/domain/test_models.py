"""Files of a commit, and the states of a model."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from huggingface_hub.utils._paths import filter_repo_objects
from hypothesis import given
from hypothesis import strategies as st

from modelshelf.domain.models import (
    FileEntry,
    Mirrored,
    Model,
    ModelRow,
    State,
    blob_sizes,
    file_entries,
    missing_of,
    select_files,
    state_of,
    total_size,
)
from modelshelf.errors import BadInput

PULL = {"job_kind": "pull"}
MOVE = {"job_kind": "move", "complete": True, "job_id": 7}
NAMES = st.text(alphabet="aB./-[]*?!", min_size=1, max_size=12)
WANTED = NAMES.filter(lambda text: not text.startswith("!"))


def entries(*paths: str) -> list[FileEntry]:
    """Return files of one byte each."""
    return [FileEntry(path, 1, path) for path in paths]


def row(**values: Any) -> ModelRow:
    """Return a model with these columns set; by default it has no job and isn't complete."""
    blank = {field.name: "" for field in dataclasses.fields(ModelRow)}
    return ModelRow(**(blank | {"model_name": "qwen", "complete": False} | values))


@given(st.lists(NAMES, max_size=8), st.lists(WANTED, min_size=1, max_size=3), st.lists(WANTED, max_size=2))
def test_patterns_select_what_huggingface_hub_selects(paths: list[str], wanted: list[str], left: list[str]) -> None:
    """Patterns select exactly the files that huggingface_hub fetches; a `!` before a pattern leaves files out."""
    ours = [file.path for file in select_files(entries(*paths), [*wanted, *(f"!{pattern}" for pattern in left)])]

    assert ours == list(filter_repo_objects(paths, allow_patterns=wanted, ignore_patterns=left))


def test_without_a_pattern_every_file_is_selected() -> None:
    """An empty list of patterns means all files, not none."""
    assert select_files(entries("a", "b"), []) == entries("a", "b")


def test_a_digest_of_two_paths_counts_once() -> None:
    """The same content under two names is one blob."""
    files = [FileEntry("a", 5, "d"), FileEntry("b", 5, "d"), FileEntry("c", 7, "e")]

    assert blob_sizes(files) == {"d": 5, "e": 7}
    assert total_size(files) == 12


@pytest.mark.parametrize(
    ("values", "offline", "missing", "state", "detail"),
    [
        ({"complete": True}, "", 0, State.READY, ""),
        ({"complete": True, "job_state": "done"}, "", 0, State.READY, ""),
        ({"complete": True, "job_state": "failed", "job_detail": "x"}, "", 0, State.READY, ""),
        (
            {"complete": True},
            "",
            3,
            State.MISSING,
            "None of its 3 files is on the disk; shelf pull qwen downloads them.",
        ),
        ({"complete": True}, "", 1, State.PARTIAL, "1 of 3 files is missing; shelf pull qwen downloads them."),
        ({}, "", 1, State.PARTIAL, "1 of 3 files is missing; shelf pull qwen downloads them."),
        ({}, "", 3, State.REGISTERED, "Not downloaded yet; shelf pull qwen downloads it."),
        (PULL | {"job_state": "queued"}, "", 3, State.QUEUED, "Its download waits for its turn, or for a server;"),
        (
            PULL | {"job_state": "paused", "job_id": 7},
            "",
            3,
            State.PAUSED,
            "Its download is paused: shelf jobs resume 7",
        ),
        (
            PULL | {"job_state": "running", "job_id": 7},
            "",
            3,
            State.DOWNLOADING,
            "Job 7 works on it: shelf jobs --watch",
        ),
        (PULL | {"job_state": "running", "job_detail": "Half."}, "", 1, State.DOWNLOADING, "Half."),
        (
            PULL | {"job_state": "waiting", "job_detail": "The hub is away."},
            "",
            3,
            State.REGISTERED,
            "The hub is away.",
        ),
        (PULL | {"job_state": "running", "complete": True}, "", 0, State.READY, ""),
        (MOVE | {"job_state": "running", "job_detail": "To usb."}, "", 0, State.MOVING, "To usb."),
        (
            MOVE | {"job_state": "waiting", "job_detail": "The drive is away."},
            "",
            0,
            State.MOVING,
            "The drive is away.",
        ),
        (MOVE | {"job_state": "running"}, "", 0, State.MOVING, "Job 7 works on it: shelf jobs --watch"),
        (MOVE | {"job_state": "paused"}, "", 0, State.MOVING, "Its move is paused: shelf jobs resume 7"),
        (
            MOVE | {"job_state": "queued"},
            "",
            0,
            State.MOVING,
            "Its move waits for its turn, or for a server;",
        ),
        (MOVE | {"job_state": "done"}, "", 0, State.READY, ""),
        (MOVE | {"job_state": "running"}, "", 1, State.PARTIAL, "1 of 3 files is missing;"),
        (PULL | {"job_state": "failed", "job_detail": "No such file."}, "", 3, State.FAILED, "No such file."),
        (
            {"job_kind": "verify", "job_state": "failed", "job_detail": "x"},
            "",
            3,
            State.REGISTERED,
            "Not downloaded yet;",
        ),
        ({"job_kind": "update", "job_state": "running", "complete": True}, "", 1, State.DOWNLOADING, "Job "),
        ({"signature": "1:2"}, "", 3, State.MISSING, "None of its 3 files is on the disk;"),
        ({}, "", 0, State.PARTIAL, "Its files are there but not verified; shelf pull qwen verifies them."),
        ({"signature": "1:2"}, "", 1, State.PARTIAL, "1 of 3 files is missing; shelf pull qwen downloads them."),
        ({"complete": True, "job_state": "failed"}, "", 1, State.PARTIAL, "1 of 3 files is missing;"),
        ({"complete": True}, "not mounted", 0, State.OFFLINE, "not mounted"),
        (PULL | {"job_state": "running"}, "not mounted", 3, State.OFFLINE, "not mounted"),
    ],
)
def test_a_model_has_one_state_and_says_why(
    values: dict[str, Any], offline: str, missing: int, state: State, detail: str
) -> None:
    """A model's state follows from its tier, then its job, then the disk, and says why."""
    found, why = state_of(row(**values), offline, missing_files=missing, files=3)

    assert found is state
    assert why.startswith(detail)
    assert bool(why) == bool(detail)


@pytest.mark.parametrize(
    ("values", "missing", "state"),
    [
        ({"complete": True}, 0, State.DAMAGED),
        ({"complete": True}, 1, State.PARTIAL),
        (MOVE | {"job_state": "running"}, 0, State.MOVING),
    ],
)
def test_a_whole_model_with_a_damaged_file_says_which(values: dict[str, Any], missing: int, state: State) -> None:
    """A complete model with a damaged file names it and the command that repairs it; missing and moving come first."""
    found, why = state_of(row(**values), "", missing_files=missing, files=3, damaged="a.bin")

    assert found is state
    assert (why == "a.bin is damaged: shelf verify qwen --repair") == (state is State.DAMAGED)


def test_a_model_without_a_commit_is_registered() -> None:
    """A model without a commit is registered, and no file counts as missing."""
    assert state_of(row(), "", missing_files=0, files=0)[0] is State.REGISTERED


@pytest.mark.parametrize("row", [None, [], ["a", 1], ["a", -1, "0" * 40], ["a", "1", "0" * 40], ["../a", 1, "0" * 40]])
def test_what_is_no_file_of_a_list_is_refused(row: object) -> None:
    """A file of a list has a valid path, size and digest; anything else is bad input."""
    with pytest.raises(BadInput):
        file_entries([["good.bin", 1, "0" * 40], row])


def test_what_is_no_list_of_files_is_refused() -> None:
    """Files come in a list, which may be empty; anything else is bad input."""
    assert file_entries([]) == ()
    with pytest.raises(BadInput):
        file_entries({"a": 1})


@pytest.mark.parametrize(("missing", "state"), [(3, State.MISSING), (1, State.PARTIAL)])
def test_the_files_of_a_made_up_commit_are_fetched_from_no_hub(missing: int, state: State) -> None:
    """For a made-up commit the error says to adopt the folder again, because no hub has its files."""
    values = {"complete": True, "commit_hash": "0" * 12 + "a" * 28}

    found, why = state_of(row(**values), "", missing_files=missing, files=3)

    assert (found, why) == (
        state,
        f"{missing_of(missing, 3)}, and no hub has them: adopt the folder they came from.",
    )


def test_a_model_that_lost_just_its_links_says_so() -> None:
    """A model that lost only its links says so, and its command needs no hub."""
    found, why = state_of(row(complete=True), "", missing_files=3, files=3, linkable=2)

    assert found is State.PARTIAL
    assert why == "2 of 3 files lost their links; shelf verify qwen --repair restores them, offline."


def test_a_model_says_what_its_row_says() -> None:
    """A model's repr is one line with its state; its attributes are those of its row."""
    known = {"hf_path": "org/name", "revision": "main", "commit_hash": "c" * 40, "pinned": True}
    found = Model(row(size_bytes=5 * 10**9, cache_location="primary", **known), "/fast", None, State.READY, "")

    assert (found.model_name, found.hf_path) == ("qwen", "org/name")
    assert (found.revision, found.commit_hash) == ("main", "c" * 40)
    assert (found.cache_location, found.size_bytes, found.pinned) == ("primary", 5 * 10**9, True)
    assert repr(found) == "<Model qwen: ready, 5.0 GB on primary>"
    away = dataclasses.replace(found, row=row(size_bytes=0, cache_location="custom"), base="/usb", state=State.OFFLINE)
    assert repr(away) == "<Model qwen: offline, 0 B on /usb>"


@pytest.mark.parametrize("word", ["shut", 1, None, ["open"]], ids=repr)
def test_only_known_words_say_how_a_model_was_mirrored(word: object) -> None:
    """A word that isn't one of ours is refused, so that nothing gated is taken for open."""
    assert [Mirrored.parse(known) for known in ("", "open", "gated")] == list(Mirrored)
    with pytest.raises(BadInput):
        Mirrored.parse(word)
