"""Composing what serves models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelshelf.domain.jobs import A_PERSON
from modelshelf.domain.tool_environment import SECRETS
from modelshelf.services.catalog.models import environment
from modelshelf.settings import Settings, child_environment, load_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from modelshelf.domain.backend_choice import FoundBackend
    from modelshelf.domain.engine_wishes import EngineWish
    from modelshelf.domain.jobs import Cause
    from modelshelf.domain.models import Model, ModelRow
    from modelshelf.domain.names import ModelName
    from modelshelf.domain.serving import DeviceMemory, Load
    from modelshelf.services.services import Services
    from modelshelf.services.serving.pool import EnginePool
    from modelshelf.services.serving.start import Starter
    from modelshelf.store.engine_files import LogReader

_OUR_SECRETS = SECRETS | {"SHELF_API_KEY", "SHELF_PEER_KEY", "DATABASE_URL", "WEBHOOK_URL", "WEBHOOK_SECRET"}
"""What no engine is told: it is offline, and answers for a model alone."""


def installed_engines(settings: Settings | None = None) -> list[FoundBackend]:
    """Return what of each backend is here.

    Args:
        settings: Settings that were read already.

    Raises:
        BadInput: The settings are wrong.
    """
    from modelshelf.engines.found import found_backends

    return found_backends((settings or load_settings()).engines)


def wished_engine(row: ModelRow) -> EngineWish:
    """Return what is wanted of the engine of a model.

    Raises:
        BadInput: The settings are wrong.
    """
    return load_settings().engines.wish_for(row.model_name, row.engine)


def engine_log(model_name: ModelName) -> LogReader:
    """Return what reads the log of a model's engines.

    Raises:
        BadInput: The settings are wrong.
    """
    from modelshelf.store.engine_files import LogReader

    return LogReader(load_settings().state_home, model_name)


def memory_now(device: str) -> DeviceMemory:
    """Return the memory of a device, or that of the machine where the device doesn't answer.

    Args:
        device: See `domain.backend_choice.FoundBackend`.
    """
    from modelshelf.engines.memory import device_memory

    found = device_memory()
    return found.get(device, found[""])


def make_starter(services: Services, settings: Settings | None = None, cause: Cause = A_PERSON) -> Starter:
    """Return what starts engines for the models of a library.

    Args:
        services: The library's.
        settings: Settings that were read already.
        cause: Why models are loaded.

    Raises:
        BadInput: The settings are wrong.
    """
    from modelshelf.services.jobs.process import this_process
    from modelshelf.services.serving.serving_plan import Planner
    from modelshelf.services.serving.start import Starter

    read = settings or load_settings()

    def environment_of(model: Model) -> Mapping[str, str]:
        return child_environment(environment(model, read.tiers) | dict.fromkeys(_OUR_SECRETS))

    planner = Planner(
        services.library,
        services.loader.adapters,
        lambda: installed_engines(read),
        lambda row: read.engines.wish_for(row.model_name, row.engine),
        read.engines.allow_remote_code,
    )
    return Starter(
        services.library,
        services.leaser,
        planner,
        environment_of,
        lambda name: services.runner.finish(services.registrar.enqueue_pull(name)),
        services.promoter.move_first,
        read.state_home,
        this_process(),
        services.load_jobs,
        cause,
    )


def make_pool(
    services: Services,
    settings: Settings | None = None,
    on_load: Callable[[Load], None] = lambda load: None,
    cause: Cause = A_PERSON,
) -> EnginePool:
    """Return the pool of engines for the models of a library; not started.

    Args:
        services: The library's.
        settings: Settings that were read already.
        on_load: Called with each start of an engine that is over.
        cause: Why models are loaded, unless a person asked for one before.

    Raises:
        BadInput: The settings are wrong.
    """
    from modelshelf.services.serving.pool import EnginePool

    read = settings or load_settings()
    return EnginePool(make_starter(services, read, cause), read.engine_rules, on_load)
