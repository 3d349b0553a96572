"""Finding the registered model that a person or a program means."""

from __future__ import annotations

from modelshelf.domain.listing import Listing
from modelshelf.domain.meant import model_meant, without_address
from modelshelf.domain.models import ModelRow
from modelshelf.domain.served_files import gguf_files
from modelshelf.domain.weight_files import quantisation_in
from modelshelf.services.catalog.models import Library


def row_meant(library: Library, asked: str) -> ModelRow:
    """Return the row of the model that is meant.

    Args:
        library: The library.
        asked: Its name, its repository in any case, an address of that on the hub, or one of these with `:QUANT`.

    Raises:
        NotFound: None; the hint has the names that come near.
        BadInput: More than one.
    """

    def quantisation_of(row: ModelRow) -> str:
        served = gguf_files(library.files(row))
        return quantisation_in(served.first) if served else ""

    if (row := library.reader.model(asked)) is not None:
        return row
    wanted = without_address(asked)
    name = wanted.rpartition(":")[0]
    listed = library.reader.listed
    rows = listed(Listing(wanted)) + (listed(Listing(name)) if name else [])
    return model_meant(wanted, rows, quantisation_of) or library.row(asked)  # raises, with the names that come near
