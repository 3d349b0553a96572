"""Models of other programs: linked or copied into a tier, and links in the place of the programs' own files.

A link takes a file's place only after the bytes were read and agreed with their digest, in the program's folder and in
the library. Small files, such as configurations, stay the program's own, for it may write to them.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from modelshelf.domain.adopt import Adoption, Order
from modelshelf.domain.adopt_inventory import FoundModel, Origin
from modelshelf.domain.file_kinds import is_weights
from modelshelf.domain.made_up_commits import make_up
from modelshelf.domain.models import FileEntry, Model, State
from modelshelf.domain.names import Digest, ModelName, RepoId, ViewRoot
from modelshelf.domain.views import Link, SourceFile
from modelshelf.errors import Conflict, Corrupt, ShelfError
from modelshelf.services.adopt.import_models import ModelImporter, hashed, revision_of
from modelshelf.services.catalog.models import Library
from modelshelf.services.jobs.progress import Counter
from modelshelf.services.jobs.running import Running
from modelshelf.services.space.reservations import Reservation
from modelshelf.services.views.stand_ins import StandIns
from modelshelf.store import fs, locks
from modelshelf.store.adopt import hand_over
from modelshelf.store.blobs import copy, link_or_clone
from modelshelf.store.blobs.partial import file_agrees
from modelshelf.store.gc import open_files
from modelshelf.store.layout import Base
from modelshelf.store.os_errors import of_os_error
from modelshelf.store.probe import is_link, is_real_file, is_there
from modelshelf.store.repos import scan, snapshot, trees
from modelshelf.store.repos.materialize import lay_out


@dataclass(frozen=True, slots=True)
class Read:
    """Another program's model whose bytes were read."""

    found: FoundModel
    """With all digests and a commit."""
    stamps: Mapping[str, str]
    """By path on the disk, each file's stamp from before it was read."""


@dataclass(frozen=True, slots=True)
class OtherPrograms:
    """Takes in what other programs downloaded."""

    library: Library
    importer: ModelImporter
    stand_ins: StandIns

    # --- what is there ---

    def recognise(self, found: FoundModel) -> FoundModel:
        """Return a foreign model with its made-up commit, if its files were linked into a tier."""
        if found.commit_hash:
            return found
        for row in self.library.reader.models(repo_id=found.repo_id):
            if row.commit_hash and row.complete:
                folder = Base(Path(self.library.base_of(row))).repo(row.hf_path).snapshot(row.commit_hash)
                if all(scan.is_same(folder / path, Path(source)) for path, source in found.sources):
                    return replace(found, commit_hash=row.commit_hash)
        return found

    def is_linked(self, found: FoundModel) -> bool:
        """Return whether weights of a model are links into a tier already, whoever made them."""
        hubs = [os.path.realpath(Base(Path(tier.base)).hub) for tier in self.importer.tiers.all()]
        links = [source for path, source in found.sources if is_weights(path) and is_link(Path(source))]
        return any(os.path.realpath(link).startswith(f"{hub}/") for link in links for hub in hubs)

    def stands_in(self, root: Path) -> bool:
        """Return whether links stand in for files of a folder."""
        return self.stand_ins.are_in(ViewRoot(str(root)))

    def why_kept(self, found: FoundModel, target: str) -> str:
        """Return why links can't take the place of a model's weights, in a sentence; empty if they can."""
        written, owners = open_files.written(), _owners(target)
        for path, source in found.sources:
            if is_weights(path) and (why := hand_over.why_kept(Path(source), owners, written)):
                return f"{source} {why}."
        return ""

    # --- taking in ---

    def read(self, found: FoundModel, running: Running) -> Read:
        """Read a model's files; return it with all digests and a commit.

        Raises:
            Corrupt: A file doesn't match its program's digest.
        """
        sources = dict(found.sources)
        stamps = {source: scan.stamp(Path(source)) for source in sources.values()}
        running.progress.phase("reading", found.size_bytes)
        files = []
        for file in found.files:
            source = Path(sources[file.path])
            if not file.digest:
                file = replace(file, digest=hashed(source, running))  # noqa: PLW2901
            elif not file_agrees(source, file.digest):
                raise Corrupt(f"{source} doesn't match the digest that its program recorded.", path=str(source))
            files.append(file)
        found = replace(found, files=tuple(files))
        digests = {file.path: file.digest for file in found.entries}
        return Read(replace(found, commit_hash=found.commit_hash or make_up(found.repo_id, digests)), stamps)

    def is_registered(self, found: FoundModel) -> bool:
        """Return whether a model that was read is registered and whole."""
        rows = self.library.reader.models(repo_id=found.repo_id)
        return any(row.complete and row.commit_hash == found.commit_hash for row in rows)

    def bring(
        self, adoption: Adoption, order: Order, running: Running, *, copies: bool, shares_small: bool = True
    ) -> str:
        """Bring a model that was read into the target and register it; return how its bytes came.

        Its own files stay as they are. **Crash:** blobs that arrived are found by the next run.

        Args:
            adoption: The model, with all digests.
            order: Where it goes.
            running: The job.
            copies: Whether it may be copied if it can't be linked.
            shares_small: Whether files that aren't weights may be one file with the program's own.

        Raises:
            Conflict: It can't be linked, and copying wasn't asked for.
            OutOfSpace: It doesn't fit.
        """
        found = adoption.found
        base = Base(Path(order.target))
        with self.importer.room(order, found.size_bytes, running) as reservation:
            sources = dict(found.sources)
            first = Path(max(found.sources, key=lambda source: is_weights(source[0]))[1])
            method = link_or_clone.probe_share(base.path, first, base.own)
            if method == "copy" and not copies:
                why = link_or_clone.why_not_linked(base.path, first, base.own)
                raise Conflict(f"{found.place} can only be copied to {order.target}: {why}", hint="--copy copies it.")
            running.progress.phase("bringing", found.size_bytes)
            for file in found.entries:
                source, shares = Path(sources[file.path]), shares_small or is_weights(file.path)
                lock = base.part_lock(file.digest)
                with locks.wait_lock(base.path, lock, self.importer.clock, check=running.progress.check):
                    _bring_file(base, found.repo, file, source, running, reservation, shares=shares)
            with locks.wait_lock(base.path, base.repo_lock(found.repo), self.importer.clock):
                self._lay_out(base, found)
            away = replace(order, base=order.target, location=order.target_location)
            if not self.importer.add(away, [adoption]):
                raise Conflict(f"The name {adoption.model_name} was taken meanwhile: run the command again.")
        return {"link": "linked", "reflink": "reflinked"}.get(method, "copied")

    def _lay_out(self, base: Base, found: FoundModel) -> None:
        repo, commit_hash, files = base.repo(found.repo), found.commit, found.entries
        lay_out(base, repo, commit_hash, files, Counter(), symlinks=self.importer.tiers.links(base))
        # Files without a list may be part of a commit of the Hub's, but are all of a made-up one.
        listed = files if found.kind.is_foreign and found.kind is not Origin.LOCAL_DIR else found.listed
        if listed and not is_there(repo.tree(commit_hash)):
            trees.write(repo, commit_hash, listed)
        snapshot.set_refs(repo, {revision_of(found): commit_hash}, overwrite=False)

    # --- links in place of files ---

    def holder(self, found: FoundModel) -> tuple[Model, dict[str, SourceFile]] | None:
        """Return a whole model that has all weights of a model that was read, and which of its files each is.

        It may be another repository's: one file has many names on the Hub, and one copy is enough.
        """
        weights = {file.path: file.digest for file in found.entries if is_weights(file.path)}
        own = [model for model in self.library.models() if model.hf_path == found.repo_id]
        for model in [*own, *(model for model in self.library.models() if model.hf_path != found.repo_id)]:
            if model.state is State.READY:
                there = {file.digest: file.path for file in self.library.files(model.row)}
                if weights.keys() and there.keys() >= set(weights.values()):
                    return model, {path: SourceFile(model.hf_path, there[d]) for path, d in weights.items()}
        return None

    def stand_in(self, read: Read, order: Order, running: Running) -> list[str]:
        """Let links take the place of a model's weights; return what stayed, in sentences.

        Raises:
            Conflict: No whole model has them.
            Corrupt: The library's copy is damaged: the program's files stay.
        """
        held = self.holder(read.found)
        if held is None:
            raise Conflict(f"{read.found.repo_id} isn't here: run the command again.")
        model, where = held
        self._check(model, read.found, where, running)
        root, sources = Path(order.base), dict(read.found.sources)
        places, stamps = dict[str, SourceFile](), dict[str, str]()
        for path, source in where.items():
            for file, stamp in self._twins(read, path, Path(sources[path]), running):
                places[file.relative_to(root).as_posix()] = source
                stamps[str(file)] = stamp
        put = partial(_put, root, stamps, _owners(order.target))
        stayed = self.stand_ins.take_places(ViewRoot(str(root)), places, [ModelName(model.row.model_name)], put)
        return [f"{root / path} {why}: it stays." for path, why in stayed.items()]

    def give_back(self, root: Path) -> None:
        """Put files into the places that links took; see `StandIns.give_back`."""
        self.stand_ins.give_back(
            ViewRoot(str(root)), lambda path, link: fs.put_file(root, root / path, Path(os.path.realpath(link.target)))
        )

    def _check(self, model: Model, found: FoundModel, where: Mapping[str, SourceFile], running: Running) -> None:
        """Read the library's copy, unless it is the program's file itself, which was just read."""
        assert model.path is not None
        digests: dict[str, Digest] = {file.path: file.digest for file in found.entries}
        sources = dict(found.sources)
        for path, source in where.items():
            here = Path(model.path, source.path)
            if not scan.is_same(here, Path(sources[path])):
                running.progress.check()
                if not file_agrees(here, digests[path]):
                    name = model.row.model_name
                    raise Corrupt(
                        f"{name} in the library is damaged: {source.path}. {found.place} stays as it is.",
                        hint=f"shelf verify {name} --repair",
                    )

    def _twins(self, read: Read, path: str, source: Path, running: Running) -> list[tuple[Path, str]]:
        """Return the files of a program that have these bytes, with their stamps: a clone has an object checked out."""
        found = [(source, read.stamps[str(source)])]
        checked_out = Path(read.found.place, path)
        if read.found.kind is Origin.GIT and checked_out != source and is_real_file(checked_out):
            stamp = scan.stamp(checked_out)
            digest = next(file.digest for file in read.found.entries if file.path == path)
            if checked_out.stat().st_size == source.stat().st_size and hashed(checked_out, running) == digest:
                found.append((checked_out, stamp))
        return found


def _put(root: Path, stamps: Mapping[str, str], owners: frozenset[int], path: str, link: Link) -> str:
    """Replace a program's file; return why not, as the end of a sentence."""
    file = root / path
    try:
        why = hand_over.why_kept(file, owners, open_files.written())
        return why or hand_over.put_link(root, file, link.target, stamps[str(file)])
    except ShelfError as err:
        return f"can't be replaced ({err.detail})"
    except OSError as err:
        return f"can't be replaced ({of_os_error(err).detail})"


def _owners(target: str) -> frozenset[int]:
    """Return the ids of the users whose files may be replaced: this one, and the library's."""
    with contextlib.suppress(OSError):
        return frozenset({os.geteuid(), Path(target).stat().st_uid})
    return frozenset({os.geteuid()})


def _bring_file(
    base: Base,
    repo_id: RepoId,
    file: FileEntry,
    source: Path,
    running: Running,
    reservation: Reservation,
    *,
    shares: bool,
) -> None:
    repo = base.repo(repo_id)
    if scan.has_blob(repo, file.digest, file.size_bytes):
        running.progress.advance(file.size_bytes)
        reservation.wrote(file.size_bytes)
    else:
        bring = copy.bring if shares else copy.copy_blob
        bring(source, base, file.digest, file.size_bytes, repo.blob(file.digest), running.progress, reservation.wrote)
