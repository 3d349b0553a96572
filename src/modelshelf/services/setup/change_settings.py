"""Changing the settings file: a plan that says what each change causes, and its execution, with a backup."""

from __future__ import annotations

import hashlib
import os
import stat
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from modelshelf.domain.outcomes import Written
from modelshelf.domain.setting_changes import (
    BY_NAME,
    SECRETS,
    SettingChange,
    SettingNow,
    SettingsPlan,
    Wanted,
    check,
    policy_effect,
)
from modelshelf.domain.tiers import Tiers
from modelshelf.errors import BadInput, Conflict
from modelshelf.services.setup import bases
from modelshelf.setting_lines import Problems, edited, parse_env_text
from modelshelf.store import fs
from modelshelf.store.probe import is_there
from modelshelf.store.small_files import read_small_bytes

_writing = threading.Lock()
"""Held from the last look at a file until it is written: two browsers of one server take turns."""
_BOM = "\N{ZERO WIDTH NO-BREAK SPACE}"


@dataclass(frozen=True, slots=True)
class SettingsWriter:
    """Shows and changes the settings of a file."""

    path: Path
    """The file; it may not exist yet. A link was followed, so that the file behind it is written."""
    read: Callable[[Path, str], tuple[Tiers, Sequence[Mapping[str, str]]]]
    """Returns what a text says of the tiers as the file at a path, and all that is wrong in it."""
    exported: Mapping[str, str]
    """The settings in the environment, which override the file."""
    effects: Callable[[Tiers], Mapping[str, Sequence[str]]]
    """Returns what other tiers would cause, by the setting's name."""

    def now(self) -> list[SettingNow]:
        """Return the settings as the next command reads them."""
        there = self._texts(self._text())
        return [self._now(name, there) for name in BY_NAME]

    def secrets(self) -> dict[str, bool]:
        """Return of each secret whether it is set."""
        there = self._texts(self._text())
        return {name: bool(self.exported.get(name) or there.get(name)) for name in SECRETS}

    def written_at(self) -> float | None:
        """Return when the file was written, in seconds since 1970; None without one."""
        try:
            return self.path.stat().st_mtime
        except OSError:
            return None

    def plan(self, wanted: Wanted) -> SettingsPlan:
        """Return what a change does; nothing is changed.

        Args:
            wanted: The settings to change; what is as wanted already is left out.

        Raises:
            BadInput: The settings would be wrong as a whole; all that is wrong is in `problems`.
        """
        text = self._text()
        there = self._texts(text)
        wanted = {name: new for name, new in wanted.items() if there.get(name, "") != new}
        new_text = edited(text, {str(name): str(new) for name, new in wanted.items()})
        tiers, problems = self.read(self.path, new_text)
        check([*problems, *_impossible(tiers, wanted)])
        caused = self.effects(tiers) if any(BY_NAME[name].group == "Tiers" for name in wanted) else {}
        changes = [self._change(name, there.get(name, ""), new, caused.get(name, ())) for name, new in wanted.items()]
        return SettingsPlan(self.path, _digest(text), new_text, tuple(changes))

    def write(self, plan: SettingsPlan) -> Written:
        """Write the settings; the file before the last change stays beside it, readable for whom it was.

        Raises:
            Conflict: Somebody else changed the file meanwhile; nothing was written.

        **Crash:** the old file or the new one, whole.
        """
        with _writing:
            if _digest(old := self._text()) != plan.seen:
                raise Conflict(
                    f"{self.path} was changed meanwhile; nothing was written.",
                    hint="Look at the settings again.",
                    path=str(self.path),
                )
            folder = self.path.parent
            if not is_there(self.path):
                fs.write_text(folder, self.path, plan.text, 0o600)
                return Written(self.path, None)
            mode = stat.S_IMODE(self.path.stat().st_mode)
            backup = self.path.with_name(f"{self.path.name}.before")
            fs.write_text(folder, backup, old, mode)
            fs.write_text(folder, self.path, plan.text, mode)
            return Written(self.path, backup)

    def _text(self) -> str:
        if not is_there(self.path):
            return ""
        try:
            return read_small_bytes(self.path).decode()
        except UnicodeDecodeError:
            raise BadInput(f"{self.path} isn't UTF-8.", hint="Write it anew as UTF-8.", path=str(self.path)) from None

    def _texts(self, text: str) -> dict[str, str]:
        values = parse_env_text(text.removeprefix(_BOM), self.path, Problems())
        return {name: value.text for name, value in values.items()}

    def _now(self, name: str, there: Mapping[str, str]) -> SettingNow:
        exported, text = self.exported.get(name, ""), there.get(name, "")
        origin = "environment" if exported else "file" if text else "default"
        return SettingNow(BY_NAME[name], exported or text, text, origin)

    def _change(self, name: str, before: str, after: str, caused: Sequence[str]) -> SettingChange:
        effects = [*caused, policy_effect(name, after)]
        if name in self.exported:
            effects.append(f"The environment says {name}={self.exported[name]}, which wins over the file.")
        return SettingChange(name, before, after, tuple(filter(None, effects)), BY_NAME[name].needs_restart)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _impossible(tiers: Tiers, wanted: Wanted) -> Iterator[dict[str, str]]:
    """Yield what no text shows: a new base that can't be written, a new limit that its disk can't hold."""
    for tier in tiers.configured():
        for suffix, look in (
            ("PATH", partial(bases.check_writable, tier.base, "Name a folder of yours.")),
            ("LIMIT_GB", partial(bases.check_limit, tier.base, tier.limit_bytes)),
        ):
            name = f"{tier.location.upper()}_CACHE_{suffix}"
            if name not in wanted:
                continue
            try:
                look()
            except BadInput as err:
                yield {"name": name, "origin": "", "detail": f"{err.detail} {err.hint}"}


def settings_path(found: Path | None, usual: Path) -> Path:
    """Return the file that holds the settings: the one in use, else this user's; behind a link the file itself."""
    return Path(os.path.realpath(found or usual))
