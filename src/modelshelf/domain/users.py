"""Who used a model last."""

from __future__ import annotations

import enum

from modelshelf.errors import BadInput


class User(enum.StrEnum):
    """Who used a model."""

    NOBODY = ""
    SHELF = "shelf"
    OTHER = "another program"

    @classmethod
    def parse(cls, said: object) -> User:
        """Return the user that a stored value means.

        >>> User.parse("another program")
        <User.OTHER: 'another program'>

        Raises:
            BadInput: It means none.
        """
        try:
            return cls(str(said))
        except ValueError:
            raise BadInput(f"{said!r:.80} isn't who used a model.") from None
