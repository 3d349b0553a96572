"""Finding the registered model that a client names."""

from __future__ import annotations

from dataclasses import dataclass, field

from anyio import to_thread

from modelshelf.domain.names import ModelName
from modelshelf.errors import BadInput
from modelshelf.services.catalog.meant import row_meant
from modelshelf.services.catalog.models import Library

_MOST_REMEMBERED = 1000


@dataclass(slots=True)
class Names:
    """The names of the library's models, and the other ones that lead to them."""

    library: Library
    _found: dict[str, ModelName] = field(default_factory=dict)
    """Names that are not the library's, with the models that they led to when they were looked up last."""

    def meant(self, asked: str) -> str | None:
        """Return the model that a name means as far as that is known without a look-up; None: `find` must look.

        A name that could be the library's is taken for one.
        """
        if (found := self._found.get(asked)) is not None:
            return found
        try:
            return ModelName(asked)
        except BadInput:
            return None

    async def find(self, asked: str) -> ModelName:
        """Return the model that a name means: its own, its repository's in any case, or either with `:QUANT`.

        Raises:
            NotFound: None; the hint has the names that come near.
            BadInput: More than one.
        """
        self._found.pop(asked, None)
        found = (await to_thread.run_sync(row_meant, self.library, asked)).model_name
        if found != asked:
            if len(self._found) >= _MOST_REMEMBERED:
                self._found.clear()
            self._found[asked] = found
        return found
