"""Composing the status: which settings, registry and servers are in use, whatever is broken."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError

from modelshelf.bootstrap.in_force import registry_in_force
from modelshelf.errors import ShelfError
from modelshelf.settings import Settings, load_what_is_right, tool_variables
from modelshelf.store.known_bases import KnownBases, KnownLibraries
from modelshelf.store.probe import is_there
from modelshelf.store.tiers import registry_file
from modelshelf.store.tiers.governor import without_password

if TYPE_CHECKING:
    from modelshelf.registry.registry import Registry
    from modelshelf.services.setup.status import Status


def open_status(environ: Mapping[str, str] | None = None) -> Status:
    """Return the status of what is in use here; nothing is created.

    Args:
        environ: The environment; by default this process's.
    """
    from modelshelf import __version__
    from modelshelf.services.setup.status import Status

    settings, problems = load_what_is_right(environ)
    wrong = "; ".join(f"{problem['origin']}: {problem['name']}: {problem['detail']}" for problem in problems)
    registry, url, trouble = open_registry(settings)
    return Status(
        env_file=settings.env_file,
        named_by=settings.named_by,
        tiers=settings.tiers,
        known=KnownBases(settings.state_home),
        libraries=KnownLibraries(settings.state_home),
        environ=tool_variables(environ),
        url=without_password(url),
        trouble=". ".join(filter(None, (wrong, trouble))),
        registry=registry,
        version=__version__,
    )


def open_registry(settings: Settings) -> tuple[Registry | None, str, str]:
    """Return the registry, its address, and why it can't be used; neither if there is none yet."""
    from modelshelf.registry.registry import Registry

    url, _ = registry_file.place(settings.database_url, settings.tiers.primary.base)
    try:
        url, path = registry_in_force(settings)
        if path is not None and not is_there(path):
            return None, url, ""
        return Registry(url, read_only=True), url, ""
    except (ShelfError, SQLAlchemyError, OSError) as err:
        return None, url, err.detail if isinstance(err, ShelfError) else str(err)
