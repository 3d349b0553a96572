"""shelf warm."""

from __future__ import annotations

from modelshelf.cli import output
from modelshelf.cli.errors import at_the_edge
from modelshelf.cli.options import AsJson, Name
from modelshelf.units import format_duration, format_size


def warm(name: Name, as_json: AsJson = False) -> None:
    """Read a model into memory, so that it starts faster.

    Its files stay in the kernel's memory as long as nothing else needs the room.
    """
    from modelshelf.bootstrap.read_only import open_library
    from modelshelf.schemas.engines import WarmedJson
    from modelshelf.services.serving.warm import warm_model

    with at_the_edge(as_json=as_json):
        view = WarmedJson.of(name, warm_model(open_library(), name))
        if as_json:
            output.as_json(view)
        else:
            read, took = format_size(view.read_bytes), format_duration(view.seconds)
            output.line(f"Read {read} of {name} in {took} ({format_size(round(view.rate_bytes_per_s))}/s).")
