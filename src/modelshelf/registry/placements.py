"""Where models are and at which commit: changes that apply only if nothing else has changed the model.

**Concurrency:** the condition is in the statement itself, so that a decision based on an earlier scan never overwrites
what another process did since.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from modelshelf.domain.jobs import DONE, UNFINISHED, Cause
from modelshelf.domain.models import FileEntry, Mirrored, ModelRow, select_files, total_size
from modelshelf.domain.sidecars import Sidecar
from modelshelf.domain.tiers import CUSTOM
from modelshelf.domain.weight_files import WeightFormat, format_by_names
from modelshelf.errors import NotFound
from modelshelf.registry.database import db_now
from modelshelf.registry.fast_read import model_rows, models_query
from modelshelf.registry.rows import columns_of, drop_manifests, new_deletion
from modelshelf.registry.tables import files, jobs, models

if TYPE_CHECKING:
    from modelshelf.domain.job_params import OldCopy

_NEW = sa.insert(models).values(created_at=db_now(), arrived_at=db_now())


@dataclass(frozen=True, slots=True)
class Arrival:
    """A model at a place."""

    sidecar: Sidecar
    cache_location: str
    """Its tier."""
    base: str
    complete: bool
    """Whether all of it is there."""
    signature: str = ""
    """The value of `store.repos.scan.signature`, if so."""
    written: WeightFormat | None = None
    """How its weights are written; None: as the names of its files say."""


class Placements:
    """Changes of where a model is."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def switch(
        self,
        model_id: int,
        cache_location: str,
        base: str,
        signature: str,
        old_copy: OldCopy | None,
        *,
        job_id: int,
        commit_hash: str | None = None,
    ) -> int | None:
        """Switch a model to another tier, on which every file of it is verified and laid out.

        This ends the move: a process that dies afterwards leaves no job that would move the model again.

        Args:
            model_id: The model.
            cache_location: The tier.
            base: Its base.
            signature: The value of `store.repos.scan.signature` there.
            old_copy: The parameters of the job that deletes the old copy; None: it stays.
            job_id: The move's job.
            commit_hash: The commit there; None: the model's own.

        Returns:
            The id of that job, which is added in the same transaction.

        Raises:
            NotFound: The model was removed, or has another commit now; nothing was changed.
        """
        where = {"cache_location": cache_location, "cache_path": base, "signature": signature, "complete": True}
        with self._engine.begin() as connection:
            change = sa.update(models).where(models.c.id == model_id).values(**where, arrived_at=db_now())
            if commit_hash is not None:
                change = change.where(models.c.commit_hash == commit_hash)
            name = connection.execute(change.returning(models.c.model_name)).scalar_one_or_none()
            if name is None:
                raise NotFound("The model was removed or updated while it was being moved.")
            over = {"state": DONE, "finished_at": db_now(), "phase": "", "done_bytes": jobs.c.total_bytes, "files": ""}
            connection.execute(sa.update(jobs).where(jobs.c.id == job_id).values(**over))
            if old_copy is None:
                return None
            cause = Cause("Deletes what the move left behind.", job_id)
            job = sa.insert(jobs).values(**new_deletion(name, old_copy, cause)).returning(jobs.c.id)
            return int(connection.execute(job).scalar_one())

    def by_last_use(self, cache_location: str, *, mirrored: bool = False) -> list[tuple[str, str, float]]:
        """Return when whole models of a location, or of a custom one, were used or came: those used last come last.

        Each is a repository, a commit, and the seconds since 1970; a snapshot comes again where its models differ.

        Args:
            cache_location: The location.
            mirrored: Only those that clients' requests brought.
        """
        used = sa.func.coalesce(sa.func.nullif(models.c.last_used_at, 0), models.c.arrived_at)
        here = models.c.cache_location.in_((cache_location, CUSTOM))
        query = sa.select(models.c.hf_path, models.c.commit_hash, used.label("used_at")).distinct()
        query = query.where(models.c.complete, models.c.commit_hash.is_not(None), here).order_by("used_at")
        query = query.where(models.c.mirrored != Mirrored.NO) if mirrored else query
        with self._engine.connect() as connection:
            return [(repo_id, commit_hash, used_at) for repo_id, commit_hash, used_at in connection.execute(query)]

    def add(self, arrivals: Sequence[Arrival]) -> list[bool]:
        """Register models again from their sidecars, in one transaction; return for each whether its name was free."""
        with contextlib.suppress(IntegrityError), self._engine.begin() as connection:
            _add_all(connection, arrivals)
            return [True] * len(arrivals)
        with self._engine.begin() as connection:  # some name is taken: one by one they say which
            return [_add(connection, arrival) for arrival in arrivals]

    def place(self, row: ModelRow, arrival: Arrival) -> bool:
        """Set a model's base and commit; return whether it was still as in `row`, without a job."""
        sidecar = arrival.sidecar
        values = _values(arrival)
        if not arrival.complete:
            del values["signature"]
        with self._engine.begin() as connection:
            change = sa.update(models).where(_is_still(row), _is_idle(row)).values(**values, arrived_at=db_now())
            if not connection.execute(change).rowcount:
                return False
            _keep_files(connection, sidecar.hf_path, sidecar.commit_hash, sidecar.files)
            for repo_id in {row.hf_path, sidecar.hf_path}:
                drop_manifests(connection, repo_id)
        return True

    def mirrored(self) -> dict[str, Mirrored]:
        """Return how repositories were mirrored, by their ids in lower case; NO if a person registered one as well."""
        some = sa.select(models.c.hf_path).where(models.c.mirrored != Mirrored.NO)
        query = sa.select(sa.func.lower(models.c.hf_path), models.c.mirrored).where(models.c.hf_path.in_(some))
        found: dict[str, set[str]] = {}
        with self._engine.connect() as connection:
            for repo_id, how in connection.execute(query.distinct()):
                found.setdefault(repo_id, set()).add(how)
        order = (Mirrored.NO, Mirrored.GATED, Mirrored.OPEN)
        return {repo_id: next(how for how in order if how in hows) for repo_id, hows in found.items()}

    def close_mirrored(self, repo_id: str) -> None:
        """Record that the hub has gated a repository since it was mirrored."""
        same = (sa.func.lower(models.c.hf_path) == repo_id.lower()) & (models.c.mirrored == Mirrored.OPEN)
        with self._engine.begin() as connection:
            connection.execute(sa.update(models).where(same).values(mirrored=Mirrored.GATED))

    def mirrored_on(self, cache_location: str) -> list[ModelRow]:
        """Return the mirrored models of a location."""
        statement, parameters = models_query(cache_location=cache_location)
        with self._engine.connect() as connection:
            rows = model_rows(tuple(row) for row in connection.execute(sa.text(statement), parameters))
        return [row for row in rows if row.mirrored]

    def grow(
        self, model_id: int, patterns: Sequence[str], size_bytes: int, signature: str, written: WeightFormat
    ) -> None:
        """Set which files a mirrored model has; all of them are verified and laid out.

        Args:
            model_id: The model.
            patterns: The patterns of its files.
            size_bytes: Sum over them.
            signature: The value of `store.repos.scan.signature`.
            written: How its weights are written.
        """
        values = {"allow_patterns": json.dumps(list(patterns)), "size_bytes": size_bytes, "signature": signature}
        values |= columns_of(written)
        with self._engine.begin() as connection:
            same = models.c.id == model_id
            arrived = sa.case((models.c.complete, models.c.arrived_at), else_=db_now())
            connection.execute(sa.update(models).where(same).values(**values, arrived_at=arrived, complete=True))

    def lose(self, row: ModelRow) -> bool:
        """Mark a model as having lost files; return whether it was still as in `row`, without a job.

        Its signature stays, which tells it from a model that was never here.
        """
        with self._engine.begin() as connection:
            change = sa.update(models).where(_is_still(row), _is_idle(row)).values(complete=False)
            return bool(connection.execute(change).rowcount)

    def take_commit(
        self,
        row: ModelRow,
        commit_hash: str,
        manifest: Sequence[FileEntry],
        size_bytes: int,
        signature: str,
        old_copy: OldCopy | None,
        written: WeightFormat | None = None,
    ) -> bool:
        """Switch a model to another commit, of which every file is verified and laid out in the same base.

        Args:
            row: The model as it was when that began.
            commit_hash: The commit.
            manifest: All of its files.
            size_bytes: Sum over the selected ones.
            signature: The value of `store.repos.scan.signature`.
            old_copy: The parameters of the job that deletes the old snapshot; None: it stays.
            written: How its weights are written; None: as the names of its files say.

        Returns:
            Whether it was still as in `row`. The job is added exactly then.
        """
        values = {"commit_hash": commit_hash, "size_bytes": size_bytes, "signature": signature, "complete": True}
        values |= columns_of(written or format_by_names(select_files(manifest, row.allow_patterns)))
        with self._engine.begin() as connection:
            change = sa.update(models).where(_is_still(row)).values(**values, arrived_at=db_now())
            if not connection.execute(change).rowcount:
                return False
            _keep_files(connection, row.hf_path, commit_hash, manifest)
            drop_manifests(connection, row.hf_path)
            if old_copy is not None:
                connection.execute(sa.insert(jobs).values(**new_deletion(row.model_name, old_copy)))
        return True


def _is_still(row: ModelRow) -> sa.ColumnElement[bool]:
    return sa.and_(
        models.c.id == row.id,
        models.c.model_name == row.model_name,
        models.c.commit_hash.is_not_distinct_from(row.commit_hash),
        models.c.cache_location == row.cache_location,
        models.c.cache_path == row.cache_path,
    )


def _is_idle(row: ModelRow) -> sa.ColumnElement[bool]:
    return sa.and_(
        models.c.complete == row.complete,
        ~sa.exists().where(jobs.c.model_id == models.c.id, jobs.c.state.in_(UNFINISHED)),
    )


def _add_all(connection: sa.Connection, arrivals: Sequence[Arrival]) -> None:
    """Add models whose names are all free.

    Raises:
        IntegrityError: One isn't.
    """
    if not arrivals:
        return
    connection.execute(_NEW, [_new_values(arrival) for arrival in arrivals])
    here = sa.select(files.c.hf_path, files.c.commit_hash).distinct()
    here = here.where(files.c.hf_path.in_({arrival.sidecar.hf_path for arrival in arrivals}))
    known, rows = {tuple(row) for row in connection.execute(here)}, list[dict[str, object]]()
    for sidecar in (arrival.sidecar for arrival in arrivals):
        commit = sidecar.hf_path, sidecar.commit_hash
        if commit in known:
            _keep_files(connection, *commit, sidecar.files)
        else:
            rows += _file_rows(*commit, sidecar.files)
        known.add(commit)
    if rows:
        connection.execute(sa.insert(files), rows)


def _add(connection: sa.Connection, arrival: Arrival) -> bool:
    sidecar = arrival.sidecar
    try:
        with connection.begin_nested():
            connection.execute(_NEW, _new_values(arrival))
            _keep_files(connection, sidecar.hf_path, sidecar.commit_hash, sidecar.files)
    except IntegrityError:
        return False
    return True


def _new_values(arrival: Arrival) -> dict[str, object]:
    """Return the columns of a new model but the times."""
    sidecar = arrival.sidecar
    return {
        "model_name": sidecar.model_name,
        "hf_path": sidecar.hf_path,
        "revision": sidecar.revision,
        "allow_patterns": json.dumps(list(sidecar.allow_patterns)),
        "pinned": sidecar.pinned,
        "pin_reason": sidecar.pin_reason,
        "mirrored": sidecar.mirrored,
        **_values(arrival),
    }


def _values(arrival: Arrival) -> dict[str, object]:
    """Return the columns that say where a model is, and at which commit."""
    selected = arrival.sidecar.selected
    return {
        "commit_hash": arrival.sidecar.commit_hash,
        "size_bytes": total_size(selected),
        "cache_location": arrival.cache_location,
        "cache_path": arrival.base,
        "complete": arrival.complete,
        "signature": arrival.signature,
        **columns_of(arrival.written or format_by_names(selected)),
    }


def _keep_files(connection: sa.Connection, repo_id: str, commit_hash: str, manifest: Sequence[FileEntry]) -> None:
    same = (files.c.hf_path == repo_id) & (files.c.commit_hash == commit_hash)
    known = set(connection.execute(sa.select(files.c.path).where(same)).scalars())
    if known > {file.path for file in manifest}:
        return  # files found on a disk may be a part of what is known of the commit
    connection.execute(sa.delete(files).where(same))
    if manifest:
        connection.execute(sa.insert(files), _file_rows(repo_id, commit_hash, manifest))


def _file_rows(repo_id: str, commit_hash: str, manifest: Sequence[FileEntry]) -> list[dict[str, object]]:
    commit = {"hf_path": repo_id, "commit_hash": commit_hash}
    return [commit | {"path": f.path, "size_bytes": f.size_bytes, "digest": f.digest} for f in manifest]
