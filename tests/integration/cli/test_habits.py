"""What a user of hf, ollama or docker types first."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from modelshelf import __version__
from tests.fakes.hub import FakeHub
from tests.world import Home, Result

Cli = Callable[..., Result]
FILES = {"config.json": b"{}", "model.safetensors": b"weights"}


@pytest.mark.parametrize("words", [("-h",), ("help",), ("--help",), ("--no-color", "help")], ids=" ".join)
def test_help_is_found_under_each_of_its_names(cli: Cli, words: tuple[str, ...]) -> None:
    """`help`, `-h` and `--help` print the list of commands and end with 0."""
    said = cli(*words).checked()

    assert said.out.startswith("Usage: ")
    assert "Upkeep:" in said.out


def test_an_alias_is_the_command(hub: FakeHub, home: Home, cli: Cli) -> None:
    """`download`, `list`, `inspect`, `mv` and `remove` do what our own commands do, and usage names ours."""
    hub.add_repo("org/model", FILES)
    cli("download", "m", "org/model").checked()

    assert cli("list").checked().out == cli("--no-color", "list").checked().out == cli("ls").checked().out
    assert cli("inspect", "m").checked().out == cli("show", "m").checked().out
    assert cli("mv", "m", "secondary").checked().out.startswith("m: ready")
    assert cli("inspect").err.endswith("hint: shelf show [OPTIONS] NAME... (shelf show --help says more.)\n")
    assert cli("remove", "m", "--files").checked().out.startswith("Removed m: freed")
    assert cli("version").checked().out == f"modelshelf {__version__}\n"


@pytest.mark.parametrize(
    ("words", "why", "hint"),
    [
        (("add", "org/m", "--local-dir", "m"), "--local-dir: files go into the library", "shelf path NAME"),
        (("pull", "m", "--force-download"), "isn't downloaded again", "shelf verify NAME --repair"),
        (("rm", "m", "-f"), "shelf rm has no option -f: --yes answers", "--dry-run"),
        (("show", "m", "--license"), "--license: everything is printed at once.", "shelf show NAME"),
        (("add", "org/m", "--quant", "Q4"), "--quant: a quantisation stands behind a colon", "shelf files ORG/MODEL"),
        (("show", "m", "--sizes"), "shelf show has no option --sizes.", "shelf show --help lists the options."),
        (("ls", "--quite"), "shelf ls has no option --quite.", "Did you mean --quiet?"),
        (("rm", "m", "--file"), "shelf rm has no option --file.", "shelf rm --help lists the options."),
        (("add", "org/m", "--branch", "v1"), "--branch: it is called --revision", "--revision v1"),
        (("add", "org/m", "--tier", "secondary"), "--tier: it is called --to", "--to secondary"),
        (("add", "org/m", "--name", "m"), "--name: the name stands first", "shelf add NAME ORG/MODEL"),
        (("ls", "--long"), "--long: a row has what fits into it", "shelf show NAME"),
        (("ls", "--sizes"), "shelf ls has no option --sizes.", "shelf ls --help lists the options."),
        (("rm", "-rf", "m"), "shelf rm has no option -r: --yes answers", "--dry-run"),
        (("ps", "-a"), "shelf ps has no option -a: it lists what is loaded", "shelf jobs"),
        (("jobs", "-a"), "all are listed already", "shelf jobs"),
        (("serve", "-d"), "it runs until Ctrl-C", "shelf install-service"),
        (("jobs", "-w"), "-w: it is called --watch", "--watch"),
        (("--verbose", "ls"), "shelf has no option --verbose: everything is said", "shelf doctor"),
        (("--versoin",), "shelf has no option --versoin.", "Did you mean --version?"),
    ],
    ids=lambda part: " ".join(part) if isinstance(part, tuple) else "",
)
def test_an_option_of_another_program_says_what_to_type_here(
    cli: Cli, words: tuple[str, ...], why: str, hint: str
) -> None:
    """An unknown option is an error like any other, and one that hf or docker has leads to ours."""
    said, problem = cli(*words), cli(*words, "--json")

    assert (said.code, said.out) == (problem.code, problem.out) == (2, "")
    assert why in said.err.splitlines()[0]
    assert hint in said.err.splitlines()[1]
    assert why in problem.problem["detail"]


@pytest.mark.parametrize(
    ("words", "why", "hint"),
    [
        (("ls", "qwen"), "shelf ls doesn't take qwen.", "shelf ls --filter qwen"),
        (("path", "m", "config.json"), "shelf path doesn't take config.json.", '"$(shelf path NAME)"/config.json'),
        (("rename", "m", "n", "o"), "shelf rename doesn't take o.", "shelf rename [OPTIONS] NAME NEW_NAME"),
        (("gc", "m"), "shelf gc doesn't take m.", "shelf gc --help"),
        (("move", "m"), "Missing argument 'primary|secondary|PATH'.", "shelf move --help"),
        (("rename", "m"), "Missing argument 'NEW_NAME'.", "shelf rename --help"),
        (("-q",), "Missing command.", "shelf --help"),
        (("",), "There is no command ''.", "shelf --help"),
    ],
    ids=lambda part: " ".join(part) if isinstance(part, tuple) else "",
)
def test_a_word_too_many_or_too_few_is_told_with_what_to_type(
    cli: Cli, words: tuple[str, ...], why: str, hint: str
) -> None:
    """A word that a command doesn't take, or one that is missing, is one error line and one hint."""
    said = cli(*words)

    assert (said.code, said.out) == (2, "")
    assert said.err.startswith(f"error: {why}")
    assert hint in said.err.splitlines()[1]


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("uninstall",), "pipx uninstall modelshelf does. To remove a model: shelf rm NAME"),
        (("create", "m", "-f", "Modelfile"), "shelf adopt FOLDER"),
        (("save", "m"), 'cp -rL "$(shelf path NAME)" FOLDER'),
        (("log",), "shelf jobs"),
        (("completion", "bash"), "shelf --install-completion"),
        (("start",), "shelf serve"),
        (("cat", "m"), "shelf path"),
        (("cache", "rm", "m"), "shelf clean"),
        (("delete-cache",), "shelf clean"),
        (("erase", "m"), "shelf rm NAME"),
        (("system", "prune"), "shelf clean"),
        (("container", "ls"), "shelf ps"),
        (("image", "ls"), "shelf ls"),
        (("datasets", "ls"), "hf download --repo-type dataset"),
        (("repo", "create", "m"), "hf upload"),
    ],
    ids=lambda part: part[0] if isinstance(part, tuple) else "",
)
def test_a_verb_of_another_program_leads_on(cli: Cli, words: tuple[str, ...], hint: str) -> None:
    """A verb of docker or ollama that isn't one here is an error, and the hint says what to type."""
    said = cli(*words)

    assert (said.code, said.out) == (2, "")
    assert hint in said.err.splitlines()[1]


@pytest.mark.parametrize("command", ["config", "key", "view", "jobs"])
def test_list_behind_a_command_lists(cli: Cli, command: str) -> None:
    """`shelf key list`, as hf and docker have it, lists what `shelf key` does."""
    assert cli(command, "list", "--json").checked().out == cli(command, "--json").checked().out


def test_the_tier_before_the_model_is_told_the_other_way_round(hub: FakeHub, cli: Cli) -> None:
    """`shelf move TIER NAME` is an error whose hint can be typed."""
    hub.add_repo("org/model", FILES)
    cli("add", "m", "org/model").checked()

    assert cli("move", "secondary", "m").err.endswith("hint: The tier comes last: shelf move m secondary\n")
    assert "shelf rename NAME third" in cli("move", "m", "third").err
    cli("move", "m", "secondary").checked()


def test_a_model_of_ollama_that_is_not_here_leads_to_search(cli: Cli) -> None:
    """`shelf pull llama3.2` says how to find a model on the hub."""
    assert cli("pull", "llama3.2").err.splitlines()[1].endswith("To find one on the hub: shelf search llama3.2")


def test_a_name_with_a_slash_is_told_as_a_name(cli: Cli) -> None:
    """`shelf add ../x ORG/MODEL` is refused for the name, and the hint keeps the model."""
    said = cli("add", "../x", "org/model")

    assert (said.code, said.out) == (2, "")
    assert said.err == "error: '../x' isn't a model name.\nhint: Give one without a slash: shelf add NAME org/model\n"


def test_two_models_are_added_one_at_a_time(cli: Cli) -> None:
    """Several repositories behind `shelf add` are refused with a command for each; files of one are told as files."""
    said = cli("add", "org/model", "hf.co/org/other:Q4_1", "Org/Third")

    assert (said.code, said.out) == (2, "")
    assert said.err == (
        "error: One model is added at a time.\n"
        "hint: shelf add org/model, then shelf add hf.co/org/other:Q4_1, then shelf add Org/Third\n"
    )
    assert "--include onnx/model.onnx" in cli("add", "org/model", "config.json", "onnx/model.onnx").err
    include = cli("add", "org/model", "--include", "a.json", "b.json").err
    assert include.endswith("shelf add org/model --include a.json --include b.json\n")
    assert cli("download", "org/model", "org/other").err.startswith("error: One model is added at a time.\n")


def test_a_loose_gguf_is_told_where_to_put_it(home: Home, cli: Cli) -> None:
    """Adopting a file, or a folder of GGUF files with another name than models, says what works."""
    file = home.work / "downloads" / "a.gguf"
    file.parent.mkdir()
    file.write_bytes(b"GGUF")

    for asked in (str(file), str(file.parent)):
        assert "from a folder named models" in cli("adopt", asked).err.splitlines()[1]


def test_what_follows_a_question_for_the_version_is_ignored(cli: Cli) -> None:
    """`version --json` and `-v ls` print the version."""
    assert cli("version", "--json").checked().out == cli("-v", "ls").checked().out == f"modelshelf {__version__}\n"


def test_a_program_that_is_a_question_leads_to_chat(hub: FakeHub, cli: Cli) -> None:
    """`shelf run NAME "QUESTION"`, as ollama takes it, is an error that names `shelf chat`."""
    hub.add_repo("org/model", FILES)
    cli("add", "m", "org/model").checked()

    assert "shelf chat m" in cli("run", "m").err.splitlines()[1]
    assert "shelf chat NAME" in cli("run", "m", "Why is the sky blue?").err.splitlines()[1]


def test_an_option_before_the_model_that_runs_is_told(cli: Cli) -> None:
    """`shelf run -it NAME`, as docker takes it, is an unknown option, not an unknown model."""
    assert cli("run", "-it", "m", "bash").err.startswith("error: shelf run has no option -it.\n")
    assert cli("run", "--verbose", "m").err.startswith("error: shelf run has no option --verbose: everything is said")


def test_no_hint_leads_to_the_next_error(hub: FakeHub, cli: Cli) -> None:
    """What isn't a repository is never suggested for `shelf add`, and `:latest` is no tag."""
    hub.add_repo("org/model", FILES)

    assert cli("pull", "org/model/extra").err.endswith("hint: shelf ls lists them.\n")
    assert cli("show", "").err == "error: There is no model ''.\nhint: shelf ls lists them.\n"
    assert cli("add", "org/model:latest", "--json").checked().json["allow_patterns"] == []
    assert "shelf rename" not in cli("move", "m", "").err
    assert "shelf add mine org/model." in cli("add", "org/model", "mine").err.splitlines()[1]


def test_an_unknown_command_is_an_error_like_any_other(cli: Cli) -> None:
    """An unknown command is a sentence, a hint and exit code 2, and a problem document with --json."""
    said, problem = cli("upgrade"), cli("login", "--json")

    assert (said.code, said.out) == (2, "")
    assert said.err == "error: There is no command upgrade.\nhint: Did you mean shelf update?\n"
    assert (problem.code, problem.out, problem.problem["detail"]) == (2, "", "modelshelf keeps no token.")


def test_a_name_is_suggested_unless_something_would_go(hub: FakeHub, cli: Cli) -> None:
    """An Ollama name or one that is mistyped gets the model as a suggestion, except in commands that delete."""
    hub.add_repo("Qwen/Qwen2.5-3B-Instruct", FILES)
    cli("add", "assistant", "Qwen/Qwen2.5-3B-Instruct").checked()

    assert cli("pull", "org/new").err.endswith("hint: To register and download it: shelf add org/new\n")
    assert cli("stop", "assistant").err == "error: No server of this library runs here, so no model is loaded.\n"
    for asked in ("qwen2.5:3b", "asistant"):
        assert cli("show", asked).err.endswith("hint: Did you mean assistant?\n"), asked
        assert cli("rm", asked).err.endswith("hint: shelf ls lists them.\n"), asked
