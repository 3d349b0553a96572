"""The only parser of names, revisions and bases."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from huggingface_hub.errors import HFValidationError
from huggingface_hub.file_download import repo_folder_name as hub_folder_name
from huggingface_hub.utils._validators import validate_repo_id
from hypothesis import example, given
from hypothesis import strategies as st

from modelshelf.domain import names, repo_folders
from modelshelf.errors import BadInput

REPO_IDS = st.from_regex(r"(?:[A-Za-z0-9._-]{1,8}/)?[A-Za-z0-9._-]{1,12}(?:\.git)?", fullmatch=True)
GOOD_IDS = REPO_IDS.filter(lambda text: _accepts(names.RepoId, text))


def _accepts(check: object, text: str) -> bool:
    try:
        check(text)  # type: ignore[operator]
    except (BadInput, HFValidationError):
        return False
    return True


@given(REPO_IDS | st.text(max_size=100))
def test_what_we_accept_huggingface_hub_accepts(text: str) -> None:
    """Every id that is accepted here is accepted by huggingface_hub, so no pull fails half-way."""
    if _accepts(names.RepoId, text):
        validate_repo_id(text)


@pytest.mark.parametrize("text", ["gpt2", "Qwen/Qwen2.5-3B-Instruct", "a/b", "_x/y_", "org/" + "n" * 92])
def test_an_id_of_the_hub_is_accepted(text: str) -> None:
    """An id of up to 96 characters is accepted, with or without an organisation."""
    assert names.RepoId(text) == text


@pytest.mark.parametrize(
    "text",
    ["", "/", "a/", "/a", "a/b/c", "a--b", "a..b", "-a", "a-", ".a", "a.", "a.git", "x/a.ipynb", "a b", "é", "a\n",
     "org/" + "n" * 93, "../etc", "a\\b"],
)  # fmt: skip
def test_what_is_no_id_is_refused(text: str) -> None:
    """An id that could leave its folder or mean two repositories is refused."""
    with pytest.raises(BadInput) as caught:
        names.RepoId(text)
    assert caught.value.fields["hf_path"] == text


@pytest.mark.parametrize(
    "url",
    ["https://huggingface.co/org/name", "http://host:8000/org/name/tree/main", "https://huggingface.co/org/name?x=1"],
)
def test_an_address_is_answered_with_the_id_in_it(url: str) -> None:
    """A pasted address is refused with the id in it."""
    with pytest.raises(BadInput) as caught:
        names.RepoId(url)
    assert caught.value.hint == "Leave out the address: org/name"


def test_the_file_of_an_address_has_its_place() -> None:
    """A pasted address of a file is refused with the id in it, and where the file goes."""
    with pytest.raises(BadInput) as caught:
        names.RepoId("https://huggingface.co/org/name/blob/main/sub/m.gguf?download=true")
    assert caught.value.hint == "Leave out the address: org/name. Its file goes into allow_patterns: sub/m.gguf"


@given(GOOD_IDS, st.sampled_from(repo_folders.REPO_TYPES))
def test_a_folder_is_named_as_huggingface_hub_names_it(repo_id: str, repo_type: str) -> None:
    """huggingface_hub computes the same folder name for every type of repository."""
    assert repo_folders.repo_folder_name(repo_id, repo_type) == hub_folder_name(repo_id=repo_id, repo_type=repo_type)


@given(GOOD_IDS, st.sampled_from(repo_folders.REPO_TYPES))
def test_a_folder_tells_its_type_and_id(repo_id: str, repo_type: str) -> None:
    """The repository's type and id are read back from its folder's name."""
    assert repo_folders.parse_repo_folder(repo_folders.repo_folder_name(repo_id, repo_type)) == (repo_type, repo_id)


@pytest.mark.parametrize(
    ("folder", "meaning"),
    [
        ("models--org--a--b", None),
        ("models--org--na me", None),
        ("kernels--org--k", ("kernel", "org/k")),
        ("models", None),
        ("models--", None),
        ("modelx--a", None),
        ("model--a", None),
        ("--a", None),
        ("s--a", None),
        (".locks", None),
        ("blobs", None),
    ],
)
def test_a_folder_of_a_cache_is_told_from_others(folder: str, meaning: tuple[str, str] | None) -> None:
    """A folder that isn't a repository's, or has an invalid id, gives None."""
    assert repo_folders.parse_repo_folder(folder) == meaning


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("org/m:Q4_K_M", "Leave out what is behind the colon: org/m. Patterns of files, such as *Q4_K_M*, choose."),
        ("a b:c", "A repository id looks like Qwen/Qwen2.5-3B-Instruct."),
    ],
)
def test_a_tag_behind_an_id_is_answered_with_the_id_and_what_chooses(text: str, hint: str) -> None:
    """A program that passes a tag is told the id in it, and one whose text has none what an id looks like."""
    with pytest.raises(BadInput) as refused:
        names.RepoId(text)

    assert refused.value.hint == hint


@pytest.mark.parametrize("text", ["qwen-3b", "a", "A.b_c:d+e-1", "0" * 120])
def test_a_model_name_is_accepted(text: str) -> None:
    """A model's name has letters, digits and a few signs, up to 120 characters."""
    assert names.ModelName(text) == text


@pytest.mark.parametrize("text", ["", "-a", ".a", "a/b", "a b", "é", "a\n", "0" * 121])
def test_what_cannot_name_a_model_is_refused(text: str) -> None:
    """A model's name is one word in a shell and one segment of a path."""
    with pytest.raises(BadInput, match="isn't a model name"):
        names.ModelName(text)


@pytest.mark.parametrize("text", ["main", "v1.0", "refs/pr/1", "c" * 40, "feature/x@y+z"])
def test_a_revision_is_accepted(text: str) -> None:
    """Branches, tags, pull requests and commits are revisions."""
    assert names.RefName(text) == text


@pytest.mark.parametrize("text", ["", "/main", "a//b", "a/../b", "../x", "a/.", "-x", "a b", "a\0b", "x" * 251])
def test_what_would_leave_the_folder_of_refs_is_no_revision(text: str) -> None:
    """A revision that would leave the folder `refs` is refused."""
    with pytest.raises(BadInput, match="not a revision"):
        names.RefName(text)


@pytest.mark.parametrize("path", ["a", "a/b.txt", ".gitattributes", "a/..b", "ä ö/ü"])
def test_a_file_path_inside_its_repository_is_accepted(path: str) -> None:
    """A file path may have any name that stays inside its repository."""
    assert names.FilePath(path) == path


@pytest.mark.parametrize("path", ["", "/a", "a/", "a//b", "./a", "a/../b", "..", "a\\b", "a\0"])
def test_a_file_path_that_contains_out_is_refused(path: str) -> None:
    """A file path that leaves its repository is refused, even from the hub's listing."""
    with pytest.raises(BadInput, match="not a file path"):
        names.FilePath(path)


@pytest.mark.parametrize(
    ("path", "base"),
    [
        ("/mnt/fast/cache", "/mnt/fast/cache"),
        ("/mnt/fast/cache/", "/mnt/fast/cache"),
        ("/mnt//fast/./cache", "/mnt/fast/cache"),
        ("//mnt/fast", "/mnt/fast"),
        ("/mnt/My Models/größe", "/mnt/My Models/größe"),
        ("/mnt/hub/cache", "/mnt/hub/cache"),
        ("/home/me/models", "/home/me/models"),
        ("/mnt/github", "/mnt/github"),
    ],
)
def test_a_base_is_normalised(path: str, base: str) -> None:
    """A base has one spelling; spaces and letters of any script are kept."""
    assert names.BasePath(path) == base


@pytest.mark.parametrize(
    ("path", "suggestion"),
    [
        ("/mnt/fast/hub", "/mnt/fast"),
        ("/mnt/fast/hub/", "/mnt/fast"),
        ("/mnt/fast/hub/hub", "/mnt/fast"),
        ("/mnt/fast/hub/models--org--name", "/mnt/fast"),
        ("/mnt/fast/models--gpt2/snapshots", "/mnt/fast"),
        ("/mnt/fast/hub/datasets--org--name/blobs", "/mnt/fast"),
        ("/mnt/hub", "/mnt/llm-models-cache"),
        ("/hub", "/llm-models-cache"),
    ],
)
def test_a_path_inside_a_cache_is_answered_with_its_base(path: str, suggestion: str) -> None:
    """A path inside a cache is refused with the base to use, and that base is accepted."""
    with pytest.raises(BadInput) as caught:
        names.BasePath(path)

    assert caught.value.fields["suggestion"] == suggestion
    assert caught.value.hint == f"Use {suggestion}"
    assert names.BasePath(suggestion) == suggestion


@pytest.mark.parametrize(
    "path",
    ["/", "//", "/etc", "//etc", "/etc/", "/usr/lib", "/home", "/mnt", "/tmp", "/var/lib", "/proc/1/cwd", "/sys/fs"],
)
def test_a_system_folder_is_no_base(path: str) -> None:
    """A system folder is refused as a base."""
    with pytest.raises(BadInput, match="system folder") as caught:
        names.BasePath(path)
    assert names.BasePath(re.sub("^Use a folder of its own, such as ", "", caught.value.hint))


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("cache", "not absolute"),
        ("", "not absolute"),
        ("~/x", "not absolute"),
        ("C:\\x", "not absolute"),
        ("/mnt/a/../b", "contains"),
        ("/mnt/a\0b", "not a path"),
        ("/mnt/" + "a" * 256, "too long"),
        ("/mnt" + "/a" * 1030, "too long"),
    ],
)
def test_what_is_no_whole_path_is_no_base(path: str, why: str) -> None:
    """A base has to be an absolute path."""
    with pytest.raises(BadInput, match=why):
        names.BasePath(path)


@given(st.text(alphabet="ab/.-~ hub", max_size=20))
def test_an_accepted_base_is_accepted_again_as_it_is(path: str) -> None:
    """Normalising a base twice changes nothing."""
    if _accepts(names.BasePath, path):
        base = names.BasePath(path)
        assert names.BasePath(base) == base


@pytest.mark.parametrize(
    ("name", "answer"),
    [("a" * 64, True), ("0" * 40, True), ("A" * 64, False), ("a" * 41, False), ("a" * 64 + ".incomplete", False)],
    ids=["sha256", "sha1", "upper case", "too long", "a download"],
)
def test_a_digest_is_told_from_other_names(name: str, answer: bool) -> None:
    """A blob's name is 40 or 64 lower-case hex digits, and nothing else."""
    assert names.is_digest(name) is answer


KINDS = (
    names.Digest, names.CommitHash, names.RepoId, names.ModelName, names.RefName, names.FilePath, names.BasePath,
)  # fmt: skip


@pytest.mark.parametrize("kind", KINDS, ids=[kind.__name__ for kind in KINDS])
@pytest.mark.parametrize("value", [None, 7, True, [], {}, "", "\ud800", "a\0", "../a", b"main"], ids=repr)
def test_what_json_may_hold_instead_is_refused_by_every_type(kind: type[str], value: object) -> None:
    """No type takes a value that isn't text, or a text that would leave its folder."""
    with pytest.raises(BadInput):
        kind(value)


@pytest.mark.parametrize(
    "path", ["n" * 256, "ü" * 128, "/".join(["folder"] * 400)], ids=["long", "long in bytes", "deep"]
)
def test_a_file_path_that_no_disk_can_hold_is_refused(path: str) -> None:
    """A name has at most 255 bytes and a path at most 2048."""
    with pytest.raises(BadInput, match="not a file path"):
        names.FilePath(path)


@pytest.mark.parametrize("text", ["", "a" * 39, "A" * 40, "a" * 41, "a" * 64, "../" + "a" * 37])
def test_what_is_no_commit_hash_is_refused(text: str) -> None:
    """A commit hash has 40 hex digits in lower case."""
    with pytest.raises(BadInput, match="not a commit hash"):
        names.CommitHash(text)


@pytest.mark.parametrize("text", ["", "a" * 41, "g" * 64, "a" * 63, "../../../../victim.txt", "a" * 64 + ".lock"])
def test_what_is_no_digest_is_refused(text: str) -> None:
    """A digest has 64 or 40 lower-case hex digits, so it never names another file."""
    with pytest.raises(BadInput, match="not a digest"):
        names.Digest(text)


@pytest.mark.parametrize("text", ["", "0" * 31, "0" * 33, "A" * 32, "../" + "0" * 29, "0" * 32 + "\n", None, 7])
def test_what_is_no_id_of_a_tier_is_refused(text: object) -> None:
    """A tier's id is 32 hex digits and nothing else."""
    assert names.TierId("0" * 32) == "0" * 32
    with pytest.raises(BadInput):
        names.TierId(text)


_PART = st.sampled_from(["a", "b.bin", "", ".", "..", "...", "é", "x" * 255, "y" * 256, "\0", "\\", "a\n", "\ud800"])
_PATHS = st.lists(_PART, min_size=1, max_size=3).map("/".join) | st.text(max_size=8)
_DIGESTS = st.sampled_from(
    ["0" * 40, "ab" * 32, "0" * 39, "0" * 64, "A" * 40, "g" * 40, " " * 40, "0" * 40 + "\n", "0" * 40 + "\n" + "1" * 40]
)


@given(st.lists(_PATHS | st.none() | st.just(b"a"), max_size=4))
def test_paths_read_together_are_those_read_alone(texts: list[object]) -> None:
    """Paths that are parsed together are accepted, or refused with the same words, as they are one by one."""
    assert _outcome(lambda: names.FilePath.each(texts)) == _outcome(lambda: [names.FilePath(text) for text in texts])


@example(["0" * 40, "A" * 40])
@example(["0" * 40, "g" * 40])
@example(["0" * 40, " " * 40])
@example(["0" * 39, "0" * 41])
@given(st.lists(_DIGESTS | st.text(max_size=3) | st.none(), max_size=4))
def test_digests_read_together_are_those_read_alone(texts: list[object]) -> None:
    """Digests that are parsed together are accepted, or refused with the same words, as they are one by one."""
    assert _outcome(lambda: names.Digest.each(texts)) == _outcome(lambda: [names.Digest(text) for text in texts])


def _outcome(parse: Callable[[], list[Any]]) -> object:
    try:
        found = parse()
    except BadInput as err:
        return str(err)
    return [(type(value), value) for value in found]
