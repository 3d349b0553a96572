"""The doctor: what is wrong with a library, and what can be fixed."""
