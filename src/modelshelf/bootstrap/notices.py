"""Composing what tells the person at the desktop."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from modelshelf.settings import load_settings

if TYPE_CHECKING:
    from modelshelf.services.events.desktop import DesktopNotices
    from modelshelf.services.events.watch import Watcher


def make_notices(watcher: Watcher) -> list[DesktopNotices]:
    """Return what tells the desktop; nothing without `notify-send`, or outside a person's session."""
    from modelshelf.services.events.desktop import DesktopNotices

    program = shutil.which("notify-send") if load_settings().session_bus else None
    return [] if program is None else [DesktopNotices(program, watcher)]
