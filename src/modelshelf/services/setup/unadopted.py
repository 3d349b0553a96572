"""A cheap scan of what other programs downloaded: names and sizes, no byte of a model."""

from __future__ import annotations

from collections.abc import Iterable, Set
from functools import partial
from pathlib import Path

from modelshelf.domain.file_kinds import is_weights
from modelshelf.domain.unadopted import Unadopted
from modelshelf.errors import ShelfError
from modelshelf.store.layout import Base, Repo
from modelshelf.store.locks import bounded
from modelshelf.store.repos import scan, trees
from modelshelf.store.tiers import meter

_ANSWER_WITHIN_S = 5.0


def unadopted(usual: Path, registered: Iterable[str], default: str) -> Unadopted:
    """Return what is unregistered in a base; nothing if the base can't be read or doesn't answer.

    Args:
        usual: The base that Hugging Face programs use.
        registered: The repositories of the registered models.
        default: The default path of `shelf adopt`, with `~` for the home.
    """
    is_default = usual == Path(default).expanduser()
    path = default if is_default else str(usual)
    named = {repo_id.lower() for repo_id in registered}
    try:
        found = bounded(partial(_sizes, Base(usual), named), usual, hang_s=_ANSWER_WITHIN_S)
    except (ShelfError, OSError):
        found = []
    return Unadopted(path, len(found), sum(found), is_default)


def _sizes(base: Base, named: Set[str]) -> list[int]:
    """Return the sizes of the folders of models that have a snapshot and aren't named, in lower case."""
    found = scan.repo_folders(base)
    strange = (base.repo(repo_id) for kind, repo_id, _ in found if kind == "model" and repo_id.lower() not in named)
    return [meter.measure_repo(repo).apparent_bytes for repo in strange if _holds_a_model(repo)]


def _holds_a_model(repo: Repo) -> bool:
    """Return whether a snapshot has weights, or everything that its list names; adopt takes in no tokenizer alone."""
    for commit_hash in scan.snapshots(repo):
        there = {path for path, _ in scan.snapshot_files(repo, commit_hash)}
        listed = {file.path for file in trees.read(repo, commit_hash)}
        if any(map(is_weights, there)) or (listed and listed <= there):
            return True
    return False
