"""The registry read through the standard library's sqlite3: what `shelf ls`, `path` and `env` use.

Importing SQLAlchemy takes longer than everything else these commands do. The same contract tests run over this reader
and over `registry.Registry`.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import logging
import os
import re
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from operator import itemgetter
from pathlib import Path

from modelshelf.domain.engine_choice import EngineChoice
from modelshelf.domain.jobs import Cause, Moved
from modelshelf.domain.listing import Listing, Order
from modelshelf.domain.models import FileEntry, Mirrored, ModelRow, entries_of
from modelshelf.domain.names import CommitHash, ModelName, RefName, RepoId
from modelshelf.domain.outside import list_of, object_of, parse_json, text_of
from modelshelf.domain.patterns import FilePattern, patterns_of
from modelshelf.domain.users import User
from modelshelf.errors import BadInput, ShelfError
from modelshelf.registry.sqlite_file import connect, translated

_log = logging.getLogger(__name__)
_MOST_CHARS = 2**28
"""The maximum of a JSON column."""

_MOST_FORMAT_CHARS = 80

SCHEMA = "0001"
"""The newest revision of the migrations."""

MODEL_ROWS = """
SELECT m.id, m.model_name, m.hf_path, m.revision, m.commit_hash, m.cache_location, m.cache_path, m.allow_patterns,
       m.pinned, m.pin_reason, m.complete, m.signature, m.size_bytes, m.format, m.quantisation,
       m.created_at, m.arrived_at, nullif(m.last_used_at, 0) AS last_used_at, m.uses,
       j.id AS job_id, coalesce(j.kind, '') AS job_kind, coalesce(j.state, '') AS job_state,
       coalesce(j.detail, '') AS job_detail,
       coalesce(j.done_bytes, 0) AS job_done_bytes, coalesce(j.total_bytes, 0) AS job_total_bytes,
       coalesce(j.owner, '') AS job_owner, m.mirrored, m.engine, m.last_used_by
FROM models m
LEFT JOIN jobs j ON j.id = (SELECT max(x.id) FROM jobs x WHERE x.model_id = m.id)
"""
"""The one statement behind every listing, on both databases."""

FILES = "SELECT path, size_bytes, digest FROM files WHERE hf_path = :hf_path AND commit_hash = :commit ORDER BY path"

_ANY_FILES = "SELECT hf_path, commit_hash, path, size_bytes, digest FROM files"
_BY_COMMIT = "ORDER BY hf_path, commit_hash, path"
MANIFESTS = f"{_ANY_FILES} {_BY_COMMIT}"
MANIFESTS_OF = f"{_ANY_FILES} WHERE hf_path IN :repo_ids {_BY_COMMIT}"

MOVES = """
SELECT id, finished_at, kind, params, reason, parent_id FROM jobs
WHERE model_id = :model_id AND kind IN ('move', 'evict') AND state || '' = 'done' ORDER BY id DESC LIMIT 5
"""
"""The state is written so that SQLite reads the model's jobs, and not, by that index, all jobs that are done."""


LEAVING = "SELECT params FROM jobs WHERE kind = 'delete_old_copy' AND finished_at IS NULL"

OPEN_JOBS = "SELECT id, kind, model_name FROM jobs WHERE finished_at IS NULL ORDER BY id DESC"


ADAPTERS = f"""{MODEL_ROWS}
WHERE m.id IN (
    SELECT x.id FROM models x
    WHERE (x.hf_path, x.commit_hash) IN (SELECT hf_path, commit_hash FROM files WHERE path = 'adapter_config.json')
    UNION SELECT y.id FROM models y WHERE y.format = 'GGUF adapter')
ORDER BY m.model_name"""
"""The texts of its two conditions are those of indexes."""

IDLE_OR_SHARED = f"""{MODEL_ROWS}
WHERE m.arrived_at <= :since AND m.last_used_at <= :since
   OR lower(m.hf_path) IN (SELECT lower(x.hf_path) FROM models x GROUP BY lower(x.hf_path) HAVING count(*) > 1)
ORDER BY m.model_name"""

NAMES = "SELECT model_name, hf_path FROM models ORDER BY model_name"

_ASKED = {
    "repo_id": "m.hf_path = :repo_id",
    "any_case": "lower(m.hf_path) = lower(:any_case)",
    "cache_location": "m.cache_location = :cache_location",
    "model_id": "m.id = :model_id",
}


def models_query(**asked: str | int | None) -> tuple[str, dict[str, str | int]]:
    """Return the statement that lists models by name, and its parameters.

    Args:
        asked: What `Reader.models` is asked; None: anything.
    """
    parameters = {name: value for name, value in asked.items() if value is not None}
    where = " AND ".join(_ASKED[name] for name in parameters)
    return f"{MODEL_ROWS} {'WHERE' if where else ''} {where} ORDER BY m.model_name", parameters


_COMMIT = itemgetter(0, 1)
"""The repository and the commit of a row of `MANIFESTS`."""
_KEYS = {
    Order.SIZE: "m.size_bytes",
    Order.USED: "m.last_used_at",
}
"""What models are sorted by unless by name, the largest first; those that are equal by name."""


def listed_query(listing: Listing) -> tuple[str, dict[str, str | int]]:
    """Return the statement that lists what a person wants to see, and its parameters."""
    parameters: dict[str, str | int] = {}
    key, conditions, limit = _KEYS.get(listing.order), [], ""
    if listing.text:
        escaped = re.sub("([!%_])", r"!\1", listing.text.lower())
        parameters["text"] = f"%{escaped}%"
        conditions.append("(lower(m.model_name) LIKE :text ESCAPE '!' OR lower(m.hf_path) LIKE :text ESCAPE '!')")
    if listing.after:
        parameters["after"] = listing.after
        if key:
            last = f"(SELECT {key} FROM models m WHERE m.model_name = :after)"
            conditions.append(f"{key} <= {last} AND ({key} < {last} OR m.model_name > :after)")
        else:
            conditions.append("m.model_name > :after")
    if listing.limit is not None:
        parameters["limit"], limit = listing.limit, "LIMIT :limit"
    where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
    order = f"{key} DESC, m.model_name" if key else "m.model_name"
    return f"{MODEL_ROWS} {where} ORDER BY {order} {limit}", parameters


def model_row(values: Sequence[object]) -> ModelRow:
    """Return a model from the columns of `MODEL_ROWS`, in their order.

    Raises:
        BadInput: They hold invalid values: somebody else wrote into the registry.
    """
    columns = list(values)
    columns[1:4] = ModelName(columns[1]), RepoId(columns[2]), RefName(columns[3])
    columns[4] = None if columns[4] is None else CommitHash(columns[4])
    columns[7] = _patterns(columns[7])
    columns[8], columns[10] = bool(columns[8]), bool(columns[10])
    columns[13:15] = text_of(columns[13], _MOST_FORMAT_CHARS), text_of(columns[14], _MOST_FORMAT_CHARS)
    columns[-3:] = _choices(*columns[-3:])
    return ModelRow(*columns)  # type: ignore[arg-type]


@functools.lru_cache(maxsize=256)
def _choices(mirrored: object, engine: object, user: object) -> tuple[Mirrored, EngineChoice, User]:
    """Return the values of the last three columns, which most models share."""
    return Mirrored.parse(mirrored), EngineChoice.parse(engine), User.parse(user)


@functools.lru_cache(maxsize=256)
def _patterns(text: object) -> tuple[FilePattern, ...]:
    """Return the patterns of a column, which most models share."""
    return patterns_of(list_of(parse_json(text_of(text, _MOST_CHARS)), FilePattern))


def model_rows(rows: Iterable[Sequence[object]]) -> list[ModelRow]:
    """Return the rows' models; one with invalid values is left out and logged."""
    found = []
    for row in rows:
        try:
            found.append(model_row(row))
        except BadInput as err:
            _log.warning("model_left_out", extra={"id": row[0], "detail": err.detail})
    return found


def model_names(rows: Iterable[Sequence[object]]) -> dict[str, str]:
    """Return the names of rows with their repositories; what no model can be called is left out."""
    found: dict[str, str] = {}
    for name, repo_id in rows:
        with contextlib.suppress(BadInput):
            found[ModelName(name)] = str(repo_id)
    return found


def manifest(rows: Iterable[Sequence[object]]) -> list[FileEntry]:
    """Return the rows' files; none if one is invalid, because a part of a manifest isn't a manifest."""
    return _files(list(zip(*rows, strict=True)))


def _files(columns: Sequence[Sequence[object]]) -> list[FileEntry]:
    try:
        return list(entries_of(*columns)) if columns else []
    except BadInput as err:
        _log.warning("manifest_left_out", extra={"detail": err.detail})
        return []


def manifests(rows: Iterable[Sequence[object]]) -> dict[tuple[str, str], list[FileEntry]]:
    """Return the files of the rows of `MANIFESTS`, by repository and commit."""
    return {commit: _files(list(zip(*files, strict=True))[2:]) for commit, files in itertools.groupby(rows, _COMMIT)}


def library_id(path: Path) -> str:
    """Return the id of the registry in a SQLite file; empty if there is none."""
    return _ask(path, "SELECT id FROM library")


def role_of(path: Path, tier_id: str) -> str:
    """Return the tier that a base is in a SQLite file's registry, by the base's id; empty if it isn't known there."""
    return _ask(path, "SELECT cache_location FROM tiers WHERE id = ?", tier_id)


def keeps_nothing(path: Path) -> bool:
    """Return whether a SQLite file is a registry without a model, a key and an unfinished job."""
    tables = ("models", "api_keys", "jobs WHERE finished_at IS NULL")
    return _ask(path, f"SELECT {' AND '.join(f'NOT EXISTS (SELECT 1 FROM {table})' for table in tables)}") == "1"


def _ask(path: Path, statement: str, *values: str) -> str:
    if not os.access(path, os.R_OK):
        return ""
    try:
        with contextlib.closing(connect(path, is_ours=False)) as connection:
            row = connection.execute(statement, values).fetchone()
    except sqlite3.Error:
        return ""
    return str(row[0]) if row else ""


def moves(rows: Iterable[Sequence[object]]) -> list[Moved]:
    """Return the rows' moves; one with invalid parameters is left out and logged."""
    found = []
    for job_id, at, kind, params, reason, parent_id in rows:
        try:
            to = (
                text_of(object_of(parse_json(text_of(params, _MOST_CHARS)), "cache_location")["cache_location"])
                if kind == "move"
                else ""
            )
        except BadInput as err:
            _log.warning("job_left_out", extra={"id": job_id, "detail": err.detail})
            continue
        found.append(Moved(job_id, at, to, Cause(reason, parent_id)))  # type: ignore[arg-type]
    return found


def leaving(rows: Iterable[Sequence[object]]) -> set[tuple[str, str]]:
    """Return base and repository of the rows' old copies; of one with invalid parameters nothing."""
    found = set()
    for (params,) in rows:
        with contextlib.suppress(BadInput):
            said = object_of(parse_json(text_of(params, _MOST_CHARS)), "cache_path", "hf_path")
            found.add((text_of(said["cache_path"]), text_of(said["hf_path"])))
    return found


class SqliteReader:
    """The registry of a SQLite file, read only."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def usable(self) -> bool:
        """Return whether the file exists with the schema that this code reads."""
        if not os.access(self._path, os.F_OK):
            return False
        try:
            with self._connect() as connection:
                row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
                return bool(row == (SCHEMA,))
        except ShelfError:
            return False

    def models(
        self,
        *,
        repo_id: str | None = None,
        any_case: str | None = None,
        cache_location: str | None = None,
        model_id: int | None = None,
    ) -> list[ModelRow]:
        """Return models, by name: all, or those that `domain.ports.Reader.models` says."""
        statement, parameters = models_query(
            repo_id=repo_id, any_case=any_case, cache_location=cache_location, model_id=model_id
        )
        with self._connect() as connection:
            return model_rows(connection.execute(statement, parameters))

    def adapters(self) -> list[ModelRow]:
        """Return the models that are adapters by their files, by name."""
        with self._connect() as connection:
            return model_rows(connection.execute(ADAPTERS))

    def names(self) -> dict[str, str]:
        """Return the repository of each model by the model's name."""
        with self._connect() as connection:
            return model_names(connection.execute(NAMES))

    def listed(self, listing: Listing) -> list[ModelRow]:
        """Return the models that a person wants to see, in that order."""
        statement, parameters = listed_query(listing)
        with self._connect() as connection:
            return model_rows(connection.execute(statement, parameters))

    def model(self, model_name: str) -> ModelRow | None:
        """Return one model."""
        with self._connect() as connection:
            query = f"{MODEL_ROWS} WHERE m.model_name = :name"
            row = connection.execute(query, {"name": model_name}).fetchone()
        return next(iter(model_rows([row] if row else [])), None)

    def files(self, repo_id: str, commit_hash: str) -> list[FileEntry]:
        """Return the manifest of a commit, by path."""
        with self._connect() as connection:
            rows = connection.execute(FILES, {"hf_path": repo_id, "commit": commit_hash})
            return manifest(rows)

    def manifests(self) -> dict[tuple[str, str], list[FileEntry]]:
        """Return the manifests of all commits, by repository and commit."""
        with self._connect() as connection:
            return manifests(connection.execute(MANIFESTS))

    def moves(self, model_id: int) -> list[Moved]:
        """Return a model's last finished moves, newest first."""
        with self._connect() as connection:
            return moves(connection.execute(MOVES, {"model_id": model_id}))

    def tier_ids(self) -> dict[str, str]:
        """Return the used bases, path to tier id."""
        with self._connect() as connection:
            return dict(connection.execute("SELECT cache_path, id FROM tiers"))

    def leaving(self) -> set[tuple[str, str]]:
        """Return base and repository of old copies that wait to be deleted."""
        with self._connect() as connection:
            return leaving(connection.execute(LEAVING))

    def damage(self) -> dict[tuple[str, str], str]:
        """Return the stamps of damaged blobs by tier id and digest."""
        with self._connect() as connection:
            return {(tier_id, digest): stamp for tier_id, digest, stamp in connection.execute("SELECT * FROM damage")}

    def open_jobs(self) -> dict[str, str]:
        """Return what unfinished jobs do, by number, newest first."""
        with self._connect() as connection:
            return {str(number): f"{kind} {name}".rstrip() for number, kind, name in connection.execute(OPEN_JOBS)}

    def key_names(self) -> list[str]:
        """Return the names of the keys of the server, the oldest first."""
        with self._connect() as connection:
            return [str(name) for (name,) in connection.execute("SELECT name FROM api_keys ORDER BY id")]

    @contextlib.contextmanager
    def _connect(self) -> Iterator[sqlite3.Connection]:
        with translated(self._path), contextlib.closing(connect(self._path)) as connection:
            connection.execute("PRAGMA query_only = 1")
            yield connection
