"""The verbs of the library, one file each."""
