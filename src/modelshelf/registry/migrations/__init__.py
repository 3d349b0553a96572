"""The schema of the registry, version by version (Alembic)."""
