"""Which models there are, where, and who holds them."""
