"""Repository ids, model names, revisions and base paths: the one parser that everything passes, in and out."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from modelshelf.errors import BadInput

REPO_TYPES = ("model", "dataset", "space", "kernel")
COMMIT_HASH = re.compile(r"[0-9a-f]{40}")
SHA256 = re.compile(r"[0-9a-f]{64}")

_ID_PART = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?")
_MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:+-]{0,119}")
_REVISION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/+@-]{0,249}")
_SYSTEM_FOLDERS = frozenset(
    "/ /bin /boot /dev /etc /home /lib /lib64 /media /mnt /opt /proc /root /run /sbin /srv /sys /tmp /usr /usr/bin"
    " /usr/lib /usr/local /usr/share /var /var/lib /var/log /var/tmp".split()
)

_KERNEL_FOLDERS = frozenset({"proc", "sys"})
"""Nothing below these is on a disk."""


def check_repo_id(text: str) -> str:
    """Return `text` when it is a repository id, `org/name` or a bare `name`.

    Source: huggingface_hub `validate_repo_id` (at most 96 characters; no `--`, no `..`, no `.git` at the end).

    Raises:
        BadInput: It is none; the hint names what is meant where a URL was given.
    """
    parts = text.split("/")
    well_formed = len(parts) <= 2 and all(_ID_PART.fullmatch(part) for part in parts)
    if not well_formed or len(text) > 96 or "--" in text or ".." in text or text.endswith((".git", ".ipynb")):
        hint = "A repository id looks like Qwen/Qwen2.5-3B-Instruct."
        if match := re.fullmatch(r"https?://[^/]+/([^/]+/[^/?#]+)(?:[/?#].*)?", text):
            hint = f"Leave the address away: {match[1]}"
        raise BadInput(f"{text!r} is not a repository id.", hint=hint, hf_path=text)
    return text


def check_model_name(text: str) -> str:
    """Return `text` when it can name a model: letters, digits and `._:+-`, at most 120.

    Raises:
        BadInput: It cannot.
    """
    if not _MODEL_NAME.fullmatch(text):
        raise BadInput(
            f"{text!r} cannot name a model.",
            hint="Use letters, digits and . _ : + - and begin with a letter or a digit.",
            model_name=text,
        )
    return text


def check_revision(text: str) -> str:
    """Return `text` when it can be a revision: a branch, a tag, `refs/pr/1` or a commit hash.

    Raises:
        BadInput: It cannot, among them everything that would leave the folder `refs`.
    """
    parts = text.split("/")
    if not _REVISION.fullmatch(text) or any(part in ("", ".", "..") for part in parts):
        raise BadInput(
            f"{text!r} is not a revision.",
            hint="A revision is a branch, a tag, refs/pr/1 or a commit hash.",
            revision=text,
        )
    return text


def check_file_path(path: str) -> str:
    """Return a repository's file path when it stays inside its snapshot.

    Raises:
        BadInput: It is absolute, empty, or climbs out with `..`.
    """
    parts = path.split("/")
    if not path or "\\" in path or "\0" in path or any(part in ("", ".", "..") for part in parts):
        raise BadInput(f"{path!r} is not a file path inside a repository.", path=path)
    return path


def check_base(path: str) -> str:
    """Return an absolute, normalised base path; links are not resolved.

    A base is what Hugging Face calls HF_HOME: the folder above `hub`.

    Raises:
        BadInput: It is relative, a system folder, ends in `hub`, or lies inside a cache.
    """
    pure = PurePosixPath(re.sub("^/+", "/", path))
    if "\0" in path:
        raise BadInput(f"The base {path!r} is not a path.", cache_path=path)
    if not pure.is_absolute():
        raise BadInput(f"The base {path!r} is not absolute.", hint="Write the whole path.", cache_path=path)
    if ".." in pure.parts:
        raise BadInput(f"The base {path!r} climbs with '..'.", hint="Write the whole path.", cache_path=path)
    inside = [i for i, part in enumerate(pure.parts) if re.match(r"(models|datasets|spaces|kernels)--", part)]
    if inside or pure.name == "hub":
        base = PurePosixPath(*pure.parts[: inside[0]]) if inside else pure
        while base.name == "hub":
            base = base.parent
        if str(base) in _SYSTEM_FOLDERS:
            base /= "llm-models-cache"
        raise BadInput(
            f"A path is always the base, the folder above 'hub': {path} is not.",
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


def repo_folder_name(repo_id: str, repo_type: str = "model") -> str:
    """Return the cache folder of a repository.

    >>> repo_folder_name("Qwen/Qwen2.5-3B-Instruct"), repo_folder_name("gpt2")
    ('models--Qwen--Qwen2.5-3B-Instruct', 'models--gpt2')
    """
    return "--".join([f"{repo_type}s", *repo_id.split("/")])


def parse_repo_folder(name: str) -> tuple[str, str] | None:
    """Return the repository type and id of a cache folder; None when it is none.

    The first `--` after the type parts organisation and name; a further one belongs to the name.

    >>> parse_repo_folder("models--org--a--b"), parse_repo_folder("models--gpt2"), parse_repo_folder("models")
    (('model', 'org/a--b'), ('model', 'gpt2'), None)
    """
    kind, separator, rest = name.partition("--")
    if not separator or not rest or kind[:-1] not in REPO_TYPES or kind[-1] != "s":
        return None
    return kind[:-1], rest.replace("--", "/", 1)


def is_digest(name: str) -> bool:
    """Return whether a blob's name is a digest: 64 hex (sha256) or 40 hex (git blob sha1)."""
    return bool(SHA256.fullmatch(name) or COMMIT_HASH.fullmatch(name))
