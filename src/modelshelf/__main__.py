"""`python -m modelshelf` is `shelf`."""

from modelshelf.cli.main import main

if __name__ == "__main__":
    main()
