"""The settings as fields, and a change of them as a plan. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from modelshelf.schemas.setting_changes import SettingJson, SettingsFileJson, SettingsPlanJson
from modelshelf.server.web.sheet import Part, Sheet, Step

_MOST = 300


@dataclass(frozen=True, slots=True)
class SettingField:
    """A setting that can be edited."""

    name: str
    label: str
    text: str
    default: str
    words: Sequence[str]
    unit: str
    small: str
    """What a person should know beside it."""
    problem: str
    """What is wrong with what was entered; empty if nothing is known."""


@dataclass(frozen=True, slots=True)
class Group:
    """Settings below one heading."""

    heading: str
    fields: Sequence[SettingField]


@dataclass(frozen=True, slots=True)
class SettingsForm:
    """All fields."""

    groups: Sequence[Group]
    trouble: Sequence[str]
    """What is wrong with the file apart from these fields."""


def settings_form(
    found: SettingsFileJson, entered: Mapping[str, str], problems: Sequence[Mapping[str, str]]
) -> SettingsForm:
    """Return the fields.

    Args:
        found: The settings.
        entered: What a person entered instead.
        problems: What is wrong with that: name and detail.
    """
    wrong = {problem["name"].upper(): problem["detail"] for problem in problems}
    names = {setting.name for setting in found.settings}
    groups: dict[str, list[SettingField]] = {}
    for one in found.settings:
        text = entered.get(one.name, one.in_file)
        groups.setdefault(one.group, []).append(_field(one, text, wrong.get(one.name, "")))
    others = [f"{name}: {detail}" for name, detail in wrong.items() if name not in names]
    return SettingsForm([Group(heading, fields) for heading, fields in groups.items()], others)


def _field(one: SettingJson, text: str, problem: str) -> SettingField:
    small = [] if one.needs_restart else ["Running downloads follow within a second."]
    if one.origin == "environment":
        small.append(f"The environment says {one.text:.{_MOST}}, which wins over the file.")
    return SettingField(one.name, one.label, text, one.default, one.words, one.unit, " ".join(small), problem)


def settings_sheet(plan: SettingsPlanJson, seen: str) -> Sheet:
    """Return the plan of a change.

    Args:
        plan: What changes.
        seen: The digest of the file that it was made for.
    """
    empty = Sheet("Change settings", "/settings", "/settings")
    if not plan.changes:
        return Sheet(empty.title, empty.action, empty.back, trouble="Nothing changes.", hint="All is as it was.")
    steps = [
        Step(
            "settings",
            f"{one.name}: {one.before or 'not set'} →",
            one.after or "not set",
            "",
            "",
            " ".join(one.effects),
        )
        for one in plan.changes
    ]
    restarts = any(one.needs_restart for one in plan.changes)
    later = "A running server takes it from its next start on." if restarts else "Running downloads follow."
    words = " ".join(f"{one.name}={one.after}" for one in plan.changes)
    return Sheet(
        empty.title,
        empty.action,
        empty.back,
        button="Write the settings",
        hidden=[("seen", seen), *((one.name, one.after) for one in plan.changes)],
        parts=[Part(f"In {plan.file}", steps)],
        notes=["The old file stays beside the new one."],
        summary=f"Commands take it at once. {later}",
        command=f"shelf config set {words} --dry-run"
        if words.isascii() and "'" not in words and len(words) < _MOST
        else "",
    )
