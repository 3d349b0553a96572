"""What the engines of a server come to is told as it changes, their figures too."""

from __future__ import annotations

from dataclasses import replace

from modelshelf.domain.engine_kinds import EngineKind
from modelshelf.domain.names import ModelName
from modelshelf.domain.serving import EngineState, EngineStatus
from modelshelf.services.events.watch import Event
from tests.world import Home

STARTING = EngineStatus(ModelName("m"), EngineKind.GENERATE, EngineState.STARTING, "llama", 0, 0, 1, 300)


def test_an_engine_s_figures_are_told_as_they_change(home: Home) -> None:
    """A new state is a recorded change; requests, the last rate and the time that is left are told without one."""
    engines: dict[str, EngineStatus] = {}
    rates: dict[str, float] = {}
    with home.open() as shelf:
        services = shelf.services
        watch = type(services.watch())(
            services.registry, services.library, services.tiers, services.history, lambda: engines, lambda: rates
        )
        watch.look()

        def told() -> list[Event]:
            return [*watch.look_at_engines(), *(event for event in watch.look() if event.kind == "engine")]

        assert told() == []
        engines["m"] = STARTING
        (started,) = told()
        ready = replace(STARTING, state=EngineState.READY, queued=0, in_flight=1, load_s=2.0)
        engines["m"] = ready
        (answering,) = told()
        rates["m"] = 12.34
        engines["m"] = replace(ready, in_flight=0, unload_in_s=300.0)
        (answered,) = told()
        engines["m"] = replace(ready, in_flight=0, unload_in_s=299.5)
        (minute,) = told()
        engines["m"] = replace(ready, in_flight=0, unload_in_s=298.0)
        assert told() == []
        del engines["m"]
        (gone,) = told()

    assert [(event.data["state"], event.id is None) for event in (started, answering, answered, gone)] == [
        *(("starting", False), ("ready", False), ("ready", True), ("stopped", False)),
    ]
    assert (answered.data["in_flight"], answered.data["tokens_per_s"]) == (0, 12.3)
    assert minute.data["unload_in_s"] == 299.5
