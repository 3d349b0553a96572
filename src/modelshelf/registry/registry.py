"""The registry: every statement against the database, the same on SQLite and PostgreSQL.

**Concurrency:** each method is one short transaction; none is held while bytes move. SQLite transactions begin
IMMEDIATE, so that two writers queue instead of failing half-way.
"""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Mapping, Sequence

import sqlalchemy as sa
from sqlalchemy.exc import DatabaseError, IntegrityError

from modelshelf.domain.jobs import DONE, QUEUED, RUNNING, UNFINISHED, WAITING, Job
from modelshelf.domain.models import FileEntry, ModelRow, Registration, select_files, total_size
from modelshelf.errors import BadInput, Conflict, NotFound, OutOfSpace, ShelfError, Unavailable
from modelshelf.registry import fast_read
from modelshelf.registry.database import db_now, keep_reserve, make_engine, migrate
from modelshelf.registry.leases import Leases
from modelshelf.registry.placements import Placements
from modelshelf.registry.reservations import Reservations
from modelshelf.registry.rows import LEASE_S, has_params, new_job
from modelshelf.registry.servers import Servers
from modelshelf.registry.tables import checks, damage, files, jobs, leases, models, reservations, tiers, uses
from modelshelf.registry.verified_blobs import Checks

_REMEMBER_TIER = """
INSERT INTO tiers (id, cache_location, cache_path, admissions) VALUES (:id, :location, :base, 0)
ON CONFLICT (id) DO UPDATE SET cache_location = excluded.cache_location, cache_path = excluded.cache_path
"""
_JOB_COLUMNS = [column for column in jobs.c if column.name in Job.__slots__]


class Registry:
    """Models, manifests, tiers and jobs in one database.

    Args:
        url: `sqlite:///…` or `postgresql://…`.

    Raises:
        Unavailable: The database cannot be reached.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._engine = make_engine(url)
        self.leases = Leases(self._engine)
        self.checks = Checks(self._engine)
        self.placements = Placements(self._engine)
        self.reservations = Reservations(self._engine)
        self.servers = Servers(self._engine)
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
        keep_reserve(self._engine)

    @functools.cached_property
    def id(self) -> str:
        """The id of this registry, which the markers of its bases name."""
        return str(self._read("SELECT id FROM library")[0][0])

    def close(self) -> None:
        """Give back the connections."""
        self._engine.dispose()

    # --- models ---

    def models(self) -> list[ModelRow]:
        """Return all models, by name."""
        return fast_read.model_rows(self._read(f"{fast_read.MODEL_ROWS} ORDER BY m.model_name"))

    def model(self, model_name: str) -> ModelRow | None:
        """Return one model."""
        rows = self._read(f"{fast_read.MODEL_ROWS} WHERE m.model_name = :name", name=model_name)
        return next(iter(fast_read.model_rows(rows)), None)

    def strange_models(self) -> list[str]:
        """Return, in words, the rows of models that hold what no model can have: all other methods leave them out."""
        found = []
        for row in self._read(f"{fast_read.MODEL_ROWS} ORDER BY m.id"):
            try:
                fast_read.model_row(row)
            except BadInput as err:
                found.append(f"model {row[0]} cannot be understood: {err.detail}")
        return found

    def files(self, repo_id: str, commit_hash: str) -> list[FileEntry]:
        """Return the manifest of a commit, by path."""
        return fast_read.manifest(self._read(fast_read.FILES, hf_path=repo_id, commit=commit_hash))

    def add_model(self, wanted: Registration, base: str) -> ModelRow:
        """Add a model; the same registration a second time returns the row that is there.

        Raises:
            Conflict: The name is taken by something else.
        """
        values = {
            "model_name": wanted.model_name,
            "hf_path": wanted.hf_path,
            "revision": wanted.revision,
            "cache_location": wanted.cache_location,
            "cache_path": base,
            "allow_patterns": json.dumps(list(wanted.allow_patterns)),
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
        """Do nothing when the name is free, or belongs to this very registration.

        Raises:
            Conflict: Something else has it.
        """
        row = self.model(wanted.model_name)
        if row is None:
            return
        ours = (row.hf_path.lower(), row.revision, row.cache_location, row.allow_patterns)  # the Hub spells an id
        if ours != (wanted.hf_path.lower(), wanted.revision, wanted.cache_location, wanted.allow_patterns):
            raise Conflict(
                f"The name {row.model_name} is taken by {row.hf_path} ({row.revision}) on {row.cache_location}.",
                hint=f"Choose another name, or remove that model: shelf rm {row.model_name}",
                model_name=row.model_name,
                hf_path=row.hf_path,
            )

    def set_manifest(self, row: ModelRow, commit_hash: str, manifest: Sequence[FileEntry]) -> None:
        """Pin a model to a commit, and to its repository as `row` spells it, and keep the commit's files.

        The model is not complete then.
        """
        size_bytes = total_size(select_files(manifest, row.allow_patterns))
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
            change = {"commit_hash": commit_hash, "size_bytes": size_bytes, "complete": False, "signature": ""}
            change |= {"hf_path": row.hf_path}
            connection.execute(sa.update(models).where(models.c.id == row.id).values(**change))

    def set_complete(self, model_id: int, signature: str) -> None:
        """Say that every file of a model was verified and laid out."""
        self._change_model(model_id, complete=True, signature=signature, arrived_at=db_now())

    def set_signature(self, model_id: int, signature: str) -> None:
        """Note how a model's folders look now that all of its files are there again."""
        self._change_model(model_id, signature=signature)

    def set_incomplete(self, model_id: int) -> None:
        """Say that files of a model are gone, or about to go."""
        self._change_model(model_id, complete=False, signature="")

    def set_pin(self, model_id: int, *, pinned: bool, reason: str) -> None:
        """Note a person's wish that a model is never evicted, or that it may be."""
        self._change_model(model_id, pinned=pinned, pin_reason=reason)

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

    def delete_model(self, model_id: int, old_copy: Mapping[str, object] | None = None) -> Job | None:
        """Forget a model with its jobs and uses; a manifest that no other model has goes too.

        Args:
            model_id: The model.
            old_copy: What the job needs that tidies up after it; None: there is none.

        Returns:
            That job; None, too, where the model was gone already.
        """
        job = None
        with self._engine.begin() as connection:
            gone = sa.delete(models).where(models.c.id == model_id).returning(models.c.model_name)
            name = connection.execute(gone).scalar()
            if name is not None and old_copy is not None:
                added = sa.insert(jobs).values(**new_job("delete_old_copy", name, old_copy)).returning(*_JOB_COLUMNS)
                job = Job(*connection.execute(added).one())
        with contextlib.suppress(OutOfSpace):  # a long manifest may be more than a full disk has room for: the next one
            self._drop_manifests()
        return job

    def _drop_manifests(self) -> None:
        """Delete the manifests that no model has."""
        used = sa.exists().where((models.c.hf_path == files.c.hf_path) & (models.c.commit_hash == files.c.commit_hash))
        with self._engine.begin() as connection:
            connection.execute(sa.delete(files).where(~used))

    def add_use(self, model_id: int, kind: str, duration_s: float) -> None:
        """Note that a model was loaded; nothing where it was removed meanwhile."""
        with self._engine.begin() as connection:
            values = [models.c.id, sa.literal(kind), db_now(), sa.literal(duration_s)]
            there = sa.select(*values).where(models.c.id == model_id)
            connection.execute(sa.insert(uses).from_select(["model_id", "kind", "at", "duration_s"], there))

    def uses_at(self, model_id: int) -> list[float]:
        """Return when a model was used, seconds since 1970."""
        query = sa.select(uses.c.at).where(uses.c.model_id == model_id).order_by(uses.c.at)
        with self._engine.connect() as connection:
            return [float(at) for at in connection.scalars(query)]

    # --- tiers ---

    def tier_ids(self) -> dict[str, str]:
        """Return the bases that were used, path to tier id."""
        with self._engine.connect() as connection:
            return {path: tier_id for tier_id, path in connection.execute(sa.select(tiers.c.id, tiers.c.cache_path))}

    def damage(self) -> dict[tuple[str, str], str]:
        """Return the stamps of damaged blobs by tier id and digest."""
        return self.checks.damage()

    def remember_tier(self, tier_id: str, cache_location: str, base: str) -> None:
        """Note a base that was used; a drive that is mounted elsewhere now keeps its id.

        What another tier had there before is forgotten, its reservations too.
        """
        known = sa.select(tiers.c.id, tiers.c.cache_location).where(tiers.c.cache_path == base)
        with self._engine.connect() as connection:
            if connection.execute(known).all() == [(tier_id, cache_location)]:
                return  # nothing to write, on a disk where nothing can be written perhaps
        with self._engine.begin() as connection:
            gone = sa.select(tiers.c.id).where(tiers.c.cache_path == base, tiers.c.id != tier_id)
            connection.execute(sa.delete(reservations).where(reservations.c.tier_id.in_(gone)))
            connection.execute(sa.delete(tiers).where(tiers.c.cache_path == base, tiers.c.id != tier_id))
            values = {"id": tier_id, "location": cache_location, "base": base}
            connection.execute(sa.text(_REMEMBER_TIER), values)

    def forget_tier(self, base: str) -> None:
        """Forget a base, with what was promised and found on it."""
        with self._engine.begin() as connection:
            gone = sa.select(tiers.c.id).where(tiers.c.cache_path == base)
            connection.execute(sa.delete(reservations).where(reservations.c.tier_id.in_(gone)))
            for table in (checks, damage):
                connection.execute(sa.delete(table).where(table.c.tier_id.in_(gone)))
            connection.execute(sa.delete(tiers).where(tiers.c.cache_path == base))

    # --- jobs ---

    def enqueue(self, kind: str, row: ModelRow, params: Mapping[str, object] | None = None) -> Job:
        """Return the unfinished job of this kind on a model, or a new one for whoever claims it.

        Args:
            kind: What is to be done.
            row: To which model.
            params: What the kind needs; JSON values.
        """
        with self._engine.begin() as connection:
            connection.execute(sa.update(models).where(models.c.id == row.id).values(pinned=models.c.pinned))
            same = (jobs.c.model_id == row.id) & (jobs.c.kind == kind) & jobs.c.state.in_(UNFINISHED)
            found = connection.execute(sa.select(*_JOB_COLUMNS).where(same)).first()
            if found is None:
                values = new_job(kind, row.model_name, params) | {"model_id": row.id, "total_bytes": row.size_bytes}
                found = connection.execute(sa.insert(jobs).values(**values).returning(*_JOB_COLUMNS)).one()
        return Job(*found)

    def add_job(self, kind: str, model_name: str, params: Mapping[str, object]) -> Job:
        """Add a job that outlives the model it is about.

        Args:
            kind: What is to be done.
            model_name: What it is about, for people.
            params: What the kind needs; JSON values.
        """
        with self._engine.begin() as connection:
            statement = sa.insert(jobs).values(**new_job(kind, model_name, params)).returning(*_JOB_COLUMNS)
            return Job(*connection.execute(statement).one())

    def due(self) -> list[Job]:
        """Return the jobs that wait for somebody to take them now, the oldest first."""
        with self._engine.connect() as connection:
            query = sa.select(*_JOB_COLUMNS).where(_due()).order_by(jobs.c.id)
            return [Job(*row) for row in connection.execute(query)]

    def claim(self, owner: str, job_id: int | None = None) -> Job | None:
        """Take the oldest job that is due, or the one asked for; None when there is none to take.

        **Concurrency:** the condition stands in the update itself, so that of two claimants one gets the job.
        """
        due = _due()
        if job_id is None:
            wanted = jobs.c.id == sa.select(sa.func.min(jobs.c.id)).where(due).scalar_subquery()
        else:
            wanted, due = jobs.c.id == job_id, due | (jobs.c.state == WAITING)
        change = {"state": RUNNING, "owner": owner, "heartbeat_at": db_now(), "attempts": jobs.c.attempts + 1}
        with self._engine.begin() as connection:
            statement = sa.update(jobs).where(wanted, due).values(**change).returning(*_JOB_COLUMNS)
            found = connection.execute(statement).first()
        return Job(*found) if found else None

    def note_wait(self, job: Job, detail: str) -> None:
        """Say what a job waits for, as long as nobody is at it."""
        with self._engine.begin() as connection:
            same = (jobs.c.id == job.id) & jobs.c.state.in_((QUEUED, WAITING))
            connection.execute(sa.update(jobs).where(same).values(detail=detail))

    def give_up_owner(self, owner: str) -> None:
        """Put the running jobs of an owner that died back into the queue, and drop its reservations."""
        with self._engine.begin() as connection:
            connection.execute(sa.delete(reservations).where(reservations.c.owner == owner))
            mine = (jobs.c.owner == owner) & (jobs.c.state == RUNNING)
            connection.execute(sa.update(jobs).where(mine).values(state=QUEUED, owner=""))
            connection.execute(sa.delete(leases).where(leases.c.owner == owner))

    def update_job(self, job_id: int, values: Mapping[str, object]) -> None:
        """Change columns of a job and note that its owner lives."""
        with self._engine.begin() as connection:
            statement = sa.update(jobs).where(jobs.c.id == job_id).values(**values, heartbeat_at=db_now())
            connection.execute(statement)

    def finish_job(self, job_id: int, state: str, *, detail: str = "", error: str = "") -> None:
        """End a job, well or not."""
        values = {"state": state, "detail": detail, "error": error, "owner": "", "finished_at": db_now()}
        if state == DONE:
            values |= {"phase": "", "done_bytes": jobs.c.total_bytes}
        self.update_job(job_id, values)
        keep_reserve(self._engine)

    def postpone_job(self, job_id: int, wait_s: float, detail: str) -> None:
        """Let a job wait for what it lacks."""
        self.update_job(job_id, {"state": WAITING, "due_at": db_now() + wait_s, "detail": detail, "owner": ""})

    def jobs(self, *, unfinished: bool = False) -> list[Job]:
        """Return all jobs, newest first; one whose parameters can't be understood is left out and logged."""
        query = sa.select(*_JOB_COLUMNS).order_by(jobs.c.id.desc())
        if unfinished:
            query = query.where(jobs.c.state.in_(UNFINISHED))
        with self._engine.connect() as connection:
            return [job for row in connection.execute(query) if has_params(job := Job(*row))]

    def job(self, job_id: int) -> Job:
        """Return one job.

        Raises:
            NotFound: There is none.
        """
        with self._engine.connect() as connection:
            row = connection.execute(sa.select(*_JOB_COLUMNS).where(jobs.c.id == job_id)).first()
        if row is None:
            raise NotFound(f"There is no job {job_id}.", hint="shelf jobs lists them.", job_id=job_id)
        return Job(*row)

    def _read(self, statement: str, **parameters: object) -> list[tuple[object, ...]]:
        with self._engine.connect() as connection:
            return [tuple(row) for row in connection.execute(sa.text(statement), parameters)]


def _due() -> sa.ColumnElement[bool]:
    """Return the condition that a job can be taken: it waits no longer, or its owner gave no word for too long."""
    lost = (jobs.c.state == RUNNING) & (jobs.c.heartbeat_at < db_now() - LEASE_S)
    return (jobs.c.state == QUEUED) | ((jobs.c.state == WAITING) & (jobs.c.due_at <= db_now())) | lost
