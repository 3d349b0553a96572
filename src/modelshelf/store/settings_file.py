"""Which settings file is in use, and the defaults for what no settings say."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from modelshelf.domain.tool_environment import usual_hub
from modelshelf.errors import BadInput
from modelshelf.store.known_bases import KnownLibraries
from modelshelf.store.probe import is_file

NAMES_A_LIBRARY = frozenset({"PRIMARY_CACHE_PATH", "DATABASE_URL"})
"""Settings that say which library is meant."""
_OURS = re.compile(rb"^(?:\xef\xbb\xbf)?\s*(?:export\s+)?(?:PRIMARY_CACHE_|SECONDARY_CACHE_|SHELF_)", re.MULTILINE)
"""A `.env` without any of these is another project's, and its DATABASE_URL isn't for us."""


def find(here: Path, environ: Mapping[str, str]) -> Path | None:
    """Return the settings file in use in a folder; None without one.

    The first that exists: the nearest `.env` with our settings from the folder upwards, the user's file, and, if the
    environment names no library either, the file of the user's only known library.

    Args:
        here: The folder.
        environ: The environment.
    """
    ours = of_user(environ)
    found = _upwards(here, environ) or (ours if is_file(ours) else None)
    if found is None and not any(environ.get(name, "").strip() for name in NAMES_A_LIBRARY):
        return _remembered(environ)
    return found


def _upwards(here: Path, environ: Mapping[str, str]) -> Path | None:
    """Return the nearest `.env` of ours; like git's, the search ends at home and where another file system begins.

    Above `here` only a file of this user or of root counts, because anybody may put one into `/tmp`.
    """
    top = os.path.realpath(home(environ)) if _has_home(environ) else "/"
    for folder in (here, *here.parents):
        path = folder / ".env"
        if _device(folder) != _device(here):
            return None
        if is_file(path) and _is_ours(path) and (folder == here or path.stat().st_uid in (os.geteuid(), 0)):
            return path
        if str(folder) == top:
            return None
    return None


def _device(folder: Path) -> int | None:
    """Return the device of a folder; None if this user may not ask."""
    try:
        return folder.stat().st_dev
    except OSError:
        return None


def _remembered(environ: Mapping[str, str]) -> Path | None:
    known = {Path(text) for text in KnownLibraries(state_home(environ)).load().values() if text}
    there = [path for path in known if is_file(path)]
    return there[0] if len(there) == 1 else None


def _is_ours(path: Path) -> bool:
    try:
        return _OURS.search(path.read_bytes()) is not None
    except OSError:
        return True  # reading its settings says what is wrong


def working_directory() -> Path:
    """Return this process's working directory.

    Raises:
        BadInput: It was deleted.
    """
    try:
        return Path.cwd()
    except OSError:
        raise BadInput("The working directory doesn't exist any more.", hint="cd to another folder.") from None


def usual_base(environ: Mapping[str, str]) -> str:
    """Return the base that Hugging Face tools use: HF_HOME, or the folder that holds their hub; see `usual_hub`.

    Raises:
        BadInput: None is set, and this user has no home.
    """
    hub = usual_hub(environ)
    return os.path.dirname(hub) if hub else f"{home(environ)}/.cache/huggingface"  # noqa: PTH120 - a text, as in .env


def of_user(environ: Mapping[str, str]) -> Path:
    """Return the settings file of all this user's shells; it may not exist."""
    return config_home(environ) / "modelshelf" / ".env"


def config_home(environ: Mapping[str, str]) -> Path:
    """Return the folder of this user's settings; raises as `home` does."""
    return Path(environ.get("XDG_CONFIG_HOME") or f"{home(environ)}/.config")


def state_home(environ: Mapping[str, str]) -> Path:
    """Return the folder of this user's program state; raises as `home` does."""
    return Path(environ.get("XDG_STATE_HOME") or f"{home(environ)}/.local/state")


def home(environ: Mapping[str, str]) -> str:
    """Return this user's home: HOME, else the one in the user database.

    Raises:
        BadInput: Neither has one.
    """
    try:
        return environ.get("HOME") or str(Path.home())
    except RuntimeError:
        raise BadInput(
            "HOME isn't set, and this user has no home folder.",
            hint="export HOME=/a/folder; or set PRIMARY_CACHE_PATH, XDG_CONFIG_HOME and XDG_STATE_HOME.",
        ) from None


def _has_home(environ: Mapping[str, str]) -> bool:
    try:
        return bool(home(environ))
    except BadInput:
        return False
