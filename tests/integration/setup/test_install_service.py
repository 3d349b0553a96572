"""`shelf install-service`: a unit that systemd takes, that starts the same library, and that holds no secret."""

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
    """Where the unit lies."""
    return home.root / "config/systemd/user/modelshelf.service"


@pytest.fixture
def systemctl(home: Home, tmp_path: Path) -> Path:
    """A systemd that answers, which no test can start here: it writes down what it is told, in the file returned."""
    told, tool = tmp_path / "told", tmp_path / "bin/systemctl"
    tool.parent.mkdir()
    tool.write_text(f'#!/bin/sh\necho "$@" >> {told}\n[ "$2" != "${{REFUSE:-}}" ] || {{ echo no unit >&2; exit 4; }}\n')
    tool.chmod(0o755)
    home.extra["PATH"] = f"{tool.parent}:{os.environ['PATH']}"
    return told


def words(text: str, name: str) -> list[list[str]]:
    """Return the values of a directive as systemd reads them."""
    values = [line.partition("=")[2] for line in text.splitlines() if line.startswith(f"{name}=")]
    return [[word.replace("%%", "%").replace("$$", "$") for word in shlex.split(value)] for value in values]


@pytest.mark.parametrize("folder", ["plain", 'with blank, 100 % "quoted" $HOME', "back\\slash"])
def test_systemd_takes_the_unit(tmp_path: Path, folder: str) -> None:
    """`systemd-analyze verify` has nothing to say, whatever the folders are called."""
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
    """What ExecStart says, run as systemd would with an empty environment, serves what the shell registered."""
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
    """The text and the commands are those of the real run."""
    shown = home.run("install-service", "--dry-run").checked()
    assert not unit.exists()
    assert not systemctl.exists()

    done = home.run("install-service").checked()

    assert shown.out == done.out == f"# {unit}\n{unit.read_text()}"
    assert [line.partition(": ")[2] for line in shown.err.splitlines()] == [
        line.partition(": ")[2] for line in done.err.splitlines() if line.startswith("ran: ")
    ]


def test_systemd_is_told_in_order(home: Home, unit: Path, systemctl: Path) -> None:
    """Installed: read anew, enabled, started; changed: restarted too, the old text kept; uninstalled: stopped first."""
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
    """Its words are the error, with where to look next; the unit stays."""
    refused = home.run("install-service", REFUSE="enable")

    assert refused.code == 7
    assert "no unit" in refused.err
    assert "journalctl" in refused.err
    assert unit.exists()


@pytest.mark.parametrize("path", ["none", "no answer"])
def test_without_systemd_the_commands_are_said(home: Home, unit: Path, tmp_path: Path, path: str) -> None:
    """No systemctl, or one whose systemd is not there: the unit is written and a person is told what to run."""
    if path == "no answer" and shutil.which("systemctl") is None:
        pytest.skip("systemctl is not installed")
    extra = {"PATH": str(tmp_path)} if path == "none" else {"XDG_RUNTIME_DIR": str(tmp_path)}

    done = home.run("install-service", **extra).checked()

    assert unit.read_text().startswith(MARK)
    assert done.err.count("run this yourself") == 2
    assert "systemctl --user enable --now modelshelf.service" in done.err


def test_no_secret_is_in_the_unit(home: Home, unit: Path) -> None:
    """A token, a key and a database's password stay out of it and are named; other settings of a shell are in it."""
    done = home.run("install-service", SHELF_LOG="json", **SECRETS).checked()

    text = unit.read_text()
    assert not any(secret in text + done.out + done.err for secret in SECRETS.values())
    assert "DATABASE_URL, HF_TOKEN, SHELF_API_KEY." in done.err
    assert "Environment=SHELF_LOG=json\n" in text


def test_a_unit_of_somebody_else_is_left_alone(home: Home, unit: Path) -> None:
    """A file of that name that we did not write is neither replaced nor removed."""
    unit.parent.mkdir(parents=True)
    unit.write_text("[Service]\n")

    codes = [home.run("install-service", *more).code for more in ([], ["--dry-run"], ["--uninstall"])]

    assert codes == [5, 5, 5]
    assert unit.read_text() == "[Service]\n"


def test_what_is_not_installed_is_not_uninstalled(home: Home) -> None:
    """There is nothing to remove, and that is said."""
    assert home.run("install-service", "--uninstall", "--json").problem["status"] == 404


def test_wrong_settings_are_not_installed(home: Home, unit: Path) -> None:
    """A service that could not start is refused before anything is written."""
    assert home.run("install-service", SHELF_PORT="none").code == 2
    assert not unit.exists()
