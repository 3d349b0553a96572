"""`python main.py` starts the server; `shelf serve` is the same."""

from modelshelf.cli.main import main

if __name__ == "__main__":
    main(["serve"])
