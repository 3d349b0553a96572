"""Adding a repository of several quantisations without naming one."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.fakes.hub import FakeHub
from tests.terminal import SHELF, Screen, Terminal
from tests.world import Home, random_bytes

REPO = "org/m-GGUF"
FILES = {
    "m-Q4_K_M.gguf": b"GGUF" + random_bytes(40_000),
    "m-Q8_0.gguf": b"GGUF" + random_bytes(80_000, seed=1),
    "m-F16.gguf": b"GGUF" + random_bytes(160_000, seed=2),
    "mmproj-F16.gguf": b"GGUF" + random_bytes(1000, seed=3),
    "README.md": b"hello",
}


@pytest.fixture(autouse=True)
def commit(hub: FakeHub) -> str:
    """The commit of a repository of three quantisations."""
    return hub.add_repo(REPO, FILES)


def answer(home: Home, *lines: str, words: Sequence[str] = ("add", REPO)) -> Screen:
    """Run a command on a terminal where a person types these lines, one at each question."""
    terminal = Terminal(home, *SHELF, *words)
    for line, question in zip(lines, ("Which one?", "or q.\r\nWhich one?"), strict=False):
        terminal.wait_for(question)
        terminal.type(f"{line}\n")
    return terminal.finish()


def held(home: Home, name: str) -> set[str]:
    """Return a model's files."""
    return {file["path"] for file in home.run("show", name, "--json").checked().json["files"]}


def test_enter_takes_the_best_that_fits(home: Home) -> None:
    """A numbered list shows sizes, fit and the reason for the proposal; Enter takes the proposal."""
    said = answer(home, "")

    assert said.code == 0, said.text
    rows = [line.split() for line in said.lines if line.strip()[:1] in "123" and line.strip()]
    assert [row[:6] for row in rows] == [
        ["1", "Q4_K_M", "+", "mmproj", "41.0", "kB"],
        ["2", "Q8_0", "+", "mmproj", "81.0", "kB"],
        ["3", "F16", "+", "mmproj", "161.0", "kB"],
    ]
    assert "Q8_0 is the largest up to 8 bits that fits memory and the primary." in said.text
    assert max(len(line) for line in said.text.partition("Which one?")[0].splitlines()) <= 80
    assert held(home, "m-gguf-q8_0") == {"m-Q8_0.gguf", "mmproj-F16.gguf"}


def test_a_number_or_a_name_takes_another(home: Home) -> None:
    """A number or a quantisation's name selects it; anything else is asked again."""
    said = answer(home, "9", "q4_k_m", words=("add", "mine", REPO))

    assert said.code == 0, said.text
    assert "There is no 9. Type a number from 1 to 3, or q." in said.text
    assert held(home, "mine") == {"m-Q4_K_M.gguf", "mmproj-F16.gguf"}


@pytest.mark.parametrize(("to", "where"), [("secondary", "goes to secondary"), ("{root}/usb", "fits there")])
def test_what_fits_is_said_of_the_tier_that_was_asked_for(home: Home, to: str, where: str) -> None:
    """If a tier is named, the list says what fits that tier."""
    home.extra |= {"PRIMARY_CACHE_LIMIT_GB": "0.00001"}

    said = answer(home, "q", words=("add", REPO, "--to", to.format(root=home.root)))

    assert said.text.count(where) == 3, said.text
    assert "[2]" in said.text


def test_q_leaves(home: Home) -> None:
    """`q` ends the question and registers nothing."""
    said = answer(home, "q")

    assert (said.code, "Nothing was added." in said.text) == (0, True)
    assert home.run("ls", "--json").json == []


def test_a_dry_run_shows_what_the_choice_would_do(home: Home) -> None:
    """With --dry-run the question is asked, and the plan of the choice is shown."""
    said = answer(home, "1", words=("add", REPO, "--dry-run"))

    assert "downloads 41.0 kB of 41.0 kB" in said.text
    assert not home.primary.exists()


def test_without_a_terminal_the_choices_and_commands_are_named(home: Home) -> None:
    """Without a terminal the error lists the choices and the commands, and nothing is downloaded."""
    done = home.run("add", "mine", REPO, "--json")

    assert done.code == 2
    assert "Q4_K_M (41.0 kB), Q8_0 (81.0 kB), F16 (161.0 kB)" in done.problem["detail"]
    assert "shelf add mine org/m-GGUF:Q8_0" in done.problem["hint"]
    assert "--include '*'" in done.problem["hint"]
    assert done.problem["choices"] == [f"{REPO}:{label}" for label in ("Q4_K_M", "Q8_0", "F16")]
    elsewhere = home.run("add", REPO, "--to", "secondary", "--json").problem["hint"]
    assert "shelf add org/m-GGUF:Q8_0 --to secondary, or --yes. " in elsewhere
    assert elsewhere.endswith("shelf add org/m-GGUF --to secondary --include '*'")
    assert home.run("ls", "--json").json == []


@pytest.mark.parametrize(
    ("words", "count"),
    [(("--include", "*"), 5), (("--include", "*.md"), 1), (("--exclude", "*F16*"), 3)],
    ids=["all", "some", "not some"],
)
def test_who_says_which_is_asked_nothing(home: Home, words: tuple[str, ...], count: int) -> None:
    """With patterns no question is asked, even if they select everything."""
    home.run("add", "m", REPO, *words).checked()

    assert len(held(home, "m")) == count


def test_what_is_registered_already_is_asked_nothing(home: Home) -> None:
    """Adding a registered model again asks nothing and changes nothing."""
    with home.open() as shelf:
        shelf.register("m", REPO)

    home.run("add", "m", REPO).checked()
    home.run("add", "Org/M-gguf").checked()

    assert [model["model_name"] for model in home.run("ls", "--json").json] == ["m"]


def test_yes_takes_the_proposal(home: Home) -> None:
    """--yes takes the proposal."""
    home.run("add", "m", REPO, "--yes").checked()

    assert held(home, "m") == {"m-Q8_0.gguf", "mmproj-F16.gguf"}


def test_one_quantisation_is_no_choice(home: Home, hub: FakeHub) -> None:
    """A repository with one GGUF file is added whole without a question."""
    hub.add_repo("org/one-GGUF", {"m-Q4_0.gguf": b"GGUF", "README.md": b"x"})

    home.run("add", "m", "org/one-GGUF").checked()

    assert len(held(home, "m")) == 2


def test_without_the_hub_the_model_waits(home: Home, hub: FakeHub) -> None:
    """While the hub is unreachable a model is registered without a question and without files."""
    hub.stop()

    assert home.run("add", "m", REPO).code == 7
    assert home.run("ls", "--json").json[0]["state"] == "registered"
