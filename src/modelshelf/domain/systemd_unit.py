"""The systemd unit that keeps a server running, as text."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

UNIT_NAME = "modelshelf.service"
MARK = "# Written by shelf install-service"
"""The first line of our own units, which we may replace or remove."""
STOP_WITHIN_S = 30
"""The server gives its answers 5 s, and its jobs less. A slower one is killed, and the next one resumes its jobs."""

_TEXT = """\
{mark}; your changes belong in a drop-in: systemctl --user edit modelshelf
[Unit]
Description=modelshelf: one library of Hugging Face models
StartLimitIntervalSec=0

[Service]
Type=exec
WorkingDirectory={folder}
{environment}ExecStart={command}
Restart=on-failure
RestartSec=10
# Wrong settings (2) and what is denied (3) do not get better by trying again.
RestartPreventExitStatus=2 3
TimeoutStopSec={stop_within_s}
NoNewPrivileges=yes

[Install]
WantedBy=default.target
"""


@dataclass(frozen=True, slots=True)
class UnitPlan:
    """What installing or uninstalling the service will do."""

    path: str
    """The unit's file."""
    text: str
    """Its new content; empty if it is removed."""
    replaces: bool
    """Whether there is a different one already, which is kept beside the new one."""
    before: tuple[tuple[str, ...], ...]
    """Commands to run before the file changes."""
    after: tuple[tuple[str, ...], ...]
    """Commands to run afterwards."""
    left_out: tuple[str, ...] = ()
    """Secrets in the environment, which no unit holds."""


def unit_text(command: Sequence[str], folder: str, environment: Mapping[str, str]) -> str:
    """Return the unit of a server.

    Args:
        command: The program, by its absolute path, and its arguments.
        folder: Its working directory: the folder of its `.env`.
        environment: Settings that aren't in a `.env`; nothing secret.
    """
    settings = "".join(f"Environment={_quoted(f'{name}={text}')}\n" for name, text in sorted(environment.items()))
    if re.search(r"[\"'\\]", command[0]):  # systemd accepts no such name, however it is quoted
        command = ["/usr/bin/env", *command]
    words = " ".join([_quoted(command[0]), *(_quoted(word).replace("$", "$$") for word in command[1:])])
    return _TEXT.format(
        mark=MARK,
        folder=folder.replace("%", "%%"),
        environment=settings,
        command=words,
        stop_within_s=STOP_WITHIN_S,
    )


def _quoted(word: str) -> str:
    """Quote a word for systemd. Source: `systemd.syntax(7)`, Quoting; `systemd.unit(5)`, Specifiers."""
    text = word.replace("%", "%%")
    if re.fullmatch(r"[A-Za-z0-9_@%+=:,./-]+", text):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def without_secrets(exported: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """Return the settings that a unit may hold, and the names of the others: a token, a key, a password in a URL."""
    secrets = [
        name
        for name, text in exported.items()
        if name in ("HF_TOKEN", "SHELF_API_KEY", "SHELF_PEER_KEY") or re.search(r"://[^/@]*:[^/@]*@", text)
    ]
    return {name: text for name, text in exported.items() if name not in secrets}, secrets


def plan_install(path: str, text: str, present: str | None, left_out: Sequence[str]) -> UnitPlan:
    """Return what installing does.

    Args:
        path: The unit's file.
        text: Its new content.
        present: Its content now; None without one.
        left_out: Secrets that the unit doesn't hold.
    """
    replaces = present is not None and present != text
    after = [_systemctl("daemon-reload"), _systemctl("enable", "--now", UNIT_NAME)]
    if replaces:
        after.append(_systemctl("restart", UNIT_NAME))
    return UnitPlan(path, text, replaces, (), tuple(after), tuple(left_out))


def plan_uninstall(path: str) -> UnitPlan:
    """Return what uninstalling does."""
    before = (_systemctl("disable", "--now", UNIT_NAME),)
    return UnitPlan(path, "", False, before, (_systemctl("daemon-reload"),))


def _systemctl(*words: str) -> tuple[str, ...]:
    return ("systemctl", "--user", *words)
