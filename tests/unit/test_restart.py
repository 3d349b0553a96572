"""Whether a server starts again after the signal that it sent itself."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

CODE = """
import signal, sys
signal.signal(signal.SIGTERM, lambda number, frame: restart.note_signal(number))
from modelshelf.server import restart
restart.restart()
for number in sys.argv[1:]:
    restart.note_signal(int(number))
print(restart.is_asked())
"""


@pytest.mark.parametrize(
    ("more", "is_asked"),
    [([], "True"), ([signal.SIGTERM], "False"), ([signal.SIGINT], "False")],
    ids=["alone", "told to end meanwhile", "Ctrl-C"],
)
def test_who_ends_a_restarting_server_ends_it(more: list[int], is_asked: str) -> None:
    """A server that somebody tells to end while it restarts doesn't come back."""
    words = [sys.executable, "-c", CODE, *(str(int(number)) for number in more)]
    assert subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip() == is_asked
