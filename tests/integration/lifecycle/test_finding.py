"""Finding a model on the hub: `shelf search` and `shelf files`."""

from __future__ import annotations

import pytest

from tests.fakes.hub import FakeHub
from tests.world import Home, random_bytes

GGUFS = {
    "m-Q4_K_M.gguf": random_bytes(4_000_000),
    "m-Q8_0-00001-of-00002.gguf": random_bytes(5_000_000, seed=1),
    "m-Q8_0-00002-of-00002.gguf": random_bytes(3_000_000, seed=2),
    "m-F16.gguf": random_bytes(16_000_000, seed=3),
    "mmproj-F16.gguf": random_bytes(1000, seed=4),
    "README.md": b"hello",
}


@pytest.fixture(autouse=True)
def models(hub: FakeHub) -> None:
    """Put some models on the hub."""
    for name in ("small-GGUF", "small", "other"):
        hub.add_repo(f"org/{name}", GGUFS if name == "small-GGUF" else {"model.safetensors": b"x" * 10_000})
    weights = {"total": 134_515_008}
    hub.describe("org/small", downloads=5, likes=2, tags=["safetensors", "en"], safetensors=weights)
    hub.describe("org/small-GGUF", downloads=7_000, tags=["gguf"], gguf=weights)
    hub.add_repo("org/closed-small", {"a": b""}, gated=True)


def test_a_search_lists_what_is_most_downloaded_first(home: Home) -> None:
    """A search lists repositories by downloads, with parameters, formats, likes and date, one whole line each."""
    lines = home.run("search", "SMALL").checked().out.splitlines()

    assert [line.split()[0] for line in lines] == ["REPO", "org/small-GGUF", "org/small", "org/closed-small"]
    assert lines[1].endswith("134.5 M parameters, GGUF, 7.0 k downloads, 0 likes, 2026-01-02")
    assert lines[3].endswith("0 downloads, 0 likes, 2026-01-02, gated")


def test_a_search_of_several_words_is_limited(home: Home) -> None:
    """A search with several words matches all of them and lists no more than --limit; --json shows the same."""
    found = home.run("search", "small", "gguf", "--json").checked().json

    assert [(one["hf_path"], one["formats"], one["parameters"]) for one in found] == [
        ("org/small-GGUF", ["GGUF"], 134_515_008)
    ]
    assert len(home.run("search", "small", "--limit", "2", "--json").checked().json) == 2


def test_a_search_that_finds_nothing_says_so(home: Home) -> None:
    """A search without a match says so and prints no table."""
    done = home.run("search", "nothing").checked()

    assert (done.out, done.err) == ("", "The hub has no model called nothing.\n")


@pytest.mark.parametrize("words", [("search", "small"), ("files", "org/small")], ids=["search", "files"])
def test_a_hub_that_is_away_is_a_clear_error(home: Home, hub: FakeHub, words: tuple[str, ...]) -> None:
    """If the hub isn't reachable, both commands say so and what to check."""
    hub.stop()

    done = home.run(*words, "--json")

    assert done.code == 7
    assert "isn't reachable" in done.problem["detail"]
    assert "HF_ENDPOINT" in done.problem["hint"]


def test_a_hub_that_knows_no_search_is_a_clear_error(home: Home, hub: FakeHub) -> None:
    """A hub without a search, such as another modelshelf, gets another error than a search without a match."""
    hub.fail("/api/models", status=404)

    done = home.run("search", "small", "--json")

    assert done.code == 4
    assert "can't be searched" in done.problem["detail"]
    assert "shelf files" in done.problem["hint"]


def test_files_of_one_quantisation_are_shown_alone(home: Home) -> None:
    """`ORG/MODEL:QUANT` shows what `shelf add` would take; one that isn't there is refused, as it is there."""
    shown = home.run("files", "org/small-GGUF:q8_0").checked()
    refused = home.run("files", "org/small-GGUF:Q3_K_S")

    assert [line.split("  ")[0] for line in shown.out.splitlines()[1:]] == [
        "Q8_0 + mmproj (2 files)",
        "mmproj-F16.gguf",
    ]
    assert "Q8_0 is the largest" in shown.err
    assert (refused.code, refused.out) == (2, "")
    assert refused.err.splitlines() == [
        "error: No file of org/small-GGUF is a GGUF of Q3_K_S.",
        "hint: shelf files org/small-GGUF lists what it has.",
    ]


def test_files_are_grouped_by_quantisation_with_what_fits(home: Home) -> None:
    """Each quantisation is a row with size, fit in memory and target tier, and the best one is proposed."""
    home.extra |= {"PRIMARY_CACHE_LIMIT_GB": "0.007", "SECONDARY_CACHE_LIMIT_GB": "0.01"}

    done = home.run("files", "org/small-GGUF").checked()

    rows = [line.split("  ") for line in done.out.splitlines()]
    assert [[cell.strip() for cell in row if cell] for row in rows] == [
        ["FILES", "SIZE", "MEMORY", "DISK"],
        ["Q4_K_M + mmproj", "4.0 MB", "fits", "fits primary"],
        ["Q8_0 + mmproj (2 files)", "8.0 MB", "fits", "goes to secondary"],
        ["F16 + mmproj", "16.0 MB", "fits", "fits nowhere"],
        ["mmproj-F16.gguf", "1.0 kB"],
        ["other files", "5 B"],
    ]
    assert "shelf add org/small-GGUF:Q4_K_M" in done.err
    assert not home.primary.exists()


def test_what_evicts_a_model_names_it(home: Home) -> None:
    """A row whose size would evict models names them, and asking evicts none."""
    home.extra |= {"PRIMARY_CACHE_LIMIT_GB": "0.0095", "SECONDARY_CACHE_LIMIT_GB": "1"}
    home.run("add", "q4", "org/small-GGUF:Q4_K_M").checked()

    groups = home.run("files", "org/small-GGUF", "--json").checked().json["groups"]

    assert [(group["label"], group["cache_location"], group["evicts"]) for group in groups[:3]] == [
        ("Q4_K_M", "primary", []),
        ("Q8_0", "primary", ["q4"]),
        ("F16", "secondary", []),
    ]
    assert home.run("ls", "--json").json[0]["cache_location"] == "primary"


@pytest.mark.parametrize("text", ["org/small@main", "hf.co/org/small", "{url}/org/small/tree/main"])
def test_files_of_what_people_paste(home: Home, hub: FakeHub, text: str) -> None:
    """`files` takes a repository with a revision, an address, or a single format."""
    found = home.run("files", text.format(url=hub.url), "--json").checked().json

    assert (found["hf_path"], found["revision"], found["groups"][0]["add"]) == ("org/small", "main", "org/small")
    assert "shelf add org/small" in home.run("files", text.format(url=hub.url)).checked().err


def test_a_repository_that_is_not_there_is_a_clear_error(home: Home) -> None:
    """A missing repository and a missing revision are named in the error."""
    done = home.run("files", "org/none", "--json")
    assert (done.code, done.problem["hint"].partition(".")[0]) == (4, "To find it: shelf search none")
    assert "no revision v9" in home.run("files", "org/small@v9", "--json").problem["detail"]
