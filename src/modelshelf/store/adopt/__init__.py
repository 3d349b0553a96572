"""Models at the places where other tools keep them."""
