"""Real file systems, mounted for the occasion: `make test-filesystems`, as root."""
