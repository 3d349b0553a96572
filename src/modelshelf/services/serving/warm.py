"""Reading a model into the kernel's memory of files, so that its next start finds it there."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from modelshelf.domain.outcomes import Warmed
from modelshelf.engines.memory import device_memory
from modelshelf.engines.warm import warm
from modelshelf.errors import Unavailable
from modelshelf.services.catalog.models import Library
from modelshelf.store.probe import real_path
from modelshelf.store.repos.snapshot import real_file
from modelshelf.units import format_size


def warm_model(library: Library, model_name: str) -> Warmed:
    """Read all files of a model with several threads; returns what that took.

    Raises:
        NotFound, Conflict, Unavailable: It can't be loaded; see `Library.ready`. Or memory hasn't room for it.
    """
    model = library.ready(model_name)
    free_bytes = device_memory()[""].free_bytes
    if model.row.size_bytes > free_bytes:
        raise Unavailable(
            f"{model_name} has {format_size(model.row.size_bytes)}, and {format_size(free_bytes)} of memory is free:"
            " its beginning would be dropped before its end is read.",
            model_name=model_name,
        )
    root, folder = real_path(Path(model.base)), Path(model.path or "")
    files = (real_file(folder / file.path, root) for file in library.files(model.row))
    started_s = time.monotonic()
    read_bytes = warm([path for path in files if path is not None], threading.Event())
    return Warmed(read_bytes, time.monotonic() - started_s)
