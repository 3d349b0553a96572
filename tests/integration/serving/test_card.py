"""Models on a graphics card: room by its memory, and engines that sleep. The card is a program that tells of one."""

from __future__ import annotations

import json
import os
import shlex
import signal
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import psutil

from modelshelf.store.layout import engines_folder
from tests.fakes.hub import FakeHub
from tests.headers import safetensors
from tests.world import Home, Server, wait_until

PROGRAM = Path(__file__).parents[2] / "fakes" / "engine_program.py"
SHAPE = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 1024,
    "vocab_size": 100,
}
FILES = {
    "chat_template.jinja": b"{{ messages }}",
    "config.json": json.dumps(SHAPE).encode(),
    "model.safetensors": safetensors({"model.embed_tokens.weight": ("F16", (100, 64))}),
}
PATIENCE_S = 240.0
HELLO = [{"role": "user", "content": "Hello"}]
FOR_ONE = "3000, 3000"
"""MiB free and in all: vLLM takes 2 GB beside the weights."""


@dataclass(frozen=True)
class Card:
    """A server whose vLLM is the tests' own engine, on a machine with a graphics card."""

    home: Home
    server: Server
    memory: Path

    def ask(self, model: str, **more: Any) -> httpx2.Response:
        """Ask a model."""
        body = {"model": model, "messages": HELLO, **more}
        return httpx2.post(f"{self.server.url}/v1/chat/completions", json=body, timeout=PATIENCE_S, trust_env=False)

    def state(self, model: str) -> str:
        """Return what a model has come to."""
        engines = self.server.get("/api/engines")
        return next((one["state"] for one in engines if one["model_name"] == model), "")

    def starts(self, model: str) -> int:
        """Return how often a model's engine was started."""
        log = engines_folder(self.home.settings().state_home) / f"{model}.log"
        return log.read_text().count("fake engine: loading")

    def process(self) -> psutil.Process:
        """Return the process of the one engine there is."""
        found = psutil.Process(self.server.process.pid).children(recursive=True)
        return next(one for one in found if str(PROGRAM) in one.cmdline()[2:3])


@contextmanager
def card(home: Home, hub: FakeHub, *words: str, memory: str = FOR_ONE, **settings: str) -> Iterator[Card]:
    """Serve two models with vLLM, which may sleep, on a card with so much memory."""
    told, programs = home.root / "card", home.root / "programs"
    told.write_text(memory)
    programs.mkdir()
    program = programs / "nvidia-smi"
    program.write_text(f"#!/bin/sh\ncat {shlex.quote(str(told))}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    home.extra["VLLM_COMMAND"] = shlex.join([sys.executable, "-P", str(PROGRAM), *words])
    home.extra["PATH"] = f"{programs}:{os.environ['PATH']}"
    home.extra["SHELF_ENGINES"] = "one=vllm --enable-sleep-mode; two=vllm --enable-sleep-mode"
    for name in ("one", "two"):
        hub.add_repo(f"org/{name}", FILES)
        home.run("add", name, f"org/{name}").checked()
    with home.serve(**settings) as server:
        yield Card(home, server, told)


def test_an_idle_engine_sleeps_and_a_request_wakes_it(home: Home, hub: FakeHub) -> None:
    """An engine that nobody asked for KEEP_ALIVE sleeps in its process, which the next request wakes; ps shows it."""
    with card(home, hub, KEEP_ALIVE="1s") as made:
        assert made.ask("one").status_code == 200
        before = made.process().pid
        wait_until(lambda: made.state("one") == "asleep", "the engine to sleep")
        shown = home.run("ps").checked().out

        assert made.ask("one").status_code == 200
        assert (made.process().pid, made.starts("one")) == (before, 1)
        assert "asleep" in shown


def test_an_engine_sleeps_to_make_room_on_the_card(home: Home, hub: FakeHub) -> None:
    """On a card with room for one model each answers in turn, the other one asleep, and neither is started twice."""
    with card(home, hub) as made:
        assert [made.ask(name).status_code for name in ("one", "two", "one", "two")] == [200] * 4
        assert (made.state("one"), made.state("two")) == ("asleep", "ready")
        assert (made.starts("one"), made.starts("two")) == (1, 1)


def test_a_crash_in_its_sleep_is_found_and_the_next_request_starts_it(home: Home, hub: FakeHub) -> None:
    """An engine that dies while it sleeps is told as failed, and the next request starts it anew."""
    with card(home, hub, KEEP_ALIVE="1s") as made:
        assert made.ask("one").status_code == 200
        wait_until(lambda: made.state("one") == "asleep", "the engine to sleep")
        made.process().send_signal(signal.SIGKILL)
        wait_until(lambda: made.state("one") == "failed", "the crash to be seen")

        assert (made.ask("one").status_code, made.starts("one")) == (200, 2)


def test_one_that_does_not_wake_is_started_anew(home: Home, hub: FakeHub) -> None:
    """A request for an engine that can't wake waits for its next start, and is answered by it."""
    with card(home, hub, "--cannot-wake", KEEP_ALIVE="1s") as made:
        assert made.ask("one").status_code == 200
        wait_until(lambda: made.state("one") == "asleep", "the engine to sleep")

        assert (made.ask("one").status_code, made.starts("one")) == (200, 2)


def test_room_is_the_memory_of_the_card(home: Home, hub: FakeHub) -> None:
    """What is larger than the card, or than what other programs leave of it, is refused with the numbers."""
    with card(home, hub, memory="1000, 1000") as made:
        larger = made.ask("one")
        made.memory.write_text("1000, 8000")
        taken = made.ask("one")
        made.memory.write_text("8000, 8000")

        assert made.ask("one").status_code == 200
        assert (larger.status_code, "and gpu has 1.0" in larger.text) == (503, True)
        assert (taken.status_code, "other programs leave 1.0" in taken.text) == (503, True)


def test_a_model_without_a_chat_template_is_asked_for_no_conversation(home: Home, hub: FakeHub) -> None:
    """It is refused before its engine starts, with the file that brings one, and goes on with a text all the same."""
    with card(home, hub) as made:
        home.run("add", "plain", "org/one", "--include", "*.json", "--include", "*.safetensors").checked()
        refused, chat = made.ask("plain"), home.run("chat", "plain", "Hello?")
        started = list(engines_folder(home.settings().state_home).glob("*.log"))
        loaded = home.run("load", "plain").checked()

        said = refused.json()["error"]["message"]
        assert (refused.status_code, chat.code, started) == (400, 2, [])
        assert said.startswith(
            "plain has no chat template, and vllm needs one for a conversation. chat_template.jinja of"
        )
        assert "--include '*.json' --include '*.safetensors' --include chat_template.jinja." in said
        assert said in chat.err
        assert loaded.out.startswith("plain: word0")
        assert "plain has no chat template: it went on with the question as a text." in loaded.err
