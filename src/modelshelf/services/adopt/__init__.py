"""Models that other tools downloaded come into the library."""
