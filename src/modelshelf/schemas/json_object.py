"""The base of every JSON object: a frozen dataclass whose fields are its keys, in order.

`--json`, HTTP and jobs' results are made from the same class. Times are RFC 3339 in UTC, sizes are bytes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar, Self

from modelshelf.units import rfc3339


class JsonObject:
    """A dataclass that is a JSON object; the string below each field describes it to readers of the API."""

    __dataclass_fields__: ClassVar[dict[str, Any]]
    __pydantic_config__: ClassVar[Mapping[str, bool]] = {"use_attribute_docstrings": True}

    @classmethod
    def like(cls, source: object, **others: object) -> Self:
        """Return an object with the same-named attributes of `source`, and `others`."""
        names = cls.__dataclass_fields__
        return cls(**{name: others[name] if name in others else getattr(source, name) for name in names})


def to_json(value: object, **options: Any) -> str:
    """Return a JSON object, or a container of some, as JSON.

    Args:
        value: The object.
        options: Options of `json.dumps`.
    """
    return json.dumps(value, default=vars, **options)


def time_or_none(epoch_s: float | None) -> str | None:
    """Return a time as text; None for None."""
    return None if epoch_s is None else rfc3339(epoch_s)
