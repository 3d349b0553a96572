"""What a person can take of a repository, and what of it fits: one GGUF of several, or all weights of a format."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from modelshelf.domain.models import FileEntry, select_files, total_size
from modelshelf.domain.names import CommitHash, RefName, RepoId
from modelshelf.domain.patterns import Selection, in_words
from modelshelf.domain.references import Reference, is_projector, patterns_of_quantisation
from modelshelf.domain.tiers import CUSTOM, PRIMARY, SECONDARY
from modelshelf.domain.weight_files import GGUF, MMPROJ, OTHERS, FileGroup, groups_of, include_pattern, is_quantised
from modelshelf.errors import BadInput


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
    patterns: tuple[str, ...]
    """Patterns that select them and what they need; empty for files that can't be taken alone."""
    reference: str
    """The words that select them in `shelf add`; empty for files that can't be taken alone."""
    taken_bytes: int
    """The total size of what these words take: of a vision model its projectors too, or the whole repository."""
    fit: Fit | None = None
    """None for files that aren't weights, and before `fitted`."""

    @property
    def size_bytes(self) -> int:
        """The total size of what is used of it: of a GGUF all that comes with it."""
        return self.taken_bytes if self.group.format == GGUF else self.group.size_bytes

    @property
    def label(self) -> str:
        """What tells it apart, and what comes with it."""
        return f"{self.group.label} + {MMPROJ}" if self.size_bytes > self.group.size_bytes else self.group.label


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

    def of(self, reference: Reference) -> RepoFiles:
        """Return only what a person's words select a file of; all if they select none in particular.

        Raises:
            BadInput: That is nothing.
        """
        selection = Selection(reference.patterns)
        chosen = [one for one in self.choices if any(file.path in selection for file in one.group.files)]
        if all(one.group.format == MMPROJ for one in chosen):  # which every quantisation selects
            tag = reference.quantisation
            what = f"is a GGUF of {tag}" if tag else in_words(reference.patterns)
            hint = f"shelf files {self.reference} lists what it has."
            raise BadInput(f"No file of {self.repo_id} {what}.", hint=hint, hf_path=self.repo_id)
        return replace(self, choices=chosen)

    def meant(self, reference: Reference) -> Choice | None:
        """Return the GGUF model that a person's words select, with no other file but projectors; None: they don't."""
        selection = Selection(reference.patterns)
        files = {file.path for one in self.choices for file in one.group.files if file.path in selection}
        models = {path for path in files if not is_projector(path)}
        return next((one for one in self.ggufs if {file.path for file in one.group.files} == models), None)

    def words_for(self, reference: Reference) -> str:
        """Return the words that select in `shelf add` what a pasted address does."""
        if reference.quantisation:
            return f"{self.repo_id}:{reference.quantisation}{_follows(self.revision)}"
        included = "".join(f" --include {shlex.quote(pattern)}" for pattern in reference.patterns)
        return f"{self.repo_id}{included}{_follows(self.revision)}"

    @property
    def ggufs(self) -> list[Choice]:
        """The GGUF models, smallest first."""
        return [choice for choice in self.choices if choice.group.format == GGUF]


def choices_of(repo_id: RepoId, revision: RefName, files: Sequence[FileEntry]) -> list[Choice]:
    """Return the files of a commit as choices, not yet looking at what fits.

    Args:
        repo_id: The repository.
        revision: The requested revision.
        files: All files of the commit.
    """
    return [_choice(repo_id, revision, group, files) for group in groups_of(files)]


def sizes_to_fit(choices: Iterable[Choice]) -> set[int]:
    """Return the sizes in bytes of which `fitted` has to know where they go."""
    return {size_bytes for one in choices if one.reference for size_bytes in (one.size_bytes, one.taken_bytes)}


def fitted(choices: Iterable[Choice], fits: Mapping[int, Fit]) -> list[Choice]:
    """Return choices with where each goes: memory holds what is used of it, a tier all that is taken.

    Args:
        choices: The choices.
        fits: Where each of `sizes_to_fit` goes.
    """
    return [
        replace(one, fit=replace(fits[one.taken_bytes], memory=fits[one.size_bytes].memory)) if one.reference else one
        for one in choices
    ]


def _choice(repo_id: RepoId, revision: RefName, group: FileGroup, files: Sequence[FileEntry]) -> Choice:
    follows = _follows(revision)
    if group.format in (MMPROJ, OTHERS):
        return Choice(group, (), "", group.size_bytes)
    if group.format != GGUF:
        return Choice(group, (), f"{repo_id}{follows}", total_size(files))
    if patterns := _patterns_of_label(group, files):
        taken_bytes = total_size(select_files(files, patterns))
        return Choice(group, patterns, f"{repo_id}:{group.label}{follows}", taken_bytes)
    pattern = include_pattern(group, files)
    return Choice(group, (pattern,), f"{repo_id} --include '{pattern}'{follows}", group.size_bytes)


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
    why = (
        "no tier has room for one that fits memory"
        if any(f.memory for _, f in pool)
        else "none fits the memory that is free"
    )
    return min((choice for choice, _ in pool), key=_size), f"the smallest: {why}"


def _size(choice: Choice) -> int:
    return choice.size_bytes
