"""Types of outside text that may become part of a path. Calling the type parses; nothing else makes one.

Each is a str that was checked once, at the door through which it came. `store.layout` takes only these types.

>>> CommitHash("c" * 40)[:3], RepoId("gpt2"), Digest("ab" * 32) == "ab" * 32
('ccc', 'gpt2', True)
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import repeat
from pathlib import PurePosixPath
from typing import Self, TypeGuard

from modelshelf.errors import BadInput

COMMIT_HASH = re.compile(r"[0-9a-f]{40}")
SHA256 = re.compile(r"[0-9a-f]{64}")
_DIGEST = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_DIGEST_CHARS = frozenset({40, 64})

_TIER_ID = re.compile(r"[0-9a-f]{32}")

_MAX_NAME_BYTES = 255
"""Longest file name on any Linux file system."""
_MAX_PATH_BYTES = 2048
"""Longest path inside a repository that still fits below a base (PATH_MAX is 4096)."""

_CLIMBS = re.compile(r"(?:^|/)\.{0,2}(?:/|\Z)")
"""A part of a path that is empty, `.` or `..`."""
_ID_PART = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?")
_MAX_NAME_CHARS = 120
_MAX_ID_CHARS = 96
_MODEL_NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._:+-]{{0,{_MAX_NAME_CHARS - 1}}}")
_REVISION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/+@-]{0,249}")
_SYSTEM_FOLDERS = frozenset(
    "/ /bin /boot /dev /etc /home /lib /lib64 /media /mnt /opt /proc /root /run /sbin /srv /sys /tmp /usr /usr/bin"
    " /usr/lib /usr/local /usr/share /var /var/lib /var/log /var/tmp".split()
)

_KERNEL_FOLDERS = frozenset({"proc", "sys"})
"""Folders whose content isn't on a disk."""


def _are_strings(texts: Sequence[object]) -> TypeGuard[Sequence[str]]:
    return set(map(type, texts)) <= {str}


def _shown(text: object) -> str:
    return f"{text}"[:200].encode(errors="replace").decode()


class Digest(str):
    """The digest of a blob: 64 hex (sha256) or 40 hex (git blob sha1).

    Raises:
        BadInput: The text isn't one.
    """

    __slots__ = ()

    def __new__(cls, text: object) -> Self:
        if not isinstance(text, str) or _DIGEST.fullmatch(text) is None:
            raise BadInput(f"{text!r:.80} is not a digest.", digest=_shown(text))
        return super().__new__(cls, text)

    @classmethod
    def each(cls, texts: Sequence[object]) -> list[Self]:
        """Return the digests in texts. It reads them as one, which takes a third of the time; raises as for each."""
        if not _are_digests(texts):
            return [cls(text) for text in texts]
        return list(map(str.__new__, repeat(cls), texts))


def _are_digests(texts: Sequence[object]) -> bool:
    """Return whether all texts are digests; False says nothing."""
    if not _are_strings(texts) or not set(map(len, texts)) <= _DIGEST_CHARS:
        return False
    joined = "".join(texts)
    try:
        return bytes.fromhex(joined).hex() == joined  # neither capitals nor spaces come back
    except ValueError:
        return False


class CommitHash(str):
    """The hash of a commit: 40 hex.

    Raises:
        BadInput: The text isn't one.
    """

    __slots__ = ()

    def __new__(cls, text: object) -> Self:
        if not isinstance(text, str) or not COMMIT_HASH.fullmatch(text):
            raise BadInput(f"{text!r:.80} is not a commit hash.", commit_hash=_shown(text))
        return super().__new__(cls, text)


_ADDRESS = re.compile(
    r"https?://[^/]+/([^/]+/[^/?#]+)(?:/(?:blob|resolve|raw)/[^/?#]+/([^?#]+)(?:[?#].*)?|(?:[/?#].*)?)", re.DOTALL
)
"""The address of a repository, or of a file in it."""


class RepoId(str):
    """The id of a repository: `org/name` or a bare `name`.

    Source: huggingface_hub `validate_repo_id` (at most 96 characters; no `--`, no `..`, no `.git` at the end).

    Raises:
        BadInput: The text isn't one; the hint names the id in a URL.
    """

    __slots__ = ()

    def __new__(cls, text: object) -> Self:
        if not isinstance(text, str) or not is_repo_id(text):
            hint = "A repository id looks like Qwen/Qwen2.5-3B-Instruct."
            if match := _ADDRESS.fullmatch(f"{text}"):
                file = f". Its file goes into allow_patterns: {match[2]}" if match[2] else ""
                hint = f"Leave out the address: {match[1]}{file}"
            elif (repo_id := f"{text}".partition(":")[0]) != text and is_repo_id(repo_id):
                hint = f"Leave out what is behind the colon: {repo_id}. Patterns of files, such as *Q4_K_M*, choose."
            raise BadInput(f"{text!r:.200} is not a repository id.", hint=hint, hf_path=_shown(text))
        return super().__new__(cls, text)


def is_repo_id(text: str) -> bool:
    """Return whether a text is the id of a repository."""
    return len(text) <= _MAX_ID_CHARS and _has_form(text)


@lru_cache(maxsize=2**13)
def _has_form(text: str) -> bool:
    """Return whether a short text has the form of an id. A look at a library asks ten times for each of its ids."""
    parts = text.split("/")
    well_formed = len(parts) <= 2 and all(_ID_PART.fullmatch(part) for part in parts)
    return well_formed and not ("--" in text or ".." in text or text.endswith((".git", ".ipynb")))


class ModelName(str):
    """The name of a registered model: letters, digits and `._:+-`, at most 120.

    Raises:
        BadInput: The text can't name a model.
    """

    __slots__ = ()

    def __new__(cls, text: object) -> Self:
        if not isinstance(text, str) or not _MODEL_NAME.fullmatch(text):
            is_long = isinstance(text, str) and len(text) > _MAX_NAME_CHARS
            hint = "Use letters, digits and . _ : + - and begin with a letter or a digit."
            if is_long:
                hint = f"It has {len(str(text))} characters; use at most {_MAX_NAME_CHARS}."
            raise BadInput(f"{text!r:.200} isn't a model name.", hint=hint, model_name=_shown(text))
        return super().__new__(cls, text)


def with_number(name: ModelName, number: int) -> ModelName:
    """Return a name with a number after it, cut if it gets too long.

    >>> with_number(ModelName("qwen"), 2), len(with_number(ModelName("x" * 120), 10))
    ('qwen-2', 120)
    """
    behind = f"-{number}"
    return ModelName(name[: _MAX_NAME_CHARS - len(behind)] + behind)


CLUTTER = re.compile(r"\.DS_Store|Thumbs\.db|desktop\.ini|\._.*", re.IGNORECASE)
"""Files that file managers leave in any folder: neither refs, nor parts of a model that doesn't list them."""


class RefName(str):
    """A revision as a user, the Hub or a file below `refs` spells it: a branch, a tag, `refs/pr/1` or a commit hash.

    Raises:
        BadInput: The text isn't one, or would leave the folder `refs`.
    """

    __slots__ = ()

    def __new__(cls, text: object) -> Self:
        if not isinstance(text, str) or not _REVISION.fullmatch(text) or not _stays_inside(text):
            hint = "A revision is a branch, a tag, refs/pr/1 or a commit hash."
            raise BadInput(f"{text!r:.200} is not a revision.", hint=hint, revision=_shown(text))
        return super().__new__(cls, text)


class TierId(str):
    """The id of a tier: 32 hex, made when a base is marked.

    Raises:
        BadInput: The text isn't one.
    """

    __slots__ = ()

    def __new__(cls, text: object) -> Self:
        if not isinstance(text, str) or not _TIER_ID.fullmatch(text):
            raise BadInput(f"{text!r:.80} isn't the id of a tier.", tier_id=_shown(text))
        return super().__new__(cls, text)


_OWN_REFS = "refs/shelf/"


def own_ref(model_name: ModelName) -> RefName:
    """Return the ref that protects a registered model's snapshot: `hf cache prune` deletes snapshots without one.

    >>> own_ref(ModelName("gemma:4b"))
    'refs/shelf/gemma@4b'
    """
    return RefName(_OWN_REFS + model_name.replace(":", "@"))  # no model's name has an @, no revision a colon


def holder_of(own: RefName) -> str:
    """Return the name of the model that holds a snapshot by a ref of ours; outside text, for others may write refs.

    >>> holder_of(own_ref(ModelName("gemma:4b")))
    'gemma:4b'
    """
    return own.removeprefix(_OWN_REFS).replace("@", ":")


def is_own_ref(revision: str) -> bool:
    """Return whether a ref is one of ours, which says nothing about the Hub's repository."""
    return revision.startswith(_OWN_REFS)


class FilePath(str):
    """The path of a file inside a repository; it stays inside its snapshot and its names fit a file system.

    Raises:
        BadInput: It is absolute, empty, too long, not UTF-8, or climbs out with `..`.
    """

    __slots__ = ()

    def __new__(cls, text: object) -> Self:
        if not isinstance(text, str) or "\\" in text or "\0" in text or not _stays_inside(text):
            raise BadInput(f"{text!r:.200} is not a file path inside a repository.", path=_shown(text))
        return super().__new__(cls, text)

    @classmethod
    def check(cls, texts: Sequence[object]) -> None:
        """Raise unless each text is such a path; they are read as one, and none is made."""
        if not _stay_inside(texts):
            cls.each(texts)

    @classmethod
    def each(cls, texts: Sequence[object]) -> list[Self]:
        """Return the paths in texts. It reads them as one, which takes a third of the time; raises as for each."""
        if not _stay_inside(texts):
            return [cls(text) for text in texts]
        return list(map(str.__new__, repeat(cls), texts))


def _stay_inside(texts: Sequence[object]) -> bool:
    """Return whether all texts are short ASCII paths that `FilePath` takes; False says nothing."""
    if not _are_strings(texts):
        return False
    joined = "/\0/".join(["", *texts, ""])
    is_plain = joined.isascii() and "\\" not in joined and joined.count("\0") == len(texts) + 1
    climbs = "//" in joined or "/./" in joined or "/../" in joined
    return is_plain and not climbs and max(map(len, texts), default=0) <= _MAX_NAME_BYTES


def _stays_inside(text: str) -> bool:
    if text.isascii() and len(text) <= _MAX_NAME_BYTES:  # most paths: no part of them can be too long
        return _CLIMBS.search(text) is None
    try:
        size_bytes = len(text.encode())
    except UnicodeEncodeError:
        return False
    if size_bytes > _MAX_PATH_BYTES:
        return False
    return all(part not in ("", ".", "..") and len(part.encode()) <= _MAX_NAME_BYTES for part in text.split("/"))


class BasePath(str):
    """An absolute, normalised base: the folder above `hub`, which Hugging Face calls HF_HOME. Links aren't resolved.

    Raises:
        BadInput: It is relative, a system folder, ends in `hub`, or is inside a cache.
    """

    __slots__ = ()

    def __new__(cls, text: object) -> Self:
        if not isinstance(text, str) or "\0" in text or not _is_utf8(text):
            raise BadInput(f"The base {text!r:.200} is not a path.", cache_path=_shown(text))
        return super().__new__(cls, _check_base(text))


class ViewRoot(str):
    """The folder of a view: absolute and normalised, and not a system folder. Links aren't resolved.

    Raises:
        BadInput: It is relative, too long, or a system folder.

    >>> ViewRoot("//home/me/.lmstudio/models/")
    '/home/me/.lmstudio/models'
    """

    __slots__ = ()

    def __new__(cls, text: object) -> Self:
        if not isinstance(text, str) or "\0" in text or not _is_utf8(text):
            raise BadInput(f"The folder {text!r:.200} is not a path.", root=_shown(text))
        pure = PurePosixPath(re.sub("^/+", "/", text))
        if not pure.is_absolute() or ".." in pure.parts or len(text.encode()) > _MAX_PATH_BYTES:
            raise BadInput(f"The folder {text!r:.200} isn't a whole path.", hint="Write the whole path.", root=text)
        if str(pure) in _SYSTEM_FOLDERS or not _KERNEL_FOLDERS.isdisjoint(pure.parts[1:2]):
            raise BadInput(f"{pure} is a system folder.", hint="Name the folder that the program reads.", root=text)
        return super().__new__(cls, str(pure))


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _check_base(path: str) -> str:
    pure = PurePosixPath(re.sub("^/+", "/", path))
    if not pure.is_absolute():
        raise BadInput(f"The base {path!r} is not absolute.", hint="Write the whole path.", cache_path=path)
    if len(path.encode()) > _MAX_PATH_BYTES or any(len(part.encode()) > _MAX_NAME_BYTES for part in pure.parts):
        raise BadInput(f"The base {path!r:.200} is too long.", hint="Use shorter names.", cache_path=path[:200])
    if ".." in pure.parts:
        raise BadInput(f"The base {path!r} contains '..'.", hint="Write the whole path.", cache_path=path)
    inside = [i for i, part in enumerate(pure.parts) if re.match(r"(models|datasets|spaces|kernels)--", part)]
    if inside or pure.name == "hub":
        base = PurePosixPath(*pure.parts[: inside[0]]) if inside else pure
        while base.name == "hub":
            base = base.parent
        if str(base) in _SYSTEM_FOLDERS:
            base /= "llm-models-cache"
        raise BadInput(
            f"{path} is in a hub folder; a base is the folder above 'hub'.",
            hint=f"Use {base}",
            cache_path=path,
            suggestion=str(base),
        )
    in_kernel = not _KERNEL_FOLDERS.isdisjoint(pure.parts[1:2])
    if in_kernel or str(pure) in _SYSTEM_FOLDERS:
        folder = PurePosixPath("/srv") if in_kernel else pure
        raise BadInput(
            f"{path} is a system folder and cannot be a base.",
            hint=f"Use a folder of its own, such as {folder / 'llm-models-cache'}",
            cache_path=path,
        )
    return str(pure)


def is_digest(name: str) -> bool:
    """Return whether a blob's name is a digest: 64 hex (sha256) or 40 hex (git blob sha1)."""
    return _DIGEST.fullmatch(name) is not None
