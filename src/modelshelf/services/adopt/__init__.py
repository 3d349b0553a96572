"""Taking models that other tools downloaded into the library."""
