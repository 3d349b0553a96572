"""Starting engines for registered models: files, lease, command, and what is left when they end."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx2
import pytest

from modelshelf.bootstrap.engines import make_starter
from modelshelf.domain.backend_choice import FoundBackend
from modelshelf.domain.engine_kinds import TALKS, EngineKind
from modelshelf.domain.ports import RunningEngine
from modelshelf.domain.serving import EngineState
from modelshelf.engines.child import MARK, Child
from modelshelf.errors import BadInput, Conflict, EngineFailed, NotFound
from modelshelf.services.catalog.facts import facts_of
from modelshelf.services.serving.start import Starter
from modelshelf.services.shelf import Shelf
from modelshelf.store import engine_files
from modelshelf.store.engine_files import EngineRecord
from modelshelf.store.layout import engines_folder
from tests.children import with_mark
from tests.fakes.hub import FakeHub
from tests.headers import gguf, safetensors
from tests.integration.engines.conftest import launch_of
from tests.world import DEADLINE_S, Home, wait_until

PROGRAM = Path(__file__).parents[2] / "fakes" / "engine_program.py"
WRITER = {
    "general.architecture": "llama",
    "llama.block_count": 2,
    "llama.context_length": 1024,
    "llama.embedding_length": 64,
    "llama.attention.head_count": 4,
}


@dataclass
class Library:
    """A library whose GGUF models the tests' own engine serves."""

    home: Home
    hub: FakeHub
    shelf: Shelf
    starter: Starter

    def add(self, name: str, files: dict[str, bytes], *, pulled: bool = True, tier: str = "primary") -> None:
        """Register a model, and download it."""
        self.hub.add_repo(f"org/{name}", files)
        self.shelf.register(name, f"org/{name}", tier, download=pulled)

    def leases(self) -> list[str]:
        """Return the names of the models that are held by engines."""
        return [lease.model_name for lease in self.shelf.services.leaser.live() if lease.kind == "engine"]

    def start(self, name: str, states: list[EngineState] | None = None) -> RunningEngine:
        """Start a model's engine, in a loop of its own that has ended before it is asked."""
        told = [] if states is None else states
        return asyncio.run(self.starter.start(self.starter.look(name), told.append))


@contextlib.contextmanager
def opened(home: Home, hub: FakeHub, *words: str, wishes: str = "") -> Iterator[Library]:
    """Open a library whose llama-server is the tests' own engine with these words."""
    command = shlex.join([sys.executable, "-P", str(PROGRAM), *words])
    settings = home.settings(LLAMA_SERVER=command, SHELF_ENGINES=wishes)
    with home.open() as shelf:
        yield Library(home, hub, shelf, make_starter(shelf.services, settings))


@pytest.fixture
def library(home: Home, hub: FakeHub) -> Iterator[Library]:
    """A library with the tests' own engine."""
    with opened(home, hub) as made:
        yield made


def command_line(library: Library, engine: RunningEngine) -> list[str]:
    """Return the command of an engine, by the process that listens."""
    (record,) = engine_files.records(library.starter.state_home)
    return next(one.cmdline() for one in with_mark(record.mark) if str(PROGRAM) in one.cmdline()[2:3])


def stop(engine: RunningEngine) -> None:
    """Stop an engine."""
    asyncio.run(engine.stop())


def test_it_looks_before_it_starts(library: Library) -> None:
    """Looking says which backend serves a model, what for, what may be asked and what memory it takes."""
    library.add("writer", {"model-Q8_0.gguf": gguf(WRITER)})
    library.add("reader", {"model.gguf": gguf(WRITER | {"llama.pooling_type": 1})})

    wanted, reader = library.starter.look("writer"), library.starter.look("reader")

    assert (wanted.backend, wanted.kind, wanted.slots, wanted.device) == ("llama", EngineKind.GENERATE, 4, "")
    assert wanted.needs_bytes > 2 * 2 * 2 * 64 * 1024
    assert "model-Q8_0.gguf" in wanted.version
    assert (reader.kind, [str(one) for one in reader.endpoints if "embed" in one]) == (EngineKind.EMBED, ["embeddings"])
    assert library.leases() == []


@pytest.mark.parametrize(("template", "takes"), [("{{ tools }}", True), ("{{ messages }}", False)])
def test_a_template_without_tools_keeps_them_from_the_model(library: Library, template: str, takes: bool) -> None:
    """llama.cpp would answer as if there were none, so the door is told to refuse such a request."""
    library.add("writer", {"model-Q8_0.gguf": gguf(WRITER | {"tokenizer.chat_template": template})})
    engine = library.start("writer")
    stop(engine)

    assert engine.served.takes_tools is takes


@pytest.mark.parametrize(
    ("file", "takes"),
    [
        ({"chat_template.jinja": b"{{ messages }}"}, False),
        ({"chat_template.jinja": b"{% if tools %}"}, True),
        ({"tokenizer_config.json": b'{"chat_template": "{{ messages }}"}'}, False),
        ({"tokenizer_config.json": b'{"chat_template": [{"name": "tool_use", "template": "{{ tools }}"}]}'}, True),
        ({"chat_template.json": b'{"chat_template": "{{ messages }}"}'}, False),
        ({"tokenizer_config.json": b"{}"}, True),
    ],
    ids=str,
)
def test_a_template_beside_the_weights_has_a_place_for_tools_or_none(
    library: Library, file: dict[str, bytes], takes: bool
) -> None:
    """What transformers and vLLM are given has its template in a file; where there is none, nothing is known."""
    library.add("writer", {"model.safetensors": safetensors({}), **file})

    model = library.shelf.services.library.model("writer")
    assert facts_of(model, library.shelf.services.library.files(model.row)).takes_tools is takes


def test_llama_sees_with_a_file_for_it(library: Library) -> None:
    """Without an mmproj file llama.cpp fails on a picture, so the door is told that the model reads texts alone."""
    library.add("blind", {"model-Q8_0.gguf": gguf(WRITER)})
    library.add("seeing", {"model-Q8_0.gguf": gguf(WRITER), "mmproj-f16.gguf": gguf({})})

    plans = [library.starter.planner.plan(library.shelf.services.library.model(name)) for name in ("blind", "seeing")]

    assert [plan.takes_media for plan in plans] == [False, True]


def test_what_cannot_be_served_is_refused_by_the_look(library: Library) -> None:
    """A model that isn't there, and a format that nothing serves, are refused before anything is started."""
    library.add("onnx", {"model.onnx": b"onnx"})

    with pytest.raises(NotFound):
        library.starter.look("nobody")
    with pytest.raises(BadInput, match="Nothing that is installed here serves ONNX"):
        library.starter.look("onnx")


def test_a_started_model_answers_and_is_leased_until_it_ends(library: Library) -> None:
    """A ready engine answers under the library's name with its own key; the lease and the record go when it ends."""
    library.add("tiny", {"model.gguf": gguf(WRITER)})
    states: list[EngineState] = []

    engine = library.start("tiny", states)
    served = engine.served
    answer = httpx2.post(
        f"{served.url}/v1/chat/completions",
        json={"model": served.upstream_model, "messages": []},
        headers={"Authorization": f"Bearer {served.key}"},
    )
    held = library.leases()
    stop(engine)

    assert answer.json()["model"] == "tiny"
    assert states == [EngineState.STARTING]
    assert held == ["tiny"]
    wait_until(lambda: library.leases() == [], "the lease to be given back")
    assert engine_files.records(library.starter.state_home) == []
    assert library.shelf.model("tiny").row.uses == 1
    assert "fake engine: loading" in (engines_folder(library.starter.state_home) / "tiny.log").read_text()


def test_missing_files_are_fetched_first(library: Library) -> None:
    """A model that was registered and not downloaded is pulled by its first start, which tells so."""
    library.add("late", {"model.gguf": gguf(WRITER)}, pulled=False)
    states: list[EngineState] = []

    stop(library.start("late", states))

    assert states == [EngineState.FETCHING, EngineState.STARTING]


def test_of_several_files_the_largest_quantisation_is_served_with_its_projector(library: Library) -> None:
    """A split GGUF is given by its first part, with the file that reads images, from the slow tier too."""
    library.add(
        "images",
        {
            "m-Q8_0-00001-of-00002.gguf": gguf(WRITER),
            "m-Q8_0-00002-of-00002.gguf": gguf(WRITER | {"split.no": 1}),
            "m-Q4_K_M.gguf": gguf(WRITER),
            "mmproj-F32.gguf": gguf({}),
            "mmproj-F16.gguf": gguf({}),
        },
        tier="secondary",
    )

    engine = library.start("images")
    words = command_line(library, engine)
    stop(engine)

    said = dict(itertools.pairwise(words))
    assert said["--model"].endswith("/m-Q8_0-00001-of-00002.gguf")
    assert said["--mmproj"].endswith("/mmproj-F16.gguf")
    assert said["--ctx-size"] == "1024"
    assert str(library.home.secondary) in said["--model"]


def test_an_adapter_is_served_on_its_base(library: Library) -> None:
    """A LoRA adapter in a GGUF is given to the engine beside its base model, and both are leased."""
    library.add("base", {"model.gguf": gguf(WRITER)})
    config = b'{"base_model_name_or_path": "org/base", "peft_type": "LORA"}'
    library.add("adapter", {"adapter.gguf": gguf({"general.type": "adapter"}), "adapter_config.json": config})

    engine = library.start("adapter")
    words, held = command_line(library, engine), library.leases()
    stop(engine)

    said = dict(itertools.pairwise(words))
    assert said["--model"].endswith("model.gguf")
    assert said["--lora"].endswith("adapter.gguf")
    assert said["--alias"] == "adapter"
    assert sorted(held) == ["adapter", "base"]


def test_an_adapter_of_another_format_is_refused(library: Library) -> None:
    """An adapter in safetensors can't be laid on a GGUF; the refusal leaves no lease and no record."""
    library.add("base", {"model.gguf": gguf(WRITER)})
    config = b'{"base_model_name_or_path": "org/base"}'
    library.add("adapter", {"adapter_model.safetensors": b"", "adapter_config.json": config})

    with pytest.raises(BadInput, match="adapter isn't a GGUF, and its base model is"):
        library.start("adapter")

    assert library.leases() == []
    assert engine_files.records(library.starter.state_home) == []


@pytest.mark.parametrize(("words", "out_of_memory"), [(("--crash", "starting"), False), (("--out-of-memory",), True)])
def test_a_start_that_fails_gives_everything_back(
    home: Home, hub: FakeHub, words: tuple[str, ...], out_of_memory: bool
) -> None:
    """A start that fails says for which model and with which engine, names the log, and holds nothing any more."""
    with opened(home, hub, *words) as library:
        library.add("tiny", {"model.gguf": gguf(WRITER)})

        with pytest.raises(EngineFailed, match="tiny didn't start with llama") as caught:
            library.start("tiny")

        assert caught.value.out_of_memory is out_of_memory
        assert "shelf logs tiny" in caught.value.hint
        wait_until(lambda: library.leases() == [], "the lease to be given back")
        assert engine_files.records(library.starter.state_home) == []
        assert library.shelf.model("tiny").row.uses == 0


def test_a_port_that_was_taken_meanwhile_is_tried_once_more(home: Home, hub: FakeHub) -> None:
    """An engine that finds its port taken is started a second time, and no third time."""
    with opened(home, hub, "--port-taken") as library:
        library.add("tiny", {"model.gguf": gguf(WRITER)})

        with pytest.raises(EngineFailed, match="Address already in use"):
            library.start("tiny")

        log = engines_folder(library.starter.state_home) / "tiny.log"
        assert log.read_text().count("Address already in use") == 2


def test_a_cancelled_start_gives_everything_back(home: Home, hub: FakeHub) -> None:
    """A start that is cancelled while its engine hangs holds no lease and has no process any more."""
    with opened(home, hub, "--hang", "starting") as library:
        library.add("tiny", {"model.gguf": gguf(WRITER)})

        async def story() -> str:
            start = asyncio.create_task(library.starter.start(library.starter.look("tiny"), lambda _: None))
            records = lambda: engine_files.records(library.starter.state_home)  # noqa: E731 - it is asked twice
            (record,) = await asyncio.to_thread(wait_until, records, "the record")
            start.cancel()
            with pytest.raises(asyncio.CancelledError):
                await start
            return str(record.mark)

        mark = asyncio.run(story())

        assert with_mark(mark) == []
        wait_until(lambda: library.leases() == [], "the lease to be given back")


def test_no_secret_reaches_an_engine(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tokens and keys of the library aren't in an engine's environment, and its hub is offline."""
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setenv("SHELF_API_KEY", "shelf_secret")
    library.add("tiny", {"model.gguf": gguf(WRITER)})

    engine = library.start("tiny")
    (record,) = engine_files.records(library.starter.state_home)
    environments: list[dict[str, Any]] = [one.environ() for one in with_mark(record.mark)]
    stop(engine)

    assert environments
    for environ in environments:
        assert "secret" not in str([environ.get(name) for name in ("HF_TOKEN", "SHELF_API_KEY")])
        assert environ["HF_HUB_OFFLINE"] == "1"


def test_what_a_killed_server_left_is_ended_by_the_next(library: Library) -> None:
    """The processes of a server that is gone are ended by their records; those of one that lives stay."""
    library.add("tiny", {"model.gguf": gguf(WRITER)})
    engine = library.start("tiny")
    state_home, mark = library.starter.state_home, f"{os.getpid()}lost"
    lost = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], env={MARK: mark})
    dead = EngineRecord(mark, library.starter.owner.rpartition(":")[0] + ":1")

    with engine_files.recorded(state_home, dead):
        wait_until(lambda: with_mark(mark), "the process")
        ended = library.starter.end_left_behind()
        left = engine_files.records(state_home)

    lost.wait(DEADLINE_S)
    assert ended == 1
    assert with_mark(mark) == []
    (record,) = left
    assert with_mark(record.mark)
    stop(engine)


def test_a_models_own_arguments_reach_its_engine(home: Home, hub: FakeHub) -> None:
    """What SHELF_ENGINES says of a model stands at the end of its command, and makes another version of it."""
    with opened(home, hub, wishes="tiny=llama --threads=3") as library:
        library.add("tiny", {"model.gguf": gguf(WRITER)})
        wanted = library.starter.look("tiny")

        engine = library.start("tiny")
        words = command_line(library, engine)
        stop(engine)

    assert words[-2:] == ["--threads", "3"]
    assert wanted.version.endswith(":llama --threads=3")


def test_the_chosen_engine_is_started(library: Library) -> None:
    """What was chosen for a model is at the end of its command; an engine that isn't installed can't be chosen."""
    library.add("tiny", {"model.gguf": gguf(WRITER)})
    library.shelf.choose_engine("tiny", "llama", ["threads=3"])
    with pytest.raises(BadInput, match="mlx can't be used here"):
        library.shelf.choose_engine("tiny", "mlx")

    engine = library.start("tiny")
    words = command_line(library, engine)
    stop(engine)

    assert words[-2:] == ["--threads", "3"]
    assert library.shelf.model("tiny").row.engine.engine == "llama"


def transformers_of(library: Library, *, allow_remote_code: bool = False) -> Starter:
    """Return a starter whose transformers is the tests' own engine."""
    found = [FoundBackend("transformers", (sys.executable, "-P", str(PROGRAM)))]
    planner = replace(library.starter.planner, found=lambda: found, allow_remote_code=allow_remote_code)
    library.starter = replace(library.starter, planner=planner)
    return library.starter


def test_a_model_that_brings_code_needs_two_flags(library: Library) -> None:
    """Without its flag and that of the library it is refused by the look; with both its engine may run the code."""
    config = b'{"architectures": ["MineForCausalLM"], "auto_map": {"AutoModelForCausalLM": "mine.Mine"}}'
    library.add("mine", {"config.json": config, "model.safetensors": safetensors({"a": ("BF16", [2])})})
    for allowed in (False, True):
        with pytest.raises(BadInput, match="needs its own flag and ALLOW_REMOTE_CODE=1"):
            transformers_of(library, allow_remote_code=allowed).look("mine")

    library.shelf.choose_engine("mine", trust_remote_code=True)
    engine = library.start("mine")
    words = command_line(library, engine)
    stop(engine)

    assert words[-1] == "--trust-remote-code"


def test_weights_that_are_pickles_need_a_flag(library: Library) -> None:
    """A model whose weights are pickles is served once a person allowed it."""
    library.add("old", {"config.json": b"{}", "pytorch_model.bin": b"pickle"})
    with pytest.raises(BadInput, match="Python pickles"):
        transformers_of(library).look("old")

    library.shelf.choose_engine("old", allow_pickle=True)

    assert library.starter.look("old").backend == "transformers"


def test_what_puts_a_conversation_is_a_template_of_the_model_or_its_adapter(library: Library) -> None:
    """With neither, nothing of a conversation may be asked; mistral's tokenizer needs none."""
    weights = {"config.json": b'{"architectures": ["A"]}', "model.safetensors": safetensors({"a": ("BF16", [2])})}
    adapter = {"adapter_config.json": b'{"base_model_name_or_path": "org/base"}'}
    adapter["adapter_model.safetensors"] = weights["model.safetensors"]
    library.add("base", weights)
    library.add("plain", adapter)
    library.add("talker", adapter | {"chat_template.jinja": b"{{ messages }}"})
    library.add("mistral", weights | {"tekken.json": b"{}", "tokenizer_config.json": b"{}"})
    starter = transformers_of(library)

    looked = [starter.look(name) for name in ("base", "plain", "talker", "mistral")]

    assert [bool(one.endpoints & TALKS) for one in looked] == [False, False, True, True]
    assert [bool(one.no_template) for one in looked] == [True, True, False, False]


def test_an_adapter_is_never_laid_on_another_base_than_the_leased_one(library: Library) -> None:
    """Where an engine finds the base model by the adapter's own file, that must mean the registered one."""
    weights = {"config.json": b'{"architectures": ["A"]}', "model.safetensors": safetensors({"a": ("BF16", [2])})}
    library.add("base", weights)
    for name, said in (("right", b"org/base"), ("spelt", b"Org/Base")):
        config = b'{"base_model_name_or_path": "%s"}' % said
        library.add(name, {"adapter_config.json": config, "adapter_model.safetensors": weights["model.safetensors"]})
    transformers_of(library)

    engine = library.start("right")
    words, held = command_line(library, engine), library.leases()
    stop(engine)
    with pytest.raises(BadInput, match="spelt names its base model Org/Base, and base is org/base"):
        library.start("spelt")
    library.shelf.path("base").parents[1].joinpath("refs", "main").write_text("0" * 40)
    with pytest.raises(BadInput, match="base isn't what main is of org/base"):
        library.start("right")

    assert words[4] == str(library.shelf.path("right"))
    assert sorted(held) == ["base", "right"]
    wait_until(lambda: library.leases() == [], "the leases to be given back")


@pytest.mark.parametrize(
    ("mode", "states", "tier"),
    [
        ("always", [EngineState.PROMOTING, EngineState.STARTING], "primary"),
        ("auto", [EngineState.STARTING], "secondary"),
    ],
)
def test_a_model_moves_to_the_primary_first_where_the_policy_says_so(
    home: Home, hub: FakeHub, mode: str, states: list[EngineState], tier: str
) -> None:
    """With PROMOTE=always a model of the slow tier is moved before its engine starts, which is told."""
    home.extra["PROMOTE"] = mode
    with opened(home, hub) as library:
        library.add("slow", {"model.gguf": gguf(WRITER)}, tier="secondary")
        told: list[EngineState] = []

        stop(library.start("slow", told))

        assert told == states
        assert library.shelf.model("slow").row.cache_location == tier


def test_another_server_answers_for_a_model(home: Home, hub: FakeHub) -> None:
    """A model that names an address is served there under its name there, takes no memory here, and starts nothing."""
    child = Child(launch_of(), lambda _: None)
    try:
        url = wait_until(lambda: child.url, "the other server")
        with opened(home, hub, wishes=f"far=url {url}/v1 smol") as library:
            library.add("far", {"model.safetensors": b""}, pulled=False)
            wanted = library.starter.look("far")
            engine = library.start("far")
            stop(engine)
    finally:
        child.stop()

    assert (wanted.backend, wanted.needs_bytes) == ("url", 0)
    assert (engine.served.url, engine.served.upstream_model, engine.served.key) == (url, "smol", "")
    assert engine.memory_bytes() == 0


def test_a_server_that_does_not_answer_is_named(home: Home, hub: FakeHub) -> None:
    """When the server of an address is away, the start fails with the address and the setting."""
    with opened(home, hub, wishes="far=url http://127.0.0.1:9/v1") as library:
        library.add("far", {"model.safetensors": b""}, pulled=False)

        with pytest.raises(EngineFailed, match=r"served by http://127\.0\.0\.1:9, which doesn't answer") as caught:
            library.start("far")

    assert "SHELF_ENGINES" in caught.value.hint


def test_a_served_model_is_not_removed(library: Library) -> None:
    """A model that an engine holds isn't removed with its files; once the engine has ended it is."""
    library.add("tiny", {"model.gguf": gguf(WRITER)})
    engine = library.start("tiny")

    with pytest.raises(Conflict, match="engine in pid"):
        library.shelf.remove("tiny", delete_files=True)

    stop(engine)
    wait_until(lambda: library.leases() == [], "the lease to be given back")
    assert library.shelf.remove("tiny", delete_files=True)
