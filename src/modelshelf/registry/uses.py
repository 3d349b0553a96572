"""The ledger of uses: which model was used when, for how long, and what each request came to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa

from modelshelf.domain.models import ModelRow
from modelshelf.domain.users import User
from modelshelf.domain.uses import CLIENT_LEFT, DAY_S, ModelStats, Recorded, Use, UseFilter
from modelshelf.registry.database import check_room, db_now, keep_reserve
from modelshelf.registry.tables import models, uses

_KEEP_LOADS_S = 30 * DAY_S
"""How long loads and runs are kept, which are few, and which promotion looks at."""
_MOST_LATELY = 100
_NAMED = ("id", "model_name")
_FIGURES = ("prompt_tokens", "completion_tokens", "first_token_s", "tokens_per_s")
_OF_USE = tuple(name for name in Use.__dataclass_fields__ if name != "model_name")
_NAME = sa.func.coalesce(models.c.model_name, uses.c.model_name)
"""The model's name now."""
_ROWS = sa.outerjoin(uses, models, uses.c.model_id == models.c.id)
_NO_MODEL = uses.c.model_id.is_(None) & (uses.c.engine == "")


class UseTable:
    """The registry's table of uses."""

    _engine: sa.Engine

    def add_use(self, model_id: int, kind: str, duration_s: float) -> None:
        """Record that a model was loaded; does nothing if it was removed meanwhile."""
        with self._engine.begin() as connection:
            values = [models.c.id, models.c.model_name, sa.literal(kind), db_now(), sa.literal(duration_s)]
            there = sa.select(*values).where(models.c.id == model_id)
            columns = ["model_id", "model_name", "kind", "at", "duration_s"]
            connection.execute(sa.insert(uses).from_select(columns, there))
            counted = {"last_used_at": db_now(), "last_used_by": User.SHELF, "uses": models.c.uses + 1}
            connection.execute(sa.update(models).where(models.c.id == model_id).values(**counted))

    def add_uses(self, found: Sequence[Use]) -> None:
        """Record requests, in one transaction; those that an engine was asked count as uses of their models.

        Raises:
            OutOfSpace: The registry's disk is nearly full: its reserve is for what frees space.
        """
        check_room(self._engine)
        names = sorted({use.model_name for use in found})
        with self._engine.begin() as connection:
            named = sa.select(models.c.model_name, models.c.id).where(models.c.model_name.in_(names))
            # a server's other connections may not delete the model before the row that names it is there
            rows = connection.execute(named.with_for_update(read=True, key_share=True)).all()
            ids = {str(name): int(model_id) for name, model_id in rows}
            connection.execute(sa.insert(uses), [_values(use, ids) for use in found])
            for name in sorted(ids, key=lambda name: ids[name]):
                _count(connection, ids[name], [use for use in found if use.model_name == name and use.engine])
        keep_reserve(self._engine)

    def uses_at(self, row: ModelRow) -> list[float]:
        """Return when a model was used where it is now, the last hundred times, in seconds since 1970, oldest first.

        Those that began before it came there aren't among them, nor what an engine answered that was loaded elsewhere.
        """
        is_here = uses.c.cache_location.in_(("", row.cache_location))
        since = uses.c.at - uses.c.duration_s >= row.arrived_at
        query = sa.select(uses.c.at).where((uses.c.model_id == row.id) & is_here & since)
        with self._engine.connect() as connection:
            return sorted(float(at) for at in connection.scalars(query.order_by(uses.c.id.desc()).limit(_MOST_LATELY)))

    def uses(self, wanted: UseFilter) -> list[Recorded]:
        """Return rows of the ledger, newest first."""
        columns = [uses.c.id, _NAME, *(uses.c[name] for name in Recorded.__dataclass_fields__ if name not in _NAMED)]
        query = sa.select(*columns).select_from(_ROWS).order_by(uses.c.id.desc()).limit(wanted.limit)
        query = query.where(*_conditions(wanted.model_name, wanted.since))
        if wanted.after is not None:
            query = query.where(uses.c.id < wanted.after)
        with self._engine.connect() as connection:
            return [Recorded(*row) for row in connection.execute(query)]

    def uses_by_day(self, model_id: int, since: float) -> dict[int, int]:
        """Return how often a model was used on each day since 1970.

        Args:
            model_id: The model.
            since: The beginning, in seconds since 1970.
        """
        day = sa.cast(uses.c.at, sa.BigInteger) // 86400
        query = sa.select(day, sa.func.count()).where(uses.c.model_id == model_id, uses.c.at >= since).group_by(day)
        with self._engine.connect() as connection:
            return {int(at): int(count) for at, count in connection.execute(query)}

    def use_stats(self, model_name: str | None = None, since: float | None = None) -> list[ModelStats]:
        """Return what the requests to each model come to, by name.

        Args:
            model_name: Only this model.
            since: Only requests from then on, in seconds since 1970.
        """
        asked = _conditions(model_name, since)
        with self._engine.connect() as connection:
            first = {name: times for name, *times in connection.execute(_percentiles(asked))}
            found = []
            for name, requests, errors, prompt, completion, timed, took_s, last_at in connection.execute(_sums(asked)):
                p50_s, p95_s = first.get(name, (None, None))
                rate = float(timed) / took_s if took_s else None
                found.append(
                    ModelStats(name, requests, errors, int(prompt), int(completion), p50_s, p95_s, rate, last_at)
                )
        return found

    def prune_uses(self, keep_s: float, most: int) -> int:
        """Delete the oldest requests, and loads from before a month; returns how many rows it deleted.

        Args:
            keep_s: How long requests are kept.
            most: How many rows to delete at most.
        """
        too_old = uses.c.status.is_not(None) & (uses.c.at < db_now() - keep_s)
        loads = uses.c.status.is_(None) & (uses.c.at < db_now() - _KEEP_LOADS_S)
        doomed = sa.select(uses.c.id).where(too_old | loads).limit(most)
        with self._engine.begin() as connection:
            return connection.execute(sa.delete(uses).where(uses.c.id.in_(doomed))).rowcount


def _values(use: Use, ids: dict[str, int]) -> dict[str, Any]:
    values: dict[str, Any] = {name: getattr(use, name) for name in _OF_USE}
    return values | {"model_id": ids.get(use.model_name), "model_name": use.model_name}


def _count(connection: sa.Connection, model_id: int, used: Sequence[Use]) -> None:
    """Let a model's own row say that it was used."""
    if not used:
        return
    last_at = max(use.at + use.duration_s for use in used)
    counted = later_use(last_at, User.SHELF) | {"uses": models.c.uses + len(used)}
    connection.execute(sa.update(models).where(models.c.id == model_id).values(**counted))


def later_use(at: float, user: User) -> dict[str, Any]:
    """Return the columns of a model that was used at a time, unless it was used later."""
    is_later = models.c.last_used_at < at
    return {
        "last_used_at": sa.case((is_later, at), else_=models.c.last_used_at),
        "last_used_by": sa.case((is_later, str(user)), else_=models.c.last_used_by),
    }


def _conditions(model_name: str | None, since: float | None) -> list[sa.ColumnElement[bool]]:
    found: list[sa.ColumnElement[bool]] = []
    if model_name is not None:
        known = sa.select(models.c.id).where(models.c.model_name == model_name).scalar_subquery()
        removed = uses.c.model_id.is_(None) & (uses.c.model_name == model_name)
        found.append((uses.c.model_id == known) | removed)
    if since is not None:
        found.append(uses.c.at >= since)
    return found


def _by_name(asked: Iterable[sa.ColumnElement[bool]]) -> sa.Subquery:
    """Return the requests that are asked for, each with the name below which it is counted."""
    name = sa.case((_NO_MODEL, ""), else_=_NAME).label("name")
    figures = [uses.c[name] for name in ("at", "status", *_FIGURES)]
    return sa.select(name, *figures).select_from(_ROWS).where(uses.c.status.is_not(None), *asked).subquery()


def _sums(asked: Iterable[sa.ColumnElement[bool]]) -> sa.Select[Any]:
    """Return the statement for the counts and sums of each model."""
    use = _by_name(asked).c
    has_rate = (use.tokens_per_s > 0) & use.completion_tokens.is_not(None)
    sums = [
        sa.func.count(),
        sa.func.sum(sa.case(((use.status >= 400) & (use.status != CLIENT_LEFT), 1), else_=0)),
        sa.func.coalesce(sa.func.sum(use.prompt_tokens), 0),
        sa.func.coalesce(sa.func.sum(use.completion_tokens), 0),
        sa.func.coalesce(sa.func.sum(sa.case((has_rate, use.completion_tokens))), 0),
        sa.func.sum(sa.case((has_rate, use.completion_tokens / use.tokens_per_s))),
        sa.func.max(use.at),
    ]
    return sa.select(use.name, *sums).group_by(use.name).order_by(use.name)


def _percentiles(asked: Iterable[sa.ColumnElement[bool]]) -> sa.Select[Any]:
    """Return the statement for the median and the 95th percentile of the first token, each one that was measured."""
    use = _by_name(asked).c
    number = sa.func.row_number().over(partition_by=use.name, order_by=use.first_token_s).label("number")
    count = sa.func.count().over(partition_by=use.name).label("of_all")
    ranked = sa.select(use.name, use.first_token_s, number, count).where(use.first_token_s.is_not(None)).subquery().c
    at = [sa.case((ranked.number == (ranked.of_all * share + 99) // 100, ranked.first_token_s)) for share in (50, 95)]
    return sa.select(ranked.name, *map(sa.func.max, at)).group_by(ranked.name)
