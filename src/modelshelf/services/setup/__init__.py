"""Setting up a library, and saying which one is in use."""
