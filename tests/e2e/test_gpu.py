"""Engines on a graphics card: transformers serve, vLLM where it is installed, and room by the card's own memory."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace

import httpx2
import pytest

from modelshelf.bootstrap.engines import installed_engines, make_starter
from modelshelf.domain.scheduling import Scheduler
from modelshelf.domain.scheduling_events import Asked, Measured, Refuse, Start
from modelshelf.domain.scheduling_rules import Rules
from modelshelf.engines.memory import device_memory
from tests.e2e.test_real_model import DENSE
from tests.world import Home, Server

VLLM = os.environ.get("VLLM_COMMAND") or shutil.which("vllm") or ""
ON_CARD = ("nvidia-smi", "--query-compute-apps=pid", "--format=csv,noheader")
LOADS_WITHIN_S = 600
"""vLLM compiles before it answers."""

pytestmark = [
    pytest.mark.model,
    pytest.mark.skipif(not os.environ.get("SHELF_GPU"), reason="make test-gpu runs this"),
    pytest.mark.skipif(shutil.which("nvidia-smi") is None, reason="it needs a GPU, and nvidia-smi isn't here"),
]


@pytest.fixture(params=["transformers", "vllm"])
def backend(request: pytest.FixtureRequest, model_home: Home) -> str:
    """A backend that runs on the card here."""
    if request.param == "vllm":
        model_home.extra |= {"VLLM_COMMAND": VLLM} if VLLM else {}
    model_home.extra["SHELF_ENGINES"] = f"smol={request.param}"
    found = next(one for one in installed_engines(model_home.settings()) if one.name == request.param)
    if found.why_not:
        pytest.skip(f"{found.name}: {found.why_not}")
    if found.device != "gpu":
        pytest.skip(f"{found.name} would run on the processor: install torch with CUDA")
    return found.name


@pytest.fixture
def server(backend: str, model_home: Home) -> Iterator[Server]:
    """A server with the model, for which the card's processes can be asked."""
    model_home.run("add", "smol", DENSE).checked()
    with model_home.serve() as made:
        yield made


def on_card() -> set[int]:
    """Return the processes that hold memory of the card."""
    done = subprocess.run(ON_CARD, capture_output=True, text=True, check=True)
    return {int(line) for line in done.stdout.split() if line.isdecimal()}


def test_a_model_answers_from_the_card(server: Server, backend: str) -> None:
    """The engine's answer is right, it holds memory of the card while it is loaded, and none when it is gone."""
    before = device_memory()["gpu"]
    body = {"model": "smol", "messages": [{"role": "user", "content": "What is 2+2?"}], "max_tokens": 20}
    with httpx2.Client(base_url=server.url, trust_env=False, timeout=LOADS_WITHIN_S) as client:
        answer = client.post("/v1/chat/completions", json=body | {"temperature": 0, "stream": True})
        engines, held = client.get("/api/engines").json(), device_memory()["gpu"]
        processes = on_card()
        client.post("/api/models/smol/unload").raise_for_status()

    assert answer.status_code == 200, answer.text
    assert "4" in answer.text
    assert [engine["engine"] for engine in engines] == [backend]
    assert before.free_bytes - held.free_bytes > 100e6, shlex.join(ON_CARD) + f": {processes}"
    assert device_memory()["gpu"].free_bytes > held.free_bytes


def test_room_is_the_memory_of_the_card(backend: str, model_home: Home) -> None:
    """What fits into the card is started, and what is larger than it is refused with the numbers."""
    with model_home.open() as shelf:
        shelf.register("smol", DENSE)
        starter = make_starter(shelf.services, model_home.settings())
        wanted, memory = starter.look("smol"), starter.memory()
    large = replace(wanted, model_id=wanted.model_id + 1, needs_bytes=memory["gpu"].total_bytes + 1)
    scheduler = Scheduler(Rules())
    scheduler.handle(Asked(1, wanted), 0)
    scheduler.handle(Asked(2, large), 0)
    effects = scheduler.handle(Measured(memory), 0)

    assert wanted.device == "gpu"
    assert [type(effect) for effect in effects] == [Start, Refuse]
    assert isinstance(effects[1], Refuse)
    assert "and gpu has" in effects[1].error.detail
