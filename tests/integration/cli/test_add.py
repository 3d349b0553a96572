"""`shelf add`: what may be typed or pasted for a model, and which name it gets."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.fakes.hub import FakeHub
from tests.world import Home, Result

Cli = Callable[..., Result]
VISION = {
    "README.md": b"#",
    "V-Q4_K_M.gguf": b"GGUF4",
    "V-Q8_0-00001-of-00002.gguf": b"GGUF8",
    "V-Q8_0-00002-of-00002.gguf": b"GGUF9",
    "mmproj-F16.gguf": b"GGUFp",
}


def files_of(cli: Cli, name: str) -> list[str]:
    """Return the files of a registered model."""
    return [file["path"] for file in cli("show", name, "--json").checked().json["files"]]


@pytest.fixture
def vision(hub: FakeHub) -> str:
    """A repository of a vision model in two quantisations."""
    hub.add_repo("Org/Vision-GGUF", VISION)
    return "Org/Vision-GGUF"


def test_a_model_without_a_name_is_called_as_adopt_calls_it(hub: FakeHub, home: Home, cli: Cli) -> None:
    """Without a name a model gets its repository's, else one with the organisation; added again it keeps its name."""
    for organisation in ("Org", "Other"):
        hub.add_repo(f"{organisation}/Tiny-1B", {"config.json": b"{}", "model.safetensors": organisation.encode()})
    said = [cli("add", repo).checked().out.split(":")[0] for repo in ("Org/Tiny-1B", "Other/Tiny-1B", "org/tiny-1b")]
    home.hf(home.custom, "download", "Org/Tiny-1B").checked()
    cli("rm", "tiny-1b", "--files").checked()

    assert said == ["tiny-1b", "other-tiny-1b", "tiny-1b"]
    assert cli("adopt", str(home.custom), "--leave", "--json").checked().json["registered"] == ["tiny-1b"]


def test_a_quantisation_takes_its_files(cli: Cli, vision: str) -> None:
    """A quantisation takes its parts and the projector, and is part of the default name."""
    cli("add", f"{vision}:q8_0").checked()
    cli("add", f"hf.co/{vision}:Q4_K_M").checked()

    assert files_of(cli, "vision-gguf-q8_0") == [
        "V-Q8_0-00001-of-00002.gguf",
        "V-Q8_0-00002-of-00002.gguf",
        "mmproj-F16.gguf",
    ]
    assert files_of(cli, "vision-gguf-q4_k_m") == ["V-Q4_K_M.gguf", "mmproj-F16.gguf"]


def test_a_quantisation_that_is_not_there_is_refused_with_those_that_are(cli: Cli, vision: str) -> None:
    """An unknown quantisation is refused with those there are, even if a projector has it; nothing is registered."""
    refused = cli("add", f"{vision}:q5_k_s")

    assert (refused.code, refused.out) == (2, "")
    assert refused.err.startswith("error: No file is a GGUF of Q5_K_S.\nhint: The repository has V-Q4_K_M.gguf, ")
    assert cli("ls", "--json").json == []


def test_a_quantisation_of_two_models_is_refused_with_what_takes_one(hub: FakeHub, cli: Cli) -> None:
    """Where a tag selects two models, neither is taken unasked: each is named with the words that take it."""
    hub.add_repo("org/two-GGUF", {"a/m-Q4_1.gguf": b"1", "b/m-Q4_1.gguf": b"2", "m-Q8_0.gguf": b"3"})

    refused = cli("add", "org/two-GGUF:Q4_1")

    assert refused.code == 2
    assert "error: 2 models are GGUF of Q4_1: a/m-Q4_1.gguf, b/m-Q4_1.gguf.\n" in refused.err
    assert cli("add", "one", "org/two-GGUF", "--include", "*b/m-Q4_1.gguf*").checked()
    assert "--include 'b/m-Q4_1.gguf'" in refused.err
    assert "two" not in cli("ls", "-q").checked().out


def test_a_pasted_address_takes_its_file_at_its_revision(hub: FakeHub, home: Home, cli: Cli, vision: str) -> None:
    """A pasted address of huggingface.co or the hub takes its file and revision; another --revision is refused."""
    old = hub.add_repo(vision, {"V-Q4_K_M.gguf": b"GGUFo", "README.md": b"#"}, revision="v1")
    page = f"{home.endpoint}/{vision}/blob/v1/V-Q4_K_M.gguf"

    assert cli("add", page, "--dry-run", "--json").checked().json["model_name"] == "vision-gguf-q4_k_m"
    cli("add", "m", page, "--include", "*.md").checked()
    refused = cli("add", "n", page, "--revision", "main")

    shown = cli("show", "m", "--json").json
    assert (shown["revision"], shown["commit_hash"]) == ("v1", old)
    assert files_of(cli, "m") == ["README.md", "V-Q4_K_M.gguf"]
    assert (refused.code, "Give one of them" in refused.err) == (2, True)


def test_the_same_model_on_another_tier_is_not_taken_twice(cli: Cli, vision: str) -> None:
    """Adding the same model to another tier without a name is refused with the move command; with a name it works."""
    cli("add", f"{vision}:Q4_K_M").checked()

    refused = cli("add", f"{vision}:Q4_K_M", "--to", "secondary")

    assert refused.code == 5
    assert "hint: shelf move vision-gguf-q4_k_m secondary; " in refused.err
    cli("add", "copy", f"{vision}:Q4_K_M", "--to", "secondary").checked()


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        pytest.param([], "shelf add ORG/MODEL, or shelf add NAME ORG/MODEL", id="nothing"),
        pytest.param(["org/m", "a b.gguf"], "shelf add org/m --include 'a b.gguf'", id="hf's files"),
        pytest.param(["org/m", "a", "b"], "shelf add org/m --include a --include b", id="several files"),
        pytest.param(["llama3.2:1b"], "To find it: shelf search llama3.2", id="a name of Ollama's"),
        pytest.param(["https://example.com/m"], "or paste an address such as https://huggingface.co/", id="elsewhere"),
    ],
)
def test_what_names_no_model_says_what_does(home: Home, cli: Cli, words: list[str], hint: str) -> None:
    """Words that name no model end with exit code 2 and a hint that can be typed, and create no library."""
    refused = cli("add", *words)

    assert (refused.code, refused.out) == (2, "")
    assert hint in refused.err
    assert not home.primary.exists()
