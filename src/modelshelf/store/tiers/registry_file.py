"""The registry's place, and whether SQLite may be there."""

from __future__ import annotations

from pathlib import Path

from modelshelf.domain.disks import registry_refusal
from modelshelf.errors import Unavailable
from modelshelf.store import fs, probe
from modelshelf.store.layout import Base, known_bases_file
from modelshelf.store.mounts import mount_of


def place(database_url: str, primary_base: str) -> tuple[str, Path | None]:
    """Return the registry's URL, by default in the primary base, and its file if it is SQLite."""
    url = database_url or f"sqlite:///{Base(Path(primary_base)).registry}"
    return url, Path(url.removeprefix("sqlite:///")) if url.startswith("sqlite:///") else None


def check_place(path: Path | None, state_home: Path) -> None:
    """Raise unless a registry may be at `path`; None is a server.

    Raises:
        BadInput: It is on a network mount; says where it may be instead.
        Unavailable: Something other than a file has its name.
    """
    if path is None:
        return
    refused = registry_refusal(path, mount_of(path.parent), state_home)
    if refused is not None:
        raise refused
    if probe.is_there(path) and not probe.is_file(path):
        what = "is a link that leads nowhere" if probe.is_link(path) else "isn't a file"
        raise Unavailable(
            f"The registry cannot be opened: {path} {what}.",
            hint="Put back what belongs there, or check DATABASE_URL; "
            "shelf doctor says how to set it aside and rebuild it from the disks.",
            damaged=True,
            path=str(path),
        )


def make_room_for(path: Path | None, state_home: Path) -> None:
    """Create a registry's folder in the user's state folder, where refusals send people; no other folder is created."""
    if path is not None and path.parent == known_bases_file(state_home).parent:
        fs.make_folder(state_home, path.parent)
