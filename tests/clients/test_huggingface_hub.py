"""Every generation of huggingface_hub with the hub face and the tiers."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clients.conftest import KEY, MODEL, QUANTS, Client, Cutter, Library

VERSIONS = ("hub-0.20", "hub-0.26", "hub-0.36", "hub-1.18", "hub-newest")
SNAPSHOT = "from huggingface_hub import snapshot_download as d; print(d({0!r}, {1}))"
WHOLE = SNAPSHOT.format("org/name", "")


@pytest.fixture(params=VERSIONS)
def client(request: pytest.FixtureRequest, tmp_path: Path) -> Client:
    """Each version, with its own home."""
    return Client(request.param, tmp_path)


@pytest.mark.parametrize("keyed", [True, False], ids=["with a key", "without"])
def test_a_model_arrives_whole(client: Client, library: Library, keyed: bool) -> None:
    """Every byte of every file reaches the client's own cache."""
    url, token = (library.keyed_url, {"HF_TOKEN": KEY}) if keyed else (library.open_url, {})

    done = client.python(WHOLE, url=url, **token)

    assert done.returncode == 0, done.stderr
    assert client.files("org/name") == MODEL


@pytest.mark.parametrize("token", [{"HF_TOKEN": "hf_" + "w" * 34}, {}], ids=["a wrong key", "no key"])
def test_a_wrong_key_is_named_as_such(client: Client, library: Library, token: dict[str, str]) -> None:
    """With a wrong key the client fails with a message about credentials."""
    done = client.python(WHOLE, url=library.keyed_url, **token)

    assert done.returncode != 0
    assert "401" in done.stderr
    assert "Invalid credentials" in done.stderr or "API key" in done.stderr or "authenticated" in done.stderr


def test_a_download_survives_a_line_that_breaks(client: Client, library: Library) -> None:
    """After a cut, the same command or one more try brings every byte."""
    line = Cutter(library.open_url, cuts=1, after_bytes=8_000_000)
    try:
        done = client.python(WHOLE, url=line.url)
        if done.returncode != 0:
            done = client.python(WHOLE, url=line.url)
    finally:
        line.close()

    assert line.cut == 1
    assert done.returncode == 0, done.stderr
    assert client.files("org/name") == MODEL


def test_a_tier_is_read_in_place(client: Client, library: Library) -> None:
    """With HF_HOME at the tier the model loads offline."""
    done = client.python(WHOLE, HF_HOME=str(library.home.primary), HF_HUB_OFFLINE="1")

    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().startswith(str(library.home.primary))


def test_what_a_client_writes_beside_is_served_too(client: Client, library: Library, tmp_path: Path) -> None:
    """A download with HF_HOME at the tier changes nothing else there, and the face serves it at once."""
    repo_id = f"org/beside-{client.name}"
    library.hub.add_repo(repo_id, {"config.json": b"{}", "w.bin": b"w" * 1000})

    wrote = client.python(SNAPSHOT.format(repo_id, ""), url=library.hub.url, HF_HOME=str(library.home.primary))
    read = client.python(SNAPSHOT.format(repo_id, ""), url=library.open_url)

    assert wrote.returncode == read.returncode == 0, wrote.stderr + read.stderr
    assert client.files(repo_id) == {"config.json": b"{}", "w.bin": b"w" * 1000}
    library.home.run("verify", "name").checked()


def test_a_part_hides_nothing_of_the_rest(client: Client, library: Library) -> None:
    """A client that fetched a partial model from the face later gets its other files from the real hub."""
    some = SNAPSHOT.format("org/gg", "allow_patterns='*{}*'")

    first = client.python(some.format("Q4"), url=library.open_url)
    absent = client.python(some.format("Q8"), url=library.open_url)
    then = client.python(some.format("Q8"), url=library.hub.url)

    assert (first.returncode, then.returncode) == (0, 0), first.stderr + then.stderr
    assert absent.returncode != 0
    assert client.files("org/gg") == QUANTS
    assert not list(client.cache.rglob(".no_exist"))
