"""Alembic's entry: it runs on the connection that the registry hands in."""

from __future__ import annotations

from alembic import context

from modelshelf.registry.tables import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, render_as_batch=True, transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()
