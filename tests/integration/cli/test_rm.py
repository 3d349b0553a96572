"""`shelf rm`: what it asks, what it refuses, what stays, and how to free that."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fakes.hub import FakeHub
from tests.terminal import Screen, Terminal, shelf_on_terminal
from tests.world import Home, Result, random_bytes

Cli = Callable[..., Result]
REPO = "org/name"
FILES = {"config.json": b"{}", "model.safetensors": random_bytes(300_000)}


@pytest.fixture
def added(hub: FakeHub, home: Home) -> Path:
    """Add the model m and return its repository's folder."""
    hub.add_repo(REPO, FILES)
    home.run("add", "m", REPO).checked()
    return home.primary / "hub/models--org--name"


def typed(home: Home, *words: str, answers: str) -> Screen:
    """Run `shelf` on a terminal and answer its questions."""
    shelf = Terminal(home, "shelf", *words, columns=120)
    for answer in answers:
        shelf.wait_for("]: ")
        shelf.said = shelf.said.replace(b"]: ", b"]; ")
        shelf.type(f"{answer}\n")
    return shelf.finish()


@pytest.mark.parametrize(("answer", "stays"), [("y", False), ("n", True)])
def test_a_person_is_asked_about_the_bytes(home: Home, added: Path, answer: str, stays: bool) -> None:
    """Without flags a person is told how much deleting frees, and answers yes or no."""
    screen = typed(home, "rm", "m", answers=answer)

    assert "m: deleting its files frees 300.0 kB of 300.0 kB.\n" in screen.text
    assert "Delete the files too? [no]" in screen.text
    assert (screen.code, "Removed m" in screen.text, added.exists()) == (0, True, stays)


def test_what_stays_is_said_before_the_question(home: Home, cli: Cli, added: Path) -> None:
    """Before the question, `rm` lists the files that stay, each with its reason."""
    cli("add", "twin", REPO).checked()

    screen = typed(home, "rm", "m", answers="n")

    assert "m: deleting its files frees 0 B of 300.0 kB. Files that twin also uses stay.\n" in screen.text
    assert [model["model_name"] for model in cli("ls", "--json").checked().json] == ["twin"]


def test_what_goes_before_is_reckoned_with(home: Home, cli: Cli, added: Path) -> None:
    """Of two models with the same files the second takes them along, and that is said before anything goes."""
    cli("add", "twin", REPO).checked()

    planned = cli("rm", "m", "twin", "--files", "--dry-run").checked()
    screen = typed(home, "rm", "m", "twin", answers="y")

    assert planned.err == "Would free 0 B.\nWould free 300.0 kB.\n"
    assert planned.out.count("/blobs/") == len(FILES)
    assert "m: deleting its files frees 0 B of 300.0 kB. Files that twin also uses stay.\n" in screen.text
    assert "twin: deleting its files frees 300.0 kB of 300.0 kB.\n" in screen.text
    assert (screen.code, added.exists()) == (0, False)


@pytest.mark.parametrize("words", [("--files",), ("--yes",), ("-y", "--files")], ids=" ".join)
def test_what_the_flags_say_is_not_asked(home: Home, added: Path, words: tuple[str, ...]) -> None:
    """--files and --yes ask nothing, and --yes does what the other flags say."""
    screen = shelf_on_terminal(home, "rm", "m", *words)

    assert (screen.code, "[no]" in screen.text, added.exists()) == (0, False, "--files" not in words)


@pytest.mark.usefixtures("added")
def test_what_stays_can_be_freed(home: Home, cli: Cli, added: Path) -> None:
    """Without a terminal nothing is asked; the note has the command that frees the files, with --yes."""
    said = cli("rm", "m")
    assert (said.code, said.out) == (0, "Removed m from the library; its files stay where they are.\n")
    assert said.err == f"To delete them too (300.0 kB): shelf rm {REPO} --files\n"

    planned = cli("rm", REPO, "--files", "--dry-run").checked()
    refused, bare = cli("rm", REPO, "--files"), cli("rm", REPO)
    assert "2 files, 300.0 kB" in planned.out
    assert (refused.code, refused.err.splitlines()[1]) == (
        2,
        f"hint: To delete them: shelf rm {REPO} --files --yes",
    )
    assert (bare.code, bare.err.splitlines()[1].endswith(f"To delete them: shelf rm {REPO} --files")) == (4, True)
    assert added.exists()

    kept = typed(home, "rm", REPO, "--files", answers="n")
    assert (kept.code, "Nothing was removed." in kept.text, added.exists()) == (0, True, True)
    gone = typed(home, "rm", REPO, "--files", answers="y")
    assert (gone.code, f"Deleted what lay here of {REPO}: freed 3" in gone.text, added.exists()) == (0, True, False)


@pytest.mark.usefixtures("added")
def test_a_repository_with_a_model_is_told_whose_it_is(cli: Cli) -> None:
    """What deletes guesses nothing; but whose a repository is that was typed in full is no guess."""
    refused = cli("rm", REPO, "--files", "--yes")

    assert (refused.code, refused.out) == (4, "")
    assert refused.err.splitlines()[1] == f"hint: {REPO} is the repository of m: give a model's name."


def test_what_stays_on_a_base_without_a_model_is_shown_and_goes(home: Home, cli: Cli, added: Path) -> None:
    """The last model of a base that no setting names leaves its bytes: `tiers` and `ls --all` show them, `rm` frees."""
    stick = home.work / "stick"
    cli("move", "m", str(stick)).checked()
    cli("rm", "m", "--yes").checked()

    assert f"custom  {stick}\n" in cli("tiers").checked().out
    assert [(one["hf_path"], one["cache_path"]) for one in cli("ls", "--all", "--json").json["unregistered"]] == [
        (REPO, str(stick))
    ]
    assert cli("rm", REPO, "--files", "--yes").checked().out.startswith(f"Deleted what lay here of {REPO}: freed")
    cli("forget", str(stick)).checked()
    assert "custom" not in cli("tiers").checked().out


def test_only_what_is_not_registered_goes(hub: FakeHub, home: Home, cli: Cli, added: Path) -> None:
    """An old revision and a second copy of a registered model are deleted, and the model stays whole."""
    hub.add_repo(REPO, FILES | {"model.safetensors": random_bytes(200_000)})
    cli("update", "m", "--keep-old").checked()
    cli("move", "m", "secondary", "--keep-source").checked()

    plan = cli("rm", REPO, "--files", "--dry-run", "--json").checked().json
    done = cli("rm", REPO, "--files", "--yes", "--json").checked().json

    assert len(plan["unneeded"]) == 2
    assert done["freed_bytes"] >= 300_000
    assert all(blob.is_symlink() for blob in (added / "blobs").iterdir())  # the view of what lies on the secondary
    assert cli("verify", "m").checked().out.endswith("Everything is intact.\n")
    assert cli("rm", REPO, "--files", "--yes").code == 4


@pytest.mark.usefixtures("added")
@pytest.mark.parametrize("files", [(), ("--files",)], ids=["forget", "files"])
def test_what_is_held_is_refused_with_the_command_that_lets_go(cli: Cli, files: tuple[str, ...]) -> None:
    """A pinned or leased model is refused, by a plan too, and the hints' commands make it removable."""
    cli("pin", "m").checked()
    lease = cli("lease", "m", "--json").checked().json[0]["id"]

    pinned, planned = cli("rm", "m", *files), cli("rm", "m", *files, "--dry-run")
    cli("unpin", "m").checked()
    leased = cli("rm", "m", *files)
    cli("lease", "--release", str(lease)).checked()

    assert (pinned.code, pinned.err) == (5, "error: m is pinned.\nhint: shelf unpin m\n")
    assert (planned.code, planned.out, planned.err) == (5, "", pinned.err)
    assert (leased.code, leased.err) == (
        5,
        f"error: m is used by a person (shelf lease).\nhint: End them first (shelf lease --release {lease})\n",
    )
    cli("rm", "m", *files).checked()


@pytest.mark.usefixtures("added")
def test_several_go_or_none(hub: FakeHub, cli: Cli) -> None:
    """If one of several models is pinned or unknown, none is removed."""
    hub.add_repo("org/other", FILES)
    cli("add", "n", "org/other").checked()
    cli("pin", "n").checked()

    assert (cli("rm", "m", "n").code, cli("rm", "m", "absent").code) == (5, 4)
    assert len(cli("ls", "--json").json) == 2
    cli("unpin", "n").checked()
    assert cli("rm", "m", "n", "--files").checked().out.count("Removed ") == 2
    assert cli("ls", "--json").json == []


def test_a_repository_without_an_organisation_goes_too(hub: FakeHub, home: Home, cli: Cli) -> None:
    """An unregistered repository without an organisation is deleted; a word that is neither is an error."""
    hub.add_repo("gpt2", FILES)
    cli("add", "m", "gpt2").checked()
    assert cli("rm", "m").err == "To delete them too (300.0 kB): shelf rm gpt2 --files\n"

    cli("rm", "gpt2", "--files", "--yes").checked()

    assert not (home.primary / "hub/models--gpt2").exists()
    assert [cli("rm", word, "--files", "--yes").code for word in ("gpt2", "a b")] == [4, 4]


def test_what_a_job_may_need_stays(home: Home, cli: Cli, added: Path) -> None:
    """While a job of the repository waits its unregistered files stay, and the hint cancels the job."""
    cli("rm", "m").checked()
    cli("add", "n", REPO, "--include", "config.json").checked()
    with home.open() as shelf:
        job = shelf.services.registry.enqueue("pull", shelf.model("n").row)

    refused = cli("rm", REPO, "--files", "--yes")

    assert (refused.code, f"shelf cancel {job.id}" in refused.err) == (5, True)
    assert any(path.stat().st_size == 300_000 for path in (added / "blobs").iterdir())
    cli("cancel", str(job.id)).checked()
    cli("rm", REPO, "--files", "--yes").checked()
    assert cli("verify", "n").checked().out.endswith("Everything is intact.\n")
