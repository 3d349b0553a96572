"""What is installed that answers for models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelshelf.settings import Settings, load_settings

if TYPE_CHECKING:
    from modelshelf.domain.backends import FoundBackend
    from modelshelf.engines.found import EngineSettings


def engine_settings(settings: Settings) -> EngineSettings:
    """Return the commands of engines that the settings name."""
    from modelshelf.engines.found import EngineSettings

    return EngineSettings(settings.llama_server, settings.vllm_command)


def installed_engines() -> list[FoundBackend]:
    """Return what of each backend is here.

    Raises:
        BadInput: The settings are wrong.
    """
    from modelshelf.engines.found import found_backends

    return found_backends(engine_settings(load_settings()))
