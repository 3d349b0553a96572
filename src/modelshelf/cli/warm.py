"""shelf warm."""

from __future__ import annotations

from modelshelf.cli import output, several
from modelshelf.cli.errors import at_the_edge
from modelshelf.cli.options import AsJson, SomeNames
from modelshelf.units import format_duration, format_size


def warm(names: SomeNames, as_json: AsJson = False) -> None:
    """Read models into memory, so that they start faster.

    Their files stay in the kernel's memory as long as nothing else needs the room.
    """
    from modelshelf.bootstrap.read_only import open_library
    from modelshelf.schemas.engines import WarmedJson
    from modelshelf.services.serving.warm import warm_model

    with at_the_edge(as_json=as_json):
        library = open_library()

        def warm_one(name: str) -> WarmedJson:
            view = WarmedJson.of(name, warm_model(library, name))
            if not as_json:
                read, took = format_size(view.read_bytes), format_duration(view.seconds)
                output.line(f"Read {read} of {name} in {took} ({format_size(round(view.rate_bytes_per_s))}/s).")
            return view

        known = [library.row(name).model_name for name in dict.fromkeys(names)]
        several.end(*several.of_each(known, warm_one, as_json=as_json), as_json=as_json)
