"""The names of repositories' folders in a cache, as huggingface_hub makes them."""

from __future__ import annotations

from functools import lru_cache

from modelshelf.domain.names import RepoId, is_repo_id

REPO_TYPES = ("model", "dataset", "space", "kernel")


def repo_folder_name(repo_id: RepoId, repo_type: str = "model") -> str:
    """Return the cache folder of a repository.

    >>> repo_folder_name(RepoId("Qwen/Qwen2.5-3B-Instruct")), repo_folder_name(RepoId("gpt2"))
    ('models--Qwen--Qwen2.5-3B-Instruct', 'models--gpt2')
    """
    return "--".join([f"{repo_type}s", *repo_id.split("/")])


@lru_cache(maxsize=2**13)
def parse_repo_folder(name: str) -> tuple[str, RepoId] | None:
    """Return the repository type and id of a cache folder; None if it isn't one, or has an invalid id.

    A look at a library asks several times for each of its folders.

    >>> parse_repo_folder("models--org--a"), parse_repo_folder("models--gpt2"), parse_repo_folder("models--org--a--b")
    (('model', 'org/a'), ('model', 'gpt2'), None)
    """
    if not looks_like_repo(name):
        return None
    kind, _, rest = name.partition("--")
    repo_id = rest.replace("--", "/")
    return (kind[:-1], RepoId(repo_id)) if is_repo_id(repo_id) else None


def looks_like_repo(name: str) -> bool:
    """Return whether a folder is named as huggingface_hub names a repository's, for any id.

    >>> looks_like_repo("models--org--a--b"), looks_like_repo("models"), looks_like_repo("blobs")
    (True, False, False)
    """
    kind, _, rest = name.partition("--")
    return bool(rest) and kind[-1:] == "s" and kind[:-1] in REPO_TYPES
