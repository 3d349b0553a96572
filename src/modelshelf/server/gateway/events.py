"""The events in the stream of an engine, for protocols that say the same in other words."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

BARE_ERROR = re.compile(rb'^data: \{"error": "(.*)"\}$', re.MULTILINE)
"""An error as transformers streams it: a text alone, whose quotes aren't escaped."""


@dataclass(slots=True)
class Events:
    """Reads a stream of server-sent events that are JSON."""

    _rest: bytes = b""

    def read(self, chunk: bytes) -> Iterator[dict[str, Any]]:
        """Yield the events that are whole with this chunk; what isn't JSON, such as `[DONE]`, is left out.

        >>> events = Events()
        >>> [*events.read(b'data: {"a":'), *events.read(b'1}' + bytes([10]) + b'data: [DONE]' + bytes([10]))]
        [{'a': 1}]
        """
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            if line.startswith((b"data:", b"error:")):
                try:
                    event = json.loads(line.partition(b":")[2])
                except ValueError:
                    event = {"error": found[1].decode(errors="replace")} if (found := BARE_ERROR.match(line)) else None
                if isinstance(event, dict):
                    yield event
