"""Reading: which models there are, where they are and whether they are whole. Nothing is changed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from modelshelf.domain.jobs import QUEUED, RUNNING, Moved
from modelshelf.domain.listing import EVERYTHING, Listing
from modelshelf.domain.models import (
    FileEntry,
    Model,
    ModelRow,
    State,
    may_be_short,
    select_files,
    state_of,
)
from modelshelf.domain.names import CommitHash, RepoId
from modelshelf.domain.references import is_reference, parse_reference
from modelshelf.domain.suggestions import names_meant
from modelshelf.domain.tiers import Tiers
from modelshelf.errors import BadInput, Conflict, NotFound, Unavailable
from modelshelf.store.known_bases import KnownBases
from modelshelf.store.layout import Base, Repo
from modelshelf.store.repos import scan
from modelshelf.store.tiers import marker

if TYPE_CHECKING:
    from modelshelf.domain.ports import Reader  # the protocols name all that is told of engines and downloads

Sign = Callable[[Repo, CommitHash], str]
_MANY = 50
"""From so many models on the files of all are read in one statement."""


@dataclass(frozen=True, slots=True)
class Library:
    """The registered models as they are now."""

    reader: Reader
    tiers: Tiers
    known: KnownBases

    def models(self, listing: Listing = EVERYTHING) -> list[Model]:
        """Return models, by default all, by name."""
        return self.at(self.reader.listed(listing))

    def places(self, signature: Sign = scan.signature) -> Places:
        """Return a look at where models are, which asks each base once.

        Args:
            signature: Returns the signature of a snapshot's folders, or what it was when somebody looked.
        """
        ids = self.known.load() | self.reader.tier_ids()
        return Places(self.reader, self.tiers, ids, Manifests(self.reader), signature)

    def at(self, rows: Sequence[ModelRow], signature: Sign = scan.signature) -> list[Model]:
        """Return the models of rows that were read already, as they are now; see `places`."""
        look = self.places(signature)
        return [look.at(row) for row in rows]

    def model(self, model_name: str) -> Model:
        """Return one model.

        Raises:
            NotFound: There is no such model.
        """
        look = self.places()
        return look.at(self.row(model_name))

    def row(self, model_name: str) -> ModelRow:
        """Return one model's row.

        Raises:
            NotFound: There is no such model.
        """
        row = self.reader.model(model_name)
        if row is None:
            hint = self._instead_of(model_name)
            raise NotFound(f"There is no model {model_name or repr(model_name)}.", hint=hint, model_name=model_name)
        return row

    def _instead_of(self, model_name: str) -> str:
        """Return what to do about a name that no model has; a repository never leads to another one."""
        repo_ids = self.reader.names()
        is_of_hub = "/" in model_name and is_reference(model_name)
        if is_of_hub:
            wanted = parse_reference(model_name).repo_id.lower()
            meant = [name for name, repo_id in repo_ids.items() if repo_id.lower() == wanted]
        else:
            meant = names_meant(model_name, repo_ids)
        if meant:
            return f"Did you mean {' or '.join(meant)}?"
        return f"To register and download it: shelf add {model_name}" if is_of_hub else "shelf ls lists them."

    def files(self, row: ModelRow) -> list[FileEntry]:
        """Return a model's selected files; none until its commit is known."""
        return Manifests(self.reader).selected(row)

    def moves(self, row: ModelRow) -> list[Moved]:
        """Return a model's last moves, newest first, with their causes."""
        return self.reader.moves(row.id)

    def missing(self, model: Model) -> list[FileEntry]:
        """Return a model's files that aren't on the disk with the right size."""
        if model.row.commit_hash is None:
            return []
        repo = Base(Path(model.base)).repo(model.row.hf_path)
        return scan.missing_files(repo, model.row.commit_hash, self.files(model.row))

    def base_of(self, row: ModelRow) -> str:
        """Return the base that a model resolves to in this process, or the stored one if it resolves to none."""
        try:
            return self.tiers.resolve(row.cache_location, row.cache_path).base
        except BadInput:
            return row.cache_path

    def why_away(self, repo_id: str) -> str:
        """Return why copies of a repository can't be read now; empty if none is known to be offline."""
        look = self.places()
        found = (look.at(row) for row in self.reader.models(repo_id=repo_id) if row.complete)
        return next((model.detail for model in found if model.state is State.OFFLINE), "")

    def needed_paths(
        self, base: Base, repo_id: RepoId, commit_hash: CommitHash, *, gone: Collection[int] = ()
    ) -> set[str]:
        """Return the files of a commit that registered models need in a base.

        Args:
            base: The base.
            repo_id: The repository.
            commit_hash: The commit.
            gone: Ids of models to ignore.
        """
        needed: set[str] = set()
        for row in self.reader.models(repo_id=repo_id):
            is_same = row.commit_hash == commit_hash and row.id not in gone
            if is_same and self.base_of(row) == str(base.path):
                needed |= {file.path for file in self.files(row)}
        return needed

    def needed_digests(
        self,
        base: Base,
        repo_id: RepoId,
        commit_hash: CommitHash,
        rows: Sequence[ModelRow] | None = None,
        gone: Collection[int] = (),
    ) -> set[str]:
        """Return the blobs in a base that registered models of a repository's other commits need, there or not.

        Args:
            base: The base.
            repo_id: The repository.
            commit_hash: The commit to ignore.
            rows: The models of the repository, if they were already read.
            gone: Ids of models to ignore.
        """
        needed: set[str] = set()
        for row in self.reader.models(repo_id=repo_id) if rows is None else rows:
            is_other = row.commit_hash != commit_hash and row.id not in gone
            if is_other and self.base_of(row) == str(base.path):
                needed |= {file.digest for file in self.files(row)}
        return needed

    def ready(self, model_name: str) -> Model:
        """Return a model that can be loaded.

        Raises:
            NotFound: There is no such model.
            Unavailable: Its tier is offline.
            Conflict: It isn't whole; says why and what to do.
        """
        model = self.model(model_name)
        while model.state not in (State.READY, State.MOVING) and self._is_elsewhere(model):
            model = self.model(model_name)  # it moved, or took another commit, in the meantime
        if model.state in (State.READY, State.MOVING):
            return model
        detail = f"{model_name} is {model.state}: {model.detail}"
        if model.state is State.OFFLINE:
            raise Unavailable(detail, hint="Mount its drive.", model_name=model_name, state=model.state.value)
        hint = "" if "shelf " in model.detail else f"shelf pull {model_name}"
        raise Conflict(detail, hint=hint, model_name=model_name, state=model.state.value)

    def _is_elsewhere(self, model: Model) -> bool:
        row = self.row(model.row.model_name)
        return self.base_of(row) != model.base or row.commit_hash != model.row.commit_hash

    def path(self, model_name: str) -> Path:
        """Return the snapshot folder of a model that can be loaded; raises as `ready` does."""
        path = self.ready(model_name).path
        assert path is not None
        return Path(path)


def without_the_dead(row: ModelRow) -> ModelRow:
    """Return a model whose job is queued again if the process that ran it is dead."""
    if row.job_state != RUNNING:
        return row
    from modelshelf.services.jobs.process import is_alive

    if is_alive(row.job_owner) is not False:
        return row
    detail = "The process that worked on it died. Run the same command again, or start a server: it goes on from there."
    return replace(row, job_state=QUEUED, job_detail=detail)


@dataclass(slots=True)
class Manifests:
    """The files of models at one time, read one by one, and after many of these all of the registry at once."""

    reader: Reader
    asked: int = 0
    """How many were read one by one."""
    every: Mapping[tuple[str, str], list[FileEntry]] | None = None
    """What `Reader.manifests` returns, once many were asked for."""

    def of(self, row: ModelRow) -> list[FileEntry]:
        """Return the files of a model's commit; none until that is known."""
        if row.commit_hash is None:
            return []
        self.asked += 1
        if self.every is None and self.asked > _MANY:
            self.every = self.reader.manifests()
        if self.every is not None:
            return self.every.get((row.hf_path, row.commit_hash), [])
        return self.reader.files(row.hf_path, row.commit_hash)

    def selected(self, row: ModelRow) -> list[FileEntry]:
        """Return a model's selected files."""
        return select_files(self.of(row), row.allow_patterns)


@dataclass(slots=True)
class Places:
    """One read of the disks, which asks each base once whether it is online."""

    reader: Reader
    tiers: Tiers
    known_ids: Mapping[str, str]
    manifests: Manifests
    signature: Sign
    """Returns the signature of a snapshot's folders."""
    bases: dict[str, Base] = field(default_factory=dict)
    offline: dict[tuple[str, bool], str] = field(default_factory=dict)
    """Why a base can't be read, by its path and whether it must have been used."""
    writable: dict[str, bool] = field(default_factory=dict)
    damage: dict[tuple[str, str], str] | None = None
    """What `Reader.damage` returns, once it was called."""

    def at(self, row: ModelRow) -> Model:
        """Return a model with its state now."""
        row = without_the_dead(row)
        base_path, offline = self.where(row)
        if base_path not in self.bases:
            return Model(row, base_path, None, State.OFFLINE, offline)
        repo = self.bases[base_path].repo(row.hf_path)
        if row.commit_hash is None or offline:
            path = repo.folders_of(row.commit_hash)[0] if row.commit_hash else None
            return Model(row, base_path, path, *state_of(row, offline, missing_files=0, files=0))
        missing, files, linkable = self._count(repo, row, row.commit_hash)
        damaged = "" if missing else self._damaged(self.bases[base_path], row, row.commit_hash)
        state, detail = state_of(row, "", missing_files=missing, files=files, damaged=damaged, linkable=linkable)
        is_unlisted = state is State.READY and self._is_unlisted(row)
        if state is State.READY:
            detail = self._beside_ready(base_path, is_unlisted=is_unlisted)
        return Model(row, base_path, repo.folders_of(row.commit_hash)[0], state, detail, is_unlisted)

    def where(self, row: ModelRow) -> tuple[str, str]:
        """Return the base that a model resolves to, and why it can't be read, in a sentence; empty if it can."""
        try:
            base_path = self.tiers.resolve(row.cache_location, row.cache_path).base
        except BadInput as err:
            return row.cache_path, err.detail
        if base_path not in self.bases:
            self.bases[base_path] = Base(Path(base_path))
        if (base_path, row.complete) not in self.offline:
            self.offline[base_path, row.complete] = self._why_offline(base_path, known=row.complete)
        return base_path, self.offline[base_path, row.complete]

    def _why_offline(self, base_path: str, *, known: bool) -> str:
        """Return why a base can't be read; a base with a complete model counts as used, even if nobody remembers it."""
        known_id = self.known_ids.get(base_path, "" if known else None)
        reason = marker.why_offline(self.bases[base_path], known_id)
        if reason and known_id:
            for other, other_id in self.known_ids.items():
                if other_id == known_id and marker.read_id(Base(Path(other))) == known_id:
                    return f"{reason} Its drive is at {other} now: shelf reconcile updates where its models are."
        return reason

    def _beside_ready(self, base_path: str, *, is_unlisted: bool) -> str:
        """Return what else to say about a model that can be loaded, in a sentence or two."""
        known = []
        if not self._is_writable(base_path):
            known.append(f"{base_path} is read-only: it can be loaded, not changed.")
        if is_unlisted:
            known.append("The list of its commit isn't here: the repository may have more files.")
        return " ".join(known)

    def _is_unlisted(self, row: ModelRow) -> bool:
        """Return whether a model's list is only what adopt found, so the commit may have more files."""
        if row.commit_hash is None or not all(pattern.name for pattern in row.allow_patterns):
            return False
        return bool(row.allow_patterns) and may_be_short(self.manifests.of(row), row.allow_patterns)

    def _is_writable(self, base_path: str) -> bool:
        if base_path not in self.writable:
            self.writable[base_path] = marker.is_writable(self.bases[base_path])
        return self.writable[base_path]

    def _count(self, repo: Repo, row: ModelRow, commit_hash: CommitHash) -> tuple[int, int, int]:
        """Return how many files are missing, of how many, and how many of these lack only a link to their blob.

        If the folders' mtimes match the saved signature, nothing is missing.
        """
        if row.complete and row.signature and self.signature(repo, commit_hash) == row.signature:
            return 0, 1, 0
        files = self.manifests.selected(row)
        missing = scan.missing_files(repo, commit_hash, files)
        blobs = scan.blob_sizes(repo) if missing and row.complete else {}
        linkable = sum(blobs.get(file.digest) == file.size_bytes for file in missing)
        return len(missing), len(files), linkable

    def _damaged(self, base: Base, row: ModelRow, commit_hash: CommitHash) -> str:
        """Return a file that was found damaged and wasn't written since; empty without one."""
        if self.damage is None:
            self.damage = self.reader.damage()
        if not self.damage:
            return ""
        tier_id, folder = marker.read_id(base) or "", base.repo(row.hf_path).snapshot(commit_hash)
        files = self.manifests.selected(row)
        stamps = ((f.path, self.damage.get((tier_id, f.digest))) for f in files)
        return next((path for path, stamp in stamps if stamp and stamp == scan.stamp(folder / path)), "")


def environment(model: Model, tiers: Tiers) -> dict[str, str | None]:
    """Return the variables with which any Hugging Face program finds a model offline; None: unset it.

    The older names are unset, because HF_HUB_CACHE overrides HF_HOME. The primary base is set, because by
    default it is HF_HOME, which the program gets another value for.

    Source: huggingface_hub `constants.py`; transformers 5 reads the same.
    """
    base = Base(Path(model.base))
    return {
        "HF_HOME": model.base,
        "HF_HUB_CACHE": str(base.hub),
        "HUGGINGFACE_HUB_CACHE": None,
        "TRANSFORMERS_CACHE": None,
        "HF_HUB_OFFLINE": "1",
        "PRIMARY_CACHE_PATH": tiers.primary.base,
        "SHELF_MODEL_NAME": model.row.model_name,
        "SHELF_MODEL_PATH": model.path,
        "SHELF_MODEL_REPO": model.row.hf_path,
    }
