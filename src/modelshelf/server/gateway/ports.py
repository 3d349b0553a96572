"""What the door asks of the pool of engines."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

from modelshelf.domain.engine_kinds import Endpoint
from modelshelf.domain.serving import EngineStatus, Served, Wanted
from modelshelf.errors import Unavailable


class Engines(Protocol):
    """Every engine of this process: `services.serving.pool.EnginePool`, or a fake one."""

    async def use(
        self,
        model_name: str,
        endpoint: Endpoint,
        keep_alive_s: float | None = None,
        key: str = "",
        *,
        patient: bool = False,
    ) -> AbstractContextManager[Served]:
        """Wait until a model answers, and say where; see `EnginePool.use`."""

    async def look(self, model_name: str) -> Wanted:
        """Return what a model would be served as; see `EnginePool.look`."""

    def status_of(self, model_name: str) -> EngineStatus | None:
        """Return what a model's engine has come to; None where nobody asked for it."""

    async def engines(self) -> list[EngineStatus]:
        """Return the engines and the models that are asked for."""

    async def load(
        self, model_name: str, keep_alive_s: float | None = None, *, pinned: bool = False, patient: bool = True
    ) -> EngineStatus:
        """Start a model; see `EnginePool.load`."""

    async def unload(self, model_name: str) -> None:
        """End a model's engine; see `EnginePool.unload`."""

    async def start(self) -> None:
        """Begin; needed before the first use."""

    async def stop(self) -> None:
        """End all engines."""


class NoEngines:
    """Stands where there is no pool of engines: every use is refused."""

    async def use(
        self,
        model_name: str,
        endpoint: Endpoint,
        keep_alive_s: float | None = None,
        key: str = "",
        *,
        patient: bool = False,
    ) -> AbstractContextManager[Served]:
        """Refuse.

        Raises:
            Unavailable: Always.
        """
        raise _none()

    async def look(self, model_name: str) -> Wanted:
        """Refuse.

        Raises:
            Unavailable: Always.
        """
        raise _none()

    def status_of(self, model_name: str) -> EngineStatus | None:
        """Return nothing."""
        return None

    async def engines(self) -> list[EngineStatus]:
        """Return none."""
        return []

    async def load(
        self, model_name: str, keep_alive_s: float | None = None, *, pinned: bool = False, patient: bool = True
    ) -> EngineStatus:
        """Refuse.

        Raises:
            Unavailable: Always.
        """
        raise _none()

    async def unload(self, model_name: str) -> None:
        """Refuse.

        Raises:
            Unavailable: Always.
        """
        raise _none()

    async def start(self) -> None:
        """Do nothing."""

    async def stop(self) -> None:
        """Do nothing."""


def _none() -> Unavailable:
    return Unavailable("This server runs no engines.", hint="shelf run NAME -- COMMAND starts one of your own.")
