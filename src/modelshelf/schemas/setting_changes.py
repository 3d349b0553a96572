"""The settings file, and a change of it, as JSON. No secret is in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from modelshelf.schemas.json_object import JsonObject, time_or_none

if TYPE_CHECKING:
    from pathlib import Path

    from modelshelf.domain.outcomes import Written
    from modelshelf.domain.setting_changes import SettingNow, SettingsPlan


@dataclass(frozen=True)
class SettingJson(JsonObject):
    """A setting."""

    name: str
    """Its name in the file and the environment."""
    group: str
    """What it is about."""
    label: str
    """What it is, in words."""
    text: str
    """What the next command reads; empty if it isn't set."""
    in_file: str
    """What the file says, which the environment may override; empty: nothing."""
    origin: str
    """`file`, `environment` or `default`."""
    default: str
    """What holds without it, in words."""
    words: Sequence[str]
    """What it may be; empty: any text that makes sense."""
    unit: str
    """The unit of its number; empty without one."""
    needs_restart: bool
    """Whether a running server takes a change from its next start on."""

    @classmethod
    def of(cls, now: SettingNow) -> SettingJson:
        """Return the object for a setting."""
        return cls.like(now.setting, text=now.text, in_file=now.in_file, origin=now.origin)


@dataclass(frozen=True)
class SettingsFileJson(JsonObject):
    """The settings that may be changed, and whether secrets are set."""

    file: str
    """The settings file; it may not exist yet."""
    written_at: str | None
    """When it was written; null without one."""
    settings: Sequence[SettingJson]
    """The settings."""
    secrets: Mapping[str, bool]
    """Of each secret whether it is set."""

    @classmethod
    def of(
        cls, path: Path, written_at: float | None, now: Sequence[SettingNow], secrets: Mapping[str, bool]
    ) -> SettingsFileJson:
        """Return the object for a settings file."""
        return cls(str(path), time_or_none(written_at), [SettingJson.of(one) for one in now], secrets)


@dataclass(frozen=True)
class SettingChangeJson(JsonObject):
    """One setting before and after."""

    name: str
    """Its name."""
    before: str
    """What the file said; empty: nothing."""
    after: str
    """What it says then; empty: nothing."""
    effects: Sequence[str]
    """What that causes, in sentences."""
    needs_restart: bool
    """Whether a running server takes it from its next start on."""


@dataclass(frozen=True)
class SettingsPlanJson(JsonObject):
    """A change of settings."""

    file: str
    """The settings file."""
    written: bool
    """Whether it was written."""
    backup: str | None
    """The path of the earlier content; null if there was none, or nothing was written."""
    changes: Sequence[SettingChangeJson]
    """What changes; empty if all is as wanted."""

    @classmethod
    def of(cls, plan: SettingsPlan, written: Written | None) -> SettingsPlanJson:
        """Return the object for a plan, or for what was written."""
        backup = str(written.backup) if written is not None and written.backup is not None else None
        changes = [SettingChangeJson.like(change) for change in plan.changes]
        return cls(str(plan.path), written is not None, backup, changes)
