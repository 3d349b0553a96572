"""`python main.py` starts the server; `shelf serve` is the same."""

import sys

try:
    from modelshelf.__main__ import main
except ModuleNotFoundError as err:
    sys.exit(f"error: {sys.executable} has no module {err.name}.\nhint: make test, then: .venv/bin/python main.py")

if __name__ == "__main__":
    main(["serve"])
