"""shelf ls."""

from __future__ import annotations

from collections.abc import Sequence

from modelshelf.cli import output, render
from modelshelf.cli.errors import at_the_edge
from modelshelf.cli.options import AsJson
from modelshelf.cli.terminal import Styled
from modelshelf.domain.models import Model, State
from modelshelf.units import format_size


def ls(as_json: AsJson = False) -> None:
    """List the models."""
    from modelshelf.bootstrap.read_only import open_library

    with at_the_edge(as_json=as_json):
        found = open_library().models()
        if as_json:
            from modelshelf.schemas.models import ModelJson

            output.as_json([ModelJson.of(model) for model in found])
        else:
            _show(found, render.now_s())


def _show(found: Sequence[Model], now_s: float) -> None:
    """Print the library."""
    if not found:
        output.note("No models yet. To add one: shelf add NAME ORG/MODEL. To find lost ones: shelf reconcile")
        return
    rows = [
        [
            model.row.model_name,
            model.row.hf_path,
            render.tier_of(model),
            format_size(model.row.size_bytes) if model.row.commit_hash else "?",
            _state(model),
            render.last_use(model, now_s),
        ]
        for model in found
    ]
    output.table(["NAME", "REPO", "TIER", "SIZE", "STATE", "LAST USE"], rows, frozenset({3}), whole=frozenset({4, 5}))


_STYLES = {
    State.DOWNLOADING: "cyan",
    State.MOVING: "cyan",
    State.PARTIAL: "yellow",
    State.OFFLINE: "yellow",
    State.MISSING: "red",
    State.DAMAGED: "red",
    State.FAILED: "red",
}
"""What differs from a model that is simply there."""


def _state(model: Model) -> Styled:
    return Styled(_state_text(model), _STYLES.get(model.state, ""))


def _state_text(model: Model) -> str:
    row = model.row
    pin = " (pinned)" if row.pinned else ""
    if row.job_state == "queued" and model.state is State.DOWNLOADING:
        return f"queued{pin}"
    if model.state is State.DOWNLOADING and row.job_total_bytes:
        return f"downloading {row.job_done_bytes / row.job_total_bytes:.0%}{pin}"
    return f"{model.state.value}{', may lack files' if model.is_unlisted else ''}{pin}"
