"""`/metrics`: what Prometheus reads of a server, and that the dashboard asks for nothing else."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from modelshelf.domain.names import ModelName
from modelshelf.domain.serving import Load
from modelshelf.domain.uses import Use
from modelshelf.errors import Unavailable
from modelshelf.server.metrics import Meters, Sights
from modelshelf.services.shelf import Shelf
from tests.fakes.hub import FakeHub
from tests.fakes.upstream import OneEngine, upstream
from tests.integration.server.gateway.test_openai import ask, chat
from tests.serving import Serving, serving

DASHBOARD = Path(__file__).parents[3] / "docs/guides/grafana-dashboard.json"
SMOL = ModelName("smol")


@pytest.fixture
def door(shelf: Shelf, hub: FakeHub) -> Iterator[Serving]:
    """A server over a library that has `smol`, whose engine is ready."""
    hub.add_repo("org/smol", {"config.json": b"{}"})
    shelf.register("smol", "org/smol")
    with upstream() as engine:
        engines = OneEngine(engine.url)
        engines.ready.set()
        with serving(shelf, engines=engines) as started:
            yield started


def read(text: str) -> dict[str, Metric]:
    """Return the families by name, read with Prometheus' own parser."""
    return {family.name: family for family in text_string_to_metric_families(text)}


def value(families: dict[str, Metric], sample: str, **labels: str) -> float | None:
    """Return the value of the only sample that has these labels; None without one."""
    found = [
        each.value
        for family in families.values()
        for each in family.samples
        if each.name == sample and labels.items() <= each.labels.items()
    ]
    assert len(found) <= 1, found
    return found[0] if found else None


def test_what_was_asked_is_counted_at_once(door: Serving) -> None:
    """Requests, tokens and times are counted by model, endpoint and status when the answer is over."""
    for body in (chat(), chat(), chat(stream=True), chat(model="nope"), chat("refuse 400 no")):
        ask(door, body)

    reply = door.ask("GET", "/metrics")

    assert reply.headers["content-type"].startswith("text/plain; version=")
    families = read(reply.body.decode())
    asked = {"endpoint": "chat/completions"}
    assert value(families, "modelshelf_requests_total", model="smol", status="200", **asked) == 3
    assert value(families, "modelshelf_requests_total", model="smol", status="400", **asked) == 1
    assert value(families, "modelshelf_requests_total", model="", status="404", **asked) == 1
    assert value(families, "modelshelf_prompt_tokens_total", model="smol") == 6
    assert value(families, "modelshelf_completion_tokens_total", model="smol") == 10
    assert value(families, "modelshelf_first_token_seconds_count", model="smol") == 1
    assert value(families, "modelshelf_request_duration_seconds_count", model="smol") == 4


def test_what_is_there_is_looked_at(door: Serving, shelf: Shelf) -> None:
    """Engines, tiers and jobs are told as they are now."""
    families = read(door.ask("GET", "/metrics").body.decode())

    (primary, _) = shelf.tiers()
    assert value(families, "modelshelf_engine_memory_bytes", model="smol", engine="fake") == 7
    assert value(families, "modelshelf_requests_in_flight", model="smol") == 0
    assert value(families, "modelshelf_requests_queued", model="smol") == 0
    assert value(families, "modelshelf_engine_state", model="smol", state="ready") == 1
    assert value(families, "modelshelf_tier_online", tier="primary") == 1
    assert value(families, "modelshelf_tier_usage_bytes", tier="primary", base=str(primary.base)) is not None
    assert value(families, "modelshelf_jobs", kind="pull", state="done") == 1
    assert value(families, "modelshelf_registry_up") == 1


def test_a_metric_needs_a_key_that_reads(shelf: Shelf) -> None:
    """Where a server has a key, /metrics asks for it as every other page does."""
    with serving(shelf, api_key="ours") as locked:
        statuses = [
            locked.ask("GET", "/metrics", headers=headers).status for headers in ([], ["Authorization: Bearer ours"])
        ]

    assert statuses == [401, 200]


class AwayRegistry:
    """A library whose registry doesn't answer."""

    def tiers(self) -> list[object]:
        """Raise."""
        raise Unavailable("The registry is away.")


def test_a_registry_that_is_away_leaves_the_rest(shelf: Shelf) -> None:
    """Without the registry, what was counted is still told, with the word that it is away."""
    meters = Meters()
    meters.count(Use("smol", "embeddings", 0.0, 1.0, 200, engine="llama"))

    families = read(Sights(AwayRegistry()).text(meters, []).decode())

    assert value(families, "modelshelf_registry_up") == 0
    assert value(families, "modelshelf_requests_total", model="smol") == 1
    assert "modelshelf_jobs" not in families


def test_clients_invent_no_labels() -> None:
    """A model that was never loaded here has no label of its own, however many names clients ask for."""
    meters = Meters()
    for number in range(100):
        meters.count(Use(f"made-up-{number}", "embeddings", 0.0, 1.0, 404, error="not-found"))
    meters.load(Load(SMOL, "llama", None))
    meters.count(Use("smol", "embeddings", 0.0, 1.0, 503, error="engine-failed"))

    requests = meters.registry.get_sample_value
    at = {"endpoint": "embeddings"}
    assert requests("modelshelf_requests_total", {"model": "", "status": "404", **at}) == 100
    assert requests("modelshelf_requests_total", {"model": "smol", "status": "503", **at}) == 1
    assert requests("modelshelf_requests_total", {"model": "made-up-1", "status": "404", **at}) is None


def test_loads_are_counted_with_their_time() -> None:
    """A start that failed is counted, one that succeeded is timed as well."""
    meters = Meters()
    for load_s in (None, 2.0, 4.0):
        meters.load(Load(SMOL, "llama", load_s))

    found = meters.registry.get_sample_value
    at = {"model": "smol", "engine": "llama"}
    assert found("modelshelf_loads_total", {**at, "outcome": "failed"}) == 1
    assert found("modelshelf_loads_total", {**at, "outcome": "ready"}) == 2
    assert found("modelshelf_load_seconds_sum", at) == 6.0


def everything(shelf: Shelf) -> str:
    """Return the metrics of a server that has done something of everything."""
    meters = Meters()
    meters.load(Load(SMOL, "llama", 2.0))
    meters.count(Use("smol", "chat/completions", 0.0, 1.0, 200, engine="llama", first_token_s=0.1))
    engine = OneEngine("").status_of("smol")
    return Sights(shelf).text(meters, [engine]).decode()


def test_promtool_finds_nothing_wrong(shelf: Shelf) -> None:
    """Prometheus' own linter accepts every name, type and help text."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool isn't installed (Debian's package prometheus has it)")

    done = subprocess.run([promtool, "check", "metrics"], input=everything(shelf), capture_output=True, text=True)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_dashboard_asks_for_what_there_is(shelf: Shelf) -> None:
    """Each query of the dashboard names metrics that the server has, and every metric but details is on it."""
    panels = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    queries = [target["expr"] for panel in panels for target in panel.get("targets", ())]
    asked = {name for query in queries for name in re.findall(r"\b(?:modelshelf|process)_\w+", query)}

    families = read(everything(shelf))
    samples = {sample.name for family in families.values() for sample in family.samples} | set(families)

    assert queries
    assert asked - samples == set()
    used = {re.sub("_(bucket|sum|count|total)$", "", name) for name in asked}
    details = {"modelshelf_info", "modelshelf_engine_state", "modelshelf_tier_reserved_bytes"}
    assert {name for name in families if name.startswith("modelshelf_")} - used == details
