"""Models where other tools left them."""
