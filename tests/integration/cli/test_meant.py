"""A command takes what the door takes for a model: its repository, an address of that, a quantisation, any case."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.fakes.hub import FakeHub
from tests.headers import gguf
from tests.world import Result

Cli = Callable[..., Result]
REPO = "Org/Chat-GGUF"


@pytest.fixture
def cli(hub: FakeHub, cli: Cli) -> Cli:
    """A command line of a library with `chat`, one of three repositories."""
    hub.add_repo(REPO, {"chat-Q4_1.gguf": gguf({})})
    hub.add_repo("other/chat", {"config.json": b"{}"})
    cli("add", "chat", REPO).checked()
    return cli


@pytest.mark.parametrize(
    "asked",
    ["chat", "CHAT", "chat:latest", REPO, REPO.lower(), f"{REPO}:Q4_1", "chat:q4_1", f"hf.co/{REPO}", f"hf://{REPO}",
     f"https://huggingface.co/{REPO}"],
)  # fmt: skip
def test_each_way_to_say_it_leads_to_the_model(cli: Cli, asked: str) -> None:
    """Commands that look find the model under each of its names."""
    assert cli("path", asked).checked().out == cli("path", "chat").checked().out
    assert cli("show", asked).checked().out.split()[:2] == ["name:", "chat"]


def test_what_changes_a_model_finds_it_as_well(cli: Cli) -> None:
    """Pinning, moving and renaming take its repository, and say its own name."""
    assert cli("pin", REPO).checked().out.startswith("chat")
    assert cli("move", f"{REPO}:Q4_1", "secondary").checked().out.startswith("chat: ready")
    assert cli("rename", REPO, "talk").checked()
    assert "talk" in cli("ls").checked().out


def test_what_deletes_wants_the_name(cli: Cli) -> None:
    """`rm` takes a model's name alone, and says it for a repository that has one."""
    assert cli("rm", "CHAT", "--yes").code == 4
    assert "chat" in cli("ls", "-q").checked().out


def test_another_repository_is_never_suggested(cli: Cli) -> None:
    """A repository that isn't registered leads to `shelf add`, not to a model whose name comes near."""
    for verb in ("pull", "show", "load"):
        said = cli(verb, "other/chat")
        assert said.err.endswith("hint: To register and download it: shelf add other/chat\n"), verb


def test_what_may_mean_two_is_told(cli: Cli) -> None:
    """A repository that two models are registered for leads to both names."""
    cli("add", "second", REPO).checked()

    said = cli("show", REPO)

    assert said.err.endswith("hint: Did you mean chat or second?\n")
