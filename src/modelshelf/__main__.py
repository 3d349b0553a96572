"""`shelf`, and `python -m modelshelf`."""

from __future__ import annotations

from modelshelf.cli.interrupts import interrupt_ends


def main(arguments: list[str] | None = None) -> None:
    """Run the command line, whose imports take long enough for a person to press Ctrl-C.

    Args:
        arguments: The words; by default the process's.
    """
    interrupt_ends()
    from modelshelf.cli.main import main as run  # noqa: PLC0415 - see above

    run(arguments)


if __name__ == "__main__":
    main()
