"""`shelf init`: the library reads what it writes, and nothing is overwritten."""

from __future__ import annotations

import os
import pty
import re
import stat
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from modelshelf.settings import load_settings
from tests.builders import lay_out, put
from tests.terminal import SHELF, Terminal, shelf_on_terminal
from tests.world import Home, Result, tree

TIERS = ("PRIMARY_CACHE_PATH", "SECONDARY_CACHE_PATH")


@pytest.fixture
def fresh(home: Home) -> Home:
    """A home without any setting."""
    home.extra |= dict.fromkeys(TIERS, "")
    return home


@pytest.fixture
def env_file(home: Home) -> Path:
    """The path of a user's settings."""
    return home.root / "config/modelshelf/.env"


def flags(home: Home) -> list[str]:
    """Return flags for every question."""
    limits = ["--primary-limit-gb", "0.5", "--secondary-limit-gb", "none"]
    return ["--primary", str(home.primary), "--secondary", str(home.secondary), *limits, "--no-speed"]


def test_flags_say_everything(fresh: Home, env_file: Path) -> None:
    """With all flags the file is written without a terminal, readable for its owner alone, and the library reads it."""
    done = fresh.run("init", *flags(fresh)).checked()

    assert env_file.read_text() in done.out
    assert stat.S_IMODE(env_file.stat().st_mode) == 0o600
    tiers = fresh.run("tiers", "--json").checked().json
    assert [(tier["cache_path"], tier["limit_bytes"]) for tier in tiers] == [
        (str(fresh.primary), 500_000_000),
        (str(fresh.secondary), None),
    ]


def test_yes_takes_what_is_proposed(fresh: Home, env_file: Path) -> None:
    """--yes asks nothing and takes the disks that were shown and measured, with whole limits."""
    view = fresh.run("init", "--yes", "--json").checked().json

    assert view["written"] is True
    assert view["text"] == env_file.read_text()
    proposed = {disk["base"]: disk["limit_gb"] for disk in view["disks"]}
    tiers = load_settings(env_file, {"HOME": str(fresh.root / "home")}).tiers.configured()
    assert [(tier.base, tier.limit_bytes) for tier in tiers] == [
        (tier.base, proposed[tier.base] * 10**9) for tier in tiers
    ]
    assert tiers[0].base == view["primary"]["base"]
    assert not list(Path(fresh.root).rglob("*.shelf-tmp"))


def test_nobody_to_ask_is_an_error_with_the_flags(fresh: Home, env_file: Path) -> None:
    """Without a terminal and flags nothing is guessed or written, and the error names the flags."""
    refused = fresh.run("init")

    assert (refused.code, refused.out) == (2, "")
    assert all(flag in refused.err for flag in ("--primary PATH", "--secondary-limit-gb N", "--yes"))
    assert not env_file.exists()


@pytest.mark.parametrize("more", [[], ["--yes"]], ids=["flags", "yes"])
def test_a_file_that_is_there_is_never_overwritten(fresh: Home, env_file: Path, more: Sequence[str]) -> None:
    """An existing file is a conflict; with --force it is first backed up, each time under a new name."""
    env_file.parent.mkdir(parents=True)
    env_file.write_text("HF_TOKEN=hf_mine\n")

    refused = fresh.run("init", *flags(fresh), *more)
    assert (refused.code, env_file.read_text()) == (5, "HF_TOKEN=hf_mine\n")

    first = fresh.run("init", *flags(fresh), *more, "--force", "--json").checked().json
    second = fresh.run("init", *flags(fresh), *more, "--force", "--json").checked().json
    assert Path(first["backup"]).read_text() == "HF_TOKEN=hf_mine\n"
    assert Path(second["backup"]).read_text() == first["text"]
    assert "hf_mine" not in env_file.read_text()


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(["--primary", "/mnt/x/hub"], id="a path that ends in hub"),
        pytest.param(["--primary", "/etc"], id="a system folder"),
        pytest.param(["--primary-limit-gb", "0"], id="no limit at all"),
        pytest.param(["--primary-limit-gb", "many"], id="no number"),
        pytest.param(["--secondary", "fast/within"], id="one tier within the other"),
        pytest.param(["--primary", "file/below"], id="below a file"),
    ],
)
def test_what_the_library_would_refuse_is_not_written(fresh: Home, env_file: Path, wrong: list[str]) -> None:
    """Settings that the library would refuse aren't written."""
    (fresh.work / "file").touch()
    named = [str(fresh.root / word) if word.startswith(("fast/", "file/")) else word for word in wrong]
    if named[-1].endswith("file/below"):
        named[-1] = str(fresh.work / "file/below")

    refused = fresh.run("init", *flags(fresh), *named)

    assert refused.code == 2
    assert "hint: " in refused.err
    assert not env_file.exists()


def test_a_relative_path_means_where_one_stands(fresh: Home, env_file: Path) -> None:
    """A relative path starts at the shell's folder, not beside the settings."""
    fresh.run("init", "--primary", "models", "--primary-limit-gb", "1", "--no-speed").checked()

    assert f"PRIMARY_CACHE_PATH={fresh.work}/models\n" in env_file.read_text()
    assert "SECONDARY" not in env_file.read_text()


def test_here_writes_beside_the_work(fresh: Home, env_file: Path) -> None:
    """--here writes ./.env, which is read in that folder."""
    fresh.env_file.unlink()
    fresh.run("init", *flags(fresh), "--here").checked()

    assert (fresh.env_file.exists(), env_file.exists()) == (True, False)


def test_what_wins_over_the_file_is_said(home: Home, env_file: Path) -> None:
    """A variable that overrides what was just written is named."""
    done = home.run("init", *flags(home)).checked()

    assert "PRIMARY_CACHE_PATH, SECONDARY_CACHE_PATH" in done.err
    assert "environment" in done.err


def test_a_tool_that_downloads_to_another_disk_is_named(fresh: Home) -> None:
    """If HF_HUB_CACHE is on another disk, init names it and the command before writing; on the same disk it doesn't."""
    there, here = "/dev/shm/models", str(fresh.root / "models")
    said = fresh.run("init", *flags(fresh), "--dry-run", HF_HUB_CACHE=there).checked().err
    assert f"download to {there} (HF_HUB_CACHE), on another disk" in said
    assert f"unset HF_HUB_CACHE; export HF_HOME={fresh.primary}" in said

    assert "another disk" not in fresh.run("init", *flags(fresh), "--dry-run", HF_HUB_CACHE=here).checked().err


def test_what_other_programs_downloaded_is_offered(fresh: Home) -> None:
    """Models in the usual cache are counted with the command that adopts them; what has no weights doesn't count."""
    hub, files = fresh.root / "home/.cache/huggingface/hub", dict.fromkeys(("org--a", "gpt2"), "model.safetensors")
    for name, file in (files | {"org--tokenizer": "tokenizer.json"}).items():
        put(hub / f"models--{name}/snapshots" / ("c" * 40) / file, b"x")
    for name in ("datasets--org--d", "models--org--none", ".locks"):
        (hub / name).mkdir()

    done = fresh.run("init", *flags(fresh)).checked()

    usual = fresh.root / "home/.cache/huggingface"
    assert re.search(rf"^2 models \([0-9.]+ kB\) are in {usual}\. To add them", done.err, re.MULTILINE)
    assert f"shelf adopt {usual} --leave" in done.err


def test_one_model_is_counted_as_one(fresh: Home) -> None:
    """For one model the sentence is in the singular."""
    snapshot = fresh.root / f"home/.cache/huggingface/hub/models--gpt2/snapshots/{'c' * 40}"
    put(snapshot / "model.safetensors", b"x")

    assert re.search(r"1 model \(.* kB\) is in ", fresh.run("init", *flags(fresh)).checked().err)


def test_a_dry_run_writes_nothing(fresh: Home, env_file: Path) -> None:
    """A dry run shows the disks and the text, and writes nothing even if there is a file."""
    env_file.parent.mkdir(parents=True)
    env_file.write_text("# mine\n")

    shown = fresh.run("init", *flags(fresh), "--dry-run").checked()

    assert "PRIMARY_CACHE_LIMIT_GB=0.5" in shown.out
    assert env_file.read_text() == "# mine\n"
    assert not fresh.primary.exists()


def answer(home: Home, *lines: str) -> Result:
    """Run `shelf init` on a terminal where a person types these lines."""
    ours, theirs = pty.openpty()
    try:
        child = subprocess.Popen(
            [sys.executable, "-m", "modelshelf", "init", "--no-speed"],
            cwd=home.work,
            env=home.environ(),
            stdin=theirs,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        os.write(ours, "".join(f"{line}\n" for line in lines).encode())
        out, err = child.communicate(timeout=60)
    finally:
        os.close(ours)
        os.close(theirs)
    return Result(child.returncode, out, err)


def test_five_questions_are_asked(fresh: Home, env_file: Path) -> None:
    """Init asks five questions; an invalid answer is asked again, and an empty one accepts the proposal."""
    file = fresh.root / "a file"
    file.write_text("")

    said = answer(
        fresh, "/etc", str(file), str(fresh.primary), "lots", "3.5 GB", str(fresh.secondary), "", ""
    ).checked()

    assert said.err.count("]: ") == 8
    assert "/etc is a system folder" in said.err
    assert f"{file} is a file. Name a folder." in said.err
    tiers = load_settings(env_file, {"HOME": str(fresh.root / "home")}).tiers
    assert (tiers.primary.base, tiers.primary.limit_bytes) == (str(fresh.primary), 3_500_000_000)
    assert tiers.secondary is not None
    assert tiers.secondary.base == str(fresh.secondary)
    assert (tiers.secondary.limit_bytes or 0) > 0


@pytest.mark.parametrize("choice", ["yes", "no"])
def test_the_models_that_are_there_are_taken_in_on_request(fresh: Home, env_file: Path, choice: str) -> None:
    """If a person says yes, existing models are adopted in place."""
    usual = fresh.root / "home/.cache/huggingface"
    lay_out(usual, """
        model org/name
          commit a main
            config.json 20
            model.safetensors 900
    """)  # fmt: skip
    before = tree(usual)

    answer(fresh, str(fresh.primary), "", "none", "yes", choice).checked()

    names = [model["model_name"] for model in fresh.run("ls", "--json").checked().json]
    assert names == (["name"] if choice == "yes" else [])
    assert before.items() <= tree(usual).items()


@pytest.mark.parametrize(("last", "code"), [("no", 0), ("\x04", 2)], ids=["no", "the input ends"])
def test_a_person_may_say_no(fresh: Home, env_file: Path, last: str, code: int) -> None:
    """A no, or an end of input, leaves everything as it was."""
    said = answer(fresh, str(fresh.primary), "1", "none", last)

    assert said.code == code
    assert not env_file.exists()
    assert not fresh.primary.exists()


def test_who_names_the_primary_is_asked_nothing(fresh: Home, env_file: Path) -> None:
    """With --primary nothing is asked, even on a terminal; other values are the defaults."""
    done = shelf_on_terminal(fresh, "init", "--primary", str(fresh.primary), "--no-speed")

    assert done.code == 0, done.text
    assert "]: " not in done.text
    tiers = load_settings(env_file, {"HOME": str(fresh.root / "home")}).tiers
    assert (tiers.primary.base, tiers.secondary) == (str(fresh.primary), None)


def test_ctrl_c_at_a_question_leaves_everything_as_it_was(fresh: Home, env_file: Path) -> None:
    """Ctrl-C at a question leaves everything as it was, and nothing is said to be written."""
    terminal = Terminal(fresh, *SHELF, "init", "--no-speed")
    terminal.wait_for("]: ")
    terminal.type("\x03")
    seen = terminal.finish()

    assert (seen.code, seen.lines[-1]) == (130, "Stopped.")
    assert "is kept" not in seen.text
    assert not env_file.exists()


def test_a_limit_that_no_disk_holds_is_refused(fresh: Home, env_file: Path) -> None:
    """A limit larger than the disk is refused with both numbers; on a terminal the question comes again."""
    refused = fresh.run("init", "--primary", str(fresh.primary), "--primary-limit-gb", "5000000", "--no-speed")
    asked = answer(fresh, str(fresh.primary), "5000000", "0.5", "none", "yes").checked()

    assert (refused.code, refused.err.count("\n")) == (2, 2)
    assert re.match(rf"error: A limit of 5000\.0 TB is more than the disk of {fresh.primary} holds", refused.err)
    assert "A limit of 5000.0 TB is more than the disk" in asked.err
    assert "PRIMARY_CACHE_LIMIT_GB=0.5\n" in env_file.read_text()
