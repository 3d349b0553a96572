"""`shelf install-service`: a unit that systemd accepts, that starts the same library and has no secrets."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from modelshelf.domain.systemd_unit import MARK, unit_text
from tests.fakes.hub import FakeHub
from tests.world import Home, Server, free_port

SECRETS = {"HF_TOKEN": "hf_very_secret_token", "SHELF_API_KEY": "a key", "DATABASE_URL": "postgresql://me:pass@db/x"}


@pytest.fixture
def unit(home: Home) -> Path:
    """The path of the unit."""
    return home.root / "config/systemd/user/modelshelf.service"


@pytest.fixture
def systemctl(home: Home, tmp_path: Path) -> Path:
    """A fake systemctl that answers and records its arguments in the returned file."""
    told, tool = tmp_path / "told", tmp_path / "bin/systemctl"
    tool.parent.mkdir()
    tool.write_text(f'#!/bin/sh\necho "$@" >> {told}\n[ "$2" != "${{REFUSE:-}}" ] || {{ echo no unit >&2; exit 4; }}\n')
    tool.chmod(0o755)
    home.extra["PATH"] = f"{tool.parent}:{os.environ['PATH']}"
    return told


def words(text: str, name: str) -> list[list[str]]:
    """Return a directive's values as systemd reads them."""
    values = [line.partition("=")[2] for line in text.splitlines() if line.startswith(f"{name}=")]
    return [[word.replace("%%", "%").replace("$$", "$") for word in shlex.split(value)] for value in values]


@pytest.mark.parametrize("folder", ["plain", 'with blank, 100 % "quoted" $HOME', "back\\slash"])
def test_systemd_takes_the_unit(tmp_path: Path, folder: str) -> None:
    """`systemd-analyze verify` accepts the unit, whatever the folders are called."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    work, unit = tmp_path / folder, tmp_path / "modelshelf.service"
    work.mkdir()
    program = work / "python"
    program.symlink_to(sys.executable)
    unit.write_text(unit_text([str(program), "-m", "modelshelf", "serve"], str(work), {"SHELF_HOST": 'a "b" %h $x'}))

    environ = dict(os.environ) | {"XDG_RUNTIME_DIR": str(tmp_path)}
    said = subprocess.run(
        ["systemd-analyze", "--user", "verify", str(unit)], capture_output=True, text=True, env=environ
    )

    assert (said.returncode, said.stdout, said.stderr) == (0, "", "")


def test_the_unit_starts_the_same_library(hub: FakeHub, home: Home, unit: Path) -> None:
    """ExecStart, run with an empty environment as systemd does, serves what the shell registered."""
    hub.add_repo("org/name", {"config.json": b"{}"})
    port = str(free_port())
    home.env_file.write_text(f"SHELF_PORT={port}\n")
    home.run("add", "m", "org/name").checked()
    home.run("install-service").checked()
    text = unit.read_text()
    (command,), (folder,) = words(text, "ExecStart"), words(text, "WorkingDirectory")
    environ = dict(setting.split("=", 1) for (setting,) in words(text, "Environment"))
    environ |= {"HOME": home.environ()["HOME"], "PYTHONPATH": home.environ()["PYTHONPATH"]}
    log = home.root / "log"

    with log.open("wb") as output:
        server = Server(subprocess.Popen(command, cwd=folder[0], env=environ, stderr=output), log)
    try:
        server.wait_for_announcement()
        models = server.get("/api/models")
        code = server.end()
    finally:
        server.process.kill()
        server.process.wait()

    assert server.url.endswith(f":{port}")
    assert [(model["model_name"], model["state"]) for model in models] == [("m", "ready")]
    assert code == 0


def test_a_dry_run_shows_the_unit_and_writes_nothing(home: Home, unit: Path, systemctl: Path) -> None:
    """A dry run prints the unit and commands of the real run and writes nothing."""
    shown = home.run("install-service", "--dry-run").checked()
    assert not unit.exists()
    assert not systemctl.exists()

    done = home.run("install-service").checked()

    assert shown.out == done.out == f"# {unit}\n{unit.read_text()}"
    assert [line.partition(": ")[2] for line in shown.err.splitlines()] == [
        line.partition(": ")[2] for line in done.err.splitlines() if line.startswith("ran: ")
    ]


def test_systemd_is_told_in_order(home: Home, unit: Path, systemctl: Path) -> None:
    """A new unit is reloaded, enabled and started; a changed one restarted with a backup; an old one stopped first."""
    first = home.run("install-service", "--json").checked().json
    old = unit.read_text()
    home.run("install-service", SHELF_LOG="json").checked()
    kept = unit.with_name(unit.name + ".bak").read_text()
    home.run("install-service", "--uninstall").checked()

    assert [step["ran"] for step in first["commands"]] == [True, True]
    assert kept == old
    assert not unit.exists()
    assert [line for line in systemctl.read_text().splitlines() if " show " not in line] == [
        "--user daemon-reload",
        "--user enable --now modelshelf.service",
        "--user daemon-reload",
        "--user enable --now modelshelf.service",
        "--user restart modelshelf.service",
        "--user disable --now modelshelf.service",
        "--user daemon-reload",
    ]


def test_what_systemd_refuses_is_said(home: Home, unit: Path, systemctl: Path) -> None:
    """If systemctl fails, its message is the error with where to look next, and the unit stays."""
    refused = home.run("install-service", REFUSE="enable")

    assert refused.code == 7
    assert "no unit" in refused.err
    assert "journalctl" in refused.err
    assert unit.exists()


@pytest.mark.parametrize("path", ["none", "no answer"])
def test_without_systemd_the_commands_are_said(home: Home, unit: Path, tmp_path: Path, path: str) -> None:
    """Without a reachable systemd the unit is written, and a person is told what to run."""
    if path == "no answer" and shutil.which("systemctl") is None:
        pytest.skip("systemctl is not installed")
    extra = {"PATH": str(tmp_path)} if path == "none" else {"XDG_RUNTIME_DIR": str(tmp_path)}

    done = home.run("install-service", **extra).checked()

    assert unit.read_text().startswith(MARK)
    assert done.err.count("run this yourself") == 2
    assert "systemctl --user enable --now modelshelf.service" in done.err


def test_no_secret_is_in_the_unit(home: Home, unit: Path) -> None:
    """Tokens, keys and database passwords stay out of the unit and are named; other settings are in it."""
    done = home.run("install-service", SHELF_LOG="json", **SECRETS).checked()

    text = unit.read_text()
    assert not any(secret in text + done.out + done.err for secret in SECRETS.values())
    assert "DATABASE_URL, HF_TOKEN, SHELF_API_KEY." in done.err
    assert "Environment=SHELF_LOG=json\n" in text


def test_a_unit_of_somebody_else_is_left_alone(home: Home, unit: Path) -> None:
    """A unit that we didn't write is neither replaced nor removed."""
    unit.parent.mkdir(parents=True)
    unit.write_text("[Service]\n")

    codes = [home.run("install-service", *more).code for more in ([], ["--dry-run"], ["--uninstall"])]

    assert codes == [5, 5, 5]
    assert unit.read_text() == "[Service]\n"


def test_what_is_not_installed_is_not_uninstalled(home: Home) -> None:
    """Uninstalling without a unit says that there is nothing to remove."""
    assert home.run("install-service", "--uninstall", "--json").problem["status"] == 404


def test_wrong_settings_are_not_installed(home: Home, unit: Path) -> None:
    """Invalid settings are refused before a unit is written."""
    assert home.run("install-service", SHELF_PORT="none").code == 2
    assert not unit.exists()
