"""The systemd unit as text, and what installing and uninstalling it does."""

from __future__ import annotations

import shlex

import pytest

from modelshelf.domain.systemd_unit import MARK, plan_install, plan_uninstall, unit_text, without_secrets

PATH = "/home/me/.config/systemd/user/modelshelf.service"


def value(text: str, name: str) -> str:
    """Return the only value of a directive, without systemd's escapes of percents and dollars."""
    (line,) = [line for line in text.splitlines() if line.startswith(f"{name}=")]
    return line.partition("=")[2].replace("%%", "%").replace("$$", "$")


@pytest.mark.parametrize(
    "word", ["plain", "with blank", 'with "quotes"', "back\\slash", "100 %", "$HOME", "it's", "a,b=c:d"]
)
def test_systemd_reads_every_word_back(word: str) -> None:
    """systemd reads arguments, settings and the folder as the shell meant them."""
    text = unit_text(["/usr/bin/python3", "-m", word], f"/{word}", {"SHELF_X": word})

    assert shlex.split(value(text, "ExecStart")) == ["/usr/bin/python3", "-m", word]
    assert shlex.split(value(text, "Environment")) == [f"SHELF_X={word}"]
    assert value(text, "WorkingDirectory") == f"/{word}"
    assert text.startswith(MARK)
    assert "%" not in text.replace("%%", "")
    assert "$" not in text.partition("\nExecStart=")[2].replace("$$", "")


@pytest.mark.parametrize("program", ["/a\\b/python", "/it's/python", '/"/python'])
def test_a_program_that_systemd_cannot_name_is_started_by_env(program: str) -> None:
    """A program whose name has quotes or backslashes is started through env: systemd takes these in arguments only."""
    assert shlex.split(value(unit_text([program, "serve"], "/", {}), "ExecStart")) == [
        "/usr/bin/env",
        program,
        "serve",
    ]


def test_a_new_line_in_a_setting_starts_no_directive() -> None:
    """A setting is one line of the unit, whatever it holds."""
    text = unit_text(["/python"], "/", {"SHELF_X": "a\nExecStart=/evil"})

    assert len([line for line in text.splitlines() if line.startswith("ExecStart=")]) == 1
    assert 'Environment="SHELF_X=a\\nExecStart=/evil"' in text


def test_secrets_are_told_from_settings() -> None:
    """A token, a key and a URL with a password are secrets; a URL without one isn't."""
    url = "postgresql://me@db/x"
    secrets = {
        "HF_TOKEN": "x",
        "SHELF_API_KEY": "y",
        "SHELF_PEER_KEY": "z",
        "DATABASE_URL": "postgresql://me:pass@db/x",
    }

    assert without_secrets(secrets | {"HF_ENDPOINT": url}) == ({"HF_ENDPOINT": url}, list(secrets))


@pytest.mark.parametrize(("present", "replaces"), [(None, False), ("text", False), ("another", True)])
def test_a_running_server_is_restarted_when_its_unit_changes(present: str | None, replaces: bool) -> None:
    """A running server is restarted when its unit changes; a new one is started, and an unchanged one keeps running."""
    plan = plan_install(PATH, "text", present, ["HF_TOKEN"])

    words = [command[2] for command in plan.after]
    assert words == ["daemon-reload", "enable"] + ["restart"] * replaces
    assert (plan.path, plan.text, plan.replaces, plan.before, plan.left_out) == (
        PATH,
        "text",
        replaces,
        (),
        ("HF_TOKEN",),
    )


def test_a_server_is_stopped_before_its_unit_goes() -> None:
    """A server is stopped before its unit is deleted, because systemd can't stop an unknown unit."""
    plan = plan_uninstall(PATH)

    assert [command[2:4] for command in plan.before] == [("disable", "--now")]
    assert [command[2] for command in plan.after] == ["daemon-reload"]
    assert plan.text == ""
