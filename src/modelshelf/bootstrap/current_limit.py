"""The limit of downloads as the settings file has it now, so that a person changes it while they run."""

from __future__ import annotations

import contextlib

from modelshelf.errors import ShelfError
from modelshelf.settings import Settings, load_settings


class CurrentLimit:
    """Reads SHELF_DOWNLOAD_LIMIT again when the settings file was written; a file with mistakes changes nothing.

    Args:
        settings: The settings as they were read.
    """

    def __init__(self, settings: Settings) -> None:
        self._path = settings.env_file
        self._limit = settings.download_limit_bytes_per_s
        self._written_ns = self._mtime_ns()

    def __call__(self) -> int | None:
        """Return the limit in bytes per second; None: unlimited."""
        written_ns = self._mtime_ns()
        if written_ns != self._written_ns:
            self._written_ns = written_ns
            with contextlib.suppress(ShelfError):
                self._limit = load_settings(self._path).download_limit_bytes_per_s
        return self._limit

    def _mtime_ns(self) -> int:
        """Return when the file was written; 0 without one."""
        if self._path is None:
            return 0
        try:
            return self._path.stat().st_mtime_ns
        except OSError:
            return 0
