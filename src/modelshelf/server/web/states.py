"""A model's state as a word, a mark and a colour. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from modelshelf.domain.jobs import PAUSED, RUNNING, WAITING
from modelshelf.domain.models import Model, State
from modelshelf.domain.serving import EngineState, EngineStatus
from modelshelf.server.web import words


@dataclass(frozen=True, slots=True)
class Shown:
    """A state as it is shown."""

    icon: str
    css: str
    """Empty for what is normal, `live`, `warn` or `bad`."""
    text: str
    title: str = ""
    """The whole sentence."""


_PLAIN = {
    State.DOWNLOADING: Shown("coming", "", "downloading"),
    State.QUEUED: Shown("wait", "", "queued"),
    State.PAUSED: Shown("pause", "", "paused"),
    State.MOVING: Shown("moving", "", "moving"),
    State.REGISTERED: Shown("wait", "", "not downloaded"),
    State.PARTIAL: Shown("partial", "warn", "partial"),
    State.DAMAGED: Shown("cross", "bad", "damaged"),
    State.OFFLINE: Shown("offline", "", "offline"),
    State.MISSING: Shown("cross", "bad", "missing"),
    State.FAILED: Shown("cross", "bad", "failed"),
    State.READY: Shown("ready", "", "ready"),
}


def shown(model: Model, engines: Mapping[str, EngineStatus]) -> Shown:
    """Return a model's state; that of its engine where it is in memory."""
    engine = engines.get(model.row.model_name)
    if engine is not None and engine.state is EngineState.READY:
        return Shown("live", "live", "answering" if engine.in_flight else "loaded")
    if engine is not None and engine.state in (EngineState.STARTING, EngineState.PROMOTING, EngineState.FETCHING):
        return Shown("wait", "live", engine.state.value)
    plain = _PLAIN[model.state]
    return _of_job(model) or Shown(plain.icon, plain.css, plain.text, model.detail)


def _of_job(model: Model) -> Shown | None:
    """Return what the job of a model comes to; None where none says more than its state."""
    row = model.row
    share = words.percent(row.job_done_bytes, row.job_total_bytes) if row.job_total_bytes else ""
    found = {
        (State.DOWNLOADING, row.job_state): Shown("coming", "", share or "downloading"),
        (State.MOVING, row.job_state): Shown("moving", "", f"move {row.job_state}", model.detail),
        (State.MOVING, RUNNING): Shown("moving", "", f"moving {share}".rstrip(), model.detail),
        (State.PAUSED, PAUSED): Shown("pause", "", f"paused {share}".rstrip()),
        (State.REGISTERED, WAITING): Shown("wait", "", "waiting", model.detail),
    }
    return found.get((model.state, row.job_state))
