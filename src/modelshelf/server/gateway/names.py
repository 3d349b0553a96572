"""Finding the registered model that a client names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from anyio import to_thread

from modelshelf.domain.listing import Listing
from modelshelf.domain.models import ModelRow
from modelshelf.domain.names import ModelName
from modelshelf.domain.served_files import gguf_files
from modelshelf.domain.weight_files import quantisation_in
from modelshelf.errors import BadInput
from modelshelf.services.catalog.models import Library

_MOST_REMEMBERED = 1000
_USUAL_TAG = ":latest"
"""What clients of Ollama put behind a name."""


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
        found = await to_thread.run_sync(self._look, asked)
        if found != asked:
            if len(self._found) >= _MOST_REMEMBERED:
                self._found.clear()
            self._found[asked] = found
        return found

    def _look(self, asked: str) -> ModelName:
        asked = asked.removesuffix(_USUAL_TAG)
        name = asked.rpartition(":")[0]
        listed = self.library.reader.listed
        rows = listed(Listing(asked)) + (listed(Listing(name)) if name else [])
        found = model_meant(asked, rows, self._quantisation)
        if found is not None:
            return found.model_name
        return self.library.row(asked).model_name  # raises, with the names that come near

    def _quantisation(self, row: ModelRow) -> str:
        """Return the one that is served, of a model that may have several; empty without a GGUF."""
        served = gguf_files(self.library.files(row))
        return quantisation_in(served.first) if served else ""


def model_meant(asked: str, rows: Sequence[ModelRow], quantisation_of: Callable[[ModelRow], str]) -> ModelRow | None:
    """Return the model that a name means; None for none.

    Args:
        asked: A model's name, or its repository, in any case; behind either may stand `:QUANT`.
        rows: The models that may be meant.
        quantisation_of: Returns the quantisation that is served of a model.

    Raises:
        BadInput: It means more than one.
    """
    wanted = asked.lower()
    for row in rows:
        if row.model_name == asked:
            return row
    name, _, quantisation = asked.rpartition(":")
    same = _once(row for row in rows if wanted in (row.model_name.lower(), row.hf_path.lower()))
    of_name = _once(row for row in rows if name.lower() in (row.model_name.lower(), row.hf_path.lower()))
    found = same or [row for row in of_name if quantisation_of(row) == quantisation.upper()]
    if len(found) > 1:
        names = ", ".join(row.model_name for row in found)
        raise BadInput(f"{asked} may be any of {names}.", hint="Ask for one of them.", param="model")
    return found[0] if found else None


def _once(rows: Iterable[ModelRow]) -> list[ModelRow]:
    return list({row.id: row for row in rows}.values())
