"""The limit of downloads changes with the settings file."""

from __future__ import annotations

import os
from pathlib import Path

from modelshelf.bootstrap.current_limit import CurrentLimit
from modelshelf.settings import load_settings


def write(path: Path, text: str, at_s: int) -> None:
    """Write a file, with a time of its own."""
    path.write_text(text)
    os.utime(path, (at_s, at_s))


def test_a_limit_changes_with_its_file(tmp_path: Path) -> None:
    """A written file gives its limit, one with a mistake the last one, and one without a limit none."""
    path, primary = tmp_path / ".env", f"PRIMARY_CACHE_PATH={tmp_path}/base\n"
    write(path, f"{primary}SHELF_DOWNLOAD_LIMIT=1MB\n", 1)
    limit = CurrentLimit(load_settings(path))
    assert limit() == 10**6

    write(path, f"{primary}SHELF_DOWNLOAD_LIMIT=2MB\n", 2)
    assert limit() == 2 * 10**6
    write(path, f"{primary}SHELF_DOWNLOAD_LIMIT=fast\n", 3)
    assert limit() == 2 * 10**6
    write(path, primary, 4)
    assert limit() is None
    path.unlink()
    assert limit() is None


def test_without_a_file_it_stays(tmp_path: Path) -> None:
    """Without a settings file the environment's limit holds."""
    environ = {"HOME": str(tmp_path), "PRIMARY_CACHE_PATH": f"{tmp_path}/base", "SHELF_DOWNLOAD_LIMIT": "1MB"}
    settings = load_settings(environ=environ)

    assert settings.env_file is None
    assert CurrentLimit(settings)() == 10**6
