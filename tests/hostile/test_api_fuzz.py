"""The API matches its own description: for any request, each answer has a status and a shape that it names."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.fakes.hub import FakeHub
from tests.world import Home, Server

LONG = int(os.environ.get("SHELF_FUZZ", "0"))
EXAMPLES = LONG or 8
"""Requests for each operation; the short form always sends the same ones."""
MEANT = (503, 507)
"""Statuses from 500 on that say something true of the library; any other one is a bug of the server."""
CHECKS = [
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server in its own home, with a model of the hub."""
    with FakeHub() as hub:
        hub.add_repo("org/name", {"config.json": b"{}", "model.safetensors": b"weights"})
        home = Home(tmp_path_factory.mktemp("fuzz") / "user", hub.url)
        with home.serve() as started:
            started.ask("POST", "/api/models", {"model_name": "m", "hf_path": "org/name"})
            started.wait_for_state("m", "ready")
            yield started
            assert started.process.poll() is None
            assert "Traceback" not in started.log.read_text()


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=lambda mode: mode.value)
def test_every_answer_is_described(server: Server, mode: GenerationMode) -> None:
    """No request breaks the server or gets a status, a type or a body that the description lacks."""
    described = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
    operations = [
        found.ok() for found in described.exclude(path="/api/events").get_all_operations() if isinstance(found, Ok)
    ]

    for operation in operations:

        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            derandomize=not LONG,
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def ask(case: schemathesis.Case[Any]) -> None:
            answer = case.call(timeout=30)
            checks = CHECKS if answer.status_code in MEANT else [not_a_server_error, *CHECKS]
            case.validate_response(answer, checks=checks)

        with contextlib.suppress(Unsatisfiable):  # a request without parts can't be wrong
            ask()
