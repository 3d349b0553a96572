"""What a snapshot's files say about the model, read from their beginnings, within bounds, whoever wrote them.

A file that leads out of its base isn't read, nor is a fifo, a socket or a device.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

from modelshelf.domain import gguf, model_card, safetensors
from modelshelf.domain.gguf import GgufHeader
from modelshelf.domain.model_card import ModelCard
from modelshelf.domain.outside import object_of
from modelshelf.domain.safetensors import SafetensorsHeader
from modelshelf.errors import BadInput
from modelshelf.store.layout import Base
from modelshelf.store.probe import real_path
from modelshelf.store.repos.snapshot import real_file
from modelshelf.store.small_files import open_regular, read_small_bytes

_MOST_JSON_BYTES = 16 * 2**20
"""An index of 100,000 tensors has 10 MB, as does the configuration of the largest tokenizer."""
_MOST_TENSORS_BYTES = 8 * 2**20
"""Header of one safetensors file; a tensor has some 100 bytes."""


@dataclass(frozen=True)
class Headers:
    """The beginnings of one snapshot's files.

    Every reader raises FileNotFoundError if the file isn't there, or leads out of the base; OSError if it can't
    be read; and BadInput if it isn't what its name says, or is larger than any honest one.
    """

    base: Base
    snapshot: Path

    @cached_property
    def _hub(self) -> Path:
        return real_path(self.base.hub)

    def json(self, name: str) -> dict[str, object]:
        """Return the object in a JSON file; NaN and Infinity, which transformers writes, are accepted."""
        return object_of(_parse(read_small_bytes(self._real(name), _MOST_JSON_BYTES)))

    def gguf(self, name: str) -> GgufHeader:
        """Return the header of a GGUF file."""
        real = self._real(name)
        return _gguf(real, _version(real))

    def says_adapter(self, name: str) -> bool:
        """Return whether a GGUF file says at its beginning that it is an adapter."""
        with open_regular(self._real(name)) as file:
            return gguf.says_adapter(file.read)

    def safetensors(self, name: str) -> SafetensorsHeader:
        """Return the header of a safetensors file."""
        real = self._real(name)
        return _safetensors(real, _version(real))

    def card(self, name: str) -> ModelCard:
        """Return the front matter of a README."""
        wanted = model_card.wanted_yaml(self.text(name, model_card.MOST_BYTES))
        if not wanted:
            return ModelCard()
        import yaml

        try:
            said = yaml.load(wanted, Loader=yaml.BaseLoader)  # only texts; no merging of keys
        except (yaml.YAMLError, RecursionError) as err:
            raise BadInput("Its front matter isn't YAML.") from err
        return model_card.card_of(said if isinstance(said, dict) else {})

    def text(self, name: str, most_bytes: int) -> str:
        """Return the beginning of a file as text; what isn't UTF-8 in it becomes a replacement character."""
        with open_regular(self._real(name)) as file:
            return file.read(most_bytes).decode(errors="replace")

    def _real(self, name: str) -> Path:
        real = real_file(self.snapshot / name, self._hub)
        if real is None:
            raise FileNotFoundError(name)
        return real


_Version = tuple[int, int, int]
"""Says whether a file is the one read before: its inode, size and mtime."""


def _version(path: Path) -> _Version:
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns


@lru_cache(maxsize=64)
def _gguf(path: Path, version: _Version) -> GgufHeader:
    """Read the header of a GGUF file once, because a client that waits for a download asks again and again."""
    with open_regular(path) as file:
        return gguf.read_header(file.read)


@lru_cache(maxsize=1024)
def _safetensors(path: Path, version: _Version) -> SafetensorsHeader:
    """Read the header of a safetensors file once."""
    with open_regular(path) as file:
        length = int.from_bytes(file.read(8), "little")
        if length > _MOST_TENSORS_BYTES:
            raise BadInput(f"Its header has {length} bytes; at most {_MOST_TENSORS_BYTES} are read.")
        return safetensors.header_of(_parse(file.read(length)))


def _parse(text: bytes) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as err:
        raise BadInput(f"It isn't JSON: {err!s:.80}.") from err
