"""The command line with an unusual output, registry or base."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fakes.hub import FakeHub
from tests.world import ROOT, Home, random_bytes, wait_until

REPO = "org/name"
FILES = {"config.json": b"{}", "model.safetensors": random_bytes(300_000)}


@pytest.fixture
def library(hub: FakeHub, home: Home) -> Home:
    """A library of one model, `m`."""
    hub.add_repo(REPO, FILES)
    home.run("add", "m", REPO).checked()
    return home


@pytest.mark.parametrize("words", [["ls"], ["tiers"], ["show", "m", "--json"], ["doctor"]], ids=lambda words: words[0])
def test_an_output_that_is_full_is_one_plain_line(library: Home, words: list[str]) -> None:
    """If stdout is a full disk, the command ends with that exit code and no traceback."""
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "modelshelf", *words]
        done = subprocess.run(
            command,
            cwd=library.work,
            env=library.environ(),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )

    assert done.returncode == 8
    assert "The output could not be written: No space left on device." in done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr


@pytest.mark.parametrize("words", ["ls", "tiers"])
def test_an_output_that_is_closed_is_nobodys_fault(library: Home, words: str) -> None:
    """If stdout is closed, the command prints nothing and ends with 0."""
    shell = f"exec {sys.executable} -m modelshelf {words} >&-"

    done = library.start_program("sh", "-c", shell).finish()

    assert (done.code, done.err) == (0, "")


@pytest.mark.parametrize(("words", "code"), [("rm m --dry-run", 0), ("init", 2), ("clean", 0), ("chat m", 2)], ids=str)
def test_a_closed_input_answers_nothing(library: Home, words: str, code: int) -> None:
    """If stdin is closed, a command that would ask does what it does without a terminal."""
    closed, empty = (
        library.start_program("sh", "-c", f"exec {sys.executable} -m modelshelf {words} {stdin}").finish()
        for stdin in ("<&-", "</dev/null")
    )

    assert closed.code == code
    assert (closed.out, closed.err) == (empty.out, empty.err)


def test_a_second_interrupt_ends_at_once(hub: FakeHub, home: Home) -> None:
    """Two presses of Ctrl-C show no traceback, whatever the command is doing."""
    hub.add_repo(REPO, {"model.safetensors": random_bytes(3_000_000)})
    home.run("add", "m", REPO, "--no-download").checked()
    hub.pause(after_bytes=1_000_000)
    child = home.start("pull", "m")
    hub.wait_for_bytes(1_000_000)

    child.process.send_signal(signal.SIGINT)
    for _ in range(20):
        if child.process.poll() is None:
            child.process.send_signal(signal.SIGINT)
    hub.resume()

    ended = child.finish()
    assert ended.code == 130
    assert "Traceback" not in ended.err


INTERRUPTED = """
import os, signal, sys
from modelshelf.__main__ import main
class Finder:
    def find_spec(self, name, *more):
        if name == sys.argv[-2]:
            try:
                os.kill(os.getpid(), signal.SIGINT)
                signal.sigtimedwait([], 1)
            except KeyboardInterrupt as err:
                if sys.argv[-1] == "wrapped":
                    raise RuntimeError("Error calling __set_name__") from err
                raise
sys.meta_path.insert(0, Finder())
main(sys.argv[1:-2])
"""


@pytest.mark.parametrize("how", ["plain", "wrapped"])
@pytest.mark.parametrize("module", ["typer", "modelshelf.cli.ls", "modelshelf.services.catalog.models"])
def test_an_interrupt_amid_an_import_shows_no_traceback(library: Home, module: str, how: str) -> None:
    """Ctrl-C while a command starts says nothing of Python's, also where Python 3.11 makes another error of it."""
    ended = library.start_program(sys.executable, "-c", INTERRUPTED, "ls", module, how).finish()

    assert (ended.code, ended.out, ended.err) == (130, "", "")


def test_an_interrupt_that_a_shell_ignores_is_ignored(hub: FakeHub, home: Home) -> None:
    """A command that a script started with Ctrl-C ignored goes on to its end."""
    hub.add_repo(REPO, {"model.safetensors": random_bytes(3_000_000)})
    home.run("add", "m", REPO, "--no-download").checked()
    hub.pause(after_bytes=1_000_000)
    child = home.start_program("sh", "-c", f"trap '' INT; exec {sys.executable} -m modelshelf pull m")
    hub.wait_for_bytes(1_000_000)

    child.process.send_signal(signal.SIGINT)
    hub.resume()

    child.finish().checked()


def test_an_interrupt_ends_what_costs_nothing_to_begin_anew(hub: FakeHub, home: Home) -> None:
    """Ctrl-C ends a verification for good: a server that runs doesn't go on with it behind one's back."""
    hub.add_repo(REPO, {"model.safetensors": random_bytes(3_000_000)})
    home.run("add", "m", REPO).checked()

    def states() -> list[str]:
        return [job["state"] for job in json.loads(home.run("jobs", "--json").checked().out) if job["kind"] == "verify"]

    with home.serve():
        child = home.start("verify", "--all", "--rate", "1kB")
        wait_until(lambda: states() == ["running"], "the verification")
        child.process.send_signal(signal.SIGINT)
        ended = child.finish()

        assert (ended.code, ended.err) == (130, "Stopped. Run the same command again to begin anew.\n")
        assert states() == ["cancelled"]


def test_main_py_outside_of_the_environment_says_how_to_start_it(tmp_path: Path) -> None:
    """main.py under a Python without the package names the command that works."""
    python = Path(sysconfig.get_config_var("BINDIR")) / "python3"

    done = subprocess.run(
        [python, "-S", ROOT / "main.py"], env={"PATH": os.defpath}, capture_output=True, text=True, check=False
    )

    assert done.returncode == 1
    assert "has no module" in done.stderr
    assert ".venv/bin/python main.py" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("words", [["ls"], ["tiers"], ["add", "m", REPO], ["gc"]], ids=lambda words: words[0])
@pytest.mark.parametrize("tier", ["primary", "secondary"])
def test_a_base_that_is_a_file_is_bad_input(home: Home, tier: str, words: list[str]) -> None:
    """If a base is a file, every verb names the file and the setting."""
    getattr(home, tier).write_text("a file")

    refused = home.run(*words)

    assert refused.code == 2
    assert f"{getattr(home, tier)} is a file" in refused.err
    assert f"{tier.upper()}_CACHE_PATH" in refused.err


def test_a_model_removed_while_a_program_runs_lets_the_program_end(library: Home) -> None:
    """If the model is removed during `shelf run`, it still ends with its program's exit code and prints nothing."""
    child = library.start("run", "m", "--", "sh", "-c", "touch started; while [ ! -e go ]; do sleep 0.05; done; exit 5")
    wait_until((library.work / "started").exists, "the program")

    with library.open() as shelf:
        shelf.services.registry.delete_model(shelf.model("m").row.id)
    (library.work / "go").touch()

    ended = child.finish()
    assert (ended.code, ended.err) == (5, "")


SPOIL: dict[str, Callable[[Path], object]] = {
    "a text": lambda path: path.write_text("no database " * 1000),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
    "a dangling link": lambda path: (path.unlink(), path.symlink_to("nowhere.db")),
    "a fifo": lambda path: (path.unlink(), os.mkfifo(path)),
    "a bad page": lambda path: path.write_bytes(path.read_bytes()[:4096] + b"\xff" * 400_000),
}


@pytest.mark.parametrize("how", SPOIL)
@pytest.mark.parametrize("words", [["ls"], ["path", "m"], ["gc"], ["run", "m", "--", "true"]], ids=lambda w: w[0])
def test_what_is_not_a_registry_is_named(library: Home, how: str, words: list[str]) -> None:
    """If the registry isn't a database, every verb says what is there and names the doctor; nothing is created."""
    path = library.primary / "modelshelf" / "registry.db"
    SPOIL[how](path)

    refused = library.run(*words)

    assert refused.code == 7
    assert str(path) in refused.err
    assert "shelf doctor" in refused.err
    assert "Traceback" not in refused.err
    assert not (path.parent / "nowhere.db").exists()


@pytest.mark.parametrize("how", SPOIL)
def test_the_cure_of_the_doctor_brings_the_models_back(library: Home, how: str) -> None:
    """The doctor's command sets a broken registry aside, and afterwards the library is as before."""
    SPOIL[how](library.primary / "modelshelf" / "registry.db")

    said = library.run("doctor", "--json").json
    cure = next(found["command"] for found in said["findings"] if "damaged/" in found["command"])
    done = library.start_program("sh", "-c", cure).finish()

    assert done.code == 0, done.err
    assert [model["model_name"] for model in library.run("ls", "--json").json] == ["m"]


HUGE = "9" * 22
NUMBERS = {
    "job": ["jobs", HUGE],
    "endless": ["jobs", "9" * 5000],
    "cancel": ["cancel", "--", f"-{HUGE}"],
    "lease": ["lease", "--release", HUGE],
    "ttl": ["lease", "m", "--ttl", f"{HUGE}d"],
    "context": ["fit", "m", "--context", HUGE],
    "rate": ["verify", "m", "--rate", f"{HUGE}TB"],
    "config": ["config", "set", "PRIMARY_CACHE_LIMIT_GB=1e300"],
}


@pytest.mark.parametrize("words", NUMBERS.values(), ids=NUMBERS.keys())
def test_a_number_beyond_all_bounds_is_refused(home: Home, words: list[str]) -> None:
    """A number that no registry, disk or clock holds is refused with a sentence, in arguments, options and settings."""
    refused = home.run(*words)

    assert refused.code in (2, 4)
    assert refused.err.startswith("error: ")
    assert len(refused.err.splitlines()) <= 4


def test_a_reader_that_leaves_is_no_failure(library: Home) -> None:
    """A command whose reader has gone ends without a word, as a shell reports it of any program."""
    pipe = f"{{ {sys.executable} -m modelshelf show m --json; echo $? >&2; }} | true"

    done = library.start_program("bash", "-c", pipe).finish()

    assert done.err.strip() in ("0", "141")


def test_a_name_is_refused_with_what_is_wrong_with_it(library: Home) -> None:
    """A name that is too long, or the word for a tier, is refused with that reason, in `add` and in `rename`."""
    long = library.run("rename", "m", "a" * 300)
    words = [library.run("rename", "m", word) for word in ("primary", "secondary", "custom")]
    added = library.run("add", "primary", REPO)

    assert (long.code, "It has 300 characters; use at most 120." in long.err) == (2, True)
    assert [(one.code, "is the word for a tier" in one.err) for one in (*words, added)] == [(2, True)] * 4


def test_what_no_model_has_is_told_where_nothing_else_goes(library: Home) -> None:
    """`gc` and `clean` that free nothing name what is on the tiers and of no registered model."""
    library.run("rm", "m").checked()

    for words in (["gc"], ["clean"]):
        assert " kB on the tiers are of no registered model: shelf ls --all" in library.run(*words).checked().err


def test_files_of_a_registered_model_are_its_repositorys(library: Home) -> None:
    """`shelf files` takes a registered name for its repository at its revision."""
    named, by_id = (library.run("files", model, "--json").checked().json for model in ("m", REPO))

    assert named == by_id


def test_a_secret_is_set_by_hand(home: Home) -> None:
    """`shelf config set` of a secret says what to do instead, and repeats nothing of it."""
    refused = home.run("config", "set", "HF_TOKEN=hf_private")

    assert refused.code == 2
    assert "HF_TOKEN: It is a secret" in refused.err
    assert "hf auth login" in refused.err
    assert "private" not in refused.err
