"""What a server counts and measures, as Prometheus reads it.

Requests and loads are counted as they end; engines, tiers and jobs are looked at when they are asked for.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, disable_created_metrics
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from sqlalchemy.exc import SQLAlchemyError

from modelshelf import __version__
from modelshelf.domain.serving import EngineStatus, Load
from modelshelf.domain.tiers import TierStatus
from modelshelf.domain.uses import Use
from modelshelf.errors import ShelfError
from modelshelf.services.shelf import Shelf

CONTENT_TYPE = CONTENT_TYPE_LATEST
_FIRST_TOKEN_S = (0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_DURATION_S = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
_LOAD_S = (0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
_TIERS_EACH_S = 60.0
"""So long a tier's numbers are good enough: to measure a large one anew takes a walk over it."""


class Meters:
    """Counts what ends. Model names in labels are those that were loaded here, so that no client can invent others."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._models: set[str] = set()
        Gauge("modelshelf_info", "The version, as a label.", ["version"], registry=self.registry).labels(
            __version__
        ).set(1)
        self._requests = Counter(
            "modelshelf_requests",
            "Requests to models that ended, by HTTP status; 499: the client left.",
            ["model", "endpoint", "status"],
            registry=self.registry,
        )
        self._prompt = self._counter("modelshelf_prompt_tokens", "Tokens in, as far as engines tell.")
        self._completion = self._counter("modelshelf_completion_tokens", "Tokens out, as far as engines tell.")
        self._first_token = self._histogram(
            "modelshelf_first_token_seconds", "From a stream's request to its first token.", _FIRST_TOKEN_S
        )
        self._duration = self._histogram(
            "modelshelf_request_duration_seconds", "From a request to the end of its answer.", _DURATION_S, "endpoint"
        )
        self._loads = self._counter(
            "modelshelf_loads", "Starts of engines that ended, by outcome.", "engine", "outcome"
        )
        self._load_s = self._histogram("modelshelf_load_seconds", "What starts took that succeeded.", _LOAD_S, "engine")

    def _counter(self, name: str, says: str, *labels: str) -> Counter:
        return Counter(name, says, ["model", *labels], registry=self.registry)

    def _histogram(self, name: str, says: str, buckets: Sequence[float], *labels: str) -> Histogram:
        return Histogram(name, says, ["model", *labels], buckets=buckets, registry=self.registry)

    def count(self, use: Use) -> None:
        """Count a request that ended."""
        if use.engine:
            self._models.add(use.model_name)
        model = use.model_name if use.model_name in self._models else ""
        self._requests.labels(model, use.kind, str(use.status)).inc()
        self._prompt.labels(model).inc(use.prompt_tokens or 0)
        self._completion.labels(model).inc(use.completion_tokens or 0)
        self._duration.labels(model, use.kind).observe(use.duration_s)
        if use.first_token_s is not None:
            self._first_token.labels(model).observe(use.first_token_s)

    def load(self, load: Load) -> None:
        """Count the start of an engine."""
        self._models.add(load.model_name)
        self._loads.labels(load.model_name, load.backend, "failed" if load.load_s is None else "ready").inc()
        if load.load_s is not None:
            self._load_s.labels(load.model_name, load.backend).observe(load.load_s)


@dataclass(slots=True)
class Sights:
    """Looks at tiers and jobs for `/metrics`.

    **Concurrency:** asked in one thread or another; at worst two of them measure a tier.
    """

    shelf: Shelf
    _tiers: list[TierStatus] = field(default_factory=list)
    _tiers_at_s: float = float("-inf")

    def text(self, meters: Meters, engines: Sequence[EngineStatus]) -> bytes:
        """Return everything in Prometheus' format; blocking. What a registry that is away would say is left out.

        Args:
            meters: What was counted.
            engines: The engines as they are.
        """
        found = [*_of_engines(engines)]
        try:
            found += [*_of_tiers(self._seen_tiers()), _of_jobs(self.shelf.services.registry.job_counts())]
            is_up = 1
        except (ShelfError, SQLAlchemyError):
            is_up = 0
        found.append(_gauge("registry_up", "Whether the registry answers.", [], [([], is_up)]))
        now = CollectorRegistry()
        now.register(_Families(found))
        return generate_latest(meters.registry) + generate_latest(now)

    def _seen_tiers(self) -> list[TierStatus]:
        if time.monotonic() - self._tiers_at_s > _TIERS_EACH_S:
            self._tiers, self._tiers_at_s = self.shelf.tiers(), time.monotonic()
        return self._tiers


@dataclass(frozen=True, slots=True, eq=False)
class _Families:
    """What a registry of the library's collects from."""

    families: Sequence[GaugeMetricFamily]

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Return them."""
        return self.families


def _gauge(name: str, says: str, labels: Sequence[str], values: Iterable[tuple[list[str], float]]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"modelshelf_{name}", says, labels=labels)
    for named, value in values:
        family.add_metric(named, value)
    return family


def _of_engines(engines: Sequence[EngineStatus]) -> Iterator[GaugeMetricFamily]:
    labels = ["model", "engine"]
    named = [([str(one.model_name), one.backend], one) for one in engines]
    yield _gauge(
        "engine_memory_bytes", "What an engine holds in memory.", labels, [(at, one.memory_bytes) for at, one in named]
    )
    yield _gauge(
        "requests_in_flight", "Requests that are answered now.", labels, [(at, one.in_flight) for at, one in named]
    )
    yield _gauge("requests_queued", "Requests that wait.", labels, [(at, one.queued) for at, one in named])
    states = [([*at, one.state.value], 1.0) for at, one in named]
    yield _gauge("engine_state", "1 for the state that an engine is in.", [*labels, "state"], states)


def _of_tiers(tiers: Sequence[TierStatus]) -> Iterator[GaugeMetricFamily]:
    labels = ["tier", "base"]
    named = [([one.tier.location, str(one.tier.base)], one) for one in tiers]
    there = [(at, one) for at, one in named if one.online]
    yield _gauge("tier_online", "Whether a tier is mounted.", labels, [(at, float(one.online)) for at, one in named])
    yield _gauge("tier_usage_bytes", "What a tier holds.", labels, [(at, one.usage_bytes) for at, one in there])
    yield _gauge(
        "tier_reserved_bytes",
        "What is promised to work on it.",
        labels,
        [(at, one.reserved_bytes) for at, one in there],
    )
    yield _gauge("tier_free_bytes", "What its disk has free.", labels, [(at, one.free_bytes) for at, one in there])
    limited = [(at, float(one.tier.limit_bytes)) for at, one in there if one.tier.limit_bytes is not None]
    yield _gauge("tier_limit_bytes", "What it may hold; none where it has no limit.", labels, limited)


def _of_jobs(counts: dict[tuple[str, str], int]) -> GaugeMetricFamily:
    values = [([kind, state], float(count)) for (kind, state), count in sorted(counts.items())]
    return _gauge("jobs", "Jobs that the registry remembers.", ["kind", "state"], values)
