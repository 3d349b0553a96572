"""Tells the person at this machine's desktop, with `notify-send`, of what they would want to know elsewhere too."""

from __future__ import annotations

import contextlib
import html
import logging
import subprocess
import threading
from dataclasses import dataclass, field

from modelshelf.domain.notices import Notice, notice_of
from modelshelf.services.events.watch import Event, Watcher

_log = logging.getLogger(__name__)
_PATIENCE_S = 10.0


@dataclass(slots=True)
class DesktopNotices:
    """Notices of one server."""

    program: str
    """The path of `notify-send`."""
    watcher: Watcher
    _told: set[int] = field(default_factory=set)
    """Jobs that were told: a change of one that is over isn't told again."""
    _held: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def start(self) -> None:
        """Tell from now on."""
        self._held.enter_context(self.watcher.telling(self._hear))

    def stop(self) -> None:
        """Tell nothing any more."""
        self._held.close()

    def _hear(self, event: Event) -> None:
        notice = notice_of(event.kind, event.data)
        if notice is None or event.data.get("id") in self._told:
            return
        if event.kind == "job":
            self._told.add(int(event.data["id"]))
        threading.Thread(target=self._show, args=(notice,), name="notice", daemon=True).start()

    def _show(self, notice: Notice) -> None:
        urgency = "critical" if notice.is_urgent else "normal"
        text = html.escape(notice.text, quote=False)  # many desktops read it as markup
        command = [self.program, "--app-name=modelshelf", f"--urgency={urgency}", "--", notice.title, text]
        try:
            subprocess.run(command, capture_output=True, timeout=_PATIENCE_S, check=False)
        except (OSError, subprocess.SubprocessError) as err:
            _log.info("notice_not_shown", extra={"detail": type(err).__name__})
