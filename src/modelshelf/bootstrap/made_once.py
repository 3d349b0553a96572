"""Parts of a whole that are made when they are first asked for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Generic, Self, TypeVar, cast, overload

_T = TypeVar("_T")
_MAKING = threading.RLock()
"""Held while a part is made, of other parts as a rule."""


class made_once(Generic[_T]):  # noqa: N801 - it is written above a method, as property is
    """A method whose result is the attribute from then on, however many threads ask for it first.

    From Python 3.12 on `functools.cached_property` may call the method once for each of them, and two parts that count
    what a process may fetch in a second would each allow the whole of it.
    """

    def __init__(self, make: Callable[[Any], _T]) -> None:
        self._make = make
        self.__doc__ = make.__doc__

    @overload
    def __get__(self, whole: None, owner: type) -> Self: ...

    @overload
    def __get__(self, whole: object, owner: type) -> _T: ...

    def __get__(self, whole: object | None, owner: type) -> Self | _T:
        """Return the part; the first caller makes it."""
        if whole is None:
            return self
        with _MAKING:
            if not is_made(whole, self._make.__name__):
                vars(whole)[self._make.__name__] = self._make(whole)
        return cast("_T", vars(whole)[self._make.__name__])


def is_made(whole: object, name: str) -> bool:
    """Return whether a part was asked for."""
    return name in vars(whole)
