"""Which backend serves a model, why, and with which command."""

from __future__ import annotations

from dataclasses import replace

import pytest

from modelshelf.domain.backend_choice import FoundBackend, choose_backend, endpoints_of, verdicts
from modelshelf.domain.backends import BACKENDS
from modelshelf.domain.engine_kinds import TALKS, EngineKind
from modelshelf.domain.launch_command import LaunchValues, check_arguments, command_of
from modelshelf.domain.model_facts import Found, ModelFacts, judge
from modelshelf.domain.models import FileEntry
from modelshelf.domain.names import Digest, FilePath
from modelshelf.domain.weight_files import main_weights
from modelshelf.errors import BadInput

LLAMA = FoundBackend("llama", ("/usr/bin/llama-server",), where="/usr/bin/llama-server")
TRANSFORMERS = FoundBackend("transformers", ("python", "-m", "transformers.cli.transformers"), "5.23.0")
VLLM = FoundBackend("vllm", ("/opt/vllm/bin/vllm",))
NO_VLLM = FoundBackend("vllm", ("/opt/vllm/bin/vllm",), why_not="It needs a GPU, and this machine has none.")
URL = FoundBackend("url")
ALL = (URL, TRANSFORMERS, LLAMA, NO_VLLM)
VALUES = LaunchValues("/m", "smol", 0, "secret", context=8192, slots=4)


def facts_with(*paths: str, **changes: object) -> ModelFacts:
    """Return the facts of a model that has these files, whose names alone say what it is."""
    files = [FileEntry(FilePath(path), 100, Digest("0" * 64)) for path in paths]
    return replace(judge(Found(files)), **changes)


GGUF = facts_with("model.gguf")
DENSE = facts_with("model.safetensors", "config.json")


@pytest.mark.parametrize(("facts", "name"), [(GGUF, "llama"), (DENSE, "transformers")], ids=["gguf", "safetensors"])
def test_the_format_chooses(facts: ModelFacts, name: str) -> None:
    """A GGUF goes to llama and safetensors to transformers, where both are installed."""
    assert choose_backend(facts, ALL).backend.name == name


def test_the_reason_names_what_would_have_been_taken_first() -> None:
    """Without a GPU transformers serves safetensors, and the reason says so of a vLLM that is here, of no other."""
    why = choose_backend(DENSE, (*ALL, FoundBackend("mlx", why_not="It needs a Mac."))).why

    assert why == (
        "It serves safetensors and is installed."
        " vllm would be taken first, but: It needs a GPU, and this machine has none."
    )


def test_vllm_is_taken_first_where_it_can_be_used() -> None:
    """With vLLM on a machine with a GPU, safetensors are served by it, and no other is named."""
    choice = choose_backend(DENSE, (TRANSFORMERS, VLLM))

    assert (choice.backend.name, choice.why) == ("vllm", "It serves safetensors and is installed.")


@pytest.mark.parametrize(
    ("facts", "found", "hint"),
    [
        (GGUF, (TRANSFORMERS,), "pipx install --force '.[llama]' in modelshelf's clone"),
        (DENSE, (LLAMA, NO_VLLM), "pipx install --force '.[transformers]' in modelshelf's clone"),
        (
            facts_with("model.safetensors", "modules.json", kind=EngineKind.EMBED),
            ALL,
            "pipx install --force '.[transformers]' in modelshelf's clone",
        ),
        (facts_with("model.onnx"), ALL, ""),
        (facts_with("unet/a.safetensors", runs_with=("diffusers",)), ALL, ""),
    ],
    ids=["gguf", "safetensors", "embedding", "onnx", "pipeline"],
)
def test_what_nothing_serves_says_what_to_install(
    facts: ModelFacts, found: tuple[FoundBackend, ...], hint: str
) -> None:
    """A model that nothing installed serves is refused with the command that installs it, where there is one."""
    with pytest.raises(BadInput, match="Nothing that is installed here serves") as caught:
        choose_backend(facts, found)

    assert caught.value.hint == hint


def test_a_wish_is_followed() -> None:
    """The engine that a model names serves it, though another would be taken first."""
    choice = choose_backend(DENSE, (VLLM, TRANSFORMERS), "transformers")

    assert (choice.backend.name, choice.why) == ("transformers", "The model names it.")


def test_a_url_serves_whatever_names_it_and_nothing_else() -> None:
    """Another server answers for the models that name it, of any format, and is never chosen for others."""
    assert choose_backend(GGUF, (URL,), "url").backend.name == "url"
    with pytest.raises(BadInput):
        choose_backend(GGUF, (URL,))


@pytest.mark.parametrize(
    ("wish", "detail"),
    [
        ("ollama", "There is no engine ollama."),
        ("llama", "llama can't serve it: It takes GGUF, not safetensors."),
        ("mlx", "mlx can't serve it: It was not looked for."),
    ],
)
def test_a_wish_that_cannot_be_followed_is_refused(wish: str, detail: str) -> None:
    """An engine that isn't known, isn't there, or doesn't take the model's format is refused by name."""
    with pytest.raises(BadInput) as caught:
        choose_backend(DENSE, ALL, wish)

    assert caught.value.detail == detail


def test_every_backend_says_why_it_does_not_serve_a_model() -> None:
    """Each backend that was looked for is judged: by the format, by what the model is for, by what is installed."""
    embed = facts_with("model.safetensors", kind=EngineKind.EMBED)
    quantised = facts_with("model.safetensors", runs_with=("mlx",))

    def reasons(facts: ModelFacts, *found: FoundBackend) -> dict[str, str]:
        return {one.backend.name: one.why_not for one in verdicts(facts, found)}

    assert reasons(embed, LLAMA, TRANSFORMERS, URL) == {
        "llama": "It takes GGUF, not safetensors.",
        "transformers": "It doesn't serve models that make embeddings.",
        "url": "",
    }
    assert reasons(quantised, TRANSFORMERS) == {"transformers": "Models like this one run with mlx."}
    assert reasons(DENSE, FoundBackend("transformers")) == {"transformers": "It isn't installed."}


def test_a_command_leaves_out_what_has_no_value() -> None:
    """llama-server is started without the options for images and adapters where a model has neither."""
    command = command_of(LLAMA.program, BACKENDS["llama"], EngineKind.GENERATE, VALUES)

    assert command == (
        "/usr/bin/llama-server --model /m --alias smol --host 127.0.0.1 --port 0 --ctx-size 8192 --parallel 4"
        " --kv-unified".split()
    )


def test_a_command_has_what_the_model_needs() -> None:
    """An embedding model with an adapter is started as one, with its adapter and the options of a person."""
    values = replace(VALUES, adapter="/a.gguf", context=512)
    command = command_of(["l"], BACKENDS["llama"], EngineKind.EMBED, values, ["--threads=2"])

    assert command[-9:] == "--lora /a.gguf --embedding --batch-size 512 --ubatch-size 512 --threads 2".split()


def test_a_context_that_is_not_known_is_left_to_the_program() -> None:
    """Without a context in the command, the program takes its own."""
    assert "--ctx-size" not in command_of(["l"], BACKENDS["llama"], EngineKind.GENERATE, replace(VALUES, context=0))


def test_the_base_of_an_adapter_has_another_name_in_vllm() -> None:
    """vLLM serves an adapter under the model's name, and its base model under another."""
    command = command_of(["vllm"], BACKENDS["vllm"], EngineKind.GENERATE, replace(VALUES, adapter="/a"))

    assert command[command.index("--served-model-name") + 1] == "smol-base"
    assert command[-1] == "smol=/a"


def test_no_command_holds_the_key() -> None:
    """The key of a child is in its environment, never among the words that everybody sees in the list of processes."""
    commands = [command_of(["p"], one, EngineKind.GENERATE, VALUES) for one in BACKENDS.values()]

    assert "secret" not in " ".join(word for command in commands for word in command)
    assert BACKENDS["llama"].environment["LLAMA_API_KEY"] == "{key}"
    assert VALUES.fill("{key}") == "secret"


def test_a_value_follows_as_a_program_takes_it() -> None:
    """llama-server doesn't take `--name=value`, so each of its options needs a value; the others take both."""
    vllm = command_of(["v"], BACKENDS["vllm"], EngineKind.GENERATE, VALUES, ["--dtype=half", "--enforce-eager"])

    assert vllm[-2:] == ["--dtype=half", "--enforce-eager"]
    with pytest.raises(BadInput, match="--threads needs a value"):
        check_arguments(BACKENDS["llama"], ["--threads"])


@pytest.mark.parametrize("word", ["--api-key=x", "--host=0.0.0.0", "--model=/etc/passwd", "threads"])
def test_an_argument_that_is_not_on_the_list_is_refused(word: str) -> None:
    """What would change the address, the key or the model of an engine can't be added to its command."""
    with pytest.raises(BadInput, match="isn't an argument") as caught:
        check_arguments(BACKENDS["llama"], ["--threads=2", word])

    assert "--threads" in caught.value.hint
    with pytest.raises(BadInput, match="isn't an argument"):
        check_arguments(BACKENDS["url"], [word])


def test_each_backend_answers_for_something() -> None:
    """Each backend that takes a format names what loads it, how to get it, and what it answers."""
    for backend in BACKENDS.values():
        assert backend.by_wish_alone or (backend.loads and backend.needs and backend.command)
        assert all(backend.endpoints.values())
    assert {kind for backend in BACKENDS.values() for kind in backend.endpoints} == set(EngineKind)


@pytest.mark.parametrize("name", ["llama", "mlx", "transformers", "vllm"])
def test_without_a_template_only_some_take_conversations(name: str) -> None:
    """transformers and vLLM take none for a model without a chat template; llama.cpp and mlx have one of their own."""
    answers = endpoints_of(BACKENDS[name], EngineKind.GENERATE, lacks_template=True)

    assert bool(answers & TALKS) is (name in ("llama", "mlx"))
    assert endpoints_of(BACKENDS[name], EngineKind.GENERATE, lacks_template=False) & TALKS


def test_a_model_that_is_here_in_part_is_served_from_elsewhere_alone() -> None:
    """With parts of its weights missing nothing here serves a model, and another server may."""
    files = [FileEntry(FilePath("model-00001-of-00003.safetensors"), 100, Digest("0" * 64))]
    facts = judge(Found(files, main_weights(files, frozenset())))

    with pytest.raises(BadInput, match=r"2 parts of its weights aren't among its files\. No program loads it so"):
        choose_backend(facts, ALL)
    assert (facts.runs_with, facts.unread) == ((), ("2 parts of its weights aren't among its files.",))
    assert choose_backend(facts, ALL, "url").backend.name == "url"
