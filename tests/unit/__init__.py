"""Pure parts, without a disk or a network."""
