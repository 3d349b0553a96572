"""The settings that a person may change without an editor, and a change of them, as values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from modelshelf.errors import BadInput
from modelshelf.units import many

_MOST = 4096


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting as it is offered for a change."""

    name: str
    group: str
    """`Tiers`, `Policies`, `Jobs` or `Engines`."""
    label: str
    """What it is, for a field."""
    default: str
    """What holds without it, in words."""
    words: tuple[str, ...] = ()
    """What it may be; empty: any text that its parser takes."""
    unit: str = ""
    needs_restart: bool = True
    """Whether a running server takes it from its next start on; commands take each change at once."""


SETTINGS = (
    Setting("PRIMARY_CACHE_PATH", "Tiers", "Base of the primary", "$HF_HOME, else ~/.cache/huggingface"),
    Setting("PRIMARY_CACHE_LIMIT_GB", "Tiers", "Limit of the primary", "only its disk limits it", unit="GB"),
    Setting("SECONDARY_CACHE_PATH", "Tiers", "Base of the secondary", "there is no secondary"),
    Setting("SECONDARY_CACHE_LIMIT_GB", "Tiers", "Limit of the secondary", "only its disk limits it", unit="GB"),
    Setting("CACHE_WARNING_THRESHOLD", "Tiers", "Warning from this part of a limit", "0.9"),
    Setting("ON_FULL", "Policies", "When the primary is full", "demote", ("demote", "refuse")),
    Setting("ON_SECONDARY_FULL", "Policies", "When the secondary is full", "refuse", ("refuse", "remove-unpinned")),
    Setting("PROMOTE", "Policies", "Promotion of used models", "auto", ("never", "auto", "always")),
    Setting("SHELF_DOWNLOAD_LIMIT", "Jobs", "Most for downloads", "no limit", unit="per second", needs_restart=False),
    Setting("SHELF_DOWNLOAD_HOURS", "Jobs", "Hours for downloads", "always"),
    Setting("MAX_DOWNLOADS", "Jobs", "Downloads at once", "as many as shells ask for; a server runs two jobs at once"),
    Setting("MAX_MOVES", "Jobs", "Moves at once", "as many as shells ask for; a server runs two jobs at once"),
    Setting("JOBS_DAYS", "Jobs", "Days for which ended jobs stay", "30"),
    Setting("USES_DAYS", "Engines", "Days for which requests stay in the ledger", "30"),
    Setting("MAX_LOADED", "Engines", "Models in memory", "3 of a kind, as far as they fit"),
    Setting("QUEUE_LIMIT", "Engines", "Requests that may wait", "256"),
    Setting("KEEP_ALIVE", "Engines", "How long an idle model stays in memory", "5m"),
)
"""None of them names a program, an address or a secret: those are for a person with an editor on the machine."""
BY_NAME: Mapping[str, Setting] = {setting.name: setting for setting in SETTINGS}
SECRETS = ("HF_TOKEN", "SHELF_API_KEY", "SHELF_PEER_KEY")
"""Settings of which only is shown whether they are set."""

_POLICIES = {
    ("ON_FULL", "demote"): "A full primary moves the least recently used models to the secondary.",
    ("ON_FULL", "refuse"): "A full primary refuses new models; nothing is moved away.",
    ("ON_SECONDARY_FULL", "refuse"): "A full secondary refuses new models; nothing is deleted.",
    ("ON_SECONDARY_FULL", "remove-unpinned"): "A full secondary deletes the files of unpinned models whose commit the"
    " hub still has; they stay registered.",
    ("PROMOTE", "never"): "A used model stays on the secondary.",
    ("PROMOTE", "auto"): "A model on the secondary moves to the primary at its second use within seven days.",
    ("PROMOTE", "always"): "A used model moves to the primary if there can be room.",
}


class SettingName(str):
    """The name of a setting that may be changed.

    Raises:
        BadInput: There is no such setting, or only an editor changes it.
    """

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        name = text.strip().upper()
        if name in SECRETS:
            other = " Or log in once for all programs: hf auth login" if name == "HF_TOKEN" else ""
            raise BadInput(
                "It is a secret, which no command takes: others on this machine could read it.",
                hint=f"Write {name}=… into the settings file by hand; shelf config says where that is.{other}",
            )
        if name not in BY_NAME:
            raise BadInput("It isn't a setting that can be changed here.", hint="shelf config lists them.")
        return super().__new__(cls, name)


class SettingText(str):
    """The text of a setting; empty: it isn't set. One line, which names no variable.

    Raises:
        BadInput: It isn't one.
    """

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        said = text.strip()
        if not said.isprintable() or len(said) > _MOST:
            raise BadInput(f"{said!r:.80} isn't a line of text.", hint="Leave out line breaks and other controls.")
        if "$" in said:  # a variable may be a secret, which the answer would show
            raise BadInput(f"{said!r:.80} names a variable.", hint="Write out the value, or edit the file.")
        return super().__new__(cls, said)


Wanted = Mapping[SettingName, SettingText]
"""Settings with the texts that they shall have; an empty one is taken out of the file."""


def parse_wanted(texts: Mapping[str, str]) -> Wanted:
    """Return what a person wants to change.

    Raises:
        BadInput: Names or texts that can't be; every one is named, in `problems`.
    """
    wanted: dict[SettingName, SettingText] = {}
    problems = []
    for name, text in texts.items():
        try:
            wanted[SettingName(name)] = SettingText(text)
        except BadInput as err:
            problems.append({"name": name[:80], "origin": "", "detail": f"{err.detail} {err.hint}"})
    check(problems)
    return wanted


def check(problems: Sequence[Mapping[str, str]]) -> None:
    """Raise unless there is no problem.

    Raises:
        BadInput: With all of them, in `problems`.
    """
    if problems:
        lines = "".join(f"\n  {problem['name']}: {problem['detail']}" for problem in problems)
        raise BadInput(
            f"Nothing was changed:{lines}", hint="Correct them; .env.example explains each.", problems=[*problems]
        )


@dataclass(frozen=True, slots=True)
class SettingNow:
    """A setting as the next command reads it."""

    setting: Setting
    text: str
    """Empty: it isn't set."""
    in_file: str
    """What the file says, which the environment may override; empty: nothing."""
    origin: str
    """`file`, `environment` or `default`."""


@dataclass(frozen=True, slots=True)
class SettingChange:
    """One setting before and after."""

    name: str
    before: str
    after: str
    effects: tuple[str, ...]
    """What that causes, in sentences."""
    needs_restart: bool


@dataclass(frozen=True, slots=True)
class SettingsPlan:
    """A settings file before and after."""

    path: Path
    seen: str
    """The digest of the content that it was made for."""
    text: str
    """The new content, which may hold secrets: never shown."""
    changes: tuple[SettingChange, ...]


def policy_effect(name: str, text: str) -> str:
    """Return what a policy does; empty for another setting.

    >>> policy_effect("PROMOTE", ""), policy_effect("MAX_MOVES", "2")
    ('A model on the secondary moves to the primary at its second use within seven days.', '')
    """
    return _POLICIES.get((name, text or BY_NAME[name].default), "")


def moved_base(location: str, old: str, new: str, models: int, size: str) -> str:
    """Return what becomes of a tier's models if its base changes.

    >>> moved_base("secondary", "/a", "", 2, "3 GB")
    '2 models (3 GB) stay in /a. Until that is a tier again, they are offline. To keep them: shelf move NAME primary'
    >>> moved_base("primary", "/a", "/b", 0, "0 B")
    'The registry in /a stays there: a library begins in /b, or the one that is there goes on.'
    >>> moved_base("secondary", "/a", "/b", 0, "0 B")
    'No model is in /a.'
    """
    stay = f"{many(models, 'model')} ({size}) {'stays' if models == 1 else 'stay'}"
    if location == "primary":
        left = f"{stay} in {old}; to take them in: shelf adopt {old} --move. " if models else ""
        return f"{left}The registry in {old} stays there: a library begins in {new}, or the one that is there goes on."
    if not models:
        return f"No model is in {old}."
    if not new:
        return f"{stay} in {old}. Until that is a tier again, they are offline. To keep them: shelf move NAME primary"
    return f"{stay} in {old}. In {new} they are missing until their files are there: move them to the primary first."
