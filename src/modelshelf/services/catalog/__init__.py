"""The registered models: where they are, and who uses them."""
