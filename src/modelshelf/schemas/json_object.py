"""What every JSON object is: a frozen dataclass, whose fields are its keys, in their order.

`--json`, HTTP and the results of jobs are made from the same class. Times are RFC 3339 in UTC, sizes are bytes.
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
        """Return the object that has the attributes of the same names of `source`, and `others`."""
        names = cls.__dataclass_fields__
        return cls(**{name: others[name] if name in others else getattr(source, name) for name in names})


def to_json(value: object, **options: Any) -> str:
    """Return a JSON object, or whatever holds some, as JSON.

    Args:
        value: It.
        options: Those of `json.dumps`.
    """
    return json.dumps(value, default=vars, **options)


def time_or_none(epoch_s: float | None) -> str | None:
    """Return a time; None for one that is not."""
    return None if epoch_s is None else rfc3339(epoch_s)
