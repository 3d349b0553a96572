"""A registry made straight from the tables, and what it has beside them: triggers, indexes of a part, first rows.

A new registry goes without the migrations, which take 0.28 s and 12 MB; a test says that both make the same.
"""

from __future__ import annotations

import uuid

import sqlalchemy as sa

from modelshelf.registry.tables import library, metadata

_KEPT = 1000
"""So many changes are kept."""
_NOW = {"sqlite": "(julianday('now') - 2440587.5) * 86400.0", "postgresql": "extract(epoch from clock_timestamp())"}
_INDEXES = (
    "CREATE INDEX ix_files_adapters ON files (path, hf_path, commit_hash) WHERE path = 'adapter_config.json'",
    "CREATE INDEX ix_models_adapters ON models (format) WHERE format = 'GGUF adapter'",
)
"""Those of adapters; as values of SQLAlchemy their conditions would load PostgreSQL's dialect in every process."""
_NOTE = "INSERT INTO changes (kind, key, at) "
_NOTE_MODEL = "INSERT INTO changes (kind, key, hf_path, at) "
_MODEL = _NOTE_MODEL + "SELECT 'model', model_name, hf_path, {now} FROM models WHERE id = NEW.model_id"
_DAMAGE = (
    _NOTE_MODEL + "SELECT 'model', m.model_name, m.hf_path, {now} FROM models m JOIN files f"
    " ON f.hf_path = m.hf_path AND f.commit_hash = m.commit_hash WHERE f.digest = "
)
_JOB = "OLD.state <> NEW.state OR OLD.detail <> NEW.detail OR OLD.due_at <> NEW.due_at OR OLD.priority <> NEW.priority"
_TRIGGERS = (
    ("INSERT ON models", "", [_NOTE_MODEL + "VALUES ('model', NEW.model_name, NEW.hf_path, {now})"]),
    ("UPDATE ON models", "", [
        _NOTE_MODEL + "SELECT 'model', OLD.model_name, OLD.hf_path, {now}"
        " WHERE OLD.model_name <> NEW.model_name OR OLD.hf_path <> NEW.hf_path",
        _NOTE_MODEL + "VALUES ('model', NEW.model_name, NEW.hf_path, {now})",
    ]),
    ("DELETE ON models", "", [_NOTE_MODEL + "VALUES ('model', OLD.model_name, OLD.hf_path, {now})"]),
    ("INSERT ON jobs", "", [_NOTE + "VALUES ('job', CAST(NEW.id AS TEXT), {now})", _MODEL]),
    ("UPDATE ON jobs", _JOB, [_NOTE + "VALUES ('job', CAST(NEW.id AS TEXT), {now})", _MODEL]),
    ("DELETE ON jobs", "", [_NOTE + "VALUES ('job', CAST(OLD.id AS TEXT), {now})"]),
    ("INSERT ON leases", "", [_NOTE + "VALUES ('lease', CAST(NEW.id AS TEXT), {now})"]),
    ("DELETE ON leases", "", [_NOTE + "VALUES ('lease', CAST(OLD.id AS TEXT), {now})"]),
    ("INSERT ON tiers", "", [_NOTE + "VALUES ('tier', NEW.cache_path, {now})"]),
    ("UPDATE ON tiers", "OLD.cache_location <> NEW.cache_location OR OLD.cache_path <> NEW.cache_path", [
        _NOTE + "SELECT 'tier', OLD.cache_path, {now} WHERE OLD.cache_path <> NEW.cache_path",
        _NOTE + "VALUES ('tier', NEW.cache_path, {now})",
    ]),
    ("DELETE ON tiers", "", [_NOTE + "VALUES ('tier', OLD.cache_path, {now})"]),
    ("INSERT ON damage", "", [_DAMAGE + "NEW.digest"]),
    ("DELETE ON damage", "", [_DAMAGE + "OLD.digest"]),
)  # fmt: skip
"""What happens, on what condition, and what is written down then."""
_PRUNE = f"DELETE FROM changes WHERE id <= NEW.id - {_KEPT}"
_VERSION = """\
CREATE TABLE alembic_version (
    version_num VARCHAR(32) NOT NULL,
    CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
)"""
"""As alembic makes it, which reads there what was done."""


def create(connection: sa.Connection, schema: str) -> None:
    """Make the newest schema in an empty database.

    Args:
        connection: A transaction.
        schema: The revision that it is.
    """
    metadata.create_all(connection, checkfirst=False)
    complete(connection)
    connection.execute(sa.text(_VERSION))
    connection.execute(sa.text("INSERT INTO alembic_version VALUES (:schema)"), {"schema": schema})


def complete(connection: sa.Connection) -> None:
    """Add to the tables what they don't tell of.

    Args:
        connection: A transaction.
    """
    is_sqlite = connection.dialect.name == "sqlite"
    for statement in (*_INDEXES, *(_sqlite_triggers() if is_sqlite else _postgresql_triggers())):
        connection.execute(sa.text(statement))
    connection.execute(library.insert().values(id=uuid.uuid4().hex))
    first = _NOTE.replace("(", "(id, ") + "SELECT CAST({now} AS BIGINT), 'library', id, {now} FROM library"
    connection.execute(sa.text(first.format(now=_NOW[connection.dialect.name])))
    if not is_sqlite:
        last = "(SELECT max(id) FROM changes)"
        connection.execute(sa.text(f"SELECT setval(pg_get_serial_sequence('changes', 'id'), {last})"))


def _sqlite_triggers() -> list[str]:
    """Return the triggers that record each change in its transaction, whoever writes."""
    made = []
    for event, when, statements in _TRIGGERS:
        condition = f"WHEN ({when})" if when else ""
        body = "; ".join(statements).format(now=_NOW["sqlite"])
        made.append(f"CREATE TRIGGER {_name(event)} AFTER {event} {condition} BEGIN {body}; END")
    prune = f"CREATE TRIGGER prune_changes AFTER INSERT ON changes WHEN NEW.id % 100 = 0 BEGIN {_PRUNE}; END"
    return [*made, prune]


def _postgresql_triggers() -> list[str]:
    """Return the same for PostgreSQL.

    They are deferred: the lock is taken last, when no other is waited for, so the ids follow the order of the commits.
    """
    made = []
    for event, when, statements in _TRIGGERS:
        body = "; ".join(statements).format(now=_NOW["postgresql"])
        made.append(_function(_name(event), f"PERFORM pg_advisory_xact_lock(7236108); {body}; RETURN NULL;"))
        condition = f"WHEN ({when})" if when else ""
        made.append(
            f"CREATE CONSTRAINT TRIGGER {_name(event)} AFTER {event} DEFERRABLE INITIALLY DEFERRED"
            f" FOR EACH ROW {condition} EXECUTE FUNCTION {_name(event)}()"
        )
    prune = _function("prune_changes", f"{_PRUNE}; RETURN NULL;")
    hundredth = "FOR EACH ROW WHEN (NEW.id % 100 = 0) EXECUTE FUNCTION prune_changes()"
    return [*made, prune, f"CREATE TRIGGER prune_changes AFTER INSERT ON changes {hundredth}"]


def _name(event: str) -> str:
    return f"note_{event.replace(' ON ', '_').lower()}"


def _function(name: str, body: str) -> str:
    return f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} END $$"
