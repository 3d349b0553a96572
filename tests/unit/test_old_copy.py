"""What a person reads about the copy that a move left."""

from __future__ import annotations

import pytest

from modelshelf.cli import render
from tests.unit.web.looks import job

USED = "The old copy in /fast is used by python (7)."


@pytest.mark.parametrize(
    ("state", "detail", "said"),
    [
        ("done", "", ""),
        ("failed", "It can't be deleted.", "The old copy stays: It can't be deleted.\n"),
        ("waiting", USED, f"{USED} It is deleted when they end.\n"),
        ("running", "", "The old copy is being deleted.\n"),
        ("queued", "", "The old copy is being deleted.\n"),
    ],
)
def test_every_state_of_the_deletion_has_its_sentence(
    capsys: pytest.CaptureFixture[str], state: str, detail: str, said: str
) -> None:
    """A deletion that another process took up is told in a whole sentence."""
    render.print_old_copy(job("delete_old_copy", state=state, detail=detail))

    assert capsys.readouterr().err == said
