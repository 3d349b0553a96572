"""Which paths a request may name: an API key isn't a login, and the server may write wherever its user may."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

from modelshelf.errors import BadInput, Denied

DRIVES = ("/mnt", "/media", "/run/media", "/Volumes")
"""Where systems mount people's drives."""
_SYSTEM_TREES = tuple(
    "/bin /boot /dev /etc /lib /lib32 /lib64 /libx32 /proc /run /sbin /sys /usr /var".split()  # FHS 3.0
)


@dataclass(frozen=True, slots=True)
class NamedFolder:
    """A folder."""

    path: str
    """The path as named."""
    real: str
    """Its real path, with every link followed."""


def check_http_path(place: NamedFolder, known: Iterable[str], roots: Iterable[NamedFolder]) -> None:
    """Raise unless a request may name a folder.

    Args:
        place: The folder.
        known: Folders that people named on this machine; each of these is allowed.
        roots: Folders below which all are allowed.

    Raises:
        BadInput: It isn't an absolute path.
        Denied: It is elsewhere, in a folder of the system, in a hidden one, or a link leads there.

    >>> roots = [NamedFolder("/mnt", "/mnt")]
    >>> check_http_path(NamedFolder("/mnt/usb/models", "/mnt/usb/models"), [], roots)
    >>> check_http_path(NamedFolder("/mnt/usb/models", "/home/me/.ssh"), [], roots)
    Traceback (most recent call last):
    modelshelf.errors.Denied: A request may not name the folder /mnt/usb/models.
    """
    pure = PurePosixPath(place.path)
    if not pure.is_absolute() or ".." in pure.parts:
        raise BadInput(f"{place.path!r:.200} isn't an absolute path.", hint="Start with a slash and leave out '..'.")
    if str(pure) in known or any(_is_allowed(place, root) for root in roots):
        return
    raise Denied(
        f"A request may not name the folder {place.path}.",
        hint=f"Use the shelf command on that machine, or set SHELF_CUSTOM_ROOTS={pure.parent} for its server.",
        path=place.path,
    )


def _is_allowed(place: NamedFolder, root: NamedFolder) -> bool:
    return _is_open(place.path, root.path) and _is_open(place.real, root.real)


def _is_open(path: str, root: str) -> bool:
    """Return whether a path is below a root, in no hidden folder, and in no system folder that the root isn't in."""
    pure, top = PurePosixPath(path), PurePosixPath(root)
    if top not in pure.parents or any(part.startswith(".") for part in pure.relative_to(top).parts):
        return False
    return not any(pure.is_relative_to(tree) and not top.is_relative_to(tree) for tree in _SYSTEM_TREES)
