"""shelf ps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from modelshelf.cli import output
from modelshelf.cli.errors import at_the_edge
from modelshelf.cli.options import AsJson
from modelshelf.units import format_duration, format_size

_HEADER = ["MODEL", "STATE", "ENGINE", "MEMORY", "TIER", "BUSY", "QUEUED", "TOKENS/S", "UNLOADS IN"]


def ps(as_json: AsJson = False) -> None:
    """List the models in memory.

    The running server of this library is asked. A model that failed is listed with the reason.
    """
    from modelshelf.bootstrap.running_server import find_server

    with at_the_edge(as_json=as_json):
        server = find_server()
        found = server.ask("GET", "/api/engines") if server is not None else []
        if as_json:
            output.as_json(found)
        elif server is None:
            output.note("No server of this library runs here, so no model is loaded. Start one: shelf serve")
        elif not found:
            output.note("No model is loaded: a request to /v1 loads one.")
        else:
            _show(found)


def _show(found: Sequence[Mapping[str, Any]]) -> None:
    """Print engines, and why some failed."""
    output.table(_HEADER, [_row(one) for one in found], frozenset({3, 5, 6, 7, 8}), whole=frozenset({0}))
    for one in found:
        if one["detail"]:
            output.note(f"{one['model_name']}: {one['detail']}")


def _row(one: Mapping[str, Any]) -> list[str]:
    return [
        one["model_name"],
        one["state"],
        one["engine"],
        format_size(one["memory_bytes"]) if one["memory_bytes"] else "",
        one["cache_location"] or "",
        str(one["in_flight"]),
        str(one["queued"]),
        "" if one["tokens_per_s"] is None else f"{one['tokens_per_s']:.1f}",
        _leaves(one),
    ]


def _leaves(one: Mapping[str, Any]) -> str:
    if one["pinned"]:
        return "pinned"
    if one["unload_in_s"] is not None:
        return format_duration(one["unload_in_s"])
    return "never" if one["keep_alive_s"] is None else ""
