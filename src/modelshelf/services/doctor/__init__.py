"""The doctor: what is wrong with a library, and what may be mended."""
