"""The tables. Times are seconds since 1970 as doubles, sizes are bytes, texts are UTF-8.

Nothing here is lost that can't be rebuilt from the disks, except what people said, such as names and pins.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

library = Table("library", metadata, Column("id", Text, primary_key=True))
"""One row: this registry's id, by which bases' markers name it."""

models = Table(
    "models",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("model_name", Text, nullable=False, unique=True),
    Column("hf_path", Text, nullable=False),
    Column("revision", Text, nullable=False),
    Column("commit_hash", Text),
    Column("cache_location", Text, nullable=False),
    Column("cache_path", Text, nullable=False),
    Column("allow_patterns", Text, nullable=False),
    Column("pinned", Boolean, nullable=False),
    Column("pin_reason", Text, nullable=False),
    Column("complete", Boolean, nullable=False),
    Column("signature", Text, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("format", Text, nullable=False, default=""),
    Column("quantisation", Text, nullable=False, default=""),
    Column("created_at", Double, nullable=False),
    Column("arrived_at", Double, nullable=False),
    Column("last_used_at", Double, nullable=False, default=0.0),
    Column("last_used_by", Text, nullable=False, default=""),
    Column("uses", Integer, nullable=False, default=0),
    Column("mirrored", Text, nullable=False, default=""),
    Column("engine", Text, nullable=False, default=""),
)
"""A registered model. `allow_patterns` is a JSON list; `cache_path` is the base; `arrived_at` is when it came there;
`format` and `quantisation` say how its weights are written, so that no listing reads files.
`mirrored` says whether a client's request brought it (`domain.models.Mirrored`), `engine` what a person chose for its
engine (`domain.engine_choice`).

`last_used_at`, `last_used_by` (`domain.uses.User`) and `uses` repeat what the table of uses says, so that no statement
has to count there; 0 for never.
"""
Index("ix_models_hf_path", models.c.hf_path, models.c.commit_hash)
Index("ix_models_cache_location", models.c.cache_location, models.c.cache_path)
Index("ix_models_size_bytes", models.c.size_bytes.desc(), models.c.model_name)
Index("ix_models_last_used_at", models.c.last_used_at.desc(), models.c.model_name)

files = Table(
    "files",
    metadata,
    Column("hf_path", Text, primary_key=True),
    Column("commit_hash", Text, primary_key=True),
    Column("path", Text, primary_key=True),
    Column("size_bytes", BigInteger, nullable=False),
    Column("digest", Text, nullable=False),
)
"""The manifest of a commit: every file, selected or not.

The indexes of adapters, of files and of models, are the migration's alone: their conditions would load PostgreSQL's
dialect here, in every process.
"""

tiers = Table(
    "tiers",
    metadata,
    Column("id", Text, primary_key=True),
    Column("cache_location", Text, nullable=False),
    Column("cache_path", Text, nullable=False),
    Column("admissions", Integer, nullable=False),
)
"""A used base, by the id in its marker. Updating `admissions` serialises reservations on it."""

reservations = Table(
    "reservations",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("tier_id", Text, ForeignKey("tiers.id"), nullable=False),
    Column("device", Text, nullable=False),
    Column("remaining_bytes", BigInteger, nullable=False),
    Column("owner", Text, nullable=False),
    Column("expires_at", Double, nullable=False),
)
"""Bytes reserved for work that hasn't written them yet. An expired one, or a dead owner's, doesn't count."""

jobs = Table(
    "jobs",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("model_id", Integer, ForeignKey("models.id", ondelete="CASCADE")),
    Column("model_name", Text, nullable=False),
    Column("params", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("phase", Text, nullable=False),
    Column("done_bytes", BigInteger, nullable=False),
    Column("total_bytes", BigInteger, nullable=False),
    Column("rate_bytes_per_s", BigInteger, nullable=False),
    Column("detail", Text, nullable=False),
    Column("error", Text, nullable=False),
    Column("result", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("due_at", Double, nullable=False),
    Column("owner", Text, nullable=False),
    Column("heartbeat_at", Double, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("finished_at", Double),
    Column("parent_id", Integer, ForeignKey("jobs.id", ondelete="SET NULL")),
    Column("reason", Text, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("disk", Text, nullable=False),
    Column("ready_at", Double, nullable=False),
    Column("tiers", Text, nullable=False),
    Column("files", Text, nullable=False),
    Index("ix_jobs_model_id", "model_id", "id"),
    Index("ix_jobs_parent_id", "parent_id"),
    Index("ix_jobs_state", "state"),
)
"""Long work that every process can see. `params` is a JSON object; `error` a problem document and `result` what it
found, both JSON or empty. `parent_id` is the job that caused it, `reason` why. `disk` is the slow disk that it writes
to, and `ready_at` when a process last stood ready to run it and had to wait for its turn. `files` is JSON: how far some
of its files are."""

uses = Table(
    "uses",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("model_id", Integer, ForeignKey("models.id", ondelete="SET NULL")),
    Column("model_name", Text, nullable=False, default=""),
    Column("kind", Text, nullable=False),
    Column("at", Double, nullable=False),
    Column("duration_s", Double, nullable=False),
    Column("status", Integer),
    Column("error", Text, nullable=False, default=""),
    Column("engine", Text, nullable=False, default=""),
    Column("cache_location", Text, nullable=False, default=""),
    Column("prompt_tokens", Integer),
    Column("completion_tokens", Integer),
    Column("first_token_s", Double),
    Column("tokens_per_s", Double),
    Column("key_name", Text, nullable=False, default=""),
    Column("request_id", Text, nullable=False, default=""),
    Index("ix_uses_model_id", "model_id", "id"),
    Index("ix_uses_at", "at"),
)
"""The ledger of uses: loads, runs, engines, what other programs read, and requests to models, which alone have a
`status`. Requests outlive their model, whose name then they keep.
"""

usage_history = Table(
    "usage_history",
    metadata,
    Column("tier_id", Text, primary_key=True),
    Column("hour", Integer, primary_key=True, autoincrement=False),
    Column("usage_bytes", BigInteger, nullable=False),
    Column("limit_bytes", BigInteger),
)
"""What tiers held, an hour at most each; `hour` counts since 1970, the limit is null without one.
See `domain.usage_history`.
"""

reads = Table(
    "reads",
    metadata,
    Column("model_id", Integer, ForeignKey("models.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("judged_at", Double, nullable=False),
)
"""When the files of a model were last read by what was judged before, whoever it was; see `domain.reads`."""

leases = Table(
    "leases",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("model_id", Integer, ForeignKey("models.id", ondelete="CASCADE"), nullable=False),
    Column("cache_path", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("holder", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("expires_at", Double, nullable=False),
    Index("ix_leases_model_id", "model_id"),
)
"""An engine's or a program's expiring hold on a model's placement in one base: no file of it is deleted."""

checks = Table(
    "checks",
    metadata,
    Column("tier_id", Text, primary_key=True),
    Column("digest", Text, primary_key=True),
    Column("stamp", Text, nullable=False),
    Column("verified_at", Double, nullable=False),
)
"""When a blob's bytes last matched its name; `stamp` is the size and mtime they had then."""

damage = Table(
    "damage",
    metadata,
    Column("tier_id", Text, primary_key=True),
    Column("digest", Text, primary_key=True),
    Column("stamp", Text, nullable=False),
)
"""Blobs whose bytes don't match their names, while they have that size and mtime."""

changes = Table(
    "changes",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("kind", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("hf_path", Text),
    Column("at", Double, nullable=False),
)
"""The last changes, oldest first: a `model` or a `tier` by its name or base, a `job` or a `lease` by its id.

A model's change names its repository too, because nobody can look that up once the model is gone.

Triggers write it, in the transaction of each change, and delete what is older than the last 1,000. A job's progress
changes twice a second and isn't recorded. The ids begin with the second of the first one, so that a rebuilt
registry has other ids.
"""

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("digest", Text, nullable=False, unique=True),
    Column("scopes", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("last_used_at", Double),
)
"""A key of the server. `digest` is its SHA-256 in hex, `scopes` are words with commas."""

webhooks = Table(
    "webhooks",
    metadata,
    Column("target", Text, primary_key=True),
    Column("position", BigInteger, nullable=False),
    Column("owner", Text, nullable=False),
    Column("expires_at", Double, nullable=False),
)
"""A webhook, by the SHA-256 of its address: the change up to which it was told, and the server that tells it."""

servers = Table(
    "servers",
    metadata,
    Column("owner", Text, primary_key=True),
    Column("url", Text, nullable=False),
    Column("started_at", Double, nullable=False),
    Column("heartbeat_at", Double, nullable=False),
)
"""A server that runs, as long as it keeps saying so."""
