"""What is written down of running engines, below the state folder: a log for each model, a record for each child."""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from modelshelf.domain.names import ModelName
from modelshelf.domain.outside import object_of, text_of
from modelshelf.errors import BadInput, ShelfError
from modelshelf.store import fs
from modelshelf.store.layout import engines_folder
from modelshelf.store.small_files import open_regular, read_small_json

LOG_BYTES = 2**20
"""A log has at most so many; then its older half is dropped."""
_RECORD = ".json"


@dataclass(frozen=True, slots=True)
class EngineRecord:
    """A child, for whoever comes after its server was killed."""

    mark: str
    """What all of its processes have in their environment."""
    owner: str
    """The server, as `services.jobs.process` names it."""


class EngineLog:
    """The log of a model's engines. What can't be written is lost: the engine goes on.

    **Concurrency:** one thread writes at a time.
    """

    def __init__(self, state_home: Path, model_name: ModelName) -> None:
        self.path = engines_folder(state_home) / f"{model_name}.log"
        self._root = state_home
        self._fd = -1
        self._is_closed = False
        self._mutex = threading.Lock()

    def write(self, line: str) -> None:
        """Add a line; one that comes after the end is lost: by then the log may be another engine's."""
        with self._mutex, contextlib.suppress(OSError, ShelfError):
            if self._is_closed:
                return
            if self._fd < 0:
                self._open()
            os.write(self._fd, f"{line}\n".encode())
            if os.fstat(self._fd).st_size > LOG_BYTES:
                self._drop_older_half()

    def close(self) -> None:
        """Write no more."""
        with self._mutex:
            fd, self._fd, self._is_closed = self._fd, -1, True
        if fd >= 0:
            os.close(fd)

    def _open(self) -> None:
        self._fd = fs.open_part(self._root, self.path)
        os.lseek(self._fd, 0, os.SEEK_END)

    def _drop_older_half(self) -> None:
        kept = os.pread(self._fd, LOG_BYTES, LOG_BYTES // 2)
        os.ftruncate(self._fd, 0)
        os.lseek(self._fd, 0, os.SEEK_SET)
        os.write(self._fd, kept[kept.find(b"\n") + 1 :])


class LogReader:
    """Reads the log of a model's engines, and what is added to it."""

    def __init__(self, state_home: Path, model_name: ModelName) -> None:
        self.path = engines_folder(state_home) / f"{model_name}.log"
        self._at = 0

    def read(self) -> str:
        """Return what was added since the last call; of a log whose older half was dropped meanwhile, what is new.

        Raises:
            FileNotFoundError: No engine of this model has written anything.
            OSError, BadInput: It can't be read, or isn't a file.
        """
        with open_regular(self.path) as file:
            size_bytes = os.fstat(file.fileno()).st_size
            if size_bytes < self._at:
                self._at = min(LOG_BYTES // 2, size_bytes)
            data = os.pread(file.fileno(), 2 * LOG_BYTES, self._at)
        whole = data[: data.rfind(b"\n") + 1]
        self._at += len(whole)
        return whole.decode(errors="replace")


@contextlib.contextmanager
def recorded(state_home: Path, record: EngineRecord) -> Iterator[None]:
    """Keep a record of a child that runs; a state folder that can't be written doesn't keep it from running."""
    path = engines_folder(state_home) / (record.mark + _RECORD)
    with contextlib.suppress(ShelfError, OSError):
        fs.write_text(state_home, path, json.dumps({"mark": record.mark, "owner": record.owner}))
    try:
        yield
    finally:
        forget(state_home, record)


def records(state_home: Path) -> list[EngineRecord]:
    """Return the children that were started and of which nobody wrote down the end."""
    found = []
    with contextlib.suppress(OSError), os.scandir(engines_folder(state_home)) as entries:
        for entry in entries:
            with contextlib.suppress(OSError, BadInput):
                if entry.name.endswith(_RECORD):
                    said = object_of(read_small_json(Path(entry.path)))
                    found.append(EngineRecord(text_of(said.get("mark")), text_of(said.get("owner"))))
    return [record for record in found if record.mark.isalnum()]


def forget(state_home: Path, record: EngineRecord) -> None:
    """Delete a record."""
    with contextlib.suppress(ShelfError, OSError):
        fs.remove_file(state_home, engines_folder(state_home) / (record.mark + _RECORD))
