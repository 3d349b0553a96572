"""What is shown on a terminal, and what in a pipe."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from modelshelf.cli.fitting import cells
from modelshelf.domain.models import FileEntry, Registration
from modelshelf.domain.names import CommitHash, Digest, FilePath, ModelName, RepoId
from tests.fakes.hub import FakeHub
from tests.terminal import SHELF, STYLE, Screen, Terminal, shelf_on_terminal
from tests.world import Home, random_bytes, wait_until

LONG = ModelName(f"{'model-with-a-long-name-' * 5:.96}")
LONG_REPO = RepoId(f"{'organisation/' + 'repository-with-a-long-name-' * 5:.96}".rstrip("-"))
DETAIL = "The hub's answer for model-00001-of-00003.safetensors doesn't match its digest, and didn't the second time."
LOOKING = ["ls", "tiers", "jobs", "doctor", "status", "lease"]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A library with the longest names: a model that isn't downloaded, a lease, a failed job."""
    with FakeHub() as hub:
        home = Home(tmp_path_factory.mktemp("a-rather-long-name-of-a-folder") / "user", hub.url)
        with home.open() as shelf:
            registry = shelf.services.registry
            for name, repo_id in ((ModelName("short"), RepoId("org/name")), (LONG, LONG_REPO)):
                row = registry.add_model(Registration(name, repo_id, "primary"), str(home.primary))
                file = FileEntry(FilePath("model-00001-of-00001.safetensors"), 123_456_789, Digest("ab" * 32))
                registry.set_manifest(row, CommitHash("c" * 40), [file])
            registry.set_complete(row.id - 1, "1")
            shelf.pin(LONG)
            job = registry.add_job("pull", LONG, {})
            registry.finish_job(job.id, "failed", detail=DETAIL)
        yield home


@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize("words", LOOKING)
def test_no_row_is_wider_than_the_terminal(library: Home, words: str, columns: int) -> None:
    """Long names lose their middle and long sentences wrap; a command to copy stays on one line."""
    seen = shelf_on_terminal(library, *words.split(), columns=columns)

    assert seen.code in (0, 7), seen.text
    assert [line for line in seen.lines if cells(line) > columns and "→" not in line] == []


def test_numbers_and_states_are_never_shortened(library: Home) -> None:
    """Names are shortened before numbers and states, and the repository leaves a narrow terminal."""
    row = next(line for line in shelf_on_terminal(library, "ls").lines if "…" in line)

    assert re.fullmatch(r"model-\S*…\S*  safetensors  primary  123\.5 MB  registered \(pinned\)  never", row)


def test_a_long_reason_stands_below_its_row(library: Home) -> None:
    """A long reason is shown in full below its row."""
    lines = shelf_on_terminal(library, "jobs").lines

    assert lines[0].split() == ["JOB", "KIND", "MODEL", "STATE", "DONE", "WHEN"]
    assert " ".join(line.strip() for line in lines[2:]) == DETAIL


def test_nothing_is_shortened_when_that_is_asked_for(library: Home) -> None:
    """--no-truncate before or after the command shortens nothing."""
    for words in (("--no-truncate", "ls"), ("ls", "--no-truncate")):
        text = shelf_on_terminal(library, *words).text
        assert LONG in text
        assert LONG_REPO in text


@pytest.mark.parametrize("words", LOOKING)
def test_a_pipe_gets_whole_names_and_no_colours(library: Home, words: str) -> None:
    """A pipe gets one line per row with whole names and without colours."""
    said = library.run(*words.split(), COLUMNS="80")

    assert STYLE.search(said.out + said.err) is None
    assert "…" not in said.out
    if words in ("ls", "jobs"):
        assert LONG in said.out
    if words == "jobs":
        assert DETAIL in said.out


@pytest.mark.parametrize(
    ("words", "variables"),
    [(["ls"], {"NO_COLOR": "1"}), (["ls"], {"TERM": "dumb"}), (["ls", "--no-color"], {}), (["--no-color", "ls"], {})],
    ids=["NO_COLOR", "dumb", "behind", "before"],
)
def test_colours_can_be_refused(library: Home, words: list[str], variables: dict[str, str]) -> None:
    """A state that needs attention is coloured, unless the user or the terminal forbids it."""
    assert "\x1b[31mmissing\x1b[0m" in shelf_on_terminal(library, "ls").raw
    assert STYLE.search(shelf_on_terminal(library, *words, **variables).raw) is None


def test_an_error_is_red_and_its_hint_is_not(library: Home) -> None:
    """An error is red, and the hint below isn't."""
    seen = shelf_on_terminal(library, "path", "absent")

    error, hint = seen.raw.splitlines()
    assert (seen.code, error, hint) == (
        4,
        "\x1b[31merror: There is no model absent.\x1b[0m",
        "hint: shelf ls lists them.",
    )


def test_a_program_of_run_keeps_its_own_options(library: Home) -> None:
    """Options that every command takes aren't taken from the arguments of `run`'s program."""
    refused = library.run("run", LONG, "echo", "--no-color", "-q")

    assert "is registered" in refused.err
    assert "No such option" not in refused.err


def download_on_terminal(hub: FakeHub, home: Home, *words: str, **variables: str) -> Screen:
    """Return the screen of a download at half of its bytes."""
    hub.add_repo("org/name", {"model.safetensors": random_bytes(3_000_000)})
    hub.pause(1_500_000)
    terminal = Terminal(home, *SHELF, "add", "m", "org/name", *words, **variables)
    with home.open() as shelf:
        wait_until(lambda: [job for job in shelf.jobs() if job.total_bytes], "a job that says how far it is")
    if not words and not variables:
        terminal.wait_for("m downloading  ")
    hub.resume()
    return terminal.finish()


def test_a_download_draws_one_line_and_takes_it_back(hub: FakeHub, home: Home) -> None:
    """A download draws one line and deletes it; the answer stays."""
    seen = download_on_terminal(hub, home)

    drawn = [part.rpartition("\x1b[2K")[2] for part in seen.raw.split("\r")]
    bars = [part for part in drawn if part.startswith("m downloading")]
    assert bars
    assert all(re.fullmatch(r"m downloading  █*░*  \S+ \S+ of 3\.0 MB  \S+ \S+/s  ETA \S+", bar) for bar in bars), bars
    assert drawn[-1].startswith("m: ready, 3.0 MB in ")
    assert seen.raw.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "variables"), [(["-q"], {}), (["--quiet"], {}), ([], {"TERM": "dumb"})], ids=["-q", "--quiet", "dumb"]
)
def test_nothing_is_drawn_where_nobody_wants_it(
    hub: FakeHub, home: Home, words: list[str], variables: dict[str, str]
) -> None:
    """With --quiet or on a dumb terminal nothing is drawn."""
    seen = download_on_terminal(hub, home, *words, **variables)

    assert re.fullmatch(r"m: ready, 3\.0 MB in \S+\n", seen.raw)
