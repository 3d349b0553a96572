"""What people type for a model on the hub: an id, an id with a quantisation, or a pasted address.

>>> parse_reference("Qwen/Qwen3-8B").repo_id
'Qwen/Qwen3-8B'
>>> pasted = parse_reference("https://huggingface.co/org/model/blob/v1/sub/a.gguf?download=true")
>>> pasted.repo_id, pasted.revision, pasted.patterns
('org/model', 'v1', ('sub/a.gguf',))
>>> parse_reference("hf.co/org/model-GGUF?show_file_info=a.gguf").patterns
('a.gguf',)
>>> parse_reference("hf.co/org/model-GGUF:Q4_K_M").quantisation
'Q4_K_M'

Source: huggingface_hub `hf_file_system.py`, `resolve_path` (hf://); https://huggingface.co/docs/hub/ollama (a tag).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from urllib.parse import parse_qs, unquote

from modelshelf.domain.names import FilePath, RefName, RepoId
from modelshelf.domain.patterns import FilePattern, Selection, escape
from modelshelf.domain.repo_folders import parse_repo_folder
from modelshelf.errors import BadInput

_FORMS = (
    "Write ORG/MODEL, ORG/MODEL:Q4_K_M, hf.co/ORG/MODEL, hf://ORG/MODEL@REVISION/FILE,"
    " or paste an address such as https://huggingface.co/ORG/MODEL/blob/main/FILE"
)
_HOST = r"(?:www\.)?(?:huggingface\.co|hf\.co)"
_OF_THE_HUB = rf"(?:(?:https?|ssh)://(?:[^@/\s]+@)?)?{_HOST}/|git@{_HOST}:/?"
_OTHER_KINDS = {
    "datasets": "a data set",
    "spaces": "a Space",
    "kernels": "a kernel",
    "buckets": "a bucket",
    "collections": "a collection",
    "papers": "a paper",
}
_QUOTES = "\"'`“”‘’<>"
_OF_OLLAMA = re.compile(r"(?:https?://)?(?:www\.)?ollama\.com/(?:library/)?([^?#]*)", re.IGNORECASE)
_OF_FILES = ("blob", "resolve", "raw")
_OF_REVISIONS = ("commit", "commits", "edit", "blame")
"""Pages that name a revision, but no file to take: who is about to edit README.md wants the model."""
_PAGES = (*_OF_FILES, *_OF_REVISIONS, "tree", "discussions", "settings")
_SHOWN_FILE = "show_file_info"
"""In the query of a repository's page: the GGUF file whose content it shows."""
_TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}(?:[A-Za-z0-9._-]{0,160}\.gguf)?")
_ID = r"([A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*)"
_WITH_REVISION = re.compile(rf"{_ID}@([A-Za-z0-9][A-Za-z0-9._/-]*)")
_WITH_FILE = re.compile(rf"{_ID}/([A-Za-z0-9._/-]+\.(?:gguf|safetensors|bin|json))")
_OLLAMA_NAME = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*):[A-Za-z0-9._-]+")
_PATHS = ("/", "./", "../", "~")
"""How a path on this machine begins."""
_SHARD = re.compile(r"-\d+-of-(\d+)(?=\.[A-Za-z0-9]+$)")
_PROJECTORS = FilePattern("*mmproj*.gguf")
_BEHIND = "[-./]*gguf"
"""What follows a quantisation in a file's name."""


@dataclass(frozen=True, slots=True)
class Reference:
    """What a text names."""

    repo_id: RepoId
    revision: RefName | None = None
    """The revision in the text; None without one."""
    patterns: tuple[FilePattern, ...] = ()
    """The patterns of its files; empty for all."""
    quantisation: str = ""
    """The tag after the colon."""


def parse_reference(text: str, endpoint: str = "") -> Reference:
    """Return what a text names.

    Args:
        text: The typed or pasted text.
        endpoint: The address of the hub in use, whose pages are understood like huggingface.co's.

    Raises:
        BadInput: It names no model on the hub; the hint has the valid forms.
    """
    said = text.strip().strip(_QUOTES)
    own = re.escape(endpoint.rstrip("/")) + "/" if endpoint else "(?!)"
    page = re.match(rf"{_OF_THE_HUB}|{own}", said, re.IGNORECASE)
    is_uri = said.startswith("hf://")
    behind = said[page.end() :] if page else said.removeprefix("hf://")
    folder = parse_repo_folder(said)
    if (page or is_uri or folder) and (kind := _OTHER_KINDS.get(re.split("/|--", behind)[0])):
        raise BadInput(f"{said:.200} is {kind}.", hint="modelshelf keeps models alone.", hf_path=said[:200])
    if in_ollama := _OF_OLLAMA.match(said):
        words = re.split("[:/]", in_ollama[1])[0] or "WORDS"
        raise BadInput(f"{said:.200} is a page of Ollama's library, not of the hub.", hint=_to_find(words))
    if folder:
        return Reference(folder[1])
    try:
        return _of_page(behind) if page or _is_page(said) else _of_uri(behind) if is_uri else _of_id(said)
    except BadInput as err:
        raise BadInput(err.detail, hint=_what_to_write(said), hf_path=said[:200]) from None


def reference_in(text: str, endpoint: str = "") -> Reference | None:
    """Return what a text names; None for words to search for.

    >>> reference_in("org/model").repo_id, reference_in("llama 3 gguf"), reference_in("llama3.2:1b")
    ('org/model', None, None)

    Args:
        text: The typed or pasted text.
        endpoint: As for `parse_reference`.

    Raises:
        BadInput: It is an address or a path that names no model on the hub.
    """
    said = text.strip()
    try:
        return parse_reference(said, endpoint)
    except BadInput:
        if said.startswith(_PATHS) or re.fullmatch(r"\S*/\S*", said):
            raise
        return None


def words_of(text: str) -> str:
    """Return what to search the hub for, without the tag of a name of Ollama.

    >>> words_of("llama3.2:1b"), words_of("qwen3 gguf")
    ('llama3.2', 'qwen3 gguf')
    """
    in_ollama = _OLLAMA_NAME.fullmatch(text)
    return in_ollama[1] if in_ollama else text


def is_reference(text: str) -> bool:
    """Return whether a text names a model of the hub.

    >>> is_reference("org/model:Q4_K_M"), is_reference("a/b/c")
    (True, False)
    """
    try:
        parse_reference(text)
    except BadInput:
        return False
    return True


def _what_to_write(said: str) -> str:
    """Return what to type instead of a text that names no model of the hub."""
    if said.startswith(_PATHS) or said in (".", ".."):
        return "For what is on this machine: shelf adopt FOLDER. For a model of the hub: shelf add ORG/MODEL"
    if with_file := _WITH_FILE.fullmatch(said):
        return f"shelf add {with_file[1]} --include {with_file[2]}"
    if in_ollama := _OLLAMA_NAME.fullmatch(said):
        return _to_find(in_ollama[1])
    return _FORMS


def _to_find(words: str) -> str:
    return f"To find it: shelf search {words}"


def _is_page(said: str) -> bool:
    """Return whether a text is an address without its host, such as `ORG/MODEL/resolve/main/FILE`."""
    parts = said.split("/")
    return len(parts) > 3 and parts[2] in _PAGES


def _of_id(said: str) -> Reference:
    said = said.removesuffix("/")
    if with_revision := _WITH_REVISION.fullmatch(said):
        return Reference(RepoId(with_revision[1]), RefName(with_revision[2]))
    repo_id, colon, tag = said.partition(":")
    repo_id = repo_id.removesuffix(".git")
    if colon and not ("/" in repo_id and _TAG.fullmatch(tag)):
        raise BadInput(f"{said!r:.200} is not a repository of the hub.")
    if not tag or tag.lower() == "latest":  # Ollama's word for no tag
        return Reference(RepoId(repo_id))
    return Reference(RepoId(repo_id), None, patterns_of_quantisation(tag), tag)


def _of_page(address: str) -> Reference:
    """Return what an address names, without its host."""
    path_there, _, query = address.partition("#")[0].partition("?")
    shown = parse_qs(query).get(_SHOWN_FILE, [""])[0].split("/")
    parts = [unquote(part) for part in path_there.strip("/").split("/")]
    depth = next((i for i in (2, 1) if parts[i : i + 1] and parts[i] in _PAGES), len(parts))
    reference = _of_id("/".join(parts[:depth]))
    page, behind = (parts[depth], parts[depth + 1 :]) if depth < len(parts) else ("", [])
    if page not in (*_OF_FILES, *_OF_REVISIONS, "tree"):
        return replace(reference, patterns=reference.patterns or _patterns_at(shown))
    revision, path = _revision_and_path(behind)
    if page in _OF_FILES and not path:
        raise BadInput(f"{address!r:.200} names no file.")
    if page in _OF_REVISIONS or any(shown):
        return Reference(reference.repo_id, revision, _patterns_at(shown))
    return Reference(reference.repo_id, revision, _patterns_at(path, is_folder=page == "tree"))


def _of_uri(said: str) -> Reference:
    """Return what follows `hf://`, as HfFileSystem reads it."""
    repo_id, at, behind = said.partition("@")
    if at:
        revision, path = _revision_and_path([unquote(part) for part in behind.split("/")])
        return Reference(RepoId(repo_id), revision, _patterns_at(path))
    parts = said.split("/")
    reference = _of_id("/".join(parts[:2]))
    return Reference(reference.repo_id, None, reference.patterns or _patterns_at(parts[2:]), reference.quantisation)


def _revision_and_path(parts: Sequence[str]) -> tuple[RefName, Sequence[str]]:
    """Return the revision at the beginning, which for `refs/pr/1` has three parts, and the rest."""
    count = 3 if parts[:1] == ["refs"] else 1
    return RefName("/".join(parts[:count])), parts[count:]


def _patterns_at(path: Sequence[str], *, is_folder: bool = False) -> tuple[FilePattern, ...]:
    """Return the pattern of a file or folder; for a part of a split file, that of all its parts."""
    inside = "/".join(path).rstrip("/")
    if not inside:
        return ()
    name = escape(FilePath(inside))
    return (FilePattern(f"{name}/" if is_folder or not path[-1] else _SHARD.sub(r"-*-of-\1", name)),)


def patterns_of_quantisation(tag: str) -> tuple[FilePattern, ...]:
    """Return the patterns of the files that a tag after a repository means, in upper or lower case.

    The tag is a quantisation, or the name of a GGUF. A vision model's projectors are included.

    >>> patterns_of_quantisation("Q8_0")
    ('[qQ]8_0[-./]*gguf', '*[!a-zA-Z0-9][qQ]8_0[-./]*gguf', '*mmproj*.gguf')

    Source: llama.cpp `common/download.cpp`, `find_best_model` and `find_best_mmproj`, for `-hf ORG/MODEL:TAG`; unlike
    them, F16 doesn't mean BF16 too, and every projector is included.
    """
    if tag.lower().endswith(".gguf"):
        return (FilePattern(escape(tag)), _PROJECTORS)
    letters = "".join(f"[{c.lower()}{c.upper()}]" if c.isalpha() else c for c in tag)
    return (*(FilePattern(f"{before}{letters}{_BEHIND}") for before in ("", "*[!a-zA-Z0-9]")), _PROJECTORS)


def quantisation_of(patterns: Sequence[str]) -> str:
    """Return the quantisation whose patterns these are, in capitals; empty for any others.

    >>> quantisation_of(patterns_of_quantisation("q4_k_m")), quantisation_of(["*.gguf"])
    ('Q4_K_M', '')
    """
    tag = re.sub(r"\[.([A-Z])\]", r"\1", patterns[0].removesuffix(_BEHIND)) if patterns else ""
    is_one = _TAG.fullmatch(tag) and tuple(patterns[:3]) == patterns_of_quantisation(tag)
    return tag if is_one else ""


def selected(patterns: Sequence[str]) -> list[str]:
    """Return what patterns select; a quantisation by its name, because its patterns say little.

    >>> selected([*patterns_of_quantisation("Q4_1"), "!*.md"]), selected(["*.gguf"])
    (['Q4_1', '!*.md'], ['*.gguf'])
    """
    label = quantisation_of(patterns)
    return [label, *patterns[len(patterns_of_quantisation(label)) :]] if label else list(patterns)


def is_projector(path: str) -> bool:
    """Return whether a file is a vision model's projector.

    >>> is_projector("mmproj-F16.gguf"), is_projector("model-F16.gguf")
    (True, False)
    """
    return path in Selection([_PROJECTORS])
