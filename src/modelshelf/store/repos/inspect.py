"""Inspecting one repository's names: what leads nowhere, what leads out, what is missing, what can't be read.

No byte of a blob is read here; the files to be read are returned. Nothing is changed, and no fault ends the inspection.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path

from modelshelf.domain.models import FileEntry
from modelshelf.domain.names import CommitHash, Digest, RefName, RepoId, is_digest
from modelshelf.domain.repo_folders import parse_repo_folder
from modelshelf.domain.verify_report import Fault, Finding
from modelshelf.errors import BadInput
from modelshelf.store.layout import Base, Repo
from modelshelf.store.probe import is_link
from modelshelf.store.repos import judge, lost_links, recorded, scan, trees
from modelshelf.store.repos.names import RepoNames
from modelshelf.store.repos.recorded import Recorded
from modelshelf.store.repos.verify import Target
from modelshelf.store.small_files import LIST_BYTES, read_small_json


@dataclass(frozen=True, slots=True)
class Wanted:
    """A registered model of the repository, and what it needs here."""

    model_name: str
    revision: RefName
    commit_hash: CommitHash
    files: tuple[FileEntry, ...]
    complete: bool
    """Whether it was once whole; a missing file is then damage."""
    signature: str = ""
    """What the registry noted of its folders then; see `scan.signature`."""


@dataclass(frozen=True, slots=True)
class Sight:
    """The result of inspecting a repository."""

    findings: tuple[Finding, ...]
    targets: tuple[Target, ...]
    """The files to be read, by path."""


def look(base: Base, repo_id: RepoId, repo: Repo, wanted: Sequence[Wanted], *, whole: bool) -> Sight:
    """Return what a repository's names say.

    Args:
        base: Its base.
        repo_id: Its id, for the findings.
        repo: Its folder.
        wanted: Its registered models here.
        whole: Inspect everything in it; otherwise only what `wanted` needs, and its refs.
    """
    seen = _RepoInspection(base, repo_id, repo, wanted, whole, RepoNames(repo))
    seen.run()
    return Sight(tuple(seen.findings), tuple(seen.targets[path] for path in sorted(seen.targets)))


def faults(base: Base, repo_id: RepoId, names: RepoNames, wanted: Sequence[Wanted]) -> list[Finding]:
    """Return what is wrong with the names of a whole repository, as `look` does.

    Of one that is as the registry recorded it only the refs and the lists are read, which no folder vouches for.
    """
    seen = _RepoInspection(base, repo_id, names.repo, wanted, True, names)
    if recorded.is_as_recorded(names, [Recorded(model.commit_hash, model.files, model.signature) for model in wanted]):
        seen.read_refs_and_lists()
    else:
        seen.run()
    return seen.findings


def look_at_hub(base: Base) -> list[Finding]:
    """Return what is wrong with the repositories' folders themselves: one that can't be read, or is a link.

    A repository that is a link to another disk looks whole and loses its weights with the next download into it.
    """
    found: list[Finding] = []
    try:
        with os.scandir(base.hub) as entries:
            for entry in entries:
                parsed = parse_repo_folder(entry.name)
                if parsed and entry.is_symlink() and base.hub.resolve() not in _end_of(Path(entry.path)).parents:
                    fact = str(Path(entry.path).readlink())
                    found.append(Finding(Fault.LINK_LEAVES_BASE, str(base.path), entry.path, parsed[1], fact=fact))
    except FileNotFoundError:
        return []
    except PermissionError:
        return [Finding(Fault.UNREADABLE_FOLDER, str(base.path), str(base.hub))]
    return sorted(found, key=lambda finding: finding.path)


def has_real_files(repo: Repo, commit_hash: CommitHash) -> bool:
    """Return whether a snapshot holds its bytes itself, as without symbolic links."""
    files = scan.walk_files(repo.snapshot(commit_hash))
    return any(not is_link(path) and not judge.link_text(path) for path in files)


@dataclass(slots=True)
class _RepoInspection:
    """One inspection of one repository."""

    base: Base
    repo_id: RepoId
    repo: Repo
    wanted: Sequence[Wanted]
    whole: bool
    walked: RepoNames
    findings: list[Finding] = field(default_factory=list)
    targets: dict[str, Target] = field(default_factory=dict)
    root: Path = field(init=False)
    """The real path of the hub folder; nothing outside is read."""
    names: dict[str, str] = field(default_factory=dict)
    """Digest to the model that needs it."""
    sizes: dict[str, int] = field(default_factory=dict)
    """Digest to the size in bytes by a list of files."""
    lists: dict[str, dict[str, FileEntry]] = field(default_factory=dict)
    """Commit to its files by path: the registry's, else those of its tree."""
    files: dict[str, str] = field(default_factory=dict)
    """Digest to a file with it."""
    owners: dict[tuple[str, str], str] = field(default_factory=dict)
    """Commit and path to the model that needs the file."""
    covered: set[str] = field(default_factory=set)
    """Digests whose missing blob was already reported through a snapshot's link."""
    plain: dict[str, str] = field(default_factory=dict)
    """Blobs that are regular files inside the hub folder, by name, with their real path: most of them."""

    def run(self) -> None:
        """Inspect everything in scope."""
        self.root = self.base.hub.resolve()
        if not _is_missing(self.repo.path) and not _may_enter(self.repo.path):
            model_name = self.wanted[0].model_name if self.wanted else ""
            self._add(Fault.UNREADABLE_FOLDER, self.repo.path, model_name)
            return
        self.plain = dict(_plain_files(self.repo.blobs, self.root))
        self._read_refs()
        for model in self.wanted:
            self.lists.setdefault(model.commit_hash, {}).update({file.path: file for file in model.files})
            for file in model.files:
                self.names.setdefault(file.digest, model.model_name)
                self.owners.setdefault((model.commit_hash, file.path), model.model_name)
        commits = self._commits()
        for commit_hash in commits:
            self._read_tree(commit_hash)
        for files in self.lists.values():
            self.sizes.update({file.digest: file.size_bytes for file in files.values()})
            self.files |= {file.digest: file.path for file in reversed(files.values())} | self.files
        for commit_hash in commits:
            self._look_at_snapshot(commit_hash)
        for model in self.wanted:
            self._look_for_missing(model)
        if self.whole:
            self._look_for_lost_links()
        self._look_at_blobs()

    def read_refs_and_lists(self) -> None:
        """Look at what says which commits and files there are, and at nothing else."""
        commits = set(self.walked.commits)
        self._read_refs(commits)
        for commit_hash in [listed for listed in self.walked.listed_commits if listed in commits]:
            self._read_tree(commit_hash)

    def _commits(self) -> list[CommitHash]:
        if not self.whole:
            return sorted({model.commit_hash for model in self.wanted})
        try:
            return self.walked.commits
        except PermissionError:
            self._add(Fault.UNREADABLE_FOLDER, self.repo.snapshots, "")
            return []

    def _add(
        self, kind: Fault, path: Path, model_name: str, *, commit_hash: str = "", digest: str = "", fact: str = ""
    ) -> None:
        self.findings.append(
            Finding(
                kind=kind,
                base=str(self.base.path),
                path=str(path),
                repo_id=self.repo_id,
                file=self._file_at(path, commit_hash) or self.files.get(digest, ""),
                model_name=model_name,
                digest=digest,
                commit_hash=commit_hash,
                fact=fact,
            )
        )

    def _file_at(self, path: Path, commit_hash: str) -> str:
        folder = f"{self.repo.snapshots}/{commit_hash}/"
        return str(path).removeprefix(folder) if commit_hash and str(path).startswith(folder) else ""

    def _model_of(self, commit_hash: str) -> str:
        return next((model.model_name for model in self.wanted if model.commit_hash == commit_hash), "")

    def _read_refs(self, there: Set[CommitHash] = frozenset()) -> None:
        """Report refs that lead nowhere; those to the commits in `there` lead somewhere."""
        followed = {model.revision: model for model in self.wanted}
        for revision, text in self.walked.ref_texts.items():
            commit = self.walked.refs.get(revision)
            if commit is not None and (commit in there or not _is_missing(f"{self.repo.snapshots}/{commit}")):
                continue
            model = followed.get(revision)
            if model is None and self.walked.arriving:
                continue  # a download writes the ref first
            model_name, ours = (model.model_name, model.commit_hash) if model else ("", "")
            fact = commit or f"{text[:40]!r}"
            self._add(Fault.DANGLING_REF, self.repo.ref(revision), model_name, commit_hash=ours, fact=fact)

    def _read_tree(self, commit_hash: CommitHash) -> None:
        path, kind = self.repo.tree(commit_hash), None
        files: tuple[FileEntry, ...] = ()
        try:
            files = trees.parse(read_small_json(path, LIST_BYTES))
        except FileNotFoundError:
            return
        except PermissionError:
            kind = Fault.UNREADABLE_TREE
        except (OSError, BadInput):
            kind = Fault.BROKEN_TREE
        if kind is not None:
            self._add(kind, path, self._model_of(commit_hash), commit_hash=commit_hash)
        listed: dict[str, FileEntry] = {file.path: file for file in files}
        self.lists[commit_hash] = listed | self.lists.get(commit_hash, {})

    def _look_at_snapshot(self, commit_hash: CommitHash) -> None:
        folder, files = self.repo.snapshot(commit_hash), self.lists.get(commit_hash, {})
        for path in self._walk(folder, commit_hash):
            name = path.relative_to(folder).as_posix()
            model_name = self.owners.get((commit_hash, name), "")
            if not (self.whole or model_name):
                continue
            file = files.get(name)
            text = judge.link_text(path)
            if _is_link(path):
                self._look_at_link(path, commit_hash, model_name, file)
            elif text:
                digest = file.digest if file else text
                self._add(Fault.TEXT_LINK, path, model_name, commit_hash=commit_hash, digest=digest, fact=text)
            elif file is None and (why := judge.why_not(path, name)):
                self._add(Fault.NO_MODEL, path, "", commit_hash=commit_hash, fact=why)
            elif file is not None:
                self._aim(path, path, file.digest, model_name, commit_hash)

    def _look_at_link(self, path: Path, commit_hash: CommitHash, model_name: str, file: FileEntry | None) -> None:
        digest = scan.blob_of(self.repo, path) or ""
        if digest in self.walked.viewed and not model_name:
            return
        wanted = file.digest if file and model_name else digest
        kind = None if digest in self.plain else self._follow(path)[0]
        if kind is not None:
            self.covered.add(digest)
        elif digest != wanted:
            kind = Fault.WRONG_LINK
        if kind is not None:
            self._add(kind, path, model_name, commit_hash=commit_hash, digest=wanted, fact=_text_of(path))

    def _look_for_missing(self, model: Wanted) -> None:
        if not model.complete:
            return
        commit_hash, folder = model.commit_hash, self.repo.snapshot(model.commit_hash)
        for file in model.files:
            if self.owners[commit_hash, file.path] == model.model_name and _is_missing(f"{folder}/{file.path}"):
                path = folder / file.path
                self._add(Fault.MISSING_FILE, path, model.model_name, commit_hash=commit_hash, digest=file.digest)

    def _look_for_lost_links(self) -> None:
        """Report unregistered commits that miss links; a registered model's are missing files."""
        ours = {model.commit_hash for model in self.wanted}
        found = lost_links.find(self.walked)
        if not found and not self.wanted and self.walked.blobs and not self.walked.linked:
            self._add(Fault.LOST_LINKS, self.repo.path, "", fact="All of its files")
        for lost in found:
            if lost.commit_hash not in ours:
                path, fact = self.repo.snapshot(lost.commit_hash), f"{len(lost.files)} of its files"
                self._add(Fault.LOST_LINKS, path, "", fact=fact)

    def _look_at_blobs(self) -> None:
        for path in self._walk(self.repo.blobs, ""):
            if not is_digest(path.name) or not (self.whole or path.name in self.names):
                continue
            digest = Digest(path.name)
            if digest in self.walked.viewed and digest not in self.names:
                continue
            plain = self.plain.get(path.name)
            kind, real = (None, Path(plain)) if plain else self._follow(path)
            if real is not None:
                self._aim(path, real, digest, self.names.get(digest, ""), "")
            elif kind is not None and digest not in self.covered:
                self._add(kind, path, self.names.get(digest, ""), digest=digest, fact=_text_of(path))

    def _aim(self, path: Path, real: Path, digest: Digest, model_name: str, commit_hash: str) -> None:
        self.targets[str(path)] = Target(
            base=str(self.base.path),
            repo_id=self.repo_id,
            path=str(path),
            real=str(real),
            digest=digest,
            size_bytes=self.sizes.get(digest),
            file=self._file_at(path, commit_hash) or self.files.get(digest, ""),
            model_name=model_name,
            commit_hash=commit_hash,
        )

    def _follow(self, path: Path) -> tuple[Fault | None, Path | None]:
        """Return a finding about a name's target, or the regular file inside the hub folder."""
        try:
            real = path.resolve(strict=True)
            is_file = stat.S_ISREG(real.stat().st_mode)
        except PermissionError:
            return Fault.UNREADABLE_FILE, None
        except (OSError, RuntimeError):  # a loop of links is a RuntimeError before Python 3.13
            return Fault.DANGLING_LINK, None
        if self.root not in real.parents:
            return Fault.LINK_LEAVES_BASE, None
        return (None, real) if is_file else (Fault.DANGLING_LINK, None)

    def _walk(self, folder: Path, commit_hash: str) -> Iterator[Path]:
        """Yield every file and link below a folder; a folder that can't be read is a finding."""
        try:
            found = self.walked.listing.entries(str(folder))
        except PermissionError:
            self._add(Fault.UNREADABLE_FOLDER, folder, self._model_of(commit_hash), commit_hash=commit_hash)
            return
        except OSError:
            return
        for entry in found:
            if entry.is_dir(follow_symlinks=False):
                yield from self._walk(Path(entry.path), commit_hash)
            else:
                yield Path(entry.path)


def _plain_files(folder: Path, root: Path) -> Iterator[tuple[str, str]]:
    """Yield a folder's regular files by name, with their real paths; none unless the folder is below `root`."""
    with contextlib.suppress(OSError, RuntimeError):  # an unreadable folder is reported when it is walked
        real = folder.resolve(strict=True)
        if root in real.parents:
            with os.scandir(real) as entries:
                for entry in entries:
                    if stat.S_ISREG(entry.stat(follow_symlinks=False).st_mode):
                        yield entry.name, entry.path


def _may_enter(folder: Path) -> bool:
    effective = os.access in os.supports_effective_ids
    return os.access(folder, os.R_OK | os.X_OK, effective_ids=effective)


def _is_missing(path: Path | str) -> bool:
    """Return whether nothing has this name; False if a folder above it can't be read, which is reported anyway."""
    try:
        os.lstat(path)
    except OSError as err:
        return err.errno in (errno.ENOENT, errno.ENOTDIR)
    return False


def _is_link(path: Path) -> bool:
    try:
        return stat.S_ISLNK(path.lstat().st_mode)
    except OSError:
        return False


def _text_of(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:
        return "nothing that can be followed"


def _end_of(link: Path) -> Path:
    """Return where a link leads; the file system's root for one that leads in a circle."""
    try:
        return link.resolve(strict=True)
    except RuntimeError:  # as a circle is reported before Python 3.13
        return Path("/")
    except OSError as err:
        return Path("/") if err.errno == errno.ELOOP else link.resolve()
