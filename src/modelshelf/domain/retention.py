"""How long what is written down is kept, unless a setting says something else."""

from __future__ import annotations

USES_DAYS = 30
"""Requests to models, in days."""
