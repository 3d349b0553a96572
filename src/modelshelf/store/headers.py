"""What the files of a snapshot say about the model, read from their beginnings: within bounds, whoever wrote them.

A file that leads out of its base isn't read, and neither is a fifo, a socket or a device.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import yaml

from modelshelf.domain import gguf, model_card, safetensors
from modelshelf.domain.gguf import GgufHeader
from modelshelf.domain.model_card import ModelCard
from modelshelf.domain.outside import object_of
from modelshelf.domain.safetensors import SafetensorsHeader
from modelshelf.errors import BadInput
from modelshelf.store.layout import Base
from modelshelf.store.repos.snapshot import real_file
from modelshelf.store.small_files import open_regular, read_small_bytes

_MOST_JSON_BYTES = 16 * 2**20
"""An index of 100,000 tensors has 10 MB, as does the configuration of the largest tokenizer."""
_MOST_TENSORS_BYTES = 8 * 2**20
"""Header of one safetensors file; a tensor has some 100 bytes."""


@dataclass(frozen=True, slots=True)
class Headers:
    """The files of one snapshot, as far as their beginnings go.

    Every reader raises FileNotFoundError where the file isn't there, or leads out of the base; OSError where it can't
    be read; and BadInput where it isn't what its name says, or is larger than any honest one.
    """

    base: Base
    snapshot: Path

    def json(self, name: str) -> dict[str, object]:
        """Return the object that a JSON file holds; NaN and Infinity, which transformers writes, are taken."""
        return object_of(_parse(read_small_bytes(self._real(name), _MOST_JSON_BYTES)))

    def gguf(self, name: str) -> GgufHeader:
        """Return the header of a GGUF file."""
        with open_regular(self._real(name)) as file:
            return gguf.read_header(file.read)

    def safetensors(self, name: str) -> SafetensorsHeader:
        """Return the header of a safetensors file."""
        with open_regular(self._real(name)) as file:
            length = int.from_bytes(file.read(8), "little")
            if length > _MOST_TENSORS_BYTES:
                raise BadInput(f"Its header has {length} bytes; at most {_MOST_TENSORS_BYTES} are read.")
            return safetensors.header_of(_parse(file.read(length)))

    def card(self, name: str) -> ModelCard:
        """Return what the front matter of a README says."""
        with open_regular(self._real(name)) as file:
            text = file.read(model_card.MOST_BYTES).decode(errors="replace")
        try:
            said = yaml.load(model_card.wanted_yaml(text), Loader=yaml.BaseLoader)  # texts alone; no merging of keys
        except (yaml.YAMLError, RecursionError) as err:
            raise BadInput("Its front matter isn't YAML.") from err
        return model_card.card_of(said if isinstance(said, dict) else {})

    def _real(self, name: str) -> Path:
        real = real_file(self.snapshot / name, self.base.hub.resolve())
        if real is None:
            raise FileNotFoundError(name)
        return real


def _parse(text: bytes) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as err:
        raise BadInput(f"It isn't JSON: {err!s:.80}.") from err
