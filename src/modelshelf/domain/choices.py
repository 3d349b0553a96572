"""What a person can take of a repository, and what of it fits: one GGUF of several, or all weights of a format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from modelshelf.domain.models import FileEntry, select_files
from modelshelf.domain.names import CommitHash, RefName, RepoId
from modelshelf.domain.references import is_projector, patterns_of_quantisation
from modelshelf.domain.tiers import CUSTOM, PRIMARY, SECONDARY
from modelshelf.domain.weight_files import GGUF, MMPROJ, OTHERS, FileGroup, groups_of, include_pattern, is_quantised


@dataclass(frozen=True, slots=True)
class Fit:
    """Where something of a size goes now."""

    memory: bool
    """Whether the memory that is free now would hold it in use."""
    cache_location: str | None
    """The tier with room for it: the requested one, or else the secondary; None if neither has."""
    evicts: tuple[str, ...] = ()
    """The models that would be evicted from the primary."""

    @property
    def text(self) -> str:
        """Return where it goes, in a few words."""
        evicts = f", evicts {', '.join(self.evicts)}" if self.evicts else ""
        places = {PRIMARY: f"fits primary{evicts}", SECONDARY: "goes to secondary", CUSTOM: "fits there"}
        return places[self.cache_location] if self.cache_location else "fits nowhere"


@dataclass(frozen=True, slots=True)
class Choice:
    """Files that are taken together."""

    group: FileGroup
    fit: Fit | None
    """None for files that aren't weights."""
    patterns: tuple[str, ...]
    """Patterns that select them and what they need; empty for files that can't be taken alone."""
    reference: str
    """The words that select them in `shelf add`; empty for files that can't be taken alone."""


@dataclass(frozen=True, slots=True)
class RepoFiles:
    """The files of a commit, as choices."""

    repo_id: RepoId
    revision: RefName
    commit_hash: CommitHash
    choices: Sequence[Choice]

    @property
    def reference(self) -> str:
        """The words that select all of them in `shelf add`."""
        return self.repo_id + _follows(self.revision)

    @property
    def ggufs(self) -> list[Choice]:
        """The GGUF models, smallest first."""
        return [choice for choice in self.choices if choice.group.format == GGUF]


def choices_of(repo_id: RepoId, revision: RefName, files: Sequence[FileEntry], fits: Mapping[int, Fit]) -> list[Choice]:
    """Return the files of a commit as choices.

    Args:
        repo_id: The repository.
        revision: The requested revision.
        files: All files of the commit.
        fits: Where each size of `weight_sizes` goes.
    """
    return [_choice(repo_id, revision, group, files, fits) for group in groups_of(files)]


def weight_sizes(files: Sequence[FileEntry]) -> list[int]:
    """Return the sizes of a repository's choices, in bytes, smallest first."""
    return sorted({group.size_bytes for group in groups_of(files) if _is_taken(group)})


def _is_taken(group: FileGroup) -> bool:
    return group.format not in (MMPROJ, OTHERS)


def _choice(
    repo_id: RepoId, revision: RefName, group: FileGroup, files: Sequence[FileEntry], fits: Mapping[int, Fit]
) -> Choice:
    if not _is_taken(group):
        return Choice(group, None, (), "")
    fit, follows = fits[group.size_bytes], _follows(revision)
    if group.format != GGUF:
        return Choice(group, fit, (), f"{repo_id}{follows}")
    if patterns := _patterns_of_label(group, files):
        return Choice(group, fit, patterns, f"{repo_id}:{group.label}{follows}")
    pattern = include_pattern(group, files)
    return Choice(group, fit, (pattern,), f"{repo_id} --include '{pattern}'{follows}")


def _follows(revision: RefName) -> str:
    return "" if revision == "main" else f" --revision {revision}"


def _patterns_of_label(group: FileGroup, files: Sequence[FileEntry]) -> tuple[str, ...]:
    """Return the patterns of `ORG/MODEL:LABEL`, if they select the group and no other model."""
    if "/" in group.label:  # a path, which isn't a tag
        return ()
    patterns = patterns_of_quantisation(group.label)
    taken = [file for file in select_files(files, patterns) if not is_projector(file.path)]
    return patterns if {file.path for file in taken} == {file.path for file in group.files} else ()


def recommended(choices: Sequence[Choice], to: str = PRIMARY) -> tuple[Choice, str]:
    """Return the GGUF model that most people want, and why: the best that fits memory and its tier.

    Files of 16 or 32 bits a weight are left out if there are others: they answer hardly better than 8 bits, and
    take twice the memory.

    Args:
        choices: Those with a fit; at least one.
        to: The target tier: `primary`, `secondary` or `custom`.
    """
    known = [(choice, choice.fit) for choice in choices if choice.fit is not None]
    pool = [pair for pair in known if is_quantised(pair[0].group)] or known
    roomy = [choice for choice, fit in pool if fit.memory and fit.cache_location == to and not fit.evicts]
    if roomy:
        tier = "its tier" if to == CUSTOM else f"the {to}"
        return max(roomy, key=_size), f"the largest up to 8 bits that fits memory and {tier}"
    held = [choice for choice, fit in pool if fit.memory and fit.cache_location is not None]
    if held:
        return max(held, key=_size), "the largest up to 8 bits that fits memory"
    return min((choice for choice, _ in pool), key=_size), "the smallest: none fits the memory that is free"


def _size(choice: Choice) -> int:
    return choice.group.size_bytes
