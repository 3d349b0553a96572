"""The registry: every statement against the database, the same on SQLite and PostgreSQL.

**Concurrency:** each method is one short transaction; none is held while bytes move. SQLite transactions begin
IMMEDIATE, so that two writers queue instead of failing half-way.
"""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.exc import DatabaseError, IntegrityError

from modelshelf.domain.engine_choice import EngineChoice
from modelshelf.domain.jobs import DONE, Cause, Job, JobKind, Moved
from modelshelf.domain.listing import Listing
from modelshelf.domain.models import FileEntry, ModelRow, Registration, select_files, total_size
from modelshelf.domain.names import RepoId
from modelshelf.domain.weight_files import WeightFormat, format_by_names
from modelshelf.errors import BadInput, Conflict, OutOfSpace, ShelfError, Unavailable
from modelshelf.registry import fast_read
from modelshelf.registry.bases import Bases
from modelshelf.registry.changes import Changes
from modelshelf.registry.database import db_now, is_missing, keep_reserve, make_engine, migrate
from modelshelf.registry.jobs import JobTable
from modelshelf.registry.keys import Keys
from modelshelf.registry.leases import Leases
from modelshelf.registry.placements import Placements
from modelshelf.registry.reads import Reads
from modelshelf.registry.reservations import Reservations
from modelshelf.registry.rows import JOB_COLUMNS, columns_of, drop_manifests, new_deletion, new_job
from modelshelf.registry.servers import Servers
from modelshelf.registry.tables import files, jobs, models
from modelshelf.registry.usage_history import UsageHistory
from modelshelf.registry.uses import UseTable
from modelshelf.registry.verified_blobs import VerifiedBlobs
from modelshelf.registry.webhooks import Webhooks

if TYPE_CHECKING:
    from modelshelf.domain.job_params import OldCopy


class Registry(JobTable, UseTable):
    """Models, manifests, tiers and jobs in one database.

    Args:
        url: `sqlite:///…` or `postgresql://…`.
        read_only: Create nothing, for reading: an empty registry that ends with this process stands in for a file
            that doesn't exist, and the reserve for a full disk isn't filled up.

    Raises:
        Unavailable: The database isn't reachable.
    """

    def __init__(self, url: str, *, read_only: bool = False) -> None:
        self.url = url
        self.is_kept = not (read_only and is_missing(url))
        """Whether it outlives this process."""
        self._engine = make_engine(url if self.is_kept else "sqlite://")
        self.bases = Bases(self._engine)
        self.leases = Leases(self._engine)
        self.changes = Changes(self._engine)
        self.verified = VerifiedBlobs(self._engine)
        self.keys = Keys(self._engine)
        self.placements = Placements(self._engine)
        self.reads = Reads(self._engine)
        self.reservations = Reservations(self._engine)
        self.servers = Servers(self._engine)
        self.usage_history = UsageHistory(self._engine)
        self.webhooks = Webhooks(self._engine)
        try:
            migrate(self._engine)
        except DatabaseError as err:
            self.close()
            raise Unavailable(
                f"The registry cannot be opened: {err.orig}.",
                hint="Check DATABASE_URL, and that the primary base can be written.",
            ) from err
        except ShelfError:
            self.close()
            raise
        if not read_only:
            keep_reserve(self._engine)

    @functools.cached_property
    def id(self) -> str:
        """This registry's id, which its bases' markers name."""
        return str(self._read("SELECT id FROM library")[0][0])

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()

    # --- models ---

    def models(
        self,
        *,
        repo_id: str | None = None,
        any_case: str | None = None,
        cache_location: str | None = None,
        model_id: int | None = None,
    ) -> list[ModelRow]:
        """Return models, by name: all, or those that `domain.ports.Reader.models` says."""
        statement, parameters = fast_read.models_query(
            repo_id=repo_id, any_case=any_case, cache_location=cache_location, model_id=model_id
        )
        return fast_read.model_rows(self._read(statement, **parameters))

    def models_of(self, repo_ids: Collection[str]) -> dict[str, list[ModelRow]]:
        """Return the models of some repositories, by name: one statement for who asks about many."""
        if not repo_ids:
            return {}
        wanted = sa.text(f"{fast_read.MODEL_ROWS} WHERE m.hf_path IN :repo_ids ORDER BY m.model_name")
        wanted = wanted.bindparams(sa.bindparam("repo_ids", expanding=True))
        found: dict[str, list[ModelRow]] = {}
        with self._engine.connect() as connection:
            rows = connection.execute(wanted, {"repo_ids": sorted(repo_ids)})
            for row in fast_read.model_rows(tuple(row) for row in rows):
                found.setdefault(row.hf_path, []).append(row)
        return found

    def adapters(self) -> list[ModelRow]:
        """Return the models that are adapters by their files, by name."""
        return fast_read.model_rows(self._read(fast_read.ADAPTERS))

    def idle_or_shared(self, since: float) -> list[ModelRow]:
        """Return the models that neither came nor were used after a time, and those whose repository has several.

        Args:
            since: Seconds since 1970.
        """
        return fast_read.model_rows(self._read(fast_read.IDLE_OR_SHARED, since=since))

    def names(self) -> dict[str, str]:
        """Return the repository of each model by the model's name."""
        return fast_read.model_names(self._read(fast_read.NAMES))

    def listed(self, listing: Listing) -> list[ModelRow]:
        """Return the models that a person wants to see, in that order."""
        statement, parameters = fast_read.listed_query(listing)
        return fast_read.model_rows(self._read(statement, **parameters))

    def model(self, model_name: str) -> ModelRow | None:
        """Return one model."""
        rows = self._read(f"{fast_read.MODEL_ROWS} WHERE m.model_name = :name", name=model_name)
        return next(iter(fast_read.model_rows(rows)), None)

    def strange_models(self, understood: Collection[int]) -> list[str]:
        """Return, in words, the models' rows with invalid values, which all other methods leave out.

        Args:
            understood: The ids of the models that were read.
        """
        found: list[str] = []
        if {row[0] for row in self._read("SELECT id FROM models")} <= set(understood):
            return found
        for row in self._read(f"{fast_read.MODEL_ROWS} ORDER BY m.id"):
            if row[0] in understood:
                continue
            try:
                fast_read.model_row(row)
            except BadInput as err:
                found.append(f"model {row[0]} cannot be understood: {err.detail}")
        return found

    def files(self, repo_id: str, commit_hash: str) -> list[FileEntry]:
        """Return the manifest of a commit, by path."""
        return fast_read.manifest(self._read(fast_read.FILES, hf_path=repo_id, commit=commit_hash))

    def manifests(self) -> dict[tuple[str, str], list[FileEntry]]:
        """Return the manifests of all commits, by repository and commit: one statement for who asks about all."""
        return fast_read.manifests(self._read(fast_read.MANIFESTS))

    def manifests_of(self, repo_ids: Collection[str]) -> dict[tuple[str, str], list[FileEntry]]:
        """Return the manifests of the commits of some repositories: one statement for who asks about many."""
        if not repo_ids:
            return {}
        wanted = sa.text(fast_read.MANIFESTS_OF).bindparams(sa.bindparam("repo_ids", expanding=True))
        with self._engine.connect() as connection:
            rows = connection.execute(wanted, {"repo_ids": sorted(repo_ids)}).all()  # fetched at once
        return fast_read.manifests(rows)

    def unfinished_repos(self) -> set[RepoId]:
        """Return the repositories with files that may still come: of models that aren't whole, or that jobs work on.

        A row that can't be understood is left out, as in every listing.
        """
        at_work = sa.select(jobs.c.model_id).where(jobs.c.finished_at.is_(None), jobs.c.model_id.is_not(None))
        query = sa.select(models.c.hf_path).where(models.c.complete.is_(False) | models.c.id.in_(at_work)).distinct()
        found = set()
        with self._engine.connect() as connection:
            for repo_id in connection.scalars(query):
                with contextlib.suppress(BadInput):
                    found.add(RepoId(repo_id))
        return found

    def add_model(self, wanted: Registration, base: str) -> ModelRow:
        """Add a model; the same registration a second time returns the existing row.

        Raises:
            Conflict: Another registration has the name.
        """
        values = {
            "model_name": wanted.model_name,
            "hf_path": wanted.hf_path,
            "revision": wanted.revision,
            "cache_location": wanted.cache_location,
            "cache_path": base,
            "allow_patterns": json.dumps(list(wanted.allow_patterns)),
            "mirrored": wanted.mirrored,
        }
        defaults = {
            "pinned": wanted.pinned,
            "pin_reason": "",
            "arrived_at": db_now(),
            "complete": False,
            "signature": "",
            "size_bytes": 0,
            "created_at": db_now(),
        }
        try:
            with self._engine.begin() as connection:
                connection.execute(sa.insert(models).values(**values, **defaults))
        except IntegrityError:
            self.check_name(wanted)
        row = self.model(wanted.model_name)
        if row is None:
            raise Conflict(f"{wanted.model_name} was removed while it was being registered.", hint="Try again.")
        return row

    def check_name(self, wanted: Registration) -> None:
        """Raise unless the name is free, or belongs to this very registration.

        Raises:
            Conflict: Another registration has it.
        """
        row = self.model(wanted.model_name)
        if row is None:
            return
        ours = (row.hf_path.lower(), row.revision, row.allow_patterns)  # the hub ignores case
        is_same = ours == (wanted.hf_path.lower(), wanted.revision, wanted.allow_patterns)
        if is_same and row.cache_location != wanted.cache_location:
            raise Conflict(
                f"{row.hf_path} is registered as {row.model_name}, on {row.cache_location}.",
                hint=f"To move it: shelf move {row.model_name} {wanted.cache_path or wanted.cache_location}",
                model_name=row.model_name,
                hf_path=row.hf_path,
            )
        if not is_same:
            files = ", other files" if ours[:2] == (wanted.hf_path.lower(), wanted.revision) else ""
            raise Conflict(
                f"The name {row.model_name} is taken by {row.hf_path} ({row.revision}{files}) on {row.cache_location}.",
                hint=f"Choose another name, or rename that model: shelf rename {row.model_name} NAME",
                model_name=row.model_name,
                hf_path=row.hf_path,
            )

    def set_manifest(self, row: ModelRow, commit_hash: str, manifest: Sequence[FileEntry]) -> None:
        """Pin a model to a commit, and to its repository's spelling in `row`, and store the commit's files.

        The model is incomplete afterwards.
        """
        selected = select_files(manifest, row.allow_patterns)
        entries = [
            {
                "hf_path": row.hf_path,
                "commit_hash": commit_hash,
                "path": f.path,
                "size_bytes": f.size_bytes,
                "digest": f.digest,
            }
            for f in manifest
        ]
        with self._engine.begin() as connection:
            same_commit = (files.c.hf_path == row.hf_path) & (files.c.commit_hash == commit_hash)
            connection.execute(sa.delete(files).where(same_commit))
            if entries:
                connection.execute(sa.insert(files), entries)
            change = {"commit_hash": commit_hash, "size_bytes": total_size(selected), "complete": False}
            change |= {"signature": "", "hf_path": row.hf_path, **columns_of(format_by_names(selected))}
            connection.execute(sa.update(models).where(models.c.id == row.id).values(**change))

    def set_complete(self, model_id: int, signature: str, written: WeightFormat | None = None) -> None:
        """Mark a model as complete: every file was verified and laid out.

        Args:
            model_id: The model.
            signature: The value of `store.repos.scan.signature`.
            written: How its weights are written; None: as its manifest says.
        """
        known = columns_of(written) if written else {}
        self._change_model(model_id, complete=True, signature=signature, arrived_at=db_now(), **known)

    def set_signature(self, model_id: int, signature: str) -> None:
        """Store the signature of a model's folders now that all of its files are there again."""
        self._change_model(model_id, signature=signature)

    def evict(self, row: ModelRow, cause: Cause) -> None:
        """Mark a model whose files are deleted to make room as incomplete; a finished job records why."""
        values = new_job(JobKind.EVICT, row.model_name, None, cause, [row.cache_location])
        values |= {"model_id": row.id, "state": DONE, "finished_at": db_now()}
        with self._engine.begin() as connection:
            change = sa.update(models).where(models.c.id == row.id).values(complete=False, signature="")
            if connection.execute(change).rowcount:
                connection.execute(sa.insert(jobs).values(**values))

    def set_pin(self, model_id: int, *, pinned: bool, reason: str) -> None:
        """Set a person's wish that a model is never evicted, or that it may be."""
        self._change_model(model_id, pinned=pinned, pin_reason=reason)

    def set_engine(self, model_id: int, choice: EngineChoice) -> None:
        """Set what a person chose for a model's engine."""
        self._change_model(model_id, engine=choice.text)

    def rename(self, model_id: int, model_name: str) -> None:
        """Give a model another name.

        Raises:
            Conflict: The name is taken.
        """
        try:
            self._change_model(model_id, model_name=model_name)
        except IntegrityError as err:
            raise Conflict(f"The name {model_name} is taken.", hint="Choose another one.") from err

    def _change_model(self, model_id: int, **values: object) -> None:
        with self._engine.begin() as connection:
            connection.execute(sa.update(models).where(models.c.id == model_id).values(**values))

    def delete_model(self, model_id: int, *copies: OldCopy) -> list[Job]:
        """Delete a model with its jobs, and a manifest that no other model needs.

        Args:
            model_id: The model.
            copies: The parameters of the jobs that delete its files.

        Returns:
            Those jobs; none if the model was already gone.
        """
        added: list[Job] = []
        with self._engine.begin() as connection:
            gone = sa.delete(models).where(models.c.id == model_id).returning(models.c.model_name, models.c.hf_path)
            name, repo_id = connection.execute(gone).one_or_none() or ("", None)
            for copy in copies if name else ():
                job = sa.insert(jobs).values(**new_deletion(name, copy)).returning(*JOB_COLUMNS)
                added.append(Job(*connection.execute(job).one()))
        if name:
            with contextlib.suppress(OutOfSpace):  # a long manifest may be more than a full disk has room for: see gc
                self.drop_manifests(repo_id)
        return added

    def drop_manifests(self, repo_id: str | None = None) -> None:
        """Delete the manifests without a model.

        Args:
            repo_id: Only manifests of this repository.
        """
        with self._engine.begin() as connection:
            drop_manifests(connection, repo_id)

    def moves(self, model_id: int) -> list[Moved]:
        """Return a model's last finished moves, newest first."""
        return fast_read.moves(self._read(fast_read.MOVES, model_id=model_id))

    # --- tiers ---

    def tier_ids(self) -> dict[str, str]:
        """Return the used bases, path to tier id."""
        return self.bases.ids()

    def leaving(self) -> set[tuple[str, str]]:
        """Return base and repository of old copies that wait to be deleted."""
        return fast_read.leaving(self._read(fast_read.LEAVING))

    def damage(self) -> dict[tuple[str, str], str]:
        """Return the stamps of damaged blobs by tier id and digest."""
        return self.verified.damage()

    def _read(self, statement: str, **parameters: object) -> Sequence[Sequence[object]]:
        with self._engine.connect() as connection:
            return connection.execute(sa.text(statement), parameters).all()  # fetched at once
