"""`shelf ls`: order, number, and what is on the tiers without being registered."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fakes.hub import FakeHub
from tests.terminal import shelf_on_terminal
from tests.world import Home, random_bytes


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """Two models, one that lost its row, one that another program downloaded, and a data set."""
    with FakeHub() as hub:
        sizes = {"small": 10_000, "large": 300_000, "forgotten": 200_000, "foreign": 100_000}
        for name, size_bytes in sizes.items():
            hub.add_repo(f"org/{name}", {"model.safetensors": random_bytes(size_bytes)})
        home = Home(tmp_path_factory.mktemp("ls") / "user", hub.url)
        with home.open() as shelf:
            for name in ("small", "large", "forgotten"):
                shelf.register(name, f"org/{name}", "secondary" if name == "large" else "primary")
            shelf.remove("forgotten")
        home.hf(home.primary, "download", "org/foreign").checked()
        (home.primary / "hub/datasets--org--data/blobs").mkdir(parents=True)
        yield home


def names_of(home: Home, *words: str) -> list[str]:
    """Return what `shelf ls -q` prints."""
    return home.run("ls", "-q", *words).checked().out.splitlines()


def test_a_total_stands_below_the_table_on_a_terminal(library: Home) -> None:
    """On a terminal a line below the table has the number of models and their total size; a pipe gets only rows."""
    listed, seen = library.run("ls").checked(), shelf_on_terminal(library, "ls")

    assert [line.split()[0] for line in listed.out.splitlines()] == ["NAME", "large", "small"]
    assert listed.err == ""
    assert seen.text == f"{listed.out}2 models, 310.0 kB\n"


def test_names_come_alone_when_asked(library: Home) -> None:
    """`ls -q` prints one name a line."""
    assert names_of(library) == ["large", "small"]
    assert names_of(library, "--sort", "size") == ["large", "small"]
    assert names_of(library, "--filter", "ORG/SM") == ["small"]
    assert names_of(library, "--all") == ["large", "small", "org/foreign", "org/forgotten"]


def test_what_has_no_name_is_listed_with_what_takes_it(library: Home) -> None:
    """`ls --all` lists unregistered files with their size and the commands that adopt them."""
    listed = library.run("ls", "--all").checked()

    assert [line.split()[:2] for line in listed.out.splitlines()[4:]] == [
        ["NOT", "REGISTERED"],
        ["org/foreign", "primary"],
        ["org/forgotten", "primary"],
    ]
    assert f"  shelf adopt {library.primary} --leave\n" in listed.err
    assert "shelf rm ORG/NAME --files" in listed.err
    planned = library.run("adopt", str(library.primary), "--leave", "--dry-run", "--json").checked().json
    assert {"org/foreign", "org/forgotten"} <= {model["hf_path"] for model in planned["models"]}


def test_an_old_copy_that_waits_is_not_offered_for_adoption(hub: FakeHub, home: Home) -> None:
    """A copy that goes when its lease ends is told as such, and isn't among the repositories without a name."""
    hub.add_repo("org/held", {"config.json": b"{}", "model.safetensors": random_bytes(50_000)})
    home.run("add", "held", "org/held", "--to", str(home.custom)).checked()
    home.run("lease", "held").checked()
    home.run("move", "held", "primary").checked()

    listed = home.run("ls", "--all").checked()

    assert "NOT REGISTERED" not in listed.out
    assert listed.err == "1 old copy on the tiers goes once nothing uses it: shelf jobs\n"
    assert home.run("ls", "--all", "--json").checked().json["unregistered"] == []
    home.run("lease", "--release", "1").checked()
    assert home.run("ls", "--all").checked().err == ""


def test_the_json_has_the_same(library: Home) -> None:
    """With --json, --all adds the unregistered files and the totals to the models."""
    everything, models = library.run("ls", "--all", "--json").json, library.run("ls", "--json").json

    assert (everything["models"], everything["size_bytes"]) == (models, 310_000)
    assert [stray["hf_path"] for stray in everything["unregistered"]] == ["org/foreign", "org/forgotten"]
    assert everything["unregistered_bytes"] == sum(stray["size_bytes"] for stray in everything["unregistered"])
    assert library.run("ls", "--all", "--json", "--filter", "foreign").json["models"] == []


def test_what_is_sorted_or_sought_in_vain_is_said(library: Home) -> None:
    """An unknown order is refused; a search without a match isn't an error."""
    refused, none = library.run("ls", "--sort", "age"), library.run("ls", "--filter", "absent")

    assert (refused.code, refused.out) == (2, "")
    assert "Sort by name, size or used." in refused.err
    assert (none.code, none.out, none.err) == (0, "", "No model has absent in its name or repository.\n")


@pytest.mark.parametrize("verb", ["queued", "paused"])
def test_a_stopped_download_has_one_word_everywhere(hub: FakeHub, home: Home, verb: str) -> None:
    """A download that nobody carries out has the same state in `ls`, `show`, JSON and the error of `path`."""
    hub.add_repo("org/name", {"model.safetensors": b"x" * 1000})
    home.run("add", "m", "org/name", "--no-download").checked()
    with home.open() as shelf:
        job = shelf.services.registrar.enqueue_pull("m")
    if verb == "paused":
        home.run("jobs", "pause", str(job.id)).checked()

    listed, shown = home.run("ls").checked().out, home.run("show", "m").checked().out
    refused = home.run("path", "m")

    told = home.run("show", "m", "--json").json
    assert verb in listed
    assert (told["state"], bool(told["detail"])) == (verb, True)
    assert f"{verb}: {told['detail']}" in " ".join(shown.split())
    assert refused.err.startswith(f"error: m is {verb}: {told['detail']}\n")
