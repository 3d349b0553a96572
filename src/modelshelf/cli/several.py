"""One command for several models: every name is checked before anything is done with one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from modelshelf.cli import output
from modelshelf.cli.errors import report
from modelshelf.errors import ShelfError

if TYPE_CHECKING:
    from modelshelf.services.shelf import Shelf


def known(shelf: Shelf, names: Sequence[str]) -> list[str]:
    """Return each name once.

    Raises:
        NotFound: One of them names no model.
    """
    return [shelf.model(name).model_name for name in dict.fromkeys(names)]


def of_each(names: Sequence[str], work: Callable[[str], object], *, as_json: bool) -> tuple[list[object], int]:
    """Do something with each model; if one of several fails, print that and go on with the others.

    Returns:
        What `work` returned for each, or its error for programs, and the exit code.
    """
    done: list[object] = []
    code = 0
    for name in names:
        try:
            done.append(work(name))
        except ShelfError as err:
            if len(names) == 1:
                raise
            done.append({"model_name": name, "error": err.to_dict()})
            code = err.exit_code
            if not as_json:
                output.note(f"{name}:")
                report(err, as_json=False)
    return done, code


def end(done: Sequence[object], code: int, *, as_json: bool) -> None:
    """With --json print one model's object, or the list of several; end with the exit code if something failed."""
    if as_json:
        output.as_json(done[0] if len(done) == 1 else done)
    if code:
        raise SystemExit(code)
