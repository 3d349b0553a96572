"""`shelf env`: what a shell sets to find a model, and how it restores what it had."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator

import pytest

from tests.fakes.hub import FakeHub
from tests.world import Home, Result

LOOK = "from huggingface_hub import snapshot_download as s; import sys; print(s(sys.argv[1], local_files_only=True))"
NOT_OURS = "error: SHELF_ENV_BEFORE isn't what shelf env wrote: "
SHOW = 'python -c "import json, os; print(json.dumps(dict(os.environ)))"'


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A model on each tier."""
    with FakeHub() as hub:
        home = Home(tmp_path_factory.mktemp("env") / "user", hub.url)
        hub.add_repo("org/new", {"config.json": b"{}"})
        with home.open() as shelf:
            for name, tier in (("near", "primary"), ("far", "secondary")):
                hub.add_repo(f"org/{name}", {"config.json": b"{}"})
                shelf.register(name, f"org/{name}", tier)
        yield home


def bash(home: Home, *lines: str, **variables: str) -> Result:
    """Run lines in a shell that ends at the first failure."""
    return home.start_program("bash", "-euc", "\n".join(lines), **variables).finish()


def test_the_variables_win_over_those_that_were_set(library: Home) -> None:
    """With `shelf env` a stock program finds a model on either tier, whatever the variables were before."""
    elsewhere = {"HUGGINGFACE_HUB_CACHE": "/elsewhere", "HF_HUB_CACHE": "/elsewhere", "HF_HOME": "/elsewhere"}
    for name, base in (("near", library.primary), ("far", library.secondary)):
        said = bash(library, f'eval "$(shelf env {name})"', f"python -c '{LOOK}' org/{name}", **elsewhere).checked()
        assert said.out.startswith(f"{base}/hub/")


def test_nothing_is_set_that_is_not_needed(library: Home) -> None:
    """`shelf env` prints three lines if no other variable is set and the settings name the library."""
    assert library.run("env", "near", "--json").checked().json.keys() == {
        "HF_HOME",
        "SHELF_MODEL_PATH",
        "SHELF_ENV_BEFORE",
    }


def test_a_library_that_is_a_default_stays_the_library(hub: FakeHub, home: Home) -> None:
    """If HF_HOME alone would change the primary base, `shelf env` sets that too."""
    hub.add_repo("org/name", {"config.json": b"{}"})
    home.extra = {"PRIMARY_CACHE_PATH": "", "SECONDARY_CACHE_PATH": "", "HF_HOME": str(home.primary)}
    home.run("add", "m", "org/name", "--to", str(home.custom)).checked()

    said = bash(home, 'eval "$(shelf env m)"', "shelf ls -q", 'echo "$PRIMARY_CACHE_PATH $HF_HOME"').checked()

    assert said.out == f"m\n{home.primary} {home.custom}\n"


def test_a_shell_gets_back_to_what_it_had(library: Home) -> None:
    """After two models one --unset restores each variable, and shelf works all the time."""
    lines = [
        SHOW,
        'eval "$(shelf env far)"',
        'eval "$(shelf env near)"',
        "shelf add new org/new >&2",
        "shelf rm new --files >&2",
        'eval "$(shelf env --unset)"',
        SHOW,
        "true",
    ]

    said = bash(library, *lines, HF_HOME="/old one's", HF_HUB_CACHE="/older").checked()

    before, after = (json.loads(line) for line in said.out.splitlines())
    assert after | {"_": ""} == before | {"_": ""}


@pytest.mark.parametrize("name", ["HF_HOME", "HF_HUB_CACHE"])
@pytest.mark.parametrize("again", [["true"], ['eval "$(shelf env far)"']], ids=["at once", "after another env"])
def test_what_the_user_set_in_between_is_what_a_shell_gets_back_to(library: Home, name: str, again: list[str]) -> None:
    """A variable that the user set after `shelf env` has that value after --unset, whatever it was before."""
    lines = ['eval "$(shelf env near)"', f"export {name}=/mine", *again, 'eval "$(shelf env --unset)"']

    said = bash(library, *lines, 'echo "$HF_HOME $HF_HUB_CACHE"', HF_HOME="/old", HF_HUB_CACHE="/old").checked()

    assert said.out.split() == ["/mine" if name == one else "/old" for one in ("HF_HOME", "HF_HUB_CACHE")]


@pytest.mark.parametrize(
    ("words", "variables", "said"),
    [
        ([], {}, "error: The model's name is missing.\nhint: shelf ls lists them.\n"),
        (["near", "--unset"], {}, 'error: --unset takes no name.\nhint: eval "$(shelf env --unset)"\n'),
        (["--unset"], {"SHELF_ENV_BEFORE": "[1"}, NOT_OURS),
        (
            ["--unset"],
            {"SHELF_ENV_BEFORE": '{"HF_HOME": null}'},
            "error: SHELF_ENV_BEFORE isn't what shelf env wrote: ",
        ),
        (
            ["--unset"],
            {"SHELF_ENV_BEFORE": '{"HF_HOME": [1, null]}'},
            "error: SHELF_ENV_BEFORE isn't what shelf env wrote: ",
        ),
    ],
    ids=["no name", "both", "no JSON", "no pair", "no text"],
)
def test_what_makes_no_sense_is_refused(library: Home, words: list[str], variables: dict[str, str], said: str) -> None:
    """Arguments that make no sense are refused, and a shell that evaluates the answer stays unchanged."""
    refused = library.run("env", *words, **variables)

    assert (refused.code, refused.out) == (2, "")
    assert refused.err.startswith(said)


def test_without_an_earlier_env_there_is_nothing_to_take_back(library: Home) -> None:
    """--unset without an earlier env changes nothing, because the variables may be the user's own."""
    said = library.run("env", "--unset", HF_HOME="/mine").checked()

    assert (said.out, said.err) == ("", "No shelf env set anything in this shell.\n")


@pytest.mark.skipif(shutil.which("fish") is None, reason="fish isn't installed")
def test_fish_sets_and_takes_back(library: Home) -> None:
    """In fish the lines are fish's, so that its variables are set, and taken back, to the last character."""
    lines = (
        "shelf env near | source",
        "echo $HF_HOME",
        "shelf env --unset | source",
        "echo $HF_HOME",
        "set -q SHELF_ENV_BEFORE; or echo gone",
    )

    said = library.start_program("fish", "-c", "\n".join(lines), HF_HOME="/my 'own' \\folder").finish().checked()

    assert said.out.splitlines() == [str(library.primary), "/my 'own' \\folder", "gone"]
    assert said.err == ""
