"""The command line: only the answer on stdout, everything else on stderr, and the errors' exit codes."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from modelshelf import __version__
from modelshelf.store.layout import Base
from tests.fakes.hub import FakeHub
from tests.world import Home, Result, Server, random_bytes, tree, wait_until

REPO = "org/name"
FILES = {"config.json": b"{}", "model.safetensors": random_bytes(300_000), "sub/extra.bin": b"extra"}
Cli = Callable[..., Result]


@pytest.fixture
def commit(hub: FakeHub) -> str:
    """The commit of a repository on the hub."""
    return hub.add_repo(REPO, FILES)


@pytest.fixture
def added(cli: Cli, commit: str) -> Path:
    """The snapshot folder of a model that `shelf add` downloaded."""
    cli("add", "m", REPO).checked()
    return Path(cli("path", "m").checked().out.rstrip("\n"))


@pytest.mark.parametrize("words", [("ls", "--json"), ("show", "m"), ("path", "m"), ("env", "m")], ids=lambda w: w[0])
def test_looking_makes_no_library(home: Home, words: tuple[str, ...]) -> None:
    """Before the first model, read-only commands create no folder, marker or registry."""
    seen = home.run(*words)

    assert (seen.code, seen.out.strip()) == ((0, "[]") if words[0] == "ls" else (4, ""))
    assert not home.primary.exists()


def test_add_says_what_is_there_now(home: Home, cli: Cli, commit: str) -> None:
    """`shelf add` registers, downloads and answers with one line; stderr isn't a terminal and stays empty."""
    added = cli("add", "m", REPO)

    folder = home.primary / "hub/models--org--name/snapshots" / commit
    assert (added.code, added.out, added.err) == (0, f"m: ready, 300.0 kB in {folder}\n", "")
    assert tree(folder) == FILES


def test_path_prints_one_line(cli: Cli, added: Path) -> None:
    """`shelf path` prints the folder and a newline, for `cd "$(shelf path m)"`."""
    said = cli("path", "m")

    assert (said.code, said.out, said.err) == (0, f"{added}\n", "")
    assert tree(added) == FILES


def test_ls_and_show_tell_the_facts(cli: Cli, added: Path, commit: str) -> None:
    """`ls` is a table of models; `show` has one model's commit, folder and each file's digest."""
    listed, shown = cli("ls").checked(), cli("show", "m").checked()

    header, row = listed.out.splitlines()
    assert header.split() == ["NAME", "REPO", "FORMAT", "TIER", "SIZE", "STATE", "LAST", "USE"]
    assert row.split() == ["m", REPO, "safetensors", "primary", "300.0", "kB", "ready", "never"]
    assert (listed.err, shown.err) == ("", "")
    assert all(fact in shown.out for fact in (commit, str(added), *FILES))


def test_an_empty_library_answers_nothing(cli: Cli) -> None:
    """Without a model `ls` prints nothing on stdout, and a hint on stderr."""
    listed = cli("ls")

    assert (listed.code, listed.out) == (0, "")
    assert "shelf add" in listed.err
    assert cli("ls", "--json").json == []


def test_tiers_shows_bars_and_numbers(home: Home, cli: Cli, added: Path) -> None:
    """`tiers` shows each tier's base, limit and usage with a bar."""
    said = cli("tiers", PRIMARY_CACHE_LIMIT_GB="1").checked()

    assert said.out.startswith(f"primary  {home.primary}\n")
    assert "of 1.0 GB" in said.out
    assert f"secondary  {home.secondary}\n" in said.out
    assert said.err == ""


def test_the_json_of_each_command_is_the_object_of_http(home: Home, cli: Cli, added: Path, server: Server) -> None:
    """`--json` and the server answer with the same names and values."""
    assert cli("ls", "--json").json == server.get("/api/models")
    assert cli("show", "m", "--json").json == server.get("/api/models/m")
    assert cli("jobs", "--json").json == server.get("/api/jobs")
    ours, theirs = cli("tiers", "--json").json, server.get("/api/cache")
    assert [tier.keys() for tier in ours] == [tier.keys() for tier in theirs]
    assert [(tier["cache_path"], tier["breakdown"]["models"]) for tier in ours] == [
        (tier["cache_path"], tier["breakdown"]["models"]) for tier in theirs
    ]


def test_the_json_of_an_error_is_the_problem_of_http(cli: Cli, added: Path, server: Server) -> None:
    """An error with --json has the same members on stderr as the server's answer."""
    refused = cli("show", "n", "--json")
    answer = server.ask("GET", "/api/models/n")

    assert (refused.code, refused.out) == (4, "")
    assert refused.problem == answer.json


@pytest.mark.parametrize(
    ("words", "code"),
    [
        pytest.param(["add", "a", "not an id"], 2, id="no repository id"),
        pytest.param(["add", "bad name", REPO], 2, id="no model name"),
        pytest.param(["add", "a", REPO, "--to", "fastest"], 2, id="no tier"),
        pytest.param(["add", "a", REPO, "--to", "/mnt/models/hub"], 2, id="a path that ends in hub"),
        pytest.param(["add", "a", REPO, "--include", "*.nothing"], 2, id="a pattern that matches nothing"),
        pytest.param(["add", "a", "org/gated"], 3, id="gated"),
        pytest.param(["add", "a", "org/private"], 4, id="private looks like absent"),
        pytest.param(["add", "a", "org/absent"], 4, id="no repository"),
        pytest.param(["add", "a", REPO, "--revision", "v9"], 4, id="no revision"),
        pytest.param(["path", "absent"], 4, id="no model"),
        pytest.param(["pull", "absent"], 4, id="nothing to pull"),
        pytest.param(["rm", "absent"], 4, id="nothing to remove"),
        pytest.param(["cancel", "99"], 4, id="no job"),
        pytest.param(["add", "m", "org/other"], 5, id="the name is taken"),
        pytest.param(["path", "later"], 5, id="not downloaded yet"),
        pytest.param(["run", "later", "--", "true"], 5, id="nothing to run with"),
        pytest.param(["run", "m"], 2, id="no command to run"),
        pytest.param(["run", "m", "--", "no-such-program"], 2, id="no such program"),
    ],
)
def test_an_error_has_its_exit_code(
    hub: FakeHub, home: Home, cli: Cli, commit: str, words: list[str], code: int
) -> None:
    """Each kind of error has its exit code; stdout stays empty, and stderr has a sentence."""
    hub.add_repo("org/other", FILES)
    hub.add_repo("org/gated", FILES, gated=True)
    hub.add_repo("org/private", FILES, private=True)
    with home.open() as shelf:
        shelf.register("m", REPO)
        shelf.register("later", "org/other", download=False)

    refused = cli(*words)

    assert (refused.code, refused.out) == (code, "")
    assert refused.err.startswith("error: ")
    assert "Traceback" not in refused.err


def test_a_hub_that_is_away_is_exit_code_7(hub: FakeHub, cli: Cli, commit: str) -> None:
    """If the hub isn't reachable, add registers the model, ends with 7 and says so; a later pull completes it."""
    hub.stop()
    away = cli("add", "m", REPO)
    hub.start()

    assert (away.code, away.out) == (7, "")
    assert "isn't reachable" in away.err
    assert cli("pull", "m").checked().out.startswith("m: ready")


def test_a_plan_says_what_would_be_fetched(hub: FakeHub, cli: Cli, commit: str) -> None:
    """A plan counts the files' bytes and not what is reserved beside them; without the hub they are unknown."""
    known = cli("add", "m", REPO, "--dry-run").checked()
    hub.stop()
    unknown = cli("add", "m", REPO, "--dry-run").checked()

    assert "  downloads 300.0 kB of 300.0 kB\n" in known.out
    assert "fetches" not in unknown.out
    assert "once the hub is reachable" in unknown.out


def test_a_typing_error_is_answered_with_the_name(cli: Cli, added: Path) -> None:
    """A mistyped or partial name gets a suggestion in every command."""
    cli("rename", "m", "qwen-3b").checked()

    for words in (["path", "quen-3b"], ["move", "qwen3b", "secondary"], ["pin", "3B"]):
        assert cli(*words).err.endswith("hint: Did you mean qwen-3b?\n"), words
    assert cli("path", "llama").err.endswith("hint: shelf ls lists them.\n")


def test_a_file_is_no_base(home: Home, cli: Cli, commit: str) -> None:
    """A file as a base is refused with a sentence that has no errno, and nothing is registered."""
    home.custom.parent.mkdir(parents=True, exist_ok=True)
    home.custom.write_text("mine")

    refused = cli("add", "m", REPO, "--to", str(home.custom))

    assert (refused.code, refused.out) == (2, "")
    assert refused.err.startswith(
        f"error: The base {home.custom} cannot be written: {home.custom} isn't a folder.\nhint: "
    )
    assert (home.custom.read_text(), cli("ls", "--json").checked().json) == ("mine", [])


def test_corrupt_bytes_are_exit_code_6(hub: FakeHub, cli: Cli, commit: str) -> None:
    """Bytes that stay wrong end a pull with 6, and the error has the digest."""
    hub.fail("*/model.safetensors", corrupt_at=5)

    refused = cli("add", "m", REPO)

    assert (refused.code, refused.out) == (6, "")
    assert "don't match its digest" in refused.err


def test_every_problem_of_the_settings_is_said_at_once(home: Home, cli: Cli) -> None:
    """A bad `.env` gives one error with each wrong line and exit code 2, and nothing is created."""
    home.env_file.write_text(
        "\ufeffexport SHELF_PORT=abc\r\nCACHE_WARNING_THRESHOLD=7\r\n\r\nHF_ENDPOINT='ftp://x'\r\n"
    )

    refused = cli("ls", HF_ENDPOINT="")

    problems = [f"{home.env_file}:1: SHELF_PORT", f"{home.env_file}:2: CACHE_W", f"{home.env_file}:4: HF_ENDPOINT"]
    assert (refused.code, refused.out) == (2, "")
    assert [problem for problem in problems if problem not in refused.err] == []
    assert not home.primary.exists()


def test_a_base_that_ends_in_hub_is_refused_with_the_one_to_use(home: Home, cli: Cli) -> None:
    """A base that ends in `hub` is refused with the folder above, from the settings and from `--to`."""
    refused = cli("ls", "--json", PRIMARY_CACHE_PATH=f"{home.primary}/hub")

    assert refused.code == 2
    assert f"Use {home.primary}" in refused.problem["problems"][0]["detail"]
    assert not home.primary.exists()


def test_run_gives_the_program_the_model(home: Home, cli: Cli, added: Path) -> None:
    """`shelf run` gives its program the folder as an argument and the base in the environment, offline."""
    code = "import json, os, sys; print(json.dumps([sys.argv[1], dict(os.environ)]))"

    argument, environ = cli("run", "m", "--", sys.executable, "-c", code, "{path}/config.json").checked().json

    assert argument == f"{added}/config.json"
    assert (environ["HF_HOME"], environ["HF_HUB_OFFLINE"]) == (str(home.primary), "1")
    assert (environ["SHELF_MODEL_PATH"], environ["SHELF_MODEL_REPO"]) == (str(added), REPO)


def test_run_passes_the_exit_code_on(cli: Cli, added: Path) -> None:
    """`shelf run` ends with its program's exit code and leaves the program's options alone."""
    assert cli("run", "m", "--", "sh", "-c", "exit 42").code == 42
    assert cli("run", "m", "--", "sh", "-c", 'echo "$1"', "sh", "--json").checked().out == "--json\n"


def test_run_ends_with_its_program(home: Home, cli: Cli, added: Path) -> None:
    """SIGTERM to `shelf run` reaches its program, and the exit code is 128 plus the signal's number."""
    child = home.start("run", "m", "--", "sh", "-c", "echo started >&2; exec sleep 60")
    assert child.process.stderr is not None
    assert child.process.stderr.readline() == "started\n"

    child.process.send_signal(signal.SIGTERM)

    assert child.finish(timeout_s=20).code == 128 + signal.SIGTERM


def test_uses_are_counted(cli: Cli, added: Path) -> None:
    """A run is recorded as a use."""
    cli("run", "m", "--", "true").checked()

    shown = cli("show", "m", "--json").json
    assert shown["uses"] == 1
    assert shown["last_used_at"] is not None


def test_a_global_hub_cache_does_not_win(home: Home, cli: Cli, commit: str) -> None:
    """If HF_HUB_CACHE is set globally, models still go to the base and are found there."""
    elsewhere = {"HF_HUB_CACHE": str(home.root / "elsewhere"), "HUGGINGFACE_HUB_CACHE": str(home.root / "elsewhere")}

    cli("add", "m", REPO, **elsewhere).checked()

    look = "from huggingface_hub import snapshot_download as s; import sys; print(s(sys.argv[1]))"
    found = cli("run", "m", "--", sys.executable, "-c", look, REPO, **elsewhere).checked()
    assert found.out.strip() == cli("path", "m").out.strip()
    assert Base(home.primary).repo(REPO).blobs.is_dir()
    assert not (home.root / "elsewhere").exists()


def test_rm_keeps_the_files_unless_told(home: Home, cli: Cli, added: Path) -> None:
    """`rm` keeps the files, `--dry-run` only prints, and `--files` frees the bytes that it says."""
    planned = cli("rm", "m", "--files", "--dry-run", "--json").checked().json
    assert tree(added) == FILES
    assert (cli("rm", "m").checked().out, cli("ls", "--json").json) == (
        "Removed m from the library; its files stay where they are.\n",
        [],
    )
    assert tree(added) == FILES

    cli("add", "m", REPO).checked()
    removed = cli("rm", "m", "--files", "--json").checked().json

    assert sorted(removed["removed_files"]) == sorted(planned["removed_files"])
    assert removed["freed_bytes"] >= planned["free_bytes"] >= len(FILES["model.safetensors"])
    assert not (home.primary / "hub/models--org--name").exists()


def test_rm_says_why_bytes_stay(home: Home, cli: Cli, added: Path) -> None:
    """`rm` says why bytes stay: another model has the files, or a file has another hard link."""
    cli("add", "twin", REPO).checked()

    shared = cli("rm", "m", "--files").checked()
    weights = next(path for path in added.iterdir() if path.name == "model.safetensors").resolve()
    (home.root / "kept").hardlink_to(weights)
    linked = cli("rm", "twin", "--files").checked()

    assert shared.err == "Files that twin also uses stay.\n"
    assert "other hard links" in linked.err
    assert (home.root / "kept").read_bytes() == FILES["model.safetensors"]


def test_jobs_lists_and_cancel_ends(hub: FakeHub, home: Home, cli: Cli, commit: str) -> None:
    """A job that waits for the hub is listed with its reason and can be cancelled."""
    hub.fail("*/resolve/*", status=429, headers={"Retry-After": "1"})
    assert cli("add", "m", REPO).code == 7

    (job,) = cli("jobs", "--json").checked().json
    assert (job["kind"], job["state"], job["model_name"]) == ("pull", "waiting", "m")
    assert "429" in job["detail"]
    assert cli("jobs").checked().out.splitlines()[1].split()[:4] == [str(job["id"]), "pull", "m", "waiting"]
    assert cli("cancel", str(job["id"])).checked().out == f"Job {job['id']} is cancelled.\n"
    assert cli("cancel", str(job["id"]), "--json").json["state"] == "cancelled"


def test_load_says_why_a_model_cannot_be_loaded(cli: Cli, added: Path) -> None:
    """`shelf load` on files that aren't a model is an error without a traceback and isn't recorded as a use."""
    refused = cli("load", "m")

    assert (refused.code, refused.out) == (7, "")
    assert "error: m could not be loaded" in refused.err
    assert cli("show", "m", "--json").json["uses"] == 0


def test_completion_knows_the_names(home: Home, cli: Cli, added: Path) -> None:
    """bash gets a completion script, and the script gets the models' names."""
    script = home.start_program("bash", "-c", "shelf --show-completion; :").finish().checked().out
    asked = {"COMP_WORDS": "shelf path ", "COMP_CWORD": "2", "_SHELF_COMPLETE": "complete_bash"}

    names = home.start_program("shelf", **asked).finish()

    assert "_SHELF_COMPLETE" in script
    assert names.out.split() == ["m"]


def test_version_and_help_need_no_settings(home: Home, cli: Cli) -> None:
    """`--version` and `--help` work with invalid settings."""
    home.env_file.write_text("SHELF_PORT=abc\n")

    assert cli("--version").out == f"modelshelf {__version__}\n"
    assert "add" in cli("--help").checked().out
    assert cli("no-such-command").code == 2


def test_serve_listens_where_it_is_told(home: Home) -> None:
    """`shelf serve --port 0` takes a free port, prints it, and ends cleanly on SIGTERM."""
    child = home.start("serve", "--port", "0")
    assert child.process.stderr is not None
    line = wait_until(child.process.stderr.readline, "the announcement")
    while "Listening on http://127.0.0.1:" not in line:
        line = child.process.stderr.readline()

    child.process.send_signal(signal.SIGTERM)

    ended = child.finish(timeout_s=20)
    assert (ended.code, ended.out) == (0, "")


def test_a_closed_pipe_is_no_traceback(home: Home, added: Path) -> None:
    """`shelf ls | head -0` ends without a traceback."""
    shell = home.start_program("bash", "-c", "shelf show m --json | true; exit ${PIPESTATUS[0]}").finish()

    assert "Traceback" not in shell.err
    assert shell.code in (0, 141)


def test_names_that_need_no_quoting_come_back_whole(hub: FakeHub, home: Home, cli: Cli) -> None:
    """JSON shows paths with letters of any alphabet unescaped."""
    base = home.root / "modèles 模型"
    hub.add_repo(REPO, FILES)

    said = cli("add", "m", REPO, "--to", str(base), "--json").checked()

    assert str(base) in said.out
    assert json.loads(said.out)["cache_path"] == str(base)
