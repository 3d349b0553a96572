"""Errors at the edge of the command line: the sentence on stderr and the exit code, in one place."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from modelshelf.cli import output
from modelshelf.errors import Cancelled, ShelfError

INTERRUPTED = 130


def report(err: ShelfError, *, as_json: bool) -> int:
    """Print an error; returns the exit code."""
    if as_json:
        output.note(json.dumps(err.to_dict(), indent=2, ensure_ascii=False))
    else:
        output.note(f"error: {err.detail}")
        if err.hint:
            output.note(f"hint: {err.hint}")
    return err.exit_code


@contextmanager
def at_the_edge(*, as_json: bool) -> Iterator[None]:
    """Turn the errors of the house into exit codes; Ctrl-C ends quietly."""
    try:
        yield
        sys.stdout.flush()  # a reader that left shows here, where it can be told from a fault
    except ShelfError as err:
        raise SystemExit(report(err, as_json=as_json)) from err
    except (Cancelled, KeyboardInterrupt) as err:
        output.note(
            "Stopped here. What arrived is kept: the same command goes on from there, or a running server does."
        )
        raise SystemExit(INTERRUPTED) from err
    except BrokenPipeError as err:
        # The interpreter flushes once more when it ends: into nothing, or it complains and ends with 120.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from err
