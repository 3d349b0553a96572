"""The parameters in a job's row."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from modelshelf.domain.adopt import AdoptMode, AdoptRequest
from modelshelf.domain.job_params import (
    DedupeParams,
    GcParams,
    JobParams,
    MirrorParams,
    MoveParams,
    OldCopy,
    ReconcileParams,
    UpdateParams,
    VerifyParams,
    ViewSyncParams,
    params_of,
)
from modelshelf.domain.jobs import Job, result_of
from modelshelf.domain.models import FileEntry
from modelshelf.domain.names import BasePath, CommitHash, Digest, FilePath, RepoId, ViewRoot
from modelshelf.domain.view_kinds import ViewKind
from modelshelf.errors import BadInput

COMMIT = CommitHash("c" * 40)
FILE = FileEntry(FilePath("a/b.bin"), 7, Digest("d" * 64))
EVERY_KIND: list[JobParams] = [
    MoveParams("secondary", None),
    MoveParams("custom", "/usb", keep_source=True, makes_room=True),
    OldCopy(BasePath("/fast"), "tier-1", RepoId("org/name"), COMMIT, (FILE,)),
    OldCopy(BasePath("/fast"), "", RepoId("org/name"), None, ()),
    UpdateParams(COMMIT, keep_old=True),
    VerifyParams(("a", "b"), 60.5, 10**6, repair=True),
    VerifyParams(),
    MirrorParams((FilePath("a/b.bin"),)),
    GcParams("/slow", quarantine=True),
    DedupeParams(),
    ReconcileParams(("/usb",)),
    ViewSyncParams(ViewKind.LMSTUDIO, ViewRoot("/home/a/models")),
    AdoptRequest("/old", AdoptMode.LINK, "secondary", merge=True, copy=True, repo_id="org/name"),
]


def job(params: object, kind: str = "move", result: str = "") -> Job:
    """Return a job with these parameters."""
    text = params if isinstance(params, str) else json.dumps(params)
    return Job(7, kind, None, "", text, "queued", "", 0, 0, 0, "", "", result, 0, 0.0, "", 0.0, 0.0, None, None, "")


@pytest.mark.parametrize("params", EVERY_KIND, ids=lambda params: type(params).__name__)
def test_a_row_says_what_was_asked_for(params: JobParams) -> None:
    """Parameters that are written to a job's row are read back as the same value."""
    assert params_of(job(params.to_json(), params.kind), type(params)) == params


@pytest.mark.parametrize("params", EVERY_KIND, ids=lambda params: type(params).__name__)
def test_a_row_that_lacks_a_value_is_refused(params: JobParams) -> None:
    """If any value is missing, the error names the job, the value, and the command that ends the job."""
    for name in params.to_json():
        rest = {other: value for other, value in params.to_json().items() if other != name}
        with pytest.raises(BadInput, match=f"Job 7 .*There is no '{name}'") as caught:
            params_of(job(rest, params.kind), type(params))
        assert caught.value.hint == "End it: shelf cancel 7"


@pytest.mark.parametrize("params", EVERY_KIND, ids=lambda params: type(params).__name__)
def test_a_row_of_other_values_is_refused(params: JobParams) -> None:
    """A list instead of a text, flag, number or file is a plain error."""
    for name in params.to_json():
        with pytest.raises(BadInput, match="can't be understood"):
            params_of(job(params.to_json() | {name: [[]]}, params.kind), type(params))


@pytest.mark.parametrize("text", ["", "[]", "{", '{"tier": 1}', "null"])
def test_a_row_that_is_no_object_is_refused(text: str) -> None:
    """JSON of another shape, and text that isn't JSON, is a plain error."""
    with pytest.raises(BadInput, match="Job 7"):
        params_of(job(text, "dedupe"), DedupeParams)


def test_a_job_is_shown_in_one_line() -> None:
    """A job's repr is one line of its number, kind, model and state; a job without a model leaves the name out."""
    assert repr(job({}, "gc")) == "<Job 7: gc, queued>"
    assert repr(replace(job({}), model_name="qwen")) == "<Job 7: move qwen, queued>"


def test_a_result_is_an_object_or_nothing_yet() -> None:
    """A job without a result has an empty one; an unreadable result is a plain error."""
    assert result_of(job({})) == {}
    assert result_of(job({}, result='{"moved": []}')) == {"moved": []}
    with pytest.raises(BadInput):
        result_of(job({}, result="[]"))
