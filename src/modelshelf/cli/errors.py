"""Errors at the edge of the command line: the sentence on stderr and the exit code, in one place."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from modelshelf.cli import output
from modelshelf.cli.interrupts import INTERRUPTED, stoppable, was_interrupted
from modelshelf.cli.terminal import WISHES
from modelshelf.errors import Cancelled, ShelfError
from modelshelf.store.os_errors import of_os_error

PIPE_CLOSED = 141
"""Who reads the output has gone, as `head` does: what a shell reports of any program that SIGPIPE ends."""


def report(err: ShelfError, *, as_json: bool) -> int:
    """Print an error; return the exit code."""
    if as_json:
        output.note(json.dumps(err.to_dict(), indent=2, ensure_ascii=False))
    else:
        output.note(f"error: {err.detail}", style="red")
        if err.hint:
            output.note(f"hint: {err.hint}")
    return err.exit_code


@contextmanager
def at_the_edge(*, as_json: bool) -> Iterator[None]:
    """Turn our own errors, the disk's and the output's into exit codes; Ctrl-C ends quietly."""
    WISHES.as_json = as_json
    try:
        with stoppable():
            yield
            sys.stdout.flush()  # a closed or full output fails here, where it can be told from another error
    except ShelfError as err:
        raise SystemExit(report(err, as_json=as_json)) from err
    except (Cancelled, KeyboardInterrupt) as err:
        raise SystemExit(INTERRUPTED) from err
    except BrokenPipeError as err:
        _leave_stdout()
        raise SystemExit(PIPE_CLOSED) from err
    except RuntimeError as err:  # Python 3.11 wraps an interrupt in one where a class is being made, as in an import
        if not was_interrupted():
            raise
        raise SystemExit(INTERRUPTED) from err
    except OSError as err:
        if err.filename is None:
            _leave_stdout()
        raise SystemExit(report(of_os_error(err), as_json=as_json)) from err


def _leave_stdout() -> None:
    """Redirect the interpreter's last flush to nothing, or it complains and ends with 120."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
