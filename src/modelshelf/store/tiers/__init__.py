"""A base as a whole: its marker, its file system, its usage."""
