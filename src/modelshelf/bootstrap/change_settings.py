"""Composing the service that shows and changes the settings file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from modelshelf.domain.tiers import Tiers
from modelshelf.settings import load_what_is_right, places, settings_in

if TYPE_CHECKING:
    from modelshelf.services.setup.change_settings import SettingsWriter
    from modelshelf.services.shelf import Shelf


def settings_writer(shelf: Shelf | None, environ: Mapping[str, str] | None = None) -> SettingsWriter:
    """Return the service for the settings file in use; nothing is created.

    Args:
        shelf: The library, which says what a change would cause; None: nobody says.
        environ: The environment; by default this process's.
    """
    from modelshelf.services.setup.change_settings import SettingsWriter, settings_path
    from modelshelf.services.space.setting_effects import SettingEffects

    settings, _ = load_what_is_right(environ)
    found = places(environ)
    effects = SettingEffects(shelf.services.mover.room).of if shelf is not None else _unknown
    return SettingsWriter(settings_path(settings.env_file, found.ours), _tiers_in, found.exported, effects)


def _tiers_in(path: Path, text: str) -> tuple[Tiers, Sequence[Mapping[str, str]]]:
    settings, problems = settings_in(path, text)
    return settings.tiers, problems


def _unknown(tiers: Tiers) -> Mapping[str, Sequence[str]]:
    return {}
